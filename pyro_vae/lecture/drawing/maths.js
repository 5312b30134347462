// Pure functions: densities, the identity, importance weights. All logarithms are natural, so
// bounds and divergences are in nats.

const LOG_TWO_PI = Math.log(2 * Math.PI);

function normalLogDensity(value, mean, sd) {
  const u = (value - mean) / sd;
  return -0.5 * (LOG_TWO_PI + u * u) - Math.log(sd);
}

function normalDivergence(mean, sd, otherMean, otherSd) {
  const ratio = sd / otherSd;
  const shift = (mean - otherMean) / otherSd;
  return 0.5 * (ratio * ratio + shift * shift - 1) - Math.log(ratio);
}

// The model is z ~ Normal(0, 1), x | z ~ Normal(w z + b, s).
function truePosterior({ w, b, s }, x) {
  const precision = 1 + (w * w) / (s * s);
  return { mean: (w * (x - b)) / (s * s) / precision, sd: 1 / Math.sqrt(precision) };
}

// Every term by its own formula, so that the residual is a check and not an identity of code.
function identityTerms(toy, x, mean, sd) {
  const { w, b, s } = toy;
  const posterior = truePosterior(toy, x);
  const missed = x - w * mean - b;
  const squares = missed * missed + w * w * sd * sd;
  const reconstruction = -0.5 * LOG_TWO_PI - Math.log(s) - squares / (2 * s * s);
  const toPrior = normalDivergence(mean, sd, 0, 1);
  const bound = reconstruction - toPrior;
  const divergence = normalDivergence(mean, sd, posterior.mean, posterior.sd);
  const evidence = normalLogDensity(x, b, Math.hypot(w, s));
  return {
    evidence,
    bound,
    divergence,
    reconstruction,
    toPrior,
    residual: evidence - (bound + divergence),
    posteriorMean: posterior.mean,
    posteriorSd: posterior.sd,
  };
}

// Gradient of L_b with respect to the guide's mean and the logarithm of its scale.
function boundGradient(toy, x, mean, sd) {
  const { w, b, s } = toy;
  const precision = 1 + (w * w) / (s * s);
  return {
    mean: (w * (x - b)) / (s * s) - precision * mean,
    logSd: 1 - precision * sd * sd,
  };
}

// One step of gradient ascent, halved until L_b does not fall; at the top the guide stays.
function gradientStep(toy, x, guide, size = 0.1) {
  const slope = boundGradient(toy, x, guide.mean, guide.sd);
  const before = identityTerms(toy, x, guide.mean, guide.sd).bound;
  for (let step = size; step > 1e-12; step /= 2) {
    const next = {
      mean: guide.mean + step * slope.mean,
      sd: guide.sd * Math.exp(step * slope.logSd),
    };
    if (identityTerms(toy, x, next.mean, next.sd).bound >= before) return next;
  }
  return guide;
}

// A step of the decoder: w and b climb the gradient of L_b, halved until it does not fall, with
// the guide and s as they are. The least s of one datum is 0, so s would never come to rest.
function decoderStepOf(toy, x, guide, size = 0.1) {
  const { w, b, s } = toy;
  const missed = x - w * guide.mean - b;
  const slope = {
    w: (missed * guide.mean - w * guide.sd * guide.sd) / (s * s),
    b: missed / (s * s),
  };
  const before = identityTerms(toy, x, guide.mean, guide.sd).bound;
  for (let step = size; step > 1e-12; step /= 2) {
    const next = { w: w + step * slope.w, b: b + step * slope.b, s };
    if (identityTerms(next, x, guide.mean, guide.sd).bound >= before) return next;
  }
  return toy;
}

// erf by its series near 0, and by the continued fraction of erfc away from it.
function erf(u) {
  const size = Math.abs(u);
  if (size < 2.5) {
    let term = u;
    let sum = u;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n += 1) {
      term *= (-u * u) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n -= 1) fraction = n / 2 / (size + fraction);
  const tail = Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + fraction);
  return Math.sign(u) * (1 - tail);
}

function normalCumulative(u) {
  return 0.5 * (1 + erf(u / Math.SQRT2));
}

// Mulberry32: a 32-bit generator, so that one seed gives one picture everywhere.
function uniformGenerator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Standard normal draws by Box and Muller.
function standardNormals(seed, count) {
  const uniform = uniformGenerator(seed);
  const draws = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    draws[i] = radius * Math.cos(angle);
    if (i + 1 < count) draws[i + 1] = radius * Math.sin(angle);
  }
  return draws;
}

// log p(x, z) - log q(z) at z = mean + sd * e, for all draws e of standard normal noise. With
// `folded`, x | z ~ Normal(w |z| + b, s), which z and -z explain alike.
function logWeights({ w, b, s }, x, guide, noise, folded = false) {
  const constant = Math.log(guide.sd) - Math.log(s) - 0.5 * LOG_TWO_PI;
  return noise.map((e) => {
    const z = guide.mean + guide.sd * e;
    const missed = (x - w * (folded ? Math.abs(z) : z) - b) / s;
    return constant + 0.5 * (e * e - z * z - missed * missed);
  });
}

function logAddExp(a, b) {
  if (a === -Infinity) return b;
  return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
}

// log of the mean weight: one estimate of log p(x).
function logMeanWeight(values) {
  return values.reduce(logAddExp, -Infinity) - Math.log(values.length);
}

// Mean and variance of draws, and the standard error of the mean.
function momentsOf(values) {
  const mean = values.reduce((a, v) => a + v, 0) / values.length;
  const square = values.reduce((a, v) => a + (v - mean) ** 2, 0);
  const variance = square / (values.length - 1);
  return { mean, variance, error: Math.sqrt(variance / values.length) };
}

// The IWAE bound L_K for K = 1, 2, 4, ..., most, with standard errors: the mean of the log mean
// weight over all sets of K neighbours. Two neighbouring sets of K make one of 2 K.
function iwaeBounds(values, most) {
  const bounds = [];
  let sums = values;
  for (let count = 1; count <= most; count *= 2) {
    const sets = sums.length;
    const { mean, error } = momentsOf(sums);
    bounds.push({ count, sets, mean: mean - Math.log(count), error });
    const pairs = sums;
    sums = Float64Array.from({ length: sets / 2 }, (_, i) =>
      logAddExp(pairs[2 * i], pairs[2 * i + 1]),
    );
  }
  return bounds;
}

// Normalised weights, and ESS = 1 / sum of their squares.
function normalisedWeights(values) {
  const top = Math.max(...values);
  const raw = Array.from(values, (value) => Math.exp(value - top));
  const total = raw.reduce((a, v) => a + v, 0);
  const weights = raw.map((value) => value / total);
  const ess = 1 / weights.reduce((a, v) => a + v * v, 0);
  return { weights, ess, largest: Math.max(...weights) };
}

// The model x | z ~ Normal(w |z| + b, s): its log p(x), its posterior density and L_b of a guide.
function foldedTerms(toy, x, mean, sd) {
  const { w, b, s } = toy;
  const half = truePosterior(toy, x);
  const share = normalCumulative(half.mean / half.sd);
  // Either sign of z gives half of it: 2 times the part of the unfolded model's above 0.
  const evidence = Math.log(2 * share) + normalLogDensity(x, b, Math.hypot(w, s));
  const ratio = mean / sd;
  const meanSize =
    sd * Math.sqrt(2 / Math.PI) * Math.exp(-0.5 * ratio * ratio) + mean * erf(ratio / Math.SQRT2);
  const squares = (x - b) ** 2 - 2 * w * (x - b) * meanSize + w * w * (mean * mean + sd * sd);
  const reconstruction = -0.5 * LOG_TWO_PI - Math.log(s) - squares / (2 * s * s);
  const bound = reconstruction - normalDivergence(mean, sd, 0, 1);
  const density = (z) => Math.exp(normalLogDensity(Math.abs(z), half.mean, half.sd)) / (2 * share);
  return { evidence, bound, divergence: evidence - bound, density };
}

// Pareto k-hat of log weights: the shape of a generalised Pareto fitted to the largest of them
// (Vehtari et al., 2024, arXiv 1507.02646; the fit is Zhang & Stephens', 2009). Null below 25.
function paretoKhat(logWeightsOf) {
  const count = logWeightsOf.length;
  if (count < 25) return null;
  const sorted = Array.from(logWeightsOf).sort((a, b) => a - b);
  const top = sorted[count - 1];
  const length = Math.ceil(Math.min(count / 5, 3 * Math.sqrt(count)));
  const cut = Math.exp(sorted[count - length - 1] - top);
  const tail = sorted.map((v) => Math.exp(v - top) - cut).filter((v) => v > 0);
  const n = tail.length;
  if (n < 5) return null;
  const quarter = tail[Math.floor(n / 4 + 0.5) - 1];
  const grid = 30 + Math.floor(Math.sqrt(n));
  const shapeAt = (theta) => tail.reduce((a, v) => a + Math.log1p(-theta * v), 0) / n;
  const thetas = Array.from(
    { length: grid },
    (_, i) => 1 / tail[n - 1] + (1 - Math.sqrt(grid / (i + 0.5))) / (3 * quarter),
  );
  const profile = thetas.map((theta) => {
    const k = shapeAt(theta);
    return n * (Math.log(-theta / k) - k - 1);
  });
  const { weights } = normalisedWeights(profile);
  const theta = thetas.reduce((a, value, i) => a + weights[i] * value, 0);
  // Drawn towards 0.5 with the weight of ten draws.
  return (n * shapeAt(theta) + 10 * 0.5) / (n + 10);
}

// Points of the curve that encloses a share of a normal in the plane; covariance [a, b, b, c].
function ellipsePoints(mean, [a, b, , c], share, count = 90) {
  const radius = Math.sqrt(-2 * Math.log(1 - share));
  const first = Math.sqrt(a);
  const cross = b / first;
  const second = Math.sqrt(Math.max(c - cross * cross, 0));
  return Array.from({ length: count }, (_, i) => {
    const angle = (2 * Math.PI * i) / count;
    const u = radius * Math.cos(angle);
    const v = radius * Math.sin(angle);
    return [mean[0] + first * u, mean[1] + cross * u + second * v];
  });
}
