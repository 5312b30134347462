// Part 1: the identity log p(x) = L_b + KL(q || p(z | x)).

const Z_RANGE = [-4.5, 4.5];
const FLOORS = [-5, -10, -20, -40, -80, -160, -320];
const BARS = 14;

function drawCurves(svg, toy, state) {
  const terms = identityTerms(toy, state.x, state.mean, state.sd);
  const density = (mean, sd) => (z) => Math.exp(normalLogDensity(z, mean, sd));
  const peak = Math.exp(normalLogDensity(0, 0, Math.min(state.sd, terms.posteriorSd)));
  const top = [0.8, 1, 1.5, 2, 3].find((t) => t >= 1.04 * peak);
  const chart = frame(svg, {
    height: 300,
    x: Z_RANGE,
    y: [0, top],
    xLabel: "latent variable z",
    yLabel: "density",
  });
  const likelihood = (z) => Math.exp(normalLogDensity(state.x, toy.w * z + toy.b, toy.s));
  curve(chart, Z_RANGE, density(0, 1), { class: "line prior" });
  curve(chart, Z_RANGE, likelihood, { class: "line likelihood" });
  curve(chart, Z_RANGE, density(terms.posteriorMean, terms.posteriorSd), {
    class: "line posterior",
  });
  curve(chart, Z_RANGE, density(state.mean, state.sd), { class: "line guide" });
  svg.setAttribute(
    "aria-label",
    `Densities over z. Prior: normal, mean 0, scale 1. True posterior: normal, mean ` +
      `${number(terms.posteriorMean, 2)}, scale ${number(terms.posteriorSd, 2)}. Guide: normal, ` +
      `mean ${number(state.mean, 2)}, scale ${number(state.sd, 2)}.`,
  );
}

// One bar for every guide since the last move of a slider; the last bar is the guide above.
function drawBars(svg, history) {
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
    xLabel: "gradient steps since a slider moved",
    yLabel: "nats",
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
    for (let at = 5; at < gap + width; at += 6) {
      const [from, to] = [Math.max(0, at - gap), Math.min(width, at)];
      const base = chart.up(terms.bound);
      if (to > from) {
        chart.draw("line", {
          class: "hatch",
          x1: left + from,
          x2: left + to,
          y1: base - (at - from),
          y2: base - (at - to),
        });
      }
    }
  });
  const line = chart.up(now.evidence);
  chart.draw("line", {
    class: "line evidence",
    x1: chart.left,
    x2: chart.right,
    y1: line,
    y2: line,
  });
  const words = `log p(x) = ${number(now.evidence, 2)}`;
  chart.draw("text", { class: "note", x: chart.left + 4, y: line - 6 }, words);
  svg.setAttribute(
    "aria-label",
    `Stacked bars in nats: L_b ${number(now.bound, 2)}, then KL ${number(now.divergence, 2)}, ` +
      `together log p(x) ${number(now.evidence, 2)}.`,
  );
}
