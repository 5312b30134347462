// The identity log p(x) = L_b + KL(q || p(z | x)), on a model whose every term is known, and
// what a step of the encoder and a step of the decoder do to it.

const START = { x: 2, mean: -1, sd: 1.2 };
const HISTORY = 200;
const FLOORS = [-5, -10, -20, -40, -80, -160, -320];
const BARS = 14;

function drawCurves(svg, plain, toy, state) {
  const terms = identityTerms(toy, state.x, state.mean, state.sd);
  const density = (mean, sd) => (z) => Math.exp(normalLogDensity(z, mean, sd));
  const peak = Math.exp(normalLogDensity(0, 0, Math.min(state.sd, terms.posteriorSd)));
  const top = [0.8, 1, 1.5, 2, 3].find((t) => t >= 1.04 * peak);
  const chart = frame(svg, {
    height: 300,
    x: Z_RANGE,
    y: [0, top],
    xLabel: say("page.z"),
    yLabel: say("page.density"),
  });
  const likelihood = (z) => Math.exp(normalLogDensity(state.x, toy.w * z + toy.b, toy.s));
  curve(chart, Z_RANGE, density(0, 1), { class: "line prior" });
  curve(chart, Z_RANGE, likelihood, { class: "line likelihood" });
  curve(chart, Z_RANGE, density(terms.posteriorMean, terms.posteriorSd), {
    class: "line posterior",
  });
  curve(chart, Z_RANGE, density(state.mean, state.sd), { class: "line guide" });
  const said = {
    posteriorMean: number(terms.posteriorMean, 2),
    posteriorSd: number(terms.posteriorSd, 2),
    mean: number(state.mean, 2),
    sd: number(state.sd, 2),
  };
  svg.setAttribute("aria-label", plain("curves_said", said));
}

// One bar for every step since the last move of a slider; the last bar is the present.
function drawBars(svg, plain, history) {
  const shown = history.slice(-BARS);
  const now = shown[shown.length - 1];
  const lowest = Math.min(...shown.map((terms) => terms.bound));
  const floor = FLOORS.find((f) => f <= lowest - 0.4) ?? FLOORS[FLOORS.length - 1];
  const first = history.length - shown.length;
  const slots = Math.max(shown.length, 4);
  const chart = frame(svg, {
    height: 300,
    x: [0, slots],
    y: [floor, 0],
    xTicks: shown.map((_, i) => ({ at: i + 0.5, text: String(first + i) })),
    xLabel: plain("steps"),
    yLabel: say("page.nats"),
  });
  shown.forEach((terms, i) => {
    const left = chart.across(i + 0.12);
    const width = chart.across(i + 0.88) - left;
    const bar = (name, from, to) => {
      const height = Math.max(chart.up(from) - chart.up(to), 0);
      chart.draw("rect", { class: name, x: left, y: chart.up(to), width, height });
      return height;
    };
    bar("bar-bound", floor, terms.bound);
    const gap = bar("bar-divergence", terms.bound, terms.evidence);
    hatch(chart, { left, base: chart.up(terms.bound), width, height: gap });
    level(chart, terms.evidence, "line evidence", [i, i + 1]);
  });
  chart.draw(
    "text",
    { class: "note", x: chart.left + 4, y: chart.up(shown[0].evidence) - 6 },
    `log p(x) = ${number(now.evidence, 2)}`,
  );
  const said = {
    bound: number(now.bound, 2),
    divergence: number(now.divergence, 2),
    evidence: number(now.evidence, 2),
  };
  svg.setAttribute("aria-label", plain("bars_said", said));
}

panel("identity", (about, { byId, plain, write, announce, place, listen, press }) => {
  let toy = { ...about.toy };
  const state = { ...START };
  let history = [];
  let stop = () => {};
  let turn = 0;

  const termsNow = () => identityTerms(toy, state.x, state.mean, state.sd);

  function redraw() {
    const terms = history[history.length - 1];
    for (const id of ["x", "mean", "sd"]) place(id, state[id], number(state[id], 2));
    drawCurves(byId("curves"), plain, toy, state);
    drawBars(byId("bars"), plain, history);
    for (const id of ["evidence", "bound", "divergence", "reconstruction", "toPrior"]) {
      write(`value-${id}`, number(terms[id]));
    }
    write("value-residual", exponential(terms.residual));
    announce(
      plain("said", {
        bound: number(terms.bound, 2),
        divergence: number(terms.divergence, 2),
        evidence: number(terms.evidence, 2),
      }),
    );
  }

  function moved() {
    stop();
    history = [termsNow()];
    redraw();
  }

  function remember() {
    history = [...history, termsNow()].slice(-HISTORY);
  }

  // The encoder's step moves q alone, the decoder's p(x | z) alone: both climb the same L_b.
  function encoderStep() {
    Object.assign(state, gradientStep(toy, state.x, { mean: state.mean, sd: state.sd }));
    remember();
  }

  function decoderStep() {
    toy = decoderStepOf(toy, state.x, { mean: state.mean, sd: state.sd });
    remember();
  }

  function take(step, count) {
    stop();
    stop = play(step, count, 120, redraw);
  }

  for (const id of ["x", "mean", "sd"]) {
    listen(id, (value) => {
      state[id] = value;
      moved();
    });
  }
  press("encoder", () => take(encoderStep, 1));
  press("decoder", () => take(decoderStep, 1));
  press("turns", () => {
    take(() => {
      (turn % 10 < 5 ? encoderStep : decoderStep)();
      turn += 1;
    }, 10);
  });
  press("reset", () => {
    toy = { ...about.toy };
    turn = 0;
    Object.assign(state, START);
    moved();
  });
  history = [termsNow()];
  return {
    redraw,
    tell: {
      terms: () => ({
        x: state.x,
        mean: state.mean,
        sd: state.sd,
        toy: { ...toy },
        ...termsNow(),
      }),
      history: () => history.map((terms) => ({ ...terms })),
    },
  };
});
