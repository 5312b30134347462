// Drawing in SVG. A chart is drawn anew at the width of its place, so that its text keeps its
// size on a phone.

const SVG = "http://www.w3.org/2000/svg";
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
  const width = Math.max(svg.parentElement.clientWidth, 200);
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
