// The KL from Normal(m, sigma^2) to the prior, taken apart, and a training with and without it.

const START = { s: -2, m: 1, epoch: 0 };
const S_RANGE = [-6, 2];
// exp(s), 1 + s and all between them; m^2 is at most 4 more.
const HEIGHTS = [-6, 12];

// With s = log sigma^2, 2 KL = exp(s) - (1 + s) + m^2.
function divergenceParts(s, m) {
  const parts = { exp: Math.exp(s), tangent: 1 + s, square: m * m };
  return { ...parts, kl: (parts.exp - parts.tangent + parts.square) / 2 };
}

// The same by the trapezoidal rule on q (log q - log p), which knows nothing of the formula.
function divergenceByQuadrature(s, m) {
  const sd = Math.exp(s / 2);
  const step = sd / 16;
  let sum = 0;
  for (let i = -192; i <= 192; i += 1) {
    const z = m + i * step;
    const logQ = normalLogDensity(z, m, sd);
    sum += Math.exp(logQ) * (logQ - normalLogDensity(z, 0, 1)) * step;
  }
  return sum;
}

function drawCurves(svg, plain, { s, m }) {
  const parts = divergenceParts(s, m);
  const chart = frame(svg, {
    height: 300,
    x: S_RANGE,
    y: HEIGHTS,
    xLabel: plain("s"),
    yLabel: plain("no_unit"),
  });
  level(chart, parts.square, "line bound-level");
  curve(chart, S_RANGE, Math.exp, { class: "line likelihood" });
  curve(chart, S_RANGE, (v) => 1 + v, { class: "line prior" });
  curve(chart, S_RANGE, (v) => 2 * divergenceParts(v, m).kl, { class: "line divergence-curve" });
  const cx = chart.across(s);
  const difference = { x1: cx, x2: cx, y1: chart.up(parts.tangent), y2: chart.up(parts.exp) };
  chart.draw("line", { class: "line posterior", ...difference });
  chart.draw("circle", { class: "divergence-now", cx, cy: chart.up(2 * parts.kl), r: 6 });
  const said = { s: number(s, 2), m: number(m, 2), twice: number(2 * parts.kl, 2) };
  svg.setAttribute("aria-label", plain("curves_said", said));
}

// Scales on a logarithmic axis: a straight fall is a fall by one factor an epoch.
function drawTraining(svg, plain, runs, epoch) {
  const last = runs.with.sigma.length - 1;
  const floor = Math.min(-3, Math.floor(Math.log10(Math.min(...runs.without.sigma))));
  const powers = Array.from({ length: 1 - floor }, (_, i) => floor + i);
  const chart = frame(svg, {
    height: 300,
    x: [0, last],
    y: [floor, 0.1],
    yTicks: powers.map((at) => ({ at, text: number(10 ** at, Math.max(0, -at)) })),
    xLabel: plain("epochs"),
    yLabel: plain("sigma"),
  });
  for (const [name, style] of [
    ["with", "guide"],
    ["without", "divergence-curve"],
  ]) {
    const points = runs[name].sigma.map((v, i) => [chart.across(i), chart.up(Math.log10(v))]);
    chart.draw("path", { class: `line faint future ${style}`, d: path(points) });
    const past = points.slice(0, epoch + 1);
    chart.draw("path", { class: `line ${style}`, d: path(past) });
    const [cx, cy] = past[epoch];
    chart.draw("circle", {
      class: name === "with" ? "guide-now" : "divergence-now",
      cx,
      cy,
      r: 6,
    });
  }
  const said = {
    epoch,
    with: number(runs.with.sigma[epoch], 4),
    without: number(runs.without.sigma[epoch], 4),
  };
  svg.setAttribute("aria-label", plain("training_said", said));
}

panel("divergence", (about, { byId, plain, write, announce, place, listen, press }) => {
  const state = { ...START };
  const last = about.with.sigma.length - 1;
  byId("epoch").max = last;
  let stop = () => {};

  function termsNow() {
    const { s, m, epoch } = state;
    const parts = divergenceParts(s, m);
    const quadrature = divergenceByQuadrature(s, m);
    const sigma = { with: about.with.sigma[epoch], without: about.without.sigma[epoch] };
    const kl = { with: about.with.kl[epoch], without: about.without.kl[epoch] };
    return { ...state, ...parts, quadrature, residual: parts.kl - quadrature, sigma, trained: kl };
  }

  function redraw() {
    const terms = termsNow();
    const sd = number(Math.exp(state.s / 2), 3);
    place("s", state.s, plain("place", { s: number(state.s, 2), sd }));
    place("m", state.m, number(state.m, 2));
    place("epoch", state.epoch, say("page.of", { some: state.epoch, whole: last }));
    drawCurves(byId("curves"), plain, state);
    drawTraining(byId("training"), plain, about, state.epoch);
    for (const id of ["kl", "exp", "tangent", "square", "quadrature"]) {
      write(`value-${id}`, number(terms[id]));
    }
    write("value-residual", exponential(terms.residual));
    for (const id of ["with", "without"]) {
      write(`value-${id}`, number(terms.sigma[id]));
      write(`value-${id}_kl`, number(terms.trained[id]));
    }
    announce(
      plain("said", {
        kl: number(terms.kl, 2),
        epoch: state.epoch,
        with: number(terms.sigma.with, 3),
        without: number(terms.sigma.without, 3),
      }),
    );
  }

  for (const id of ["s", "m", "epoch"]) {
    listen(id, (value) => {
      if (id === "epoch") stop();
      state[id] = value;
      redraw();
    });
  }
  press("play", () => {
    stop();
    state.epoch = 0;
    const step = () => {
      state.epoch += 1;
    };
    stop = play(step, last, 250, redraw);
  });
  return {
    redraw,
    tell: { terms: termsNow },
  };
});
