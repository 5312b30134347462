// A digit through a code of few numbers: PCA's reconstructions by its directions, those of the
// autoencoders as they were when this page was made.

const DEPTHS = ["linear", "one", "two"];

// Mean plus the projections on the first `width` directions, which are orthonormal.
function project(mean, directions, width, x) {
  const size = mean.length;
  const out = Float64Array.from(mean);
  for (let k = 0; k < width; k += 1) {
    const direction = directions.subarray(k * size, (k + 1) * size);
    const length = direction.reduce((a, d, i) => a + d * (x[i] - mean[i]), 0);
    direction.forEach((d, i) => {
      out[i] += length * d;
    });
  }
  return out;
}

function squaredError(x, y) {
  return x.reduce((a, value, i) => a + (value - y[i]) ** 2, 0) / x.length;
}

// What PCA misses of the training digits per pixel: the eigenvalues that it leaves out.
function leftOut(eigenvalues, width) {
  return eigenvalues.slice(width).reduce((a, v) => a + v, 0) / eigenvalues.length;
}

function drawCurve(svg, plain, about, state) {
  const { widths, errors } = about;
  const top = Math.max(...DEPTHS.flatMap((depth) => errors[depth].map((e) => e.mean)));
  const chart = frame(svg, {
    height: 300,
    x: [-0.25, widths.length - 0.75],
    y: [0, Math.ceil(top * 100) / 100],
    xTicks: widths.map((width, at) => ({ at, text: String(width) })),
    xLabel: plain("width"),
    yLabel: plain("squares"),
  });
  for (const depth of DEPTHS) {
    const points = errors[depth].map((e, i) => [chart.across(i), chart.up(e.mean)]);
    chart.draw("path", { class: `line depth-${depth}`, d: path(points) });
  }
  const [cx, cy] = [chart.across(state.at), chart.up(errors[state.depth][state.at].mean)];
  chart.draw("circle", { class: "point-dot", cx, cy, r: 7 });
  const listed = (depth) => errors[depth].map((e) => number(e.mean, 4)).join(", ");
  svg.setAttribute(
    "aria-label",
    plain("curve_said", {
      widths: widths.join(", "),
      linear: listed("linear"),
      one: listed("one"),
      two: listed("two"),
    }),
  );
}

panel("codes", (about, { byId, plain, write, announce, place, listen, choose }) => {
  const { height, width, widths, errors, linear } = about;
  const size = height * width;
  const digits = rowsOf(about.shown, size);
  const decoded = Object.fromEntries(
    Object.entries(about.images).map(([depth, texts]) => [
      depth,
      texts.map((text) => rowsOf(text, size)),
    ]),
  );
  const mean = unpack(linear.mean);
  const directions = unpack(linear.directions);
  const state = { at: 1, depth: "linear" };

  function reconstruction(row) {
    const { at, depth } = state;
    if (depth === "linear") return project(mean, directions, widths[at], digits[row]);
    return decoded[depth][at][row];
  }

  // Digits 0-4 above what is made of them, then 5-9.
  function drawDigits() {
    const canvas = (values, words) => {
      const element = document.createElement("canvas");
      element.setAttribute("role", "img");
      element.setAttribute("aria-label", words);
      paint(element, { height, width, low: 0, high: 1 }, values);
      return element;
    };
    const rows = [0, 5].map((first) => Array.from({ length: 5 }, (_, i) => first + i));
    const shown = rows.flatMap((row) => [
      ...row.map((label) => canvas(digits[label], plain("digit", { label }))),
      ...row.map((label) => {
        const values = reconstruction(label);
        const error = number(squaredError(digits[label], values), 4);
        return canvas(values, plain("back", { label, error }));
      }),
    ]);
    byId("digits").replaceChildren(...shown);
  }

  function numbers() {
    const { at, depth } = state;
    const omitted = leftOut(linear.eigenvalues, widths[at]);
    const direct = linear.direct[at];
    const { mean: missed, error } = errors[depth][at];
    const kept = 1 - missed / about.variance;
    return { missed, error, kept, direct, omitted, residual: direct - omitted };
  }

  function redraw() {
    const told = numbers();
    const words = plain("numbers_of", { count: widths[state.at], size });
    place("width", state.at, words);
    byId("depth").value = state.depth;
    drawCurve(byId("curve"), plain, about, state);
    drawDigits();
    write("value-error", withError({ mean: told.missed, error: told.error }, 5));
    write("value-kept", `${number(100 * told.kept, 1)} %`);
    write("value-direct", number(told.direct, 6));
    write("value-omitted", number(told.omitted, 6));
    write("value-residual", exponential(told.residual));
    const said = { words, depth: plain(`depth_${state.depth}`), error: number(told.missed, 4) };
    announce(plain("said", said));
  }

  listen("width", (at) => {
    state.at = at;
    redraw();
  });
  choose("depth", (value) => {
    state.depth = value;
    redraw();
  });
  return {
    redraw,
    tell: {
      numbers: () => ({ width: widths[state.at], depth: state.depth, ...numbers() }),
      reconstructions: () => Array.from({ length: 10 }, (_, row) => [...reconstruction(row)]),
      errors: () =>
        Array.from({ length: 10 }, (_, row) => squaredError(digits[row], reconstruction(row))),
    },
  };
});
