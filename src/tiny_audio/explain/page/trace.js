"use strict";
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const track = document.querySelector(".track");
const timeline = byId("timeline");

// Heat maps: one pixel a value; CSS makes them as large as their lane.
function bytesOf(map) {
  if (!map.values) map.values = Int8Array.from(atob(map.bytes), (letter) => (letter.charCodeAt(0) << 24) >> 24);
  return map.values;
}
const LOUDNESS = [[13, 8, 41], [74, 16, 98], [159, 42, 99], [229, 93, 46], [251, 180, 60], [252, 255, 200]];
function loudness(step) {
  const place = (step / 127) * (LOUDNESS.length - 1);
  const left = Math.min(Math.floor(place), LOUDNESS.length - 2);
  return [...LOUDNESS[left].map((value, part) => value + (place - left) * (LOUDNESS[left + 1][part] - value)), 255];
}
// Signed values stain the paper, so that zero is the paper's colour, light or dark.
const activity = (step) => [...(step > 0 ? [226, 104, 20] : [38, 116, 214]), Math.min(255, Math.abs(step) * 2)];
for (const canvas of document.querySelectorAll("canvas[data-map]")) {
  const name = canvas.dataset.map;
  const map = data[name];
  canvas.width = map.frames;
  canvas.height = map.rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.frames, map.rows);
  const colour = name === "mel" ? loudness : activity;
  bytesOf(map).forEach((step, index) => image.data.set(colour(step), 4 * index));
  context.putImageData(image, 0, 0);
}

// Values under the pointer.
const percent = (share) => (100 * share).toFixed(1) + " %";
const list = (pairs, write) => pairs.map(([text, value]) => `${text}  ${write(value)}`).join("\n");
const cell = (map, time, height) => {
  const frame = Math.min(Math.floor(time / map.step), map.frames - 1);
  const row = Math.min(Math.max(Math.floor(height * map.rows), 0), map.rows - 1);
  return { frame, row, step: bytesOf(map)[row * map.frames + frame] };
};
const READERS = {
  time: () => "",
  wave(time) {
    const column = Math.min(Math.floor((time / data.duration) * data.wave.length), data.wave.length - 1);
    const [low, high] = data.wave[column];
    return `${low.toFixed(3)} to ${high.toFixed(3)}`;
  },
  mel(time, height) {
    const { row, step } = cell(data.mel, time, height);
    return `${data.mel.hertz[row]} Hz\n${((step / 127 - 1) * data.mel.lowest).toFixed(0)} dB below the loudest`;
  },
  encoder: (time, height) => dimension(data.encoder, time, height),
  projector(time, height) {
    const { frame } = cell(data.projector, time, height);
    return dimension(data.projector, time, height) + "\nnearest tokens\n" + list(data.projector.nearest[frame], (cosine) => cosine.toFixed(2));
  },
  nearest(time) {
    const { frame } = cell(data.projector, time, 0);
    return "cosine\n" + list(data.projector.nearest[frame], (cosine) => cosine.toFixed(2));
  },
  ctc(time) {
    const { step, frames, blank, guesses, kept } = data.ctc;
    const frame = Math.min(Math.floor(time / step), frames - 1);
    return `${kept[frame] ? "kept" : "dropped"}\nblank  ${percent(blank[frame])}\n` + list(guesses[frame], percent);
  },
};
function dimension(map, time, height) {
  const { row, step } = cell(map, time, height);
  return `dimension ${map.dims[row]}\n${Math.abs(step) === 127 ? "beyond " : ""}${(step * map.unit).toFixed(2)}`;
}
const readout = byId("readout");
function tell(event) {
  const lane = event.target.closest(".lane");
  if (!lane) { readout.hidden = true; return; }
  const box = lane.getBoundingClientRect();
  const time = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * data.duration;
  const values = READERS[lane.dataset.kind](time, (event.clientY - box.top) / box.height);
  readout.textContent = `${time.toFixed(2)} s` + (values && "\n" + values);
  readout.hidden = false;
  const { width, height } = readout.getBoundingClientRect();
  readout.style.left = Math.min(event.clientX + 14, innerWidth - width - 6) + "px";
  readout.style.top = (event.clientY + 16 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 16) + "px";
}
track.addEventListener("pointermove", tell);
track.addEventListener("pointerdown", tell);
for (const name of ["pointerleave", "pointercancel"]) track.addEventListener(name, () => { readout.hidden = true; });
addEventListener("scroll", () => { readout.hidden = true; }, { passive: true });

// Sound: the cursor and the words follow it; a click in a panel, or on a word, goes there.
const sound = byId("sound");
const cursor = byId("cursor");
const words = [...document.querySelectorAll("[data-end]")];
function follow() {
  const time = sound.currentTime;
  cursor.hidden = false;
  cursor.style.left = `${(100 * Math.min(time, data.duration)) / data.duration}%`;
  for (const word of words) word.classList.toggle("now", time >= word.dataset.start && time < word.dataset.end);
  const place = (time / data.duration) * track.clientWidth;
  if (!sound.paused && (place < timeline.scrollLeft || place > timeline.scrollLeft + 0.9 * timeline.clientWidth)) {
    timeline.scrollLeft = place - 0.1 * timeline.clientWidth;
  }
}
function animate() {
  follow();
  if (!sound.paused) requestAnimationFrame(animate);
}
sound.addEventListener("play", animate);
sound.addEventListener("seeking", follow);
sound.addEventListener("timeupdate", follow);
const seek = (time) => { sound.currentTime = Math.min(Math.max(time, 0), data.duration); };
track.addEventListener("click", (event) => {
  const lane = event.target.closest(".lane");
  if (!lane) return;
  const box = lane.getBoundingClientRect();
  seek(((event.clientX - box.left) / box.width) * data.duration);
});
for (const word of document.querySelectorAll(".word, .audio")) {
  word.addEventListener("click", () => seek(Number(word.dataset.start)));
}

// The whole clip at once, or wide enough to read every token.
const fit = byId("fit");
const isWide = () => timeline.scrollWidth > timeline.clientWidth + 1;
fit.hidden = !isWide();
addEventListener("resize", () => { fit.hidden = !isWide() && fit.ariaPressed !== "true"; });
fit.addEventListener("click", () => {
  fit.ariaPressed = String(timeline.classList.toggle("fit"));
});

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
