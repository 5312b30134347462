// From the code of a half moon to the code of a full one, in a straight line: what is decoded on
// the way, and how far it is from any true moon.

const MODELS = ["autoencoder", "vae"];
const STEPS = 40;
const MOON_GREYS = { height: MOON_SIZE, width: MOON_SIZE, low: 0, high: 1 };

const between = (from, to, share) => from.map((v, i) => v + share * (to[i] - v));

function drawCurve(svg, plain, curves, share) {
  const values = Object.values(curves).flat();
  const chart = frame(svg, {
    height: 300,
    x: [0, 1],
    y: [0, Math.max(0.16, Math.ceil(50 * Math.max(...values)) / 50)],
    xTicks: [0, 0.25, 0.5, 0.75, 1].map((at) => ({ at, text: String(at) })),
    xLabel: plain("way"),
    yLabel: plain("distance"),
  });
  for (const [name, distances] of Object.entries(curves)) {
    const points = distances.map((d, i) => [chart.across(i / STEPS), chart.up(d)]);
    chart.draw("path", { class: `line moon-${name}`, d: path(points) });
    const [cx, cy] = points[Math.round(share * STEPS)];
    chart.draw("circle", { class: "point-dot", cx, cy, r: 5 });
  }
  const at = (name, i) => number(curves[name][i], 3);
  svg.setAttribute(
    "aria-label",
    plain("curve_said", {
      autoencoder: at("autoencoder", STEPS / 2),
      vae: at("vae", STEPS / 2),
      average: at("average", STEPS / 2),
    }),
  );
}

panel("holes", (about, { byId, plain, write, announce, place, listen, press }) => {
  const moons = trueMoons(about.grid);
  const size = MOON_SIZE * MOON_SIZE;
  const [half, full] = [about.half, about.full].map((text) => rowsOf(text, size));
  const models = Object.fromEntries(
    MODELS.map((name) => {
      const { decoder, codes } = about.models[name];
      const decode = readDecoder(decoder);
      return [name, { decode: (z) => decode(z).mean, ends: codes.map((text) => rowsOf(text, 2)) }];
    }),
  );
  const state = { pair: 0, share: 0.5 };
  let curves = curvesOf();

  function pictureOf(name, share) {
    const { pair } = state;
    if (name === "average") return between(half[pair], full[pair], share);
    const { decode, ends } = models[name];
    return decode(between(ends[0][pair], ends[1][pair], share));
  }

  function curvesOf() {
    const along = (name) =>
      Array.from(
        { length: STEPS + 1 },
        (_, i) => nearestMoon(moons, pictureOf(name, i / STEPS)).distance,
      );
    return Object.fromEntries([...MODELS, "average"].map((name) => [name, along(name)]));
  }

  const residual = () =>
    Math.max(
      ...MODELS.map((name) =>
        Math.abs(curves[name][STEPS / 2] - about.models[name].halfway[state.pair]),
      ),
    );

  function redraw() {
    const { share, pair } = state;
    place("place", share, number(share, 3));
    drawCurve(byId("curve"), plain, curves, share);
    const said = {};
    for (const name of [...MODELS, "average"]) {
      const picture = pictureOf(name, share);
      const found = nearestMoon(moons, picture);
      const lit = number(100 * found.lit, 1);
      const distance = number(found.distance, 4);
      said[name] = distance;
      write(`value-${name}`, plain("found", { distance, lit }));
      if (name === "average") continue;
      paint(byId(name), MOON_GREYS, picture);
      paint(byId(`${name}-nearest`), MOON_GREYS, found.picture);
      byId(name).setAttribute("aria-label", plain("picture_said", { name: plain(name) }));
      const words = plain("nearest_said", { lit, distance });
      byId(`${name}-nearest`).setAttribute("aria-label", words);
    }
    for (const name of MODELS) {
      write(`value-mean_${name}`, withError(about.models[name]));
    }
    const shares = MODELS.map((name) => number(100 * about.models[name].gibbous, 0));
    write("value-gibbous", shares.map((share) => `${share} %`).join(", "));
    write("value-residual", exponential(residual()));
    announce(plain("said", { pair: pair + 1, share: number(share, 3), ...said }));
  }

  listen("place", (share) => {
    state.share = share;
    redraw();
  });
  press("pair", () => {
    state.pair = (state.pair + 1) % half.length;
    curves = curvesOf();
    redraw();
  });
  return {
    redraw,
    tell: {
      state: () => ({ ...state, residual: residual() }),
      moon: (lit, radius, x, y) => Array.from(moonPicture(lit, radius, x, y)),
      picture: (name) => Array.from(pictureOf(name, state.share)),
      nearest: (picture) => {
        const found = nearestMoon(moons, picture);
        return { distance: found.distance, lit: found.lit, picture: Array.from(found.picture) };
      },
      curves: () => ({ ...curves }),
    },
  };
});
