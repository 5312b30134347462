// Noise on the code makes a disc of a point: what the discs cover, and what they cost.

// Corners of the convex hull of points in the plane, in turn (Andrew's monotone chain).
function convexHull(points) {
  const sorted = [...points].sort((p, q) => p[0] - q[0] || p[1] - q[1]);
  const turn = (o, p, q) => (p[0] - o[0]) * (q[1] - o[1]) - (p[1] - o[1]) * (q[0] - o[0]);
  const chain = (list) => {
    const kept = [];
    for (const point of list) {
      while (kept.length > 1 && turn(kept.at(-2), kept.at(-1), point) <= 0) kept.pop();
      kept.push(point);
    }
    return kept.slice(0, -1);
  };
  return [...chain(sorted), ...chain(sorted.reverse())];
}

// Share of the hull's area within `width` of a code, counted on a grid.
function coveredShare(codes, width, grid) {
  const hull = convexHull(codes);
  const [low, high] = [Math.min, Math.max].map((end) =>
    [0, 1].map((axis) => end(...codes.map((code) => code[axis]))),
  );
  const at = (axis, i) => low[axis] + ((i + 0.5) / grid) * (high[axis] - low[axis]);
  let inside = 0;
  let near = 0;
  for (let i = 0; i < grid; i += 1) {
    for (let j = 0; j < grid; j += 1) {
      const [x, y] = [at(0, i), at(1, j)];
      const within = hull.every(([a, b], k) => {
        const [c, d] = hull[(k + 1) % hull.length];
        return (c - a) * (y - b) - (d - b) * (x - a) >= 0;
      });
      if (!within) continue;
      inside += 1;
      if (codes.some(([a, b]) => (a - x) ** 2 + (b - y) ** 2 <= width * width)) near += 1;
    }
  }
  return near / inside;
}

// The codes as discs of the noise's width, on a square part of the plane.
function drawDiscs(svg, plain, { codes, width, share }, labels) {
  const ranges = [0, 1].map((axis) => {
    const values = codes.map((code) => code[axis]);
    return [Math.min(...values) - width, Math.max(...values) + width];
  });
  const [x, y] = squareAround(ranges, 0.53);
  const chart = frame(svg, {
    height: squareHeight(svg),
    x,
    y,
    xTicks: ticks(...x, 5),
    yTicks: ticks(...y, 5),
    xLabel: "z1",
    yLabel: "z2",
  });
  const radius = chart.across(width) - chart.across(0);
  if (width > 0) {
    codes.forEach(([a, b], i) => {
      const place = { cx: chart.across(a), cy: chart.up(b) };
      chart.draw("circle", { class: `disc phase-${labels[i]}`, r: radius, ...place });
    });
  }
  codes.forEach(([a, b], i) => {
    const at = [chart.across(a), chart.up(b)];
    const name = `code phase-${labels[i]}`;
    // Each phase has a shape of its own beside its colour.
    const shapes = [
      () => chart.draw("circle", { class: name, cx: at[0], cy: at[1], r: 2.4 }),
      () =>
        chart.draw("rect", {
          class: name,
          x: at[0] - 2.3,
          y: at[1] - 2.3,
          width: 4.6,
          height: 4.6,
        }),
      () =>
        chart.draw("path", {
          class: name,
          d: path(
            [
              [at[0], at[1] - 3.2],
              [at[0] + 3, at[1] + 2.4],
              [at[0] - 3, at[1] + 2.4],
            ],
            true,
          ),
        }),
    ];
    shapes[labels[i]]();
  });
  const said = { width: number(width, 1), share: number(100 * share, 1) };
  svg.setAttribute("aria-label", plain("plane_said", said));
}

function drawCosts(svg, plain, models, chosen) {
  const top = Math.max(...models.map((m) => Math.max(m.halfway.mean, m.reconstruction.mean)));
  const chart = frame(svg, {
    height: 320,
    x: [-0.25, models.length - 0.75],
    y: [0, Math.ceil(top * 50) / 50],
    xTicks: models.map(({ width }, at) => ({ at, text: number(width, 1) })),
    xLabel: plain("width"),
    yLabel: plain("difference"),
  });
  for (const [key, name] of [
    ["halfway", "vae"],
    ["reconstruction", "autoencoder"],
  ]) {
    const points = models.map((model, i) => [chart.across(i), chart.up(model[key].mean)]);
    chart.draw("path", { class: `line moon-${name}`, d: path(points) });
    models.forEach((model, i) => {
      const { mean, error } = model[key];
      const [low, high] = [mean - 2 * error, mean + 2 * error].map(chart.up);
      const x = chart.across(i);
      chart.draw("line", { class: `line error moon-${name}`, x1: x, x2: x, y1: low, y2: high });
    });
    const [cx, cy] = points[chosen];
    chart.draw("circle", { class: "point-dot", cx, cy, r: 6 });
  }
  const listed = (key) => models.map((model) => number(model[key].mean, 3)).join(", ");
  svg.setAttribute(
    "aria-label",
    plain("costs_said", {
      widths: models.map(({ width }) => number(width, 1)).join(", "),
      halfway: listed("halfway"),
      reconstruction: listed("reconstruction"),
    }),
  );
}

panel("noise", (about, { byId, plain, write, announce, place, listen }) => {
  const models = about.models.map((model) => {
    const codes = rowsOf(model.codes, 2);
    return { ...model, codes, share: coveredShare(codes, model.width, about.grid) };
  });
  let chosen = 0;

  const numbers = () => {
    const { width, share, covered, halfway, reconstruction } = models[chosen];
    return { width, share, residual: share - covered, halfway, reconstruction };
  };

  function redraw() {
    const told = numbers();
    const words = number(told.width, 1);
    place("width", chosen, words);
    drawDiscs(byId("plane"), plain, models[chosen], about.labels);
    drawCosts(byId("costs"), plain, models, chosen);
    const share = number(100 * told.share, 1);
    write("value-covered", `${share} %`);
    for (const key of ["halfway", "reconstruction"]) {
      write(`value-${key}`, withError(told[key]));
    }
    write("value-residual", exponential(told.residual));
    const [halfway, reconstruction] = [told.halfway, told.reconstruction].map((v) =>
      number(v.mean, 3),
    );
    announce(plain("said", { width: words, share, halfway, reconstruction }));
  }

  listen("width", (at) => {
    chosen = at;
    redraw();
  });
  return { redraw, tell: { numbers, codes: () => models[chosen].codes } };
});
