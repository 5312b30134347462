// What the panels share: the document, its texts in two languages, and the wiring of controls.

const page = JSON.parse(document.getElementById("page-data").textContent);
const all = (selector) => Array.from(document.querySelectorAll(selector));
const stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
const started = new Map();
const told = {};
let language = document.documentElement.lang;

// A text in the page's language; names in braces are filled in.
function say(key, values = {}) {
  return page.texts[key][language].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// A text of a drawing or of a list, which can hold no markup: 1 below a letter is written beside.
function sayPlain(key, values) {
  return say(key, values)
    .replace(/<sub>(.*?)<\/sub>/g, "_$1")
    .replace(/<sup>2<\/sup>/g, "²")
    .replace(/<[^>]*>/g, "");
}

function speak(tag) {
  language = tag;
  document.documentElement.lang = { en: "en", zh: "zh-Hans" }[tag];
  document.title = sayPlain(`${page.heading}.title`);
  for (const element of all("[data-text]")) {
    const key = element.dataset.text;
    // Texts are the page's own; what fills their braces is written by `write`, as text.
    if (element.tagName === "OPTION") element.textContent = sayPlain(key);
    else element.innerHTML = say(key);
  }
  for (const element of all("[data-label]")) {
    element.setAttribute("aria-label", sayPlain(element.dataset.label));
  }
  for (const button of all("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === tag));
  }
  for (const { redraw } of started.values()) redraw();
}

// A panel: `start` is given what Python says of it and its tools, wires its controls, and gives
// back `redraw`, called for every new width and language, and `tell`, functions for tests and
// for the curious at the console.
const panels = [];
function panel(name, start) {
  panels.push({ name, start });
}

function toolsOf(name) {
  const byId = (id) => document.getElementById(`${name}-${id}`);
  const plain = (key, values) => sayPlain(`${name}.${key}`, values);
  const write = (id, words) => {
    const element = byId(id);
    if (element.textContent !== words) element.textContent = words;
  };
  // Live regions speak once a movement has come to rest, not at every pixel of it.
  let pending = null;
  const announce = (words) => {
    clearTimeout(pending);
    pending = setTimeout(() => write("said", words), 400);
  };
  // A slider's place and what it says of itself.
  const place = (id, value, words) => {
    const input = byId(id);
    input.value = value;
    input.setAttribute("aria-valuetext", words);
    input.nextElementSibling.textContent = words;
  };
  const listen = (id, moved) => {
    byId(id).addEventListener("input", (event) => moved(Number(event.target.value)));
  };
  const choose = (id, chosen) => {
    byId(id).addEventListener("change", (event) => chosen(event.target.value));
  };
  const press = (id, pressed) => byId(id).addEventListener("click", pressed);
  return { byId, plain, write, announce, place, listen, choose, press };
}

// `step`, time after time, or at once where motion is unwelcome; the answer stops it.
function play(step, count, milliseconds, shown) {
  if (stillness.matches || count === 1) {
    for (let i = 0; i < count; i += 1) step();
    shown();
    return () => {};
  }
  let left = count;
  const timer = setInterval(() => {
    step();
    left -= 1;
    if (left === 0) clearInterval(timer);
    shown();
  }, milliseconds);
  return () => clearInterval(timer);
}

function begin() {
  for (const { name, start } of panels) {
    const about = start(page.panels[name], toolsOf(name));
    started.set(name, about);
    told[name] = about.tell;
  }
  const languages = all("[data-language]").map((button) => button.dataset.language);
  const wanted = [location.hash.slice(1), navigator.language.slice(0, 2), languages[0]];
  speak(wanted.find((tag) => languages.includes(tag)));
  window.addEventListener("hashchange", () => {
    const asked = location.hash.slice(1);
    if (languages.includes(asked)) speak(asked);
  });
  for (const button of all("[data-language]")) {
    button.addEventListener("click", () => speak(button.dataset.language));
  }
  let drawnAt = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === drawnAt) return;
    drawnAt = window.innerWidth;
    for (const { redraw } of started.values()) redraw();
  });
  window.pyroVae = Object.freeze(told);
}
