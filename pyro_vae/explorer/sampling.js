// Part 2: importance sampling with K draws from the guide, and the bound L_K.

const COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const MOST = COUNTS[COUNTS.length - 1];
const POOL = 128 * MOST;

// Log weights of the whole pool of draws, and the bound for every K.
function weighAll(toy, state, noise) {
  const pool = logWeights(toy, state.x, { mean: state.mean, sd: state.sd }, noise);
  return { pool, bounds: iwaeBounds(pool, MOST) };
}

// The first K draws of the pool, drawn as sticks, and what they estimate.
function particlesOf(state, noise, pool) {
  const values = Array.from(pool.subarray(0, state.k));
  const z = Array.from(noise.subarray(0, state.k), (e) => state.mean + state.sd * e);
  return { z, logWeights: values, estimate: logMeanWeight(values), ...normalisedWeights(values) };
}

function drawParticles(svg, toy, state, particles) {
  const posterior = truePosterior(toy, state.x);
  const chart = frame(svg, {
    height: 270,
    x: Z_RANGE,
    y: [0, particles.largest * 1.12],
    xLabel: "latent variable z",
    yLabel: "normalised weight",
  });
  const outline = (mean, sd, name) =>
    curve(
      chart,
      Z_RANGE,
      (z) => particles.largest * Math.exp(-0.5 * ((z - mean) / sd) ** 2),
      { class: name },
    );
  outline(posterior.mean, posterior.sd, "line posterior faint");
  outline(state.mean, state.sd, "line guide faint");
  const base = chart.up(0);
  let outside = 0;
  particles.z.forEach((z, i) => {
    if (z < Z_RANGE[0] || z > Z_RANGE[1]) {
      outside += 1;
      return;
    }
    const [x, y] = [chart.across(z), chart.up(particles.weights[i])];
    chart.draw("line", { class: "stick", x1: x, x2: x, y1: base, y2: y });
    chart.draw("circle", { class: "stick-head", cx: x, cy: y, r: state.k > 64 ? 2 : 3.5 });
  });
  if (outside) {
    const words = `${outside} of ${state.k} outside`;
    chart.draw("text", { class: "note", x: chart.right, y: 13, "text-anchor": "end" }, words);
  }
  svg.setAttribute(
    "aria-label",
    `${state.k} particles with their normalised weights; the largest weight is ` +
      `${number(particles.largest, 3)}, the effective sample size ${number(particles.ess, 1)}.`,
  );
}

function drawBounds(svg, state, bounds, terms) {
  const low = Math.min(...bounds.map((b) => b.mean - 2 * b.error), terms.bound);
  const high = Math.max(...bounds.map((b) => b.mean + 2 * b.error), terms.evidence);
  const pad = Math.max(0.12 * (high - low), 0.02);
  const place = (count) => Math.log2(count);
  const narrow = svg.parentElement.clientWidth < 400;
  const named = COUNTS.filter((_, i) => !narrow || i % 2 === 0);
  const chart = frame(svg, {
    height: 270,
    x: [-0.3, place(MOST) + 0.3],
    y: [low - pad, high + pad],
    xTicks: named.map((count) => ({ at: place(count), text: String(count) })),
    xLabel: "number of draws K",
    yLabel: "nats",
  });
  const level = (value, name) =>
    chart.draw("line", {
      class: name,
      x1: chart.left,
      x2: chart.right,
      y1: chart.up(value),
      y2: chart.up(value),
    });
  const at = (b, value) => [chart.across(place(b.count)), chart.up(value)];
  const upper = bounds.map((b) => at(b, b.mean + 2 * b.error));
  const lower = bounds.map((b) => at(b, b.mean - 2 * b.error)).reverse();
  chart.draw("path", { class: "band", d: path([...upper, ...lower], true) });
  level(terms.bound, "line bound-level");
  level(terms.evidence, "line evidence");
  chart.draw("path", { class: "line iwae", d: path(bounds.map((b) => at(b, b.mean))) });
  for (const b of bounds) {
    const [cx, cy] = at(b, b.mean);
    const now = b.count === state.k;
    chart.draw("circle", { class: now ? "iwae-now" : "iwae-dot", cx, cy, r: now ? 7 : 3.5 });
  }
  const now = bounds.find((b) => b.count === state.k);
  svg.setAttribute(
    "aria-label",
    `IWAE bound against K. At K = ${state.k} it is ${number(now.mean, 3)} nats; log p(x) is ` +
      `${number(terms.evidence, 3)} nats.`,
  );
}
