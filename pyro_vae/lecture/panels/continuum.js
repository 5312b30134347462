// A density made of one, two, eight and 64 normals, and of one normal for every z.

const WINDOW = { x: [-2.8, 2.8], y: [-1.7, 1.7] };
const CELLS = { across: 56, up: 34 };
// The integral over z: far beyond the prior's tails, and finer than any bend of the decoder.
const REACH = 8;
const NODES = 2001;

// log of the sum of the exponentials of values.
function logSum(values) {
  const top = values.reduce((a, v) => Math.max(a, v), -Infinity);
  return top + Math.log(values.reduce((a, v) => a + Math.exp(v - top), 0));
}

// log p(x) of a mixture of normals with covariances F F^T, F lower triangular.
function mixtureLogDensity({ weights, means, factors }) {
  const parts = weights.map((weight, m) => {
    const [[a], [b, c]] = factors[m];
    return { mean: means[m], a, b, c, log: Math.log(weight) - LOG_TWO_PI - Math.log(a * c) };
  });
  return ([x, y]) =>
    logSum(
      parts.map(({ mean, a, b, c, log }) => {
        const u = (x - mean[0]) / a;
        const v = (y - mean[1] - b * u) / c;
        return log - 0.5 * (u * u + v * v);
      }),
    );
}

// log p(x) = log of the integral of p(x | z) p(z) over z, by the trapezoidal rule: a mixture of
// as many normals as there are nodes.
function continuumLogDensity(decode) {
  const step = (2 * REACH) / (NODES - 1);
  const nodes = Array.from({ length: NODES }, (_, i) => {
    const z = i * step - REACH;
    const { location, scale } = decode([z]).parameters;
    const [sx, sy] = scale;
    const log = normalLogDensity(z, 0, 1) + Math.log(step) - LOG_TWO_PI - Math.log(sx * sy);
    return { mean: location, sx, sy, log };
  });
  const values = new Float64Array(NODES);
  return ([x, y]) => {
    nodes.forEach(({ mean, sx, sy, log }, i) => {
      const [u, v] = [(x - mean[0]) / sx, (y - mean[1]) / sy];
      values[i] = log - 0.5 * (u * u + v * v);
    });
    return logSum(values);
  };
}

// Densities at the middles of the cells of the window.
function densityGrid(logDensity) {
  const middle = ([low, high], i, count) => low + ((i + 0.5) / count) * (high - low);
  return Array.from({ length: CELLS.across * CELLS.up }, (_, k) => {
    const [i, j] = [k % CELLS.across, Math.floor(k / CELLS.across)];
    return Math.exp(
      logDensity([middle(WINDOW.x, i, CELLS.across), middle(WINDOW.y, j, CELLS.up)]),
    );
  });
}

function drawPlane(svg, plain, model, points, words) {
  const chart = frame(svg, {
    height: 340,
    ...WINDOW,
    xTicks: ticks(...WINDOW.x, 6),
    yTicks: ticks(...WINDOW.y, 5),
    xLabel: "x1",
    yLabel: "x2",
  });
  const top = Math.max(...model.grid);
  const [width, height] = [
    (chart.right - chart.left) / CELLS.across,
    (chart.bottom - chart.top) / CELLS.up,
  ];
  model.grid.forEach((density, k) => {
    const opacity = Math.sqrt(density / top);
    if (opacity < 0.02) return;
    const x = chart.left + width * (k % CELLS.across);
    const y = chart.bottom - height * (Math.floor(k / CELLS.across) + 1);
    const faint = { "fill-opacity": opacity.toFixed(3) };
    chart.draw("rect", { class: "shade", x, y, width, height, ...faint });
  });
  for (const [x, y] of points) {
    chart.draw("circle", { class: "datum", cx: chart.across(x), cy: chart.up(y), r: 1.5 });
  }
  const place = ([x, y]) => [chart.across(x), chart.up(y)];
  if (model.spine) chart.draw("path", { class: "line spine", d: path(model.spine.map(place)) });
  for (const mean of model.means ?? []) {
    const [cx, cy] = place(mean);
    chart.draw("circle", { class: "component", cx, cy, r: 3.5 });
  }
  svg.setAttribute("aria-label", plain("plane_said", { words }));
}

function drawLevels(svg, plain, models, chosen, names) {
  const all = models.flatMap(({ heldOut, train }) => [heldOut.mean, train]);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const chart = frame(svg, {
    height: 340,
    x: [-0.3, models.length - 0.7],
    y: [Math.floor(low * 5 - 0.5) / 5, Math.ceil(high * 5 + 0.5) / 5],
    xTicks: names.map((text, at) => ({ at, text })),
    xLabel: plain("components"),
    yLabel: say("page.nats"),
  });
  const lines = {
    average: models.map(({ train }) => train),
    vae: models.map(({ heldOut }) => heldOut.mean),
  };
  for (const [name, values] of Object.entries(lines)) {
    const points = values.map((value, i) => [chart.across(i), chart.up(value)]);
    chart.draw("path", { class: `line moon-${name}`, d: path(points) });
  }
  models.forEach(({ heldOut: { mean, error } }, i) => {
    const [y1, y2] = [mean - 2 * error, mean + 2 * error].map(chart.up);
    const x = chart.across(i);
    chart.draw("line", { class: "line moon-vae", x1: x, x2: x, y1, y2 });
  });
  const [cx, cy] = [chart.across(chosen), chart.up(models[chosen].heldOut.mean)];
  chart.draw("circle", { class: "point-dot", cx, cy, r: 6 });
  const listed = models.map(({ heldOut }) => number(heldOut.mean, 2)).join(", ");
  svg.setAttribute("aria-label", plain("levels_said", { listed }));
}

panel("continuum", (about, { byId, plain, write, announce, place, listen }) => {
  const points = (text) => {
    const flat = unpack(text);
    return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);
  };
  const [train, test] = [points(about.train), points(about.test)];
  const models = about.models.map((given) => {
    const decode = given.decoder && readDecoder(given.decoder);
    const logDensity = decode ? continuumLogDensity(decode) : mixtureLogDensity(given);
    const values = test.map(logDensity);
    const mean = values.reduce((a, v) => a + v, 0) / values.length;
    const square = values.reduce((a, v) => a + (v - mean) ** 2, 0);
    const error = Math.sqrt(square / (values.length - 1) / values.length);
    const spine =
      decode && Array.from({ length: 121 }, (_, i) => Array.from(decode([i / 20 - 3]).mean));
    return {
      ...given,
      logDensity,
      values,
      spine,
      heldOut: { mean, error },
      grid: densityGrid(logDensity),
    };
  });
  let chosen = 0;

  // How far importance sampling is from the integral, on average over the points it was tried on.
  const integrals = models[models.length - 1].values;
  const sampled =
    about.sampled.reduce((a, v, i) => a + v - integrals[i], 0) / about.sampled.length;

  // Free numbers of each model: shares, means and covariances; or weights and biases, and sigma.
  const sizes = about.models.map(({ weights, decoder }) =>
    weights
      ? 6 * weights.length - 1
      : decoder.layers.reduce((a, { rows = 0, columns = 0 }) => a + rows * (columns + 1), 1),
  );
  const nameOf = (i) => {
    const { weights } = about.models[i];
    return weights ? String(weights.length) : "∞";
  };

  const numbers = () => {
    const { heldOut, train: seen, mean } = models[chosen];
    return { ...heldOut, seen, sampled, residual: heldOut.mean - mean };
  };

  function redraw() {
    const told = numbers();
    const isVae = chosen === models.length - 1;
    const words = plain(isVae ? "every" : "count", { count: nameOf(chosen) });
    place("components", chosen, words);
    drawPlane(byId("plane"), plain, models[chosen], train, words);
    drawLevels(
      byId("levels"),
      plain,
      models,
      chosen,
      models.map((_, i) => nameOf(i)),
    );
    write("value-heldout", `${number(told.mean)} ± ${number(told.error)}`);
    write("value-seen", number(told.seen));
    write("value-sampled", isVae ? number(told.sampled) : plain("exact"));
    write("value-parameters", String(sizes[chosen]));
    write("value-residual", exponential(told.residual));
    const said = { words, mean: number(told.mean, 3), error: number(told.error, 3) };
    announce(plain("said", said));
  }

  listen("components", (at) => {
    chosen = at;
    redraw();
  });
  return {
    redraw,
    tell: {
      numbers,
      logDensity: (xs) => xs.map((x) => models[chosen].logDensity(x)),
      parameters: () => [...sizes],
    },
  };
});
