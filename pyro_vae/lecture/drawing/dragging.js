// A point in a plane that is dragged, tapped to and moved by the arrow keys.

function pointHandle(id) {
  return shape(
    "g",
    { id, class: "point", tabindex: 0, role: "slider" },
    shape("circle", { class: "point-area", r: 22 }),
    shape("circle", { class: "point-focus", r: 14 }),
    shape("circle", { class: "point-halo", r: 9 }),
    shape("circle", { class: "point-dot", r: 9 }),
    shape("circle", { class: "point-centre", r: 1.8 }),
  );
}

// `chartNow` gives the plane's drawing, `point` where the point is; `moveTo` is told where it
// goes, and `step` is what an arrow key moves it by, ten times what it does with Shift. `placed`,
// called at a press or a tap, says whether the point may now be dragged.
function dragPoint({ plane, handle, chartNow, point, moveTo, step, placed = () => true }) {
  // In the drawing's own units, whatever size it is shown at.
  const located = (event) => {
    const chart = chartNow();
    const box = plane.getBoundingClientRect();
    const ratio = chart.width / box.width;
    const a = chart.across.invert((event.clientX - box.left) * ratio);
    const b = chart.up.invert((event.clientY - box.top) * ratio);
    return [a, b];
  };
  let dragged = false;
  // A finger on the plane may be about to scroll: it drags by the point, and else only taps.
  const scrolls = (event) => event.pointerType === "touch" && !handle.contains(event.target);
  plane.addEventListener("click", (event) => {
    if (!scrolls(event)) return;
    moveTo(located(event));
    placed();
  });
  plane.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || scrolls(event)) return;
    event.preventDefault();
    moveTo(located(event));
    if (!placed()) return;
    dragged = true;
    plane.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
  });
  plane.addEventListener("pointermove", (event) => {
    if (dragged) moveTo(located(event));
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
    const size = event.shiftKey ? step / 10 : step;
    const moves = {
      ArrowLeft: [-size, 0],
      ArrowRight: [size, 0],
      ArrowUp: [0, size],
      ArrowDown: [0, -size],
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    moveTo(point().map((value, i) => value + moves[event.key][i]));
  });
}
