// From a mixture to a continuum: p(x) = sum of pi_m Normal(x; mu_m, s), and its limit
// p(x) = integral of p(z) Normal(x; mu(z), s) dz, one component for every z.

const X_RANGE = [-2.4, 2.4];
const Y_RANGE = [-1.8, 1.8];
const COLUMNS = 80;
const ROWS = 60;
// Quadrature over z by the trapezoid rule, whose error falls faster than any power of its step.
const Z_END = 6;
const Z_STEP = 0.015;

// Components as a list: logarithm of the weight, and the mean.
function mixtureOf({ weights, means, scale }) {
  const centres = rowsOf(means, 2);
  const parts = Array.from(unpack(weights), (share, m) => ({
    log: Math.log(share),
    mean: centres[m],
  }));
  return { parts, scale };
}

function continuumOf({ layers, scale }) {
  const network = readLayers(layers);
  const count = Math.round((2 * Z_END) / Z_STEP);
  const parts = Array.from({ length: count + 1 }, (_, i) => {
    const z = -Z_END + i * Z_STEP;
    return {
      z,
      log: normalLogDensity(z, 0, 1) + Math.log(Z_STEP),
      mean: Array.from(network([z])),
    };
  });
  return { parts, scale };
}

function logDensity({ parts, scale }, a, b) {
  const constant = -LOG_TWO_PI - 2 * Math.log(scale);
  let top = -Infinity;
  const terms = parts.map(({ log, mean }) => {
    const squares = ((a - mean[0]) ** 2 + (b - mean[1]) ** 2) / (scale * scale);
    const term = log + constant - 0.5 * squares;
    top = Math.max(top, term);
    return term;
  });
  return top + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - top), 0));
}

// Density at the middle of each cell of a grid, and the mass of the plane by them.
function gridOf(model) {
  const width = (X_RANGE[1] - X_RANGE[0]) / COLUMNS;
  const height = (Y_RANGE[1] - Y_RANGE[0]) / ROWS;
  const cells = [];
  for (let row = 0; row < ROWS; row += 1) {
    for (let column = 0; column < COLUMNS; column += 1) {
      const a = X_RANGE[0] + (column + 0.5) * width;
      const b = Y_RANGE[0] + (row + 0.5) * height;
      cells.push({ a, b, density: Math.exp(logDensity(model, a, b)) });
    }
  }
  return { cells, width, height };
}

// Mass of p(x) by sums over a plane that holds all of it, in steps below its scale.
function massOf(model) {
  const means = model.parts.map(({ mean }) => mean);
  const step = 0.5 * model.scale;
  const ends = [0, 1].map((axis) => {
    const values = means.map((mean) => mean[axis]);
    return [Math.min(...values) - 7 * model.scale, Math.max(...values) + 7 * model.scale];
  });
  let mass = 0;
  const [sumsA, sumsB] = ends.map(([low, high], axis) =>
    means.map((mean) => {
      let sum = 0;
      for (let at = low; at <= high; at += step) {
        sum += step * Math.exp(normalLogDensity(at, mean[axis], model.scale));
      }
      return sum;
    }),
  );
  // A component's density is a product over the axes, so its sum over the plane is, too.
  model.parts.forEach(({ log }, m) => {
    mass += Math.exp(log) * sumsA[m] * sumsB[m];
  });
  return mass;
}

function meanLogDensity(model, points) {
  return momentsOf(points.map(([a, b]) => logDensity(model, a, b)));
}

panel("continuum", (about, { byId, plain, write, announce, place, listen }) => {
  const train = rowsOf(about.train, 2);
  const test = rowsOf(about.test, 2);
  const models = [...about.mixtures.map(mixtureOf), continuumOf(about.vae)].map((model, i) => {
    const count = i < about.mixtures.length ? model.parts.length : null;
    const { parameters } = i < about.mixtures.length ? about.mixtures[i] : about.vae;
    return { ...model, count, parameters, grid: null, held: meanLogDensity(model, test) };
  });
  let chosen = 0;

  const nameOf = ({ count }) => (count === null ? plain("continuous") : String(count));

  function drawPlane(svg, model) {
    model.grid ??= gridOf(model);
    const { cells, width, height } = model.grid;
    const chart = frame(svg, { height: 300, x: X_RANGE, y: Y_RANGE, xLabel: "x₁", yLabel: "x₂" });
    const top = Math.max(...cells.map(({ density }) => density));
    const layer = chart.draw("g", { class: "shade" });
    for (const { a, b, density } of cells) {
      const opacity = 0.9 * Math.sqrt(density / top);
      if (opacity < 0.02) continue;
      const left = chart.across(a - width / 2);
      const right = chart.across(a + width / 2);
      const [low, high] = [chart.up(b - height / 2), chart.up(b + height / 2)];
      const size = { x: left, y: high, width: right - left, height: low - high };
      layer.append(shape("rect", { ...size, "fill-opacity": opacity.toFixed(3) }));
    }
    for (const [a, b] of train) {
      chart.draw("circle", { class: "datum", cx: chart.across(a), cy: chart.up(b), r: 1.6 });
    }
    const at = ([a, b]) => [chart.across(a), chart.up(b)];
    const inside = ({ z }) => z === undefined || Math.abs(z) <= 3;
    const means = model.parts.filter(inside).map(({ mean }) => at(mean));
    if (model.count === null) {
      chart.draw("path", { class: "line mean-curve", d: path(means) });
    } else {
      const unit = chart.across(model.scale) - chart.across(0);
      const tall = chart.up(0) - chart.up(model.scale);
      for (const [cx, cy] of means) {
        chart.draw("ellipse", { class: "line mean-curve", cx, cy, rx: unit, ry: tall });
      }
    }
    svg.setAttribute("aria-label", plain("plane_said", { name: nameOf(model) }));
  }

  function drawLevels(svg) {
    const ends = models.map(({ held }) => [
      held.mean - 2 * held.error,
      held.mean + 2 * held.error,
    ]);
    const low = Math.min(...ends.flat());
    const high = Math.max(...ends.flat());
    const pad = 0.08 * (high - low);
    const chart = frame(svg, {
      height: 300,
      x: [-0.5, models.length - 0.5],
      y: [low - pad, high + pad],
      xTicks: models.map((model, i) => ({ at: i, text: nameOf(model) })),
      xLabel: plain("components"),
      yLabel: say("page.nats"),
    });
    models.forEach(({ held }, i) => {
      const x = chart.across(i);
      const [y1, y2] = ends[i].map(chart.up);
      chart.draw("line", { class: "stick", x1: x, x2: x, y1, y2 });
      const name = i === chosen ? "iwae-now" : "iwae-dot";
      chart.draw("circle", {
        class: name,
        cx: x,
        cy: chart.up(held.mean),
        r: i === chosen ? 7 : 4,
      });
    });
    const { held } = models[chosen];
    const said = { name: nameOf(models[chosen]), mean: number(held.mean, 2) };
    svg.setAttribute("aria-label", plain("levels_said", said));
  }

  function redraw() {
    const model = models[chosen];
    const name = nameOf(model);
    place("components", chosen, name);
    drawPlane(byId("plane"), model);
    drawLevels(byId("levels"));
    write("value-evidence", withError(model.held));
    write("value-parameters", String(model.parameters));
    write("value-scale", number(model.scale));
    write("value-residual", exponential(massOf(model) - 1));
    announce(plain("said", { name, mean: number(model.held.mean, 2) }));
  }

  listen("components", (value) => {
    chosen = value;
    redraw();
  });
  return {
    redraw,
    tell: {
      held: () => models.map(({ held, count }) => ({ count, ...held })),
      logDensity: (points) => points.map(([a, b]) => logDensity(models[chosen], a, b)),
      mass: () => massOf(models[chosen]),
    },
  };
});
