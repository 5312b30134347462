// Units that go out, in closed form. In coordinates in which the decoder's noise is Normal(0, I),
// the data have variances r_1 >= r_2 >= ...; at the best W and the best guide unit i takes
// direction i. The objective E_q[log p(x | z)] - beta KL is beta log of the integral of
// p(z) p(x | z)^(1 / beta), a model of noise variance beta, which W serves if r_i > beta.

const START = { exponent: 0, decoder: "weak" };
const BETAS = [-1, 2];
const STYLES = { weak: "guide", neighbours: "divergence-curve", all: "likelihood" };

// Ratios that are 1 but for rounding use no unit at beta = 1.
const inUse = (r, beta) => r > beta * (1 + 1e-9);

function collapseTerms({ ratios, logDet }, units, beta) {
  const size = ratios.length;
  const kls = ratios.slice(0, units).map((r) => (inUse(r, beta) ? Math.log(r / beta) / 2 : 0));
  const kl = kls.reduce((a, v) => a + v, 0);
  // What is missed: beta in the direction of a unit in use, all there is in the others.
  const missed = ratios.map((r, i) => (i < units ? Math.min(r, beta) : r));
  const constant = -(size * LOG_TWO_PI + logDet) / 2;
  const reconstruction = constant - missed.reduce((a, v) => a + v, 0) / 2;
  const objective = reconstruction - beta * kl;
  return {
    kls,
    kl,
    active: kls.filter((v) => v > 0).length,
    reconstruction,
    objective,
    bound: reconstruction - kl,
    residual: objective - objectiveByEvidence(ratios, logDet, units, beta),
  };
}

// The objective without a guide: by the density of x where the noise is beta times as wide.
function objectiveByEvidence(ratios, logDet, units, beta) {
  const size = ratios.length;
  const variances = ratios.map((r, i) => (i < units ? Math.max(r, beta) : beta));
  const evidence = variances.reduce(
    (a, v, i) => a - (LOG_TWO_PI + Math.log(v) + ratios[i] / v) / 2,
    -logDet / 2,
  );
  const widened = (size * (LOG_TWO_PI + Math.log(beta)) + logDet) / 2;
  return beta * (evidence + widened) - (size * LOG_TWO_PI + logDet) / 2;
}

function drawUnits(svg, plain, terms) {
  const count = terms.kls.length;
  const top = [0.5, 1, 2, 4].find((t) => t >= 1.05 * terms.kls[0]);
  const chart = frame(svg, {
    height: 280,
    x: [0, count],
    y: [0, top],
    xTicks: terms.kls
      .map((_, i) => ({ at: i + 0.5, text: String(i + 1) }))
      .filter((_, i) => i % 3 === 0),
    xLabel: plain("number"),
    yLabel: plain("kl_axis"),
  });
  terms.kls.forEach((kl, i) => {
    const left = chart.across(i + 0.12);
    const width = chart.across(i + 0.88) - left;
    if (kl > 0) {
      const y = chart.up(kl);
      const bar = { x: left, y, width, height: chart.bottom - y };
      chart.draw("rect", { class: "bar-divergence", ...bar });
      return;
    }
    cross(chart, left + width / 2, chart.bottom - 9);
  });
  const said = { active: terms.active, units: count, largest: number(terms.kls[0], 2) };
  svg.setAttribute("aria-label", plain("units_said", said));
}

function drawTotals(svg, plain, about, state, terms) {
  const chart = frame(svg, {
    height: 280,
    x: BETAS,
    y: [0, about.units],
    xTicks: [-1, 0, 1, 2].map((at) => ({ at, text: number(10 ** at, Math.max(0, -at)) })),
    yTicks: ticks(0, about.units, 4),
    xLabel: plain("beta_axis"),
    yLabel: plain("active_axis"),
  });
  for (const [name, style] of Object.entries(STYLES)) {
    // A staircase: the count falls where beta passes a ratio.
    const falls = about.decoders[name].ratios.slice(0, about.units).map(Math.log10).reverse();
    const points = [[BETAS[0], about.units]];
    falls.forEach((at, i) => {
      const before = about.units - i;
      points.push([at, before], [at, before - 1]);
    });
    points.push([BETAS[1], 0]);
    const d = path(
      points.map(([at, units]) => [chart.across(Math.max(at, BETAS[0])), chart.up(units)]),
    );
    chart.draw("path", { class: `line ${style}${name === state.decoder ? "" : " future"}`, d });
  }
  const at = { cx: chart.across(state.exponent), cy: chart.up(terms.active) };
  chart.draw("circle", { class: "collapse-now", ...at, r: 6 });
  const said = { beta: number(10 ** state.exponent, 2), active: terms.active };
  svg.setAttribute("aria-label", plain("totals_said", said));
}

panel("collapse", (about, { byId, plain, write, announce, place, listen, choose }) => {
  const state = { ...START };

  function termsNow() {
    const beta = 10 ** state.exponent;
    const terms = collapseTerms(about.decoders[state.decoder], about.units, beta);
    return { ...state, beta, ...terms };
  }

  function redraw() {
    const terms = termsNow();
    place("beta", state.exponent, number(terms.beta, 2));
    byId("decoder").value = state.decoder;
    drawUnits(byId("units"), plain, terms);
    drawTotals(byId("totals"), plain, about, state, terms);
    write("value-active", say("page.of", { some: terms.active, whole: about.units }));
    for (const id of ["objective", "reconstruction", "kl", "bound"]) {
      write(`value-${id}`, number(terms[id]));
    }
    write("value-residual", exponential(terms.residual));
    announce(
      plain("said", {
        beta: number(terms.beta, 2),
        active: terms.active,
        units: about.units,
        kl: number(terms.kl, 2),
      }),
    );
  }

  listen("beta", (value) => {
    state.exponent = value;
    redraw();
  });
  choose("decoder", (value) => {
    state.decoder = value;
    redraw();
  });
  return {
    redraw,
    tell: { terms: termsNow },
  };
});
