// Part 3: the trained run's decoder, moved through by hand.

const STEPS = 9;
const REGIONS = [0.5, 0.95];

// The run's document with its arrays unpacked.
function readRun(run) {
  const { images, latentDim } = run;
  const size = run.height * run.width;
  const values = unpack(images.values);
  const codes = unpack(images.codes);
  const means = unpack(images.means);
  const covariances = unpack(images.covariances);
  const flat = unpack(run.codes);
  return {
    ...run,
    decode: readDecoder(run.decoder),
    cloud: Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]),
    items: images.rows.map((row, i) => ({
      row,
      label: images.labels ? images.labels[i] : null,
      values: values.subarray(i * size, (i + 1) * size),
      code: Array.from(codes.subarray(i * latentDim, (i + 1) * latentDim)),
      mean: Array.from(means.subarray(2 * i, 2 * i + 2)),
      covariance: Array.from(covariances.subarray(4 * i, 4 * i + 4)),
    })),
  };
}

// A square part of the plane that holds the codes, and the prior where it is the normal.
function planeRange(run) {
  const ranges = [0, 1].map((axis) => {
    const values = run.cloud.map((point) => point[axis]);
    if (run.standardNormal) values.push(-3, 3);
    return [Math.min(...values), Math.max(...values)];
  });
  const half = 0.54 * Math.max(...ranges.map(([low, high]) => high - low));
  return ranges.map(([low, high]) => [(low + high) / 2 - half, (low + high) / 2 + half]);
}

function paint(canvas, run, values) {
  canvas.width = run.width;
  canvas.height = run.height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(run.width, run.height);
  values.forEach((value, i) => {
    const share = Math.min(Math.max((value - run.low) / (run.high - run.low), 0), 1);
    const grey = Math.round(255 * share);
    pixels.data.set([grey, grey, grey, 255], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
}

function classColour(colours, label) {
  return label === null ? "#777777" : colours[label % colours.length];
}

// The plane without what moves: axes, prior, codes of the test data and the classes' names.
function drawPlane(svg, run, range, colours) {
  const width = Math.max(svg.parentElement.clientWidth, 200);
  const [first, second] = run.axes.map((axis) => `z${axis + 1}`);
  const chart = frame(svg, {
    height: width - MARGIN.left - MARGIN.right + MARGIN.top + MARGIN.bottom,
    x: range[0],
    y: range[1],
    xTicks: ticks(...range[0], 6),
    yTicks: ticks(...range[1], 6),
    xLabel: first,
    yLabel: second,
  });
  if (run.standardNormal) {
    for (const radius of [1, 2]) {
      const unit = chart.across(1) - chart.across(0);
      chart.draw("circle", {
        class: "prior-ring",
        cx: chart.across(0),
        cy: chart.up(0),
        r: radius * unit,
      });
    }
  }
  const groups = new Map();
  run.cloud.forEach(([a, b], i) => {
    const label = run.labels ? run.labels[i] : null;
    const fill = classColour(colours, label);
    chart.draw("circle", { class: "code", fill, cx: chart.across(a), cy: chart.up(b), r: 2.6 });
    if (label !== null) groups.set(label, [...(groups.get(label) ?? []), [a, b]]);
  });
  for (const [label, points] of groups) {
    const [a, b] = [0, 1].map((i) => points.reduce((t, p) => t + p[i], 0) / points.length);
    const at = { x: chart.across(a), y: chart.up(b) + 4.5, "text-anchor": "middle" };
    chart.draw("text", { class: "class-name", ...at }, String(label));
  }
  return chart;
}

function drawRegions(layer, chart, item) {
  layer.replaceChildren();
  if (item === null) return;
  for (const share of REGIONS) {
    const points = ellipsePoints(item.mean, item.covariance, share);
    const d = path(points.map(([a, b]) => [chart.across(a), chart.up(b)]), true);
    layer.append(shape("path", { class: "region", d }));
  }
}

function drawPath(layer, chart, ends) {
  layer.replaceChildren();
  const points = ends.map(([a, b]) => [chart.across(a), chart.up(b)]);
  if (points.length === 2) layer.append(shape("path", { class: "path", d: path(points) }));
  points.forEach(([cx, cy]) => layer.append(shape("circle", { class: "path-end", cx, cy, r: 5 })));
}

// Points on the straight line between two latent vectors, ends included.
function straightLine(start, end, count) {
  return Array.from({ length: count }, (_, i) =>
    start.map((value, d) => value + ((end[d] - value) * i) / (count - 1)),
  );
}

// What the page says of one feature: its mean and its parameters.
function featureText(run, { mean, parameters }, index) {
  const row = Math.floor(index / run.width) + 1;
  const column = (index % run.width) + 1;
  const { name, total } = run.decoder.likelihood;
  const whole = name === "binomial" ? ` of ${total}` : "";
  const parts = Object.entries(parameters).map(([key, values]) => {
    return `${key} = ${number(values[index], 4)}`;
  });
  const value = `${number(mean[index], 4)}${whole}`;
  return `row ${row}, column ${column}: mean ${value}; ${parts.join(", ")}`;
}

// Codes and spread of a test image in words.
function itemText(run, item) {
  const [a, b, , c] = item.covariance;
  const pair = (values) => values.map((v) => number(v, 3)).join(", ");
  const label = item.label === null ? "" : ` (class ${item.label})`;
  const source = run.draws === null ? "" : ` (estimated from ${run.draws} draws)`;
  return (
    `Test image ${item.row}${label}: code (${item.code.map((v) => number(v, 3)).join(", ")}). ` +
    `In this plane q(z | x) has mean (${pair(item.mean)}), standard deviations ` +
    `(${pair([Math.sqrt(a), Math.sqrt(c)])}) and correlation ` +
    `${number(b / Math.sqrt(a * c), 3)}${source}.`
  );
}
