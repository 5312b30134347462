// Drawing in SVG. A chart is drawn anew at the width of its place, so that its text keeps its
// size on a phone.

const SVG = "http://www.w3.org/2000/svg";
// The latent axis of the panels with one z.
const Z_RANGE = [-4.5, 4.5];
const LEAST_WIDTH = 200;
const MARGIN = { top: 24, right: 14, bottom: 42, left: 50 };

function shape(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function number(value, digits = 4) {
  const text = value.toFixed(digits);
  // A zero has no sign.
  return /^-0\.?0*$/.test(text) ? text.slice(1) : text.replace("-", "−");
}

function withError({ mean, error }, digits) {
  return `${number(mean, digits)} ± ${number(error, digits)}`;
}

function exponential(value) {
  return value === 0 ? "0" : value.toExponential(1).replaceAll("-", "−");
}

function linearScale([low, high], [start, end]) {
  const scale = (value) => start + ((value - low) / (high - low)) * (end - start);
  scale.invert = (at) => low + ((at - start) / (end - start)) * (high - low);
  return scale;
}

// Round numbers between two ends, about `wanted` of them.
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) {
    found.push({ at: i * step, text: number(i * step, digits) });
  }
  return found;
}

function path(points, close = false) {
  const at = points.map(([a, b]) => `${a.toFixed(2)},${b.toFixed(2)}`);
  return `M${at.join("L")}${close ? "Z" : ""}`;
}

// An empty chart: size, scales and axes. `frame.draw` adds what is inside.
function frame(svg, { height, x, y, xTicks, yTicks, xLabel, yLabel }) {
  const width = Math.max(svg.parentElement.clientWidth, LEAST_WIDTH);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const left = MARGIN.left;
  const right = width - MARGIN.right;
  const top = MARGIN.top;
  const bottom = height - MARGIN.bottom;
  const across = linearScale(x, [left, right]);
  const up = linearScale(y, [bottom, top]);
  const axes = shape("g", { class: "axes" });
  for (const { at, text } of yTicks ?? ticks(...y, 6)) {
    axes.append(
      shape("line", { class: "grid", x1: left, x2: right, y1: up(at), y2: up(at) }),
      shape("text", { x: left - 6, y: up(at) + 4, "text-anchor": "end" }, text),
    );
  }
  for (const { at, text } of xTicks ?? ticks(...x, width < 420 ? 5 : 9)) {
    axes.append(
      shape("line", { class: "tick", x1: across(at), x2: across(at), y1: bottom, y2: bottom + 4 }),
      shape("text", { x: across(at), y: bottom + 18, "text-anchor": "middle" }, text),
    );
  }
  const middle = (left + right) / 2;
  axes.append(
    shape("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
    shape("text", { class: "label", x: middle, y: height - 4, "text-anchor": "middle" }, xLabel),
    shape("text", { class: "label", x: 4, y: 13 }, yLabel),
  );
  svg.replaceChildren(axes);
  const draw = (name, attributes, ...children) => {
    const element = shape(name, attributes, ...children);
    svg.append(element);
    return element;
  };
  return { width, left, right, top, bottom, across, up, draw };
}

// A curve of a function over the chart's width.
function curve(chart, [low, high], height, attributes) {
  const count = 240;
  const points = Array.from({ length: count + 1 }, (_, i) => {
    const at = low + ((high - low) * i) / count;
    return [chart.across(at), chart.up(height(at))];
  });
  return chart.draw("path", { d: path(points), fill: "none", ...attributes });
}

// A level over the chart's width, or over a part of it.
function level(chart, value, name, [from, to] = []) {
  const x1 = from === undefined ? chart.left : chart.across(from);
  const x2 = to === undefined ? chart.right : chart.across(to);
  const y = chart.up(value);
  return chart.draw("line", { class: name, x1, x2, y1: y, y2: y });
}

// Slanted lines over a bar, so that colour alone does not tell it from its neighbour.
function hatch(chart, { left, base, width, height }) {
  for (let at = 5; at < height + width; at += 6) {
    const [from, to] = [Math.max(0, at - height), Math.min(width, at)];
    if (to <= from) continue;
    chart.draw("line", {
      class: "hatch",
      x1: left + from,
      x2: left + to,
      y1: base - (at - from),
      y2: base - (at - to),
    });
  }
}

// The part of the plane, as wide as high, that holds both ranges; `share` of the longer one lies
// on either side of the middle.
function squareAround(ranges, share) {
  const half = share * Math.max(...ranges.map(([low, high]) => high - low));
  return ranges.map(([low, high]) => [(low + high) / 2 - half, (low + high) / 2 + half]);
}

// Height at which one unit is as long upwards as across.
function squareHeight(svg) {
  const width = Math.max(svg.parentElement.clientWidth, LEAST_WIDTH);
  return width - MARGIN.left - MARGIN.right + MARGIN.top + MARGIN.bottom;
}

// A cross in the place of what is out of use.
function cross(chart, x, y) {
  return chart.draw("path", { class: "collapse-out", d: `M${x - 4},${y - 4}l8,8m0,-8l-8,8` });
}

// Greys of an image of `height` rows, from `low` (black) to `high` (white).
function paint(canvas, { height, width, low, high }, values) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  values.forEach((value, i) => {
    const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
    const grey = Math.round(255 * share);
    pixels.data.set([grey, grey, grey, 255], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
}
