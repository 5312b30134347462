// Importance sampling with K draws from the guide, the bound L_K, and k-hat where the guide
// misses one of two modes.

const START = { mean: -1, sd: 1.2, k: 8, seed: 1, posterior: "one" };
// What is seen under either model: with two modes they lie well apart.
const DATUM = { one: 2, two: 5 };

const COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const MOST = COUNTS[COUNTS.length - 1];
const POOL = 128 * MOST;

// The first K draws of the pool, drawn as sticks, and what they estimate.
function particlesOf(state, noise, pool) {
  const values = Array.from(pool.subarray(0, state.k));
  const z = Array.from(noise.subarray(0, state.k), (e) => state.mean + state.sd * e);
  return {
    z,
    logWeights: values,
    estimate: logMeanWeight(values),
    khat: paretoKhat(values),
    ...normalisedWeights(values),
  };
}

function drawParticles(svg, plain, terms, state, particles) {
  const chart = frame(svg, {
    height: 270,
    x: Z_RANGE,
    y: [0, particles.largest * 1.12],
    xLabel: say("page.z"),
    yLabel: plain("weight"),
  });
  // Shapes only: the peaks are set to the largest weight.
  const outline = (density, peak, name) =>
    curve(chart, Z_RANGE, (z) => (particles.largest * density(z)) / peak, { class: name });
  outline(terms.density, terms.peak, "line posterior faint");
  outline((z) => Math.exp(-0.5 * ((z - state.mean) / state.sd) ** 2), 1, "line guide faint");
  const base = chart.up(0);
  let outside = 0;
  particles.z.forEach((z, i) => {
    if (z < Z_RANGE[0] || z > Z_RANGE[1]) {
      outside += 1;
      return;
    }
    const [x, y] = [chart.across(z), chart.up(particles.weights[i])];
    chart.draw("line", { class: "stick", x1: x, x2: x, y1: base, y2: y });
    chart.draw("circle", { class: "stick-head", cx: x, cy: y, r: state.k > 64 ? 2 : 3.5 });
  });
  if (outside) {
    const words = plain("outside", { outside, k: state.k });
    chart.draw("text", { class: "note", x: chart.right, y: 13, "text-anchor": "end" }, words);
  }
  const said = {
    k: state.k,
    largest: number(particles.largest, 3),
    ess: number(particles.ess, 1),
  };
  svg.setAttribute("aria-label", plain("particles_said", said));
}

function drawBounds(svg, plain, state, bounds, terms) {
  const low = Math.min(...bounds.map((b) => b.mean - 2 * b.error), terms.bound);
  const high = Math.max(...bounds.map((b) => b.mean + 2 * b.error), terms.evidence);
  const pad = Math.max(0.12 * (high - low), 0.02);
  const place = (count) => Math.log2(count);
  const narrow = svg.parentElement.clientWidth < 400;
  const named = COUNTS.filter((_, i) => !narrow || i % 2 === 0);
  const chart = frame(svg, {
    height: 270,
    x: [-0.3, place(MOST) + 0.3],
    y: [low - pad, high + pad],
    xTicks: named.map((count) => ({ at: place(count), text: String(count) })),
    xLabel: plain("draws"),
    yLabel: say("page.nats"),
  });
  const at = (b, value) => [chart.across(place(b.count)), chart.up(value)];
  const upper = bounds.map((b) => at(b, b.mean + 2 * b.error));
  const lower = bounds.map((b) => at(b, b.mean - 2 * b.error)).reverse();
  chart.draw("path", { class: "band", d: path([...upper, ...lower], true) });
  level(chart, terms.bound, "line bound-level");
  level(chart, terms.evidence, "line evidence");
  chart.draw("path", { class: "line iwae", d: path(bounds.map((b) => at(b, b.mean))) });
  for (const b of bounds) {
    const [cx, cy] = at(b, b.mean);
    const now = b.count === state.k;
    chart.draw("circle", { class: now ? "iwae-now" : "iwae-dot", cx, cy, r: now ? 7 : 3.5 });
  }
  const now = bounds.find((b) => b.count === state.k);
  const said = {
    k: state.k,
    mean: number(now.mean, 3),
    evidence: number(terms.evidence, 3),
  };
  svg.setAttribute("aria-label", plain("bounds_said", said));
}

panel("sampling", (about, { byId, plain, write, announce, place, listen, choose, press }) => {
  const { toy } = about;
  const state = { ...START };
  let noise = standardNormals(state.seed, POOL);
  let weighed = null;

  // Evidence, bound and posterior of the chosen model; `peak` is the posterior's largest value.
  function termsNow() {
    const x = DATUM[state.posterior];
    if (state.posterior === "two") {
      const terms = foldedTerms(toy, x, state.mean, state.sd);
      return { ...terms, peak: terms.density(truePosterior(toy, x).mean) };
    }
    const terms = identityTerms(toy, x, state.mean, state.sd);
    const density = (z) => Math.exp(normalLogDensity(z, terms.posteriorMean, terms.posteriorSd));
    return { ...terms, density, peak: density(terms.posteriorMean) };
  }

  function weigh() {
    const folded = state.posterior === "two";
    const pool = logWeights(toy, DATUM[state.posterior], state, noise, folded);
    weighed = { pool, bounds: iwaeBounds(pool, MOST) };
  }

  function redraw() {
    const terms = termsNow();
    const particles = particlesOf(state, noise, weighed.pool);
    const bound = weighed.bounds.find((b) => b.count === state.k);
    place("k", COUNTS.indexOf(state.k), `K = ${state.k}`);
    place("mean", state.mean, number(state.mean, 2));
    place("sd", state.sd, number(state.sd, 2));
    byId("posterior").value = state.posterior;
    drawParticles(byId("particles"), plain, terms, state, particles);
    drawBounds(byId("bounds"), plain, state, weighed.bounds, terms);
    write("value-estimate", number(particles.estimate));
    write("value-iwae", withError(bound));
    write("value-elbo", number(terms.bound));
    write("value-evidence", number(terms.evidence));
    write("value-ess", say("page.of", { some: number(particles.ess, 2), whole: state.k }));
    write("value-largest", number(particles.largest, 3));
    const few = plain("khat_few");
    write("value-khat", particles.khat === null ? few : number(particles.khat, 2));
    write("value-seed", String(state.seed));
    announce(
      plain("said", {
        k: state.k,
        mean: number(bound.mean, 2),
        evidence: number(terms.evidence, 2),
        ess: number(particles.ess, 1),
      }),
    );
  }

  const moved = () => {
    weigh();
    redraw();
  };
  listen("k", (value) => {
    state.k = COUNTS[value];
    redraw();
  });
  for (const id of ["mean", "sd"]) {
    listen(id, (value) => {
      state[id] = value;
      moved();
    });
  }
  choose("posterior", (value) => {
    state.posterior = value;
    moved();
  });
  press("again", () => {
    state.seed += 1;
    noise = standardNormals(state.seed, POOL);
    moved();
  });
  weigh();
  return {
    redraw,
    tell: {
      terms: () => ({ x: DATUM[state.posterior], ...termsNow() }),
      density: (z) => termsNow().density(z),
      draws: () => ({
        k: state.k,
        seed: state.seed,
        ...particlesOf(state, noise, weighed.pool),
        bounds: weighed.bounds.map((b) => ({ ...b })),
      }),
      logWeights: () => Array.from(weighed.pool),
    },
  };
});
