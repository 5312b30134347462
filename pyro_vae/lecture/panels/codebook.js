// A codebook on a plane: the nearest code, the gradient that passes straight through it, how
// often the codes are in use, and a prior over them.

const DRAWN = 9;

// The model's document with its arrays unpacked.
function readModel(about) {
  return {
    ...about,
    codes: rowsOf(about.codes, 2),
    points: rowsOf(about.points, 2),
    outputs: rowsOf(about.outputs, 2),
    images: rowsOf(about.images, about.height * about.width),
    eta: readLayers(about.layers),
    low: 0,
    high: about.total,
  };
}

function nearestCode(codes, [a, b]) {
  const squares = codes.map(([c, d]) => (a - c) ** 2 + (b - d) ** 2);
  const square = Math.min(...squares);
  return { index: squares.indexOf(square), square };
}

// log p(x | e): every pixel is Binomial(total, sigmoid(eta(e))).
function logLikelihood(model, x, e) {
  const eta = model.eta(e);
  let sum = 0;
  x.forEach((count, i) => {
    sum += count * -softplus(-eta[i]) - (model.total - count) * softplus(eta[i]);
    for (let k = 1; k <= count; k += 1) sum += Math.log((model.total + 1 - k) / k);
  });
  return sum;
}

// Gradient of log p(x | e) in e, by the chain rule along the layers: each direction of the plane
// is carried forward beside the values.
function likelihoodGradient(model, x, e) {
  let values = Float64Array.from(e);
  let along = [
    [1, 0],
    [0, 1],
  ].map((direction) => Float64Array.from(direction));
  for (const layer of model.layers) {
    const before = values;
    values = readLayer(layer)(values);
    if (layer.kind === "linear") {
      const zero = linear(layer)(new Float64Array(layer.columns));
      along = along.map((direction) => linear(layer)(direction).map((v, i) => v - zero[i]));
    } else {
      along = along.map((direction) => direction.map((v, i) => (before[i] > 0 ? v : 0)));
    }
  }
  return along.map((direction) =>
    direction.reduce((a, v, i) => a + v * (x[i] - model.total * sigmoid(values[i])), 0),
  );
}

// The cell of a code: the plane cut by the line half-way to every other code.
function cellOf(codes, index, corners) {
  const [a, b] = codes[index];
  let cell = corners;
  codes.forEach(([c, d], other) => {
    if (other === index) return;
    // Nearer to (a, b) where side <= 0.
    const side = ([u, v]) => 2 * (u * (c - a) + v * (d - b)) - (c * c + d * d - a * a - b * b);
    const kept = [];
    cell.forEach((from, i) => {
      const to = cell[(i + 1) % cell.length];
      const [s, t] = [side(from), side(to)];
      if (s <= 0) kept.push(from);
      if (s < 0 !== t < 0 && s !== t) {
        const share = s / (s - t);
        kept.push([from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]);
      }
    });
    cell = kept;
  });
  return cell;
}

function rangeOf(model) {
  const all = [...model.points, ...model.codes, ...model.outputs];
  return [0, 1].map((axis) => {
    const values = all.map((point) => point[axis]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return [low - 0.06 * (high - low), high + 0.06 * (high - low)];
  });
}

function cornersOf([[left, right], [low, high]]) {
  return [
    [left, low],
    [right, low],
    [right, high],
    [left, high],
  ];
}

function perplexityOf(usage) {
  const total = usage.reduce((a, v) => a + v, 0);
  const entropy = usage.reduce((a, v) => (v > 0 ? a - (v / total) * Math.log(v / total) : a), 0);
  return Math.exp(entropy);
}

function drawCodes(svg, model, range, nearest) {
  const width = Math.max(svg.parentElement.clientWidth, LEAST_WIDTH);
  const chart = frame(svg, {
    height: Math.min(width, 440),
    x: range[0],
    y: range[1],
    xTicks: ticks(...range[0], 6),
    yTicks: ticks(...range[1], 6),
    xLabel: "h₁",
    yLabel: "h₂",
  });
  const corners = cornersOf(range);
  const at = ([a, b]) => [chart.across(a), chart.up(b)];
  model.codes.forEach((_, i) => {
    const cell = cellOf(model.codes, i, corners);
    if (cell.length < 3) return;
    const name = i === nearest ? "codebook-cell codebook-near" : "codebook-cell";
    chart.draw("path", { class: name, d: path(cell.map(at), true) });
  });
  for (const point of model.points) {
    const [cx, cy] = at(point);
    chart.draw("circle", { class: "codebook-output", cx, cy, r: 2 });
  }
  model.codes.forEach((code, i) => {
    const [cx, cy] = at(code);
    if (model.usage[i] > 0) {
      chart.draw("circle", { class: "codebook-code", cx, cy, r: i === nearest ? 7 : 4.5 });
      return;
    }
    cross(chart, cx, cy);
  });
  return chart;
}

function drawUse(svg, plain, model, nearest) {
  const total = model.usage.reduce((a, v) => a + v, 0);
  const shares = model.usage.map((v) => v / total);
  const prior = model.logPrior.map(Math.exp);
  const count = shares.length;
  const chart = frame(svg, {
    height: 230,
    x: [0, count],
    y: [0, 1.1 * Math.max(...shares, ...prior)],
    xTicks: shares
      .map((_, i) => ({ at: i + 0.5, text: String(i + 1) }))
      .filter((_, i) => i % 4 === 0),
    yTicks: ticks(0, 1.1 * Math.max(...shares, ...prior), 4),
    xLabel: plain("number"),
    yLabel: plain("share"),
  });
  shares.forEach((share, i) => {
    const left = chart.across(i + 0.12);
    const width = chart.across(i + 0.88) - left;
    const x = left + width / 2;
    if (share > 0) {
      const y = chart.up(share);
      const chosen = i === nearest ? " gap-chosen" : "";
      const bar = { x: left, y, width, height: chart.bottom - y };
      chart.draw("rect", { class: `bar-bound${chosen}`, ...bar });
    } else {
      cross(chart, x, chart.bottom - 9);
    }
    chart.draw("circle", { class: "codebook-prior", cx: x, cy: chart.up(prior[i]), r: 3 });
  });
  const dead = model.usage.filter((v) => v === 0).length;
  svg.setAttribute("aria-label", plain("bars_said", { count, dead }));
}

// Indices of codes drawn from the prior.
function drawFrom(logPrior, uniform) {
  let left = uniform();
  const found = logPrior.findIndex((v) => {
    left -= Math.exp(v);
    return left < 0;
  });
  return found < 0 ? logPrior.length - 1 : found;
}

panel("codebook", (about, { byId, plain, write, announce, place, listen, choose, press }) => {
  const models = { data: readModel(about.data), random: readModel(about.random) };
  const state = { start: "data", image: 0, h: [...models.data.outputs[0]], seed: 0, drawn: [] };
  byId("image").max = models.data.images.length - 1;
  let chart = null;
  const plane = byId("plane");
  const handle = pointHandle("codebook-point");
  const modelNow = () => models[state.start];

  function termsNow() {
    const model = modelNow();
    const x = model.images[state.image];
    const { index, square } = nearestCode(model.codes, state.h);
    const e = model.codes[index];
    const gradient = likelihoodGradient(model, x, e);
    const differences = [0, 1].map((axis) => {
      const moved = (by) => e.map((v, i) => v + (i === axis ? by : 0));
      const [up, down] = [1e-6, -1e-6].map((by) => logLikelihood(model, x, moved(by)));
      return (up - down) / 2e-6;
    });
    const residual = Math.max(...gradient.map((g, i) => Math.abs(g - differences[i])));
    const total = model.usage.reduce((a, v) => a + v, 0);
    return {
      start: state.start,
      image: state.image,
      h: [...state.h],
      index,
      square,
      code: [...e],
      reconstruction: logLikelihood(model, x, e),
      gradient,
      residual,
      perplexity: perplexityOf(model.usage),
      dead: model.usage.filter((v) => v === 0).length,
      uniform: -Math.log(model.codes.length),
      learned: model.usage.reduce((a, v, i) => a + (v / total) * model.logPrior[i], 0),
      drawn: [...state.drawn],
    };
  }

  // From the encoder's output the way that the gradient at the code points; of one length.
  function drawArrow(gradient) {
    const size = Math.hypot(...gradient);
    if (size === 0) return;
    const [x, y] = [chart.across(state.h[0]), chart.up(state.h[1])];
    const scale = [0, 1].map((i) =>
      i === 0 ? chart.across(1) - chart.across(0) : chart.up(1) - chart.up(0),
    );
    const way = gradient.map((g, i) => (g / size) * scale[i]);
    const length = Math.hypot(...way);
    const [u, v] = way.map((w) => (46 * w) / length);
    const [tipX, tipY] = [x + u, y + v];
    const wing = (turn) => {
      const angle = Math.atan2(v, u) + turn;
      return `M${tipX},${tipY}l${-11 * Math.cos(angle)},${-11 * Math.sin(angle)}`;
    };
    const d = `M${x},${y}L${tipX},${tipY}${wing(0.5)}${wing(-0.5)}`;
    chart.draw("path", { id: "codebook-arrow", class: "line divergence-curve codebook-arrow", d });
  }

  function drawStrip() {
    const model = modelNow();
    const strip = byId("strip");
    strip.replaceChildren();
    for (const index of state.drawn) {
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", plain("drawn_one", { index: index + 1 }));
      paint(
        canvas,
        model,
        model.eta(model.codes[index]).map((u) => model.total * sigmoid(u)),
      );
      strip.append(canvas);
    }
    const listed = state.drawn.map((index) => index + 1).join(", ");
    write("drawn", state.drawn.length ? plain("drawn", { listed }) : "");
  }

  function redraw() {
    const model = modelNow();
    const terms = termsNow();
    const range = rangeOf(model);
    const focused = document.activeElement === handle;
    byId("start").value = state.start;
    place("image", state.image, String(state.image + 1));
    chart = drawCodes(plane, model, range, terms.index);
    drawArrow(terms.gradient);
    plane.append(handle);
    if (focused) handle.focus({ preventScroll: true });
    const [a, b] = state.h;
    handle.setAttribute("transform", `translate(${chart.across(a)} ${chart.up(b)})`);
    handle.setAttribute("aria-label", plain("point"));
    handle.setAttribute("aria-valuenow", a.toFixed(2));
    handle.setAttribute("aria-valuetext", plain("at", { a: number(a, 2), b: number(b, 2) }));
    paint(byId("datum"), model, model.images[state.image]);
    paint(
      byId("decoded"),
      model,
      model.eta(terms.code).map((u) => model.total * sigmoid(u)),
    );
    drawUse(byId("bars"), plain, model, terms.index);
    drawStrip();
    write("value-nearest", String(terms.index + 1));
    write("value-distance", number(terms.square));
    write("value-reconstruction", number(terms.reconstruction));
    write("value-slope", `(${terms.gradient.map((g) => number(g, 3)).join(", ")})`);
    write("value-residual", exponential(terms.residual));
    const count = model.codes.length;
    write("value-perplexity", say("page.of", { some: number(terms.perplexity, 2), whole: count }));
    write("value-dead", say("page.of", { some: terms.dead, whole: count }));
    write("value-uniform", number(terms.uniform));
    write("value-learned", number(terms.learned));
    const words = { index: terms.index + 1, value: number(terms.reconstruction, 1) };
    announce(plain("said", words));
  }

  function moveTo(point) {
    const range = rangeOf(modelNow());
    state.h = point.map((v, i) => Math.min(Math.max(v, range[i][0]), range[i][1]));
    redraw();
  }

  const chartNow = () => chart;
  dragPoint({ plane, handle, chartNow, point: () => state.h, moveTo, step: 0.2 });
  choose("start", (value) => {
    state.start = value;
    state.h = [...modelNow().outputs[state.image]];
    state.drawn = [];
    redraw();
  });
  listen("image", (value) => {
    state.image = value;
    state.h = [...modelNow().outputs[value]];
    redraw();
  });
  press("draw", () => {
    state.seed += 1;
    const uniform = uniformGenerator(state.seed);
    const { logPrior } = modelNow();
    state.drawn = Array.from({ length: DRAWN }, () => drawFrom(logPrior, uniform));
    redraw();
  });
  return {
    redraw,
    tell: {
      terms: termsNow,
      decoded: (index) => Array.from(modelNow().eta(modelNow().codes[index]), sigmoid),
      nearest: (h) => nearestCode(modelNow().codes, h).index,
      cell: (index) => cellOf(modelNow().codes, index, cornersOf(rangeOf(modelNow()))),
      corners: () => cornersOf(rangeOf(modelNow())),
    },
  };
});
