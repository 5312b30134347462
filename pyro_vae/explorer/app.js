// The page's state, and the wiring between its controls and its pictures.

const START = { x: 2, mean: -1, sd: 1.2, k: 8, seed: 1 };
const HISTORY = 200;

const page = JSON.parse(document.getElementById("page-data").textContent);
const byId = (id) => document.getElementById(id);
const all = (selector) => Array.from(document.querySelectorAll(selector));
const stillness = window.matchMedia("(prefers-reduced-motion: reduce)");

const state = { ...START };
let noise = standardNormals(state.seed, POOL);
let history = [];
let weighed = null;
let timer = null;

function write(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

// Live regions speak once a movement has come to rest, not at every pixel of it.
const pending = new Map();
function announce(id, text) {
  clearTimeout(pending.get(id));
  pending.set(id, setTimeout(() => write(id, text), 400));
}

function termsNow() {
  return identityTerms(page.toy, state.x, state.mean, state.sd);
}

function showSliders() {
  for (const input of all("input[data-key]")) {
    const value = state[input.dataset.key];
    input.value = value;
    const text = number(value, 2);
    input.setAttribute("aria-valuetext", text);
    input.nextElementSibling.textContent = text;
  }
  const slider = byId("k");
  slider.value = COUNTS.indexOf(state.k);
  slider.setAttribute("aria-valuetext", `K = ${state.k}`);
  slider.nextElementSibling.textContent = state.k;
}

function showIdentity() {
  const terms = history[history.length - 1];
  drawCurves(byId("curves"), page.toy, state);
  drawBars(byId("bars"), history);
  write("value-evidence", number(terms.evidence));
  write("value-bound", number(terms.bound));
  write("value-divergence", number(terms.divergence));
  write("value-residual", exponential(terms.residual));
  write("value-reconstruction", number(terms.reconstruction));
  write("value-prior", number(terms.toPrior));
  announce(
    "said-identity",
    `L_b is ${number(terms.bound, 2)} nats, KL ${number(terms.divergence, 2)} nats, ` +
      `log p(x) ${number(terms.evidence, 2)} nats.`,
  );
}

function showSampling() {
  const terms = termsNow();
  const particles = particlesOf(state, noise, weighed.pool);
  const bound = weighed.bounds.find((b) => b.count === state.k);
  drawParticles(byId("particles"), page.toy, state, particles);
  drawBounds(byId("bounds"), state, weighed.bounds, terms);
  write("value-k", String(state.k));
  write("value-sets", String(bound.sets));
  write("value-estimate", number(particles.estimate));
  write("value-iwae", `${number(bound.mean)} ± ${number(bound.error)}`);
  write("value-elbo", number(terms.bound));
  write("value-exact", number(terms.evidence));
  write("value-ess", `${number(particles.ess, 2)} of ${state.k}`);
  write("value-largest", number(particles.largest, 3));
  write("value-seed", String(state.seed));
  announce(
    "said-sampling",
    `K is ${state.k}: the bound is ${number(bound.mean, 2)} nats, log p(x) ` +
      `${number(terms.evidence, 2)} nats, effective sample size ${number(particles.ess, 1)}.`,
  );
}

function showToy() {
  weighed = weighAll(page.toy, state, noise);
  showSliders();
  showIdentity();
  showSampling();
}

function sliderMoved() {
  clearInterval(timer);
  history = [termsNow()];
  showToy();
}

function takeStep() {
  Object.assign(state, gradientStep(page.toy, state.x, { mean: state.mean, sd: state.sd }));
  history = [...history, termsNow()].slice(-HISTORY);
}

function takeSteps(count) {
  clearInterval(timer);
  if (stillness.matches || count === 1) {
    for (let i = 0; i < count; i += 1) takeStep();
    showToy();
    return;
  }
  let left = count;
  timer = setInterval(() => {
    takeStep();
    showToy();
    left -= 1;
    if (left === 0) clearInterval(timer);
  }, 120);
}

function startToy() {
  for (const input of all("input[data-key]")) {
    input.addEventListener("input", () => {
      state[input.dataset.key] = Number(input.value);
      sliderMoved();
    });
  }
  byId("k").addEventListener("input", (event) => {
    state.k = COUNTS[Number(event.target.value)];
    showSliders();
    showSampling();
  });
  byId("step").addEventListener("click", () => takeSteps(1));
  byId("steps").addEventListener("click", () => takeSteps(10));
  byId("reset").addEventListener("click", () => {
    Object.assign(state, { x: START.x, mean: START.mean, sd: START.sd });
    sliderMoved();
  });
  byId("again").addEventListener("click", () => {
    state.seed += 1;
    noise = standardNormals(state.seed, POOL);
    weighed = weighAll(page.toy, state, noise);
    showSampling();
  });
  sliderMoved();
}

// Part 3. Its state is apart: a latent vector, the chosen test image, the ends of a path.
function startDecoder(about) {
  const run = readRun(about);
  const range = planeRange(run);
  const place = { z: new Array(run.latentDim).fill(0), item: null, pixel: null, ends: [] };
  let drawing = false;
  let chart = null;
  let decoded = null;

  const plane = byId("plane");
  const layers = { regions: shape("g"), path: shape("g") };
  const [first, second] = run.axes;
  const handle = shape(
    "g",
    {
      id: "point",
      class: "point",
      tabindex: 0,
      role: "slider",
      "aria-roledescription": "point in a plane",
      "aria-label": `latent point, z${first + 1} and z${second + 1}: move with the arrow keys`,
    },
    shape("circle", { class: "point-area", r: 22 }),
    shape("circle", { class: "point-focus", r: 14 }),
    shape("circle", { class: "point-halo", r: 9 }),
    shape("circle", { class: "point-dot", r: 9 }),
    shape("circle", { class: "point-centre", r: 1.8 }),
  );

  const clamp = (axis, value) => Math.min(Math.max(value, range[axis][0]), range[axis][1]);
  const moveTo = (a, b) => {
    place.z[first] = clamp(0, a);
    place.z[second] = clamp(1, b);
    show();
  };
  // Corners of the plane's drawing in its own units, whatever size it is shown at.
  const located = (event) => {
    const box = plane.getBoundingClientRect();
    const ratio = chart.width / box.width;
    const a = chart.across.invert((event.clientX - box.left) * ratio);
    const b = chart.up.invert((event.clientY - box.top) * ratio);
    return [clamp(0, a), clamp(1, b)];
  };

  function showPixel() {
    const marker = byId("pixel");
    marker.hidden = place.pixel === null;
    if (place.pixel === null) return;
    const row = Math.floor(place.pixel / run.width);
    const column = place.pixel % run.width;
    marker.style.left = `${(100 * column) / run.width}%`;
    marker.style.top = `${(100 * row) / run.height}%`;
    marker.style.width = `${100 / run.width}%`;
    marker.style.height = `${100 / run.height}%`;
    write("value-pixel", featureText(run, decoded, place.pixel));
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
    announce("said-point", words);
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
      const words = `${i} of ${STEPS - 1} steps along the path`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", words);
      paint(canvas, run, run.decode(z).mean);
      strip.append(canvas);
    });
  }

  function setDrawing(on) {
    drawing = on;
    byId("draw-path").setAttribute("aria-pressed", String(on));
    plane.classList.toggle("drawing", on);
    const words = ["Now click where the path begins.", "Now click where it ends."];
    write("said-path", on ? words[place.ends.length] : "");
  }

  function addEnd() {
    place.ends = [...place.ends, [...place.z]];
    setDrawing(place.ends.length < 2);
    showPath();
    if (drawing) return;
    const steps = `${STEPS} images in equal steps`;
    write("said-path", `Below: ${steps} from the first point (left) to the second.`);
  }

  function choose(item) {
    place.item = item;
    place.z = [...item.code];
    drawRegions(layers.regions, chart, item);
    paint(byId("datum"), run, item.values);
    byId("datum").setAttribute("aria-label", `test image ${item.row}`);
    byId("chosen").hidden = false;
    write("said-item", itemText(run, item));
    for (const button of all("#thumbnails button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.row) === item.row));
    }
    show();
  }

  function addThumbnails() {
    for (const item of run.items) {
      const button = document.createElement("button");
      const label = item.label === null ? "" : `, class ${item.label}`;
      button.type = "button";
      button.dataset.row = item.row;
      button.setAttribute("aria-label", `test image ${item.row}${label}`);
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
      const ends = [[left, right], [below, above]][inPlane] ?? [
        Math.min(left, below),
        Math.max(right, above),
      ];
      const row = byId("slider-row").content.firstElementChild.cloneNode(true);
      const [label, input, output] = row.children;
      label.textContent = `z${dimension + 1}`;
      label.htmlFor = input.id = `z-${dimension + 1}`;
      output.htmlFor = input.id;
      Object.assign(input, { min: ends[0].toFixed(2), max: ends[1].toFixed(2), step: 0.05 });
      input.dataset.dimension = dimension;
      input.addEventListener("input", () => {
        place.z[dimension] = Number(input.value);
        show();
      });
      byId(inPlane < 0 ? "other-dimensions" : "plane-dimensions").append(row);
    }
  }

  function redraw() {
    chart = drawPlane(plane, run, range, page.classColours);
    plane.append(layers.regions, layers.path, handle);
    drawRegions(layers.regions, chart, place.item);
    showPath();
    show();
  }

  function listen() {
    let dragged = false;
    // A finger on the plane may be about to scroll: it drags by the point, and else only taps.
    const scrolls = (event) => event.pointerType === "touch" && !handle.contains(event.target);
    plane.addEventListener("click", (event) => {
      if (!scrolls(event)) return;
      moveTo(...located(event));
      if (drawing) addEnd();
    });
    plane.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || scrolls(event)) return;
      event.preventDefault();
      moveTo(...located(event));
      if (drawing) {
        addEnd();
        return;
      }
      dragged = true;
      handle.focus({ preventScroll: true });
      plane.setPointerCapture(event.pointerId);
    });
    plane.addEventListener("pointermove", (event) => {
      if (dragged) moveTo(...located(event));
    });
    for (const end of ["pointerup", "pointercancel"]) {
      plane.addEventListener(end, () => {
        dragged = false;
      });
    }
    // Neither `touch-action` nor a listener of its own keeps a part of an SVG from scrolling.
    const hold = (event) => handle.contains(event.target) && event.preventDefault();
    plane.addEventListener("touchstart", hold, { passive: false });
    handle.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.01 : 0.1;
      const moves = {
        ArrowLeft: [-step, 0],
        ArrowRight: [step, 0],
        ArrowUp: [0, step],
        ArrowDown: [0, -step],
      };
      if (event.key === "Enter" && drawing) addEnd();
      if (!(event.key in moves)) return;
      event.preventDefault();
      const [a, b] = moves[event.key];
      moveTo(place.z[first] + a, place.z[second] + b);
    });
    byId("draw-path").addEventListener("click", () => {
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
      announce("said-pixel", featureText(run, decoded, pixel));
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
  redraw();
  listen();
  return {
    redraw,
    decode: (z) => {
      const { mean, parameters } = run.decode(z);
      const named = Object.entries(parameters).map(([key, values]) => [key, Array.from(values)]);
      return { mean: Array.from(mean), parameters: Object.fromEntries(named) };
    },
    point: () => [...place.z],
    region: (share) => ellipsePoints(place.item.mean, place.item.covariance, share),
    chosen: () => place.item && { row: place.item.row, code: [...place.item.code] },
    path: () => place.ends.map((z) => [...z]),
  };
}

startToy();
const trained = page.run === null ? null : startDecoder(page.run);

let drawnAt = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === drawnAt) return;
  drawnAt = window.innerWidth;
  showIdentity();
  showSampling();
  trained?.redraw();
});

// What the page knows, for the tests and for the curious at the console.
window.pyroVae = Object.freeze({
  toy: page.toy,
  identity: () => ({ x: state.x, mean: state.mean, sd: state.sd, ...termsNow() }),
  history: () => history.map((terms) => ({ ...terms })),
  sampling: () => ({
    k: state.k,
    seed: state.seed,
    ...particlesOf(state, noise, weighed.pool),
    bounds: weighed.bounds.map((b) => ({ ...b })),
  }),
  logWeights: () => Array.from(weighed.pool),
  decode: trained && trained.decode,
  point: trained && trained.point,
  chosen: trained && trained.chosen,
  region: trained && trained.region,
  path: trained && trained.path,
});
