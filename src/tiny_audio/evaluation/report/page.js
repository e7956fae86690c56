"use strict";
const byId = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];

// Sound: one player for the page; a ring around the button shows how far it is.
const clips = JSON.parse(byId("clips").textContent);
const audio = new Audio();
let playing = null;
function stop() {
  audio.pause();
  if (!playing) return;
  playing.classList.remove("playing");
  playing.style.removeProperty("--done");
  playing.setAttribute("aria-label", "Play " + playing.dataset.clip);
  playing = null;
}
function play(button) {
  stop();
  playing = button;
  button.classList.add("playing");
  button.setAttribute("aria-label", "Stop " + button.dataset.clip);
  audio.src = clips[button.dataset.clip];
  audio.play().catch((error) => {
    if (error.name === "AbortError") return; // another clip was started
    button.title = "This browser cannot play it: " + error.message;
    stop();
  });
}
audio.addEventListener("ended", stop);
audio.addEventListener("pause", () => { if (!audio.ended && audio.currentTime) stop(); }); // the end of a linked part
audio.addEventListener("timeupdate", () => {
  if (playing && audio.duration) playing.style.setProperty("--done", (100 * audio.currentTime) / audio.duration + "%");
});
for (const button of all(".play")) {
  button.hidden = false;
  button.addEventListener("click", () => (playing === button ? stop() : play(button)));
}

// Tables of words: one system at a time.
for (const choice of all(".choice")) {
  const panels = [...choice.parentElement.querySelectorAll(".panel")];
  const show = () => {
    const chosen = choice.querySelector(":checked").value;
    for (const panel of panels) panel.hidden = panel.dataset.system !== chosen;
  };
  choice.hidden = false;
  choice.addEventListener("change", show);
  show();
}

// The list: search, filter, sort.
const list = byId("list");
const items = [...list.children].map((element) => {
  const { place, seconds, words, errors, keys } = element.dataset;
  return {
    element,
    id: element.querySelector("h3").textContent,
    text: element.textContent.toLowerCase(),
    place: Number(place),
    seconds: Number(seconds),
    words: Number(words),
    errors: errors.split(",").map(Number),
    keys: keys.split(",").map((own) => own.split(" ")),
  };
});
const names = new Intl.Collator("en", { numeric: true });
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const ORDERS = {
  errors: (item, errors) => -errors,
  rate: (item, errors) => -errors / Math.max(item.words, 1),
  seconds: (item) => -item.seconds,
  place: (item) => item.place,
  spread: (item) => Math.min(...item.errors) - Math.max(...item.errors),
};
function update() {
  const query = byId("search").value.trim().toLowerCase();
  const key = byId("filter").value;
  const system = byId("system") ? byId("system").value : "";
  const judged = (values) => (system === "" ? values : [values[Number(system)]]);
  let shown = 0;
  for (const item of items) {
    const owned = judged(item.keys).map((keys) => keys.includes(key));
    const fits = key === "" || (key === "right" ? owned.every(Boolean) : owned.some(Boolean));
    const visible = fits && item.text.includes(query);
    item.element.hidden = !visible;
    shown += visible;
  }
  const order = ORDERS[byId("sort").value];
  const ranked = order
    ? items.map((item) => [order(item, sum(judged(item.errors))), item]).sort(([a, x], [b, y]) => a - b || x.place - y.place)
    : items.map((item) => [0, item]).sort(([, x], [, y]) => names.compare(x.id, y.id));
  list.append(...ranked.map(([, item]) => item.element));
  byId("shown").textContent = shown === items.length ? "" : `${shown} of the ${items.length} listed here`;
}
byId("controls").hidden = false;
byId("controls").addEventListener("input", update);
byId("controls").addEventListener("submit", (event) => event.preventDefault());
for (const link of all("a[data-filter]")) {
  link.addEventListener("click", () => {
    byId("search").value = "";
    byId("filter").value = link.dataset.filter;
    if (byId("system")) byId("system").value = link.dataset.system;
    update();
  });
}

// Light or dark: the system's choice until the reader makes another.
const theme = byId("theme");
let dark = matchMedia("(prefers-color-scheme: dark)").matches;
const label = () => { theme.textContent = dark ? "Light" : "Dark"; };
theme.hidden = false;
theme.addEventListener("click", () => {
  dark = !dark;
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
  label();
});
label();
