// True moons of every phase, and the one that is nearest to a picture.

const MOON_SIZE = 16;
// Lines across a row of pixels on which the lit stretch is measured.
const MOON_LINES = 16;
const MOON_BRIGHTNESS = [0.8, 1];

// The share of each pixel that is lit; the terminator is half an ellipse through the poles.
function moonPicture(lit, radius, x, y) {
  const out = new Float64Array(MOON_SIZE * MOON_SIZE);
  for (let line = 0; line < MOON_SIZE * MOON_LINES; line += 1) {
    const height = (line + 0.5) / MOON_LINES - y;
    const half = Math.sqrt(Math.max(radius * radius - height * height, 0));
    const left = x + (1 - 2 * lit) * half;
    const right = x + half;
    const row = Math.floor(line / MOON_LINES) * MOON_SIZE;
    for (let j = Math.max(Math.floor(left), 0); j < Math.min(right, MOON_SIZE); j += 1) {
      out[row + j] += Math.max(Math.min(right, j + 1) - Math.max(left, j), 0) / MOON_LINES;
    }
  }
  return out;
}

function evenly([first, last, count]) {
  return Array.from({ length: count }, (_, i) => first + ((last - first) * i) / (count - 1));
}

// All moons of a grid of lit fractions, radii and centres.
function trueMoons({ lit, radius, centre }) {
  const places = evenly(centre);
  const moons = [];
  for (const fraction of evenly(lit)) {
    for (const r of evenly(radius)) {
      for (const x of places) {
        for (const y of places) {
          const picture = moonPicture(fraction, r, x, y);
          const square = picture.reduce((a, v) => a + v * v, 0);
          moons.push({ lit: fraction, picture, square });
        }
      }
    }
  }
  return moons;
}

// The nearest by root mean square difference per pixel, at the brightness that suits best.
function nearestMoon(moons, picture) {
  const whole = picture.reduce((a, v) => a + v * v, 0);
  const [low, high] = MOON_BRIGHTNESS;
  let best = { missed: Infinity };
  for (const moon of moons) {
    let product = 0;
    for (let i = 0; i < picture.length; i += 1) product += picture[i] * moon.picture[i];
    const brightness = Math.min(Math.max(product / Math.max(moon.square, 1e-9), low), high);
    const missed = whole + brightness * (brightness * moon.square - 2 * product);
    if (missed < best.missed) best = { missed, brightness, moon };
  }
  return {
    distance: Math.sqrt(Math.max(best.missed, 0) / picture.length),
    lit: best.moon.lit,
    picture: best.moon.picture.map((v) => best.brightness * v),
  };
}
