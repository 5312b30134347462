// The gap taken apart at a posterior of the shape of a banana, on the plane of z.

const START = { guide: "mean_field", member: "best", datum: 2 };
const FAMILIES = ["mean_field", "full", "flow"];
const PLANE = { x: [-3.5, 3.5], y: [-4.2, 3.6] };
const SHARES = [0.5, 0.95];

// log p(x, z) of z ~ Normal(0, I), x | z ~ Normal((slope z_1, z_2 - z_1^2), scale).
function logJoint({ slope, scale }, [x1, x2], z1, z2) {
  return (
    normalLogDensity(z1, 0, 1) +
    normalLogDensity(z2, 0, 1) +
    normalLogDensity(x1, slope * z1, scale) +
    normalLogDensity(x2, z2 - z1 * z1, scale)
  );
}

// log p(x) by the trapezoidal rule over a square that holds all of the prior that counts.
function evidenceByQuadrature(about, x) {
  const step = 0.05;
  const logs = [];
  for (let z1 = -8; z1 <= 8; z1 += step) {
    for (let z2 = -8; z2 <= 8; z2 += step) logs.push(logJoint(about, x, z1, z2));
  }
  const top = logs.reduce((a, v) => Math.max(a, v), -Infinity);
  const sum = logs.reduce((a, v) => a + Math.exp(v - top), 0);
  return top + Math.log(sum) + 2 * Math.log(step);
}

// The posterior on a grid of the plane, and the heights that enclose the shares of its mass.
function posteriorGrid(about, x, side = 90) {
  const at = (axis, i) => axis[0] + ((axis[1] - axis[0]) * i) / side;
  const rows = Array.from({ length: side + 1 }, (_, j) =>
    Array.from({ length: side + 1 }, (_, i) =>
      Math.exp(logJoint(about, x, at(PLANE.x, i), at(PLANE.y, j))),
    ),
  );
  const sorted = rows.flat().sort((a, b) => b - a);
  const total = sorted.reduce((a, v) => a + v, 0);
  const levels = SHARES.map((share) => {
    let sum = 0;
    return sorted.find((v) => (sum += v) >= share * total);
  });
  return { rows, levels, at, side };
}

// Marching squares: the pieces of a contour in each cell, as ends on its sides.
function contourPieces({ rows, at, side }, height) {
  const pieces = [];
  for (let j = 0; j < side; j += 1) {
    for (let i = 0; i < side; i += 1) {
      const corners = [
        [i, j],
        [i + 1, j],
        [i + 1, j + 1],
        [i, j + 1],
      ];
      const ends = [];
      corners.forEach(([a, b], k) => {
        const [c, d] = corners[(k + 1) % 4];
        const [from, to] = [rows[b][a] - height, rows[d][c] - height];
        if (from > 0 === to > 0) return;
        const share = from / (from - to);
        ends.push([at(PLANE.x, a + share * (c - a)), at(PLANE.y, b + share * (d - b))]);
      });
      for (let k = 0; k + 1 < ends.length; k += 2) pieces.push([ends[k], ends[k + 1]]);
    }
  }
  return pieces;
}

function drawPlane(svg, plain, about, state, draws) {
  const width = Math.max(svg.parentElement.clientWidth, LEAST_WIDTH);
  const chart = frame(svg, {
    height: Math.min(width, 420),
    ...PLANE,
    xTicks: ticks(...PLANE.x, 6),
    xLabel: "z₁",
    yLabel: "z₂",
  });
  draws.forEach(([a, b]) => {
    const inside = a > PLANE.x[0] && a < PLANE.x[1] && b > PLANE.y[0] && b < PLANE.y[1];
    if (!inside) return;
    chart.draw("circle", { class: "gap-draw", cx: chart.across(a), cy: chart.up(b), r: 3 });
  });
  const grid = posteriorGrid(about, about.data[state.datum]);
  for (const height of grid.levels) {
    const d = contourPieces(grid, height)
      .map((ends) => path(ends.map(([a, b]) => [chart.across(a), chart.up(b)])))
      .join("");
    chart.draw("path", { class: "line posterior", d });
  }
  const [x1, x2] = about.data[state.datum];
  const words = { guide: plain(`guide_${state.guide}`), member: plain(`member_${state.member}`) };
  svg.setAttribute("aria-label", plain("plane_said", { x: `(${x1}, ${x2})`, ...words }));
}

// Both gaps of a family, with the standard errors of the bounds.
function gapOf(about, name, datum) {
  const { best, amortised } = about.guides[name];
  return {
    approximation: about.evidence[datum] - best.elbo[datum],
    amortisation: best.elbo[datum] - amortised.elbo[datum],
    bestError: best.error[datum],
    error: amortised.error[datum],
    // The two bounds are of draws that have nothing to do with each other.
    bothError: Math.hypot(best.error[datum], amortised.error[datum]),
  };
}

function drawBars(svg, plain, about, state) {
  const gaps = FAMILIES.map((name) => gapOf(about, name, state.datum));
  const most = Math.max(...gaps.map((g) => g.approximation + Math.max(g.amortisation, 0)));
  const least = Math.min(0, ...gaps.map((g) => g.approximation + g.amortisation));
  const chart = frame(svg, {
    height: 420,
    x: [0, 3],
    y: [least, Math.max(1.15 * most, 0.3)],
    xTicks: FAMILIES.map((name, i) => ({ at: i + 0.5, text: plain(`short_${name}`) })),
    xLabel: plain("family"),
    yLabel: say("page.nats"),
  });
  gaps.forEach((g, i) => {
    const left = chart.across(i + 0.2);
    const width = chart.across(i + 0.8) - left;
    const chosen = FAMILIES[i] === state.guide ? " gap-chosen" : "";
    const bar = (name, from, to) => {
      const [high, low] = [chart.up(Math.max(from, to)), chart.up(Math.min(from, to))];
      const box = { x: left, y: high, width, height: low - high };
      chart.draw("rect", { class: name + chosen, ...box });
      return { base: low, height: low - high };
    };
    const whole = g.approximation + g.amortisation;
    bar("bar-bound", 0, g.approximation);
    hatch(chart, { left, width, ...bar("bar-divergence", g.approximation, whole) });
    const x = left + width / 2;
    const [y1, y2] = [chart.up(whole - 2 * g.error), chart.up(whole + 2 * g.error)];
    chart.draw("line", { class: "line posterior", x1: x, x2: x, y1, y2 });
    const text = { class: "note", x, y: y2 - 6, "text-anchor": "middle" };
    chart.draw("text", text, number(whole, 2));
  });
  const now = gaps[FAMILIES.indexOf(state.guide)];
  const said = {
    approximation: number(now.approximation, 2),
    amortisation: number(now.amortisation, 2),
    guide: plain(`guide_${state.guide}`),
  };
  svg.setAttribute("aria-label", plain("bars_said", said));
}

panel("gap", (about, { byId, plain, write, announce, place, listen, choose }) => {
  const state = { ...START };
  const evidence = about.data.map((x) => evidenceByQuadrature(about, x));
  byId("datum").max = about.data.length - 1;
  const unpacked = {};
  for (const name of FAMILIES) {
    for (const member of ["best", "amortised"]) {
      const { z, logQ } = about.guides[name][member];
      unpacked[`${name} ${member}`] = { z: unpack(z), logQ: unpack(logQ) };
    }
  }

  function drawsNow() {
    const { z, logQ } = unpacked[`${state.guide} ${state.member}`];
    const count = logQ.length / about.data.length;
    return Array.from({ length: count }, (_, i) => {
      const k = state.datum * count + i;
      return { z: [z[2 * k], z[2 * k + 1]], logQ: logQ[k] };
    });
  }

  function termsNow() {
    const x = about.data[state.datum];
    const logs = drawsNow().map(({ z, logQ }) => logJoint(about, x, ...z) - logQ);
    const { mean, error } = momentsOf(logs);
    const gaps = gapOf(about, state.guide, state.datum);
    const bound = about.guides[state.guide].amortised.elbo[state.datum];
    const parts = bound + gaps.approximation + gaps.amortisation;
    return {
      ...state,
      x,
      ...gaps,
      evidence: about.evidence[state.datum],
      bound,
      drawn: mean,
      drawnError: error,
      quadrature: evidence[state.datum],
      residual: evidence[state.datum] - parts,
    };
  }

  function redraw() {
    const terms = termsNow();
    const [x1, x2] = terms.x;
    place("datum", state.datum, `(${number(x1, 0)}, ${number(x2, 0)})`);
    byId("guide").value = state.guide;
    byId("member").value = state.member;
    const draws = drawsNow().map(({ z }) => z);
    drawPlane(byId("plane"), plain, about, state, draws);
    drawBars(byId("bars"), plain, about, state);
    const apart = (mean, error) => withError({ mean, error });
    write("value-evidence", number(terms.evidence));
    write("value-amortised", apart(terms.bound, terms.error));
    write("value-approximation", apart(terms.approximation, terms.bestError));
    write("value-amortisation", apart(terms.amortisation, terms.bothError));
    write("value-gap", apart(terms.approximation + terms.amortisation, terms.error));
    write("value-drawn", apart(terms.drawn, terms.drawnError));
    write("value-residual", exponential(terms.residual));
    announce(
      plain("said", {
        guide: plain(`guide_${state.guide}`),
        approximation: number(terms.approximation, 2),
        amortisation: number(terms.amortisation, 2),
      }),
    );
  }

  for (const id of ["guide", "member"]) {
    choose(id, (value) => {
      state[id] = value;
      redraw();
    });
  }
  listen("datum", (value) => {
    state.datum = value;
    redraw();
  });
  return {
    redraw,
    tell: {
      terms: termsNow,
      draws: () => drawsNow().map(({ z, logQ }) => [...z, logQ]),
      // Mass of the posterior inside the contours, on the grid that they are drawn from.
      heights: () => posteriorGrid(about, about.data[state.datum]).levels,
    },
  };
});
