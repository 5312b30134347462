// One gradient of L_b by two estimators, draw for draw: by the score function and through
// z = m + s e.

const START = { sd: 0.5, mean: -1, baseline: "none", seed: 1 };
const DATUM = 2;
const DRAWS = 200;
const BINS = 40;
const PARAMETERS = ["mean", "sd"];

// Gradients by single draws e. With f(z) = log p(x, z) - log q(z): by the score function
// (f(z) - c) d log q(z) / d(m, s), for any c that knows nothing of the draw; along the path
// df(m + s e) / d(m, s), where log q(m + s e) = -log s - e^2 / 2 + constant.
function gradientsByDraws(toy, x, guide, noise, c) {
  const { w, b, s } = toy;
  const { mean, sd } = guide;
  const weights = logWeights(toy, x, guide, noise);
  const slopes = noise.map((e) => {
    const z = mean + sd * e;
    return (w * (x - w * z - b)) / (s * s) - z;
  });
  return {
    score: {
      mean: noise.map((e, i) => ((weights[i] - c) * e) / sd),
      sd: noise.map((e, i) => ((weights[i] - c) * (e * e - 1)) / sd),
    },
    path: { mean: slopes, sd: noise.map((e, i) => slopes[i] * e + 1 / sd) },
  };
}

// Mean and variance over all draws, by the trapezoidal rule over e.
const GRID = Float64Array.from({ length: 321 }, (_, i) => (i - 160) / 16);
function exactMoments(values) {
  const weigh = (of) =>
    GRID.reduce((a, e, i) => a + (Math.exp(normalLogDensity(e, 0, 1)) * of(values[i])) / 16, 0);
  const mean = weigh((v) => v);
  return { mean, variance: weigh((v) => (v - mean) ** 2) };
}

function drawHistograms(svg, plain, drawn, exact, { name, low, high }) {
  const counts = {};
  for (const way of ["score", "path"]) {
    counts[way] = new Array(BINS).fill(0);
    for (const value of drawn[way][name]) {
      const bin = Math.floor(((value - low) / (high - low)) * BINS);
      if (bin >= 0 && bin < BINS) counts[way][bin] += 1;
    }
  }
  const most = Math.max(...counts.score, ...counts.path);
  const chart = frame(svg, {
    height: 280,
    x: [low, high],
    y: [0, 1.08 * most],
    xLabel: plain(`gradient_${name}`),
    yLabel: plain("count"),
  });
  const step = (high - low) / BINS;
  for (const way of ["path", "score"]) {
    counts[way].forEach((count, i) => {
      if (count === 0) return;
      const left = chart.across(low + i * step);
      const width = chart.across(low + (i + 1) * step) - left - 1;
      const y = chart.up(count);
      const height = chart.bottom - y;
      chart.draw("rect", { class: `gradients-${way}`, x: left, y, width, height });
      if (way === "score") hatch(chart, { left, base: chart.bottom, width, height });
    });
  }
  const x = chart.across(exact);
  const { top, bottom } = chart;
  chart.draw("line", { class: "line evidence", x1: x, x2: x, y1: top, y2: bottom });
}

panel("gradients", (about, { byId, plain, write, announce, place, listen, choose, press }) => {
  const { toy } = about;
  const state = { ...START };
  let noise = standardNormals(state.seed, DRAWS);

  function termsNow() {
    const guide = { mean: state.mean, sd: state.sd };
    const slope = boundGradient(toy, DATUM, guide.mean, guide.sd);
    const exact = { mean: slope.mean, sd: slope.logSd / guide.sd };
    const { bound } = identityTerms(toy, DATUM, guide.mean, guide.sd);
    const c = state.baseline === "bound" ? bound : 0;
    const drawn = gradientsByDraws(toy, DATUM, guide, noise, c);
    const everywhere = gradientsByDraws(toy, DATUM, guide, GRID, c);
    const moments = {};
    const residuals = [];
    for (const way of ["score", "path"]) {
      moments[way] = {};
      for (const name of PARAMETERS) {
        const whole = exactMoments(everywhere[way][name]);
        moments[way][name] = { ...momentsOf(drawn[way][name]), exactVariance: whole.variance };
        residuals.push(whole.mean - exact[name]);
      }
    }
    const residual = residuals.reduce((a, v) => (Math.abs(v) > Math.abs(a) ? v : a), 0);
    return { ...state, x: DATUM, c, bound, exact, drawn, moments, residual };
  }

  function redraw() {
    const terms = termsNow();
    place("sd", state.sd, number(state.sd, 2));
    place("mean", state.mean, number(state.mean, 2));
    byId("baseline").value = state.baseline;
    for (const name of PARAMETERS) {
      const [score, along] = [terms.moments.score[name], terms.moments.path[name]];
      const exact = terms.exact[name];
      const reach = 3.2 * Math.sqrt(Math.max(score.exactVariance, along.exactVariance));
      const range = { name, low: exact - reach, high: exact + reach };
      drawHistograms(byId(`of-${name}`), plain, terms.drawn, exact, range);
      const said = {
        exact: number(exact, 2),
        score: number(Math.sqrt(score.variance), 2),
        path: number(Math.sqrt(along.variance), 2),
      };
      byId(`of-${name}`).setAttribute("aria-label", plain(`of_${name}_said`, said));
      write(`value-exact_${name}`, number(exact));
      write(`value-score_${name}`, withError(score));
      write(`value-path_${name}`, withError(along));
      write(`value-drawn_${name}`, number(score.variance / along.variance, 2));
      write(`value-ratio_${name}`, number(score.exactVariance / along.exactVariance, 2));
    }
    write("value-residual", exponential(terms.residual));
    write("value-seed", String(state.seed));
    const ratio = (name) =>
      number(terms.moments.score[name].exactVariance / terms.moments.path[name].exactVariance, 1);
    announce(plain("said", { mean: ratio("mean"), sd: ratio("sd") }));
  }

  for (const id of ["sd", "mean"]) {
    listen(id, (value) => {
      state[id] = value;
      redraw();
    });
  }
  choose("baseline", (value) => {
    state.baseline = value;
    redraw();
  });
  press("again", () => {
    state.seed += 1;
    noise = standardNormals(state.seed, DRAWS);
    redraw();
  });
  return {
    redraw,
    tell: { terms: termsNow, noise: () => Array.from(noise) },
  };
});
