// A trained decoder, moved through by hand.

const STEPS = 9;
const REGIONS = [0.5, 0.95];

// The run's document with its arrays unpacked.
function readRun(run) {
  const { images, latentDim } = run;
  const values = rowsOf(images.values, run.height * run.width);
  const codes = rowsOf(images.codes, latentDim);
  const means = rowsOf(images.means, 2);
  const covariances = rowsOf(images.covariances, 4);
  return {
    ...run,
    decode: readDecoder(run.decoder),
    cloud: rowsOf(run.codes, 2),
    items: images.rows.map((row, i) => ({
      row,
      label: images.labels ? images.labels[i] : null,
      values: values[i],
      code: codes[i],
      mean: means[i],
      covariance: covariances[i],
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
  return squareAround(ranges, 0.54);
}

function classColour(colours, label) {
  return label === null ? "var(--grey)" : colours[label % colours.length];
}

// The plane without what moves: axes, prior, codes of the test data and the classes' names.
function drawPlane(svg, run, range, colours) {
  const [first, second] = run.axes.map((axis) => `z${axis + 1}`);
  const chart = frame(svg, {
    height: squareHeight(svg),
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
    const d = path(
      points.map(([a, b]) => [chart.across(a), chart.up(b)]),
      true,
    );
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
function featureText(plain, run, { mean, parameters }, index) {
  const row = Math.floor(index / run.width) + 1;
  const column = (index % run.width) + 1;
  const { name, total } = run.decoder.likelihood;
  const parts = Object.entries(parameters).map(
    ([key, values]) => `${key} = ${number(values[index], 4)}`,
  );
  const some = number(mean[index], 4);
  const value = name === "binomial" ? say("page.of", { some, whole: total }) : some;
  return plain("feature", { row, column, value, parts: parts.join(", ") });
}

// Codes and spread of a test image in words.
function itemText(plain, run, item) {
  const [a, b, , c] = item.covariance;
  const listed = (values) => values.map((v) => number(v, 3)).join(", ");
  return plain("item", {
    row: item.row,
    label: item.label === null ? "" : plain("label", { label: item.label }),
    code: listed(item.code),
    mean: listed(item.mean),
    deviations: listed([Math.sqrt(a), Math.sqrt(c)]),
    correlation: number(b / Math.sqrt(a * c), 3),
    source: run.draws === null ? "" : plain("estimated", { draws: run.draws }),
  });
}

// What stands above and below the plane of this run.
function factsOf(plain, run) {
  const [first, second] = run.axes.map((axis) => `z${axis + 1}`);
  const facts = { name: run.name, data: run.data, likelihood: run.decoder.likelihood.name };
  const shown = { size: run.latentDim, first, second };
  const planeCaption = [
    plain("plane_codes"),
    run.labels === null ? "" : plain("plane_classes"),
    run.standardNormal ? plain("plane_rings") : "",
    plain("plane_ellipses"),
    run.draws === null ? "" : plain("plane_draws", { draws: run.draws }),
    plain("plane_steps"),
  ];
  return {
    facts: plain("facts", facts) + plain(run.latentDim > 2 ? "many" : "two", shown),
    planeCaption: planeCaption.filter(Boolean).join(language === "zh" ? "" : " "),
    scale: plain("scale", {
      low: Number(run.low.toPrecision(6)),
      high: Number(run.high.toPrecision(6)),
    }),
  };
}

// Its state: a latent vector, the chosen test image, the ends of a path.
panel("decoder", (about, { byId, plain, write, announce }) => {
  const run = readRun(about);
  const range = planeRange(run);
  const place = { z: new Array(run.latentDim).fill(0), item: null, pixel: null, ends: [] };
  let drawing = false;
  let chart = null;
  let decoded = null;

  const plane = byId("plane");
  const layers = { regions: shape("g"), path: shape("g") };
  const [first, second] = run.axes;
  const handle = pointHandle("decoder-point");

  const clamp = (axis, value) => Math.min(Math.max(value, range[axis][0]), range[axis][1]);
  const moveTo = ([a, b]) => {
    place.z[first] = clamp(0, a);
    place.z[second] = clamp(1, b);
    show();
  };

  function showPixel() {
    const marker = byId("pixel");
    marker.hidden = place.pixel === null;
    if (place.pixel === null) {
      write("value-pixel", plain("pixel_hint"));
      return;
    }
    const row = Math.floor(place.pixel / run.width);
    const column = place.pixel % run.width;
    marker.style.left = `${(100 * column) / run.width}%`;
    marker.style.top = `${(100 * row) / run.height}%`;
    marker.style.width = `${100 / run.width}%`;
    marker.style.height = `${100 / run.height}%`;
    write("value-pixel", featureText(plain, run, decoded, place.pixel));
  }

  function show() {
    decoded = run.decode(place.z);
    paint(byId("image"), run, decoded.mean);
    const [a, b] = [place.z[first], place.z[second]];
    handle.setAttribute("transform", `translate(${chart.across(a)} ${chart.up(b)})`);
    handle.setAttribute("aria-valuemin", range[0][0].toFixed(2));
    handle.setAttribute("aria-valuemax", range[0][1].toFixed(2));
    handle.setAttribute("aria-valuenow", a.toFixed(2));
    const words = `z${first + 1} = ${number(a, 2)}, z${second + 1} = ${number(b, 2)}`;
    handle.setAttribute("aria-valuetext", words);
    for (const input of all("input[data-dimension]")) {
      const value = place.z[Number(input.dataset.dimension)];
      input.value = value;
      input.setAttribute("aria-valuetext", number(value, 2));
      input.nextElementSibling.textContent = number(value, 2);
    }
    announce(words);
    showPixel();
  }

  function showPath() {
    drawPath(
      layers.path,
      chart,
      place.ends.map((z) => [z[first], z[second]]),
    );
    const strip = byId("strip");
    strip.replaceChildren();
    if (place.ends.length < 2) return;
    straightLine(place.ends[0], place.ends[1], STEPS).forEach((z, i) => {
      const canvas = document.createElement("canvas");
      const words = plain("step", { step: i, steps: STEPS - 1 });
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", words);
      paint(canvas, run, run.decode(z).mean);
      strip.append(canvas);
    });
  }

  function showPathText() {
    const whole = place.ends.length === 2 ? plain("path_drawn", { steps: STEPS }) : "";
    const next = plain(place.ends.length ? "path_end" : "path_start");
    write("path", drawing ? next : whole);
  }

  function setDrawing(on) {
    drawing = on;
    byId("draw").setAttribute("aria-pressed", String(on));
    plane.classList.toggle("drawing", on);
    showPathText();
  }

  function addEnd() {
    place.ends = [...place.ends, [...place.z]];
    setDrawing(place.ends.length < 2);
    showPath();
  }

  function imageText({ row, label }) {
    return plain("test_image", {
      row,
      label: label === null ? "" : plain("label", { label }),
    });
  }

  function showItem() {
    const { item } = place;
    write("item", item === null ? plain("item_hint") : itemText(plain, run, item));
    if (item !== null) byId("datum").setAttribute("aria-label", imageText(item));
  }

  function choose(item) {
    place.item = item;
    place.z = [...item.code];
    drawRegions(layers.regions, chart, item);
    paint(byId("datum"), run, item.values);
    byId("chosen").hidden = false;
    showItem();
    for (const button of byId("thumbnails").children) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.row) === item.row));
    }
    show();
  }

  function addThumbnails() {
    for (const item of run.items) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.row = item.row;
      button.setAttribute("aria-pressed", "false");
      const canvas = document.createElement("canvas");
      paint(canvas, run, item.values);
      button.append(canvas);
      button.addEventListener("click", () => choose(item));
      byId("thumbnails").append(button);
    }
  }

  function addSliders() {
    const [[left, right], [below, above]] = range;
    for (let dimension = 0; dimension < run.latentDim; dimension += 1) {
      const inPlane = run.axes.indexOf(dimension);
      const ends = [
        [left, right],
        [below, above],
      ][inPlane] ?? [Math.min(left, below), Math.max(right, above)];
      const row = byId("slider").content.firstElementChild.cloneNode(true);
      const [label, input, output] = row.children;
      label.textContent = `z${dimension + 1}`;
      label.htmlFor = input.id = `decoder-z-${dimension + 1}`;
      output.htmlFor = input.id;
      Object.assign(input, { min: ends[0].toFixed(2), max: ends[1].toFixed(2), step: 0.05 });
      input.dataset.dimension = dimension;
      input.addEventListener("input", () => {
        place.z[dimension] = Number(input.value);
        show();
      });
      byId(inPlane < 0 ? "other-dimensions" : "plane-dimensions").append(row);
    }
    byId("others").hidden = run.latentDim === 2;
  }

  // Everything that is said in words, in the page's language.
  function showWords() {
    const { facts, planeCaption, scale } = factsOf(plain, run);
    write("facts", facts);
    write("plane-caption", planeCaption);
    write("scale", scale);
    const names = { first: `z${first + 1}`, second: `z${second + 1}` };
    handle.setAttribute("aria-roledescription", plain("point_role"));
    handle.setAttribute("aria-label", plain("point", names));
    byId("image").setAttribute("aria-roledescription", plain("image_role"));
    Array.from(byId("thumbnails").children).forEach((button, i) => {
      button.setAttribute("aria-label", imageText(run.items[i]));
    });
    showItem();
    showPathText();
  }

  function redraw() {
    showWords();
    chart = drawPlane(plane, run, range, page.classColours);
    plane.append(layers.regions, layers.path, handle);
    drawRegions(layers.regions, chart, place.item);
    showPath();
    show();
  }

  function listen() {
    dragPoint({
      plane,
      handle,
      chartNow: () => chart,
      point: () => [place.z[first], place.z[second]],
      moveTo,
      step: 0.1,
      placed: () => {
        if (!drawing) return true;
        addEnd();
        return false;
      },
    });
    handle.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && drawing) addEnd();
    });
    byId("draw").addEventListener("click", () => {
      place.ends = [];
      setDrawing(!drawing);
      showPath();
    });
    listenToImage(byId("image"));
  }

  function listenToImage(image) {
    const select = (pixel) => {
      place.pixel = pixel;
      showPixel();
      announce(featureText(plain, run, decoded, pixel));
    };
    image.addEventListener("pointermove", (event) => {
      const box = image.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * run.width);
      const row = Math.floor(((event.clientY - box.top) / box.height) * run.height);
      const inside = column >= 0 && row >= 0 && column < run.width && row < run.height;
      if (inside) select(row * run.width + column);
    });
    image.addEventListener("focus", () => select(place.pixel ?? 0));
    image.addEventListener("keydown", (event) => {
      const moves = {
        ArrowLeft: [0, -1],
        ArrowRight: [0, 1],
        ArrowUp: [-1, 0],
        ArrowDown: [1, 0],
      };
      if (!(event.key in moves)) return;
      event.preventDefault();
      const [down, right] = moves[event.key];
      const row = Math.floor(place.pixel / run.width) + down;
      const column = (place.pixel % run.width) + right;
      if (row < 0 || column < 0 || row >= run.height || column >= run.width) return;
      select(row * run.width + column);
    });
  }

  addThumbnails();
  addSliders();
  listen();
  return {
    redraw,
    tell: {
      decode: (z) => {
        const { mean, parameters } = run.decode(z);
        const named = Object.entries(parameters).map(([key, values]) => [key, Array.from(values)]);
        return { mean: Array.from(mean), parameters: Object.fromEntries(named) };
      },
      point: () => [...place.z],
      region: (share) => ellipsePoints(place.item.mean, place.item.covariance, share),
      chosen: () => place.item && { row: place.item.row, code: [...place.item.code] },
      path: () => place.ends.map((z) => [...z]),
    },
  };
});
