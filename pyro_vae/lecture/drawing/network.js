// Pure functions: the decoder's layers and the mean of p(x | z), in double precision on the
// trained float32 weights.

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

// The same in rows of that length.
function rowsOf(text, length) {
  const flat = unpack(text);
  return Array.from({ length: flat.length / length }, (_, i) =>
    Array.from(flat.subarray(i * length, (i + 1) * length)),
  );
}

// log(1 + e^u) without overflow.
function softplus(u) {
  return Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u)));
}

function sigmoid(u) {
  return u >= 0 ? 1 / (1 + Math.exp(-u)) : Math.exp(u) / (1 + Math.exp(u));
}

const ACTIVATIONS = {
  elu: (u) => (u > 0 ? u : Math.expm1(u)),
  relu: (u) => Math.max(u, 0),
  silu: (u) => u * sigmoid(u),
  softplus,
  tanh: Math.tanh,
};

// A layer of the page's document as a function from a vector to a vector.
function readLayer(about) {
  if (about.kind === "linear") return linear(about);
  if (about.kind === "residual") {
    const activation = readLayer(about.activation);
    const layer = readLayer(about.layer);
    const skip = about.skip === null ? (h) => h : readLayer(about.skip);
    return (h) => {
      const branch = layer(activation(h));
      return skip(h).map((value, i) => value + branch[i]);
    };
  }
  const activate = ACTIVATIONS[about.kind];
  return (h) => h.map(activate);
}

function linear({ rows, columns, weight, bias }) {
  const weights = unpack(weight);
  const start = unpack(bias);
  return (h) => {
    const out = new Float64Array(rows);
    for (let i = 0; i < rows; i += 1) {
      let sum = start[i];
      for (let j = 0, at = i * columns; j < columns; j += 1) sum += weights[at + j] * h[j];
      out[i] = sum;
    }
    return out;
  };
}

function readLayers(layers) {
  const steps = layers.map(readLayer);
  return (z) => steps.reduce((h, step) => step(h), Float64Array.from(z));
}

// Mean of the density proportional to e^(u x) on [0, 1]: 1 / (1 - e^-u) - 1 / u.
function continuousBernoulliMean(u) {
  if (Math.abs(u) > 0.3) return -1 / Math.expm1(-u) - 1 / u;
  const q = u * u;
  return 0.5 + u * (1 / 12 - q * (1 / 720 - q * (1 / 30240 - q / 1209600)));
}

// From eta(z) to the mean of p(x | z) and the parameters of every feature, named.
function readLikelihood(about) {
  const scales = about.scale ? unpack(about.scale) : null;
  const families = {
    bernoulli: (eta) => {
      const p = eta.map(sigmoid);
      return { mean: p, parameters: { p } };
    },
    binomial: (eta) => {
      const p = eta.map(sigmoid);
      return { mean: p.map((v) => about.total * v), parameters: { p } };
    },
    "continuous-bernoulli": (eta) => ({
      mean: eta.map(continuousBernoulliMean),
      parameters: { logit: eta },
    }),
    poisson: (eta) => {
      const rate = eta.map((u) => about.minimum + softplus(u));
      return { mean: rate, parameters: { rate } };
    },
    normal: (eta) => located(eta),
    laplace: (eta) => located(eta),
  };
  const located = (eta) => {
    if (scales) return { mean: eta, parameters: { location: eta, scale: scales } };
    const size = eta.length / 2;
    const location = eta.slice(0, size);
    const scale = eta.slice(size).map((u) => about.minimum + softplus(u));
    return { mean: location, parameters: { location, scale } };
  };
  return families[about.name];
}

// The decoder: from z to { mean, parameters } of p(x | z).
function readDecoder({ layers, likelihood }) {
  const network = readLayers(layers);
  const family = readLikelihood(likelihood);
  return (z) => family(network(z));
}
