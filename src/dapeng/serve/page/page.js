
"use strict";
const about = JSON.parse(document.getElementById("about").textContent);
const words = about.words;
const form = document.getElementById("form");
const result = document.getElementById("result");
const pictures = new Map();
const SHOWN = 12;
const MOST = 64;
const SHORT = 60; // letters of a text that is shown large

function make(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function show(...elements) {
  result.replaceChildren(...elements);
}

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function take(input, file) {
  const data = await read(file);
  pictures.set(input.id, data.slice(data.indexOf(",") + 1));
  const image = document.getElementById("p" + input.id.slice(1));
  input.closest(".drop").querySelector("small").textContent = file.name;
  if (!file.type.startsWith("image/")) return;
  image.src = data;
  image.alt = file.name;
  image.hidden = false;
}

for (const input of form.querySelectorAll("input[type=file]")) {
  const drop = input.closest(".drop");
  input.addEventListener("change", () => input.files[0] && take(input, input.files[0]));
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) take(input, event.dataTransfer.files[0]);
  });
}

function tag(label) {
  const button = make("button", label, "tag");
  button.type = "button";
  button.value = label;
  button.title = words.remove.replace("{}", label);
  button.setAttribute("aria-label", button.title);
  button.addEventListener("click", () => {
    button.closest("[data-kind]").querySelector("input").focus();
    button.remove();
  });
  return button;
}

function add(group) {
  const input = group.querySelector("input");
  const list = group.querySelector(".tags");
  const label = input.value.trim();
  if (label && ![...list.children].some(b => b.value === label)) list.append(tag(label));
  input.value = "";
}

for (const group of form.querySelectorAll("[data-kind=tags]")) {
  const input = group.querySelector("input");
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !input.value.trim()) return;
    event.preventDefault();
    add(group);
  });
  input.addEventListener("change", () => add(group));
}

const groups = {
  boxes: group => [...group.querySelectorAll("input:checked")].map(i => i.value),
  tags: group => { add(group); return [...group.querySelectorAll("button")].map(b => b.value); },
  numbers: group => {
    const all = [...group.querySelectorAll("input")].map(i => i.value.trim());
    return all.every(v => v === "") ? [] : all.map(v => v === "" || isNaN(v) ? v : Number(v));
  },
};

function row() {
  const values = {};
  for (const input of form.querySelectorAll("[data-name]")) {
    const group = groups[input.dataset.kind];
    const value = group ? group(input) : input.type === "file" ? pictures.get(input.id) : input.value;
    values[input.dataset.name] = value === undefined || value.length === 0 ? null : value;
  }
  return values;
}

function number(value) {
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(3) : String(+value.toPrecision(6));
}

function bar(label, share) {
  const item = make("li");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  svg.setAttribute("aria-hidden", "true");
  rect.setAttribute("width", (100 * share).toFixed(2) + "%");
  rect.setAttribute("height", "100%");
  svg.append(rect);
  item.append(svg, make("span", label), make("span", (100 * share).toFixed(1) + " %"));
  return item;
}

function prose(text) {
  const box = make("div", text, "value prose");
  box.dir = "auto";
  return box;
}

function shown(value) {
  if (typeof value === "string" && (value.length > SHORT || value.includes("\n"))) return prose(value);
  if (!Array.isArray(value)) return make("div", typeof value === "number" ? number(value) : value || "–", "value");
  if (!value.length) return make("div", "–", "value");
  const numbers = typeof value[0] === "number";
  const list = make(numbers ? "ol" : "ul", undefined, numbers ? "value many" : "value tags");
  for (const part of value.slice(0, MOST)) list.append(make("li", numbers ? number(part) : part, numbers ? undefined : "tag"));
  if (value.length > MOST) list.append(make("li", words.more.replace("{}", value.length - MOST), "quiet"));
  return list;
}

const COLOURS = ["#0b7285", "#c2255c", "#5f3dc4", "#2b8a3e", "#e67700", "#1864ab", "#862e9c", "#495057"];

function drawing(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function boxes(value) {
  const whole = make("div", undefined, "value");
  const image = form.querySelector("img:not([hidden])");
  const labels = [...new Set(value.map((b) => b.label))].sort();
  if (image && image.naturalWidth) {
    const [wide, high] = [image.naturalWidth, image.naturalHeight];
    const unit = Math.max(wide, high) / 480;
    const svg = drawing("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": value.length + " boxes", width: "100%" });
    svg.append(drawing("image", { href: image.src, width: wide, height: high }));
    for (const b of value) {
      const colour = COLOURS[labels.indexOf(b.label) % COLOURS.length];
      svg.append(drawing("rect", { x: b.x1, y: b.y1, width: b.x2 - b.x1, height: b.y2 - b.y1, fill: "none", stroke: colour, "stroke-width": 2 * unit }));
      svg.append(drawing("text", { x: b.x1, y: Math.max(b.y1 - 2 * unit, 11 * unit), "font-size": 11 * unit, fill: colour }, b.label + " " + b.score.toFixed(2)));
    }
    whole.append(svg);
  }
  const list = make("ul", undefined, "tags");
  for (const label of labels) list.append(make("li", value.filter((b) => b.label === label).length + " " + label, "tag"));
  if (!value.length) list.append(make("li", "–", "quiet"));
  whole.append(list);
  return whole;
}

function mask(name, value) {
  const image = make("img", undefined, "value");
  image.src = "data:image/png;base64," + value;
  image.alt = name;
  return image;
}

function sound(name, value) {
  const player = make("audio", undefined, "value");
  player.src = "data:audio/wav;base64," + value;
  player.controls = true;
  player.setAttribute("aria-label", name);
  return player;
}

const SEEN = {boxes: (_, value) => boxes(value), picture: mask, sound};

function answer(name, found) {
  const box = make("div", undefined, "answer");
  const draw = SEEN[about.kinds[name]];
  const seen = draw ? draw(name, found.value) : shown(found.value);
  box.append(make("h3", name), seen);
  if (found.probabilities) {
    const sorted = Object.entries(found.probabilities).sort((a, b) => b[1] - a[1]);
    const list = make("ul", undefined, "bars");
    for (const [label, share] of sorted.slice(0, SHOWN)) list.append(bar(label, share));
    box.append(list);
    if (sorted.length > SHOWN) box.append(make("small", words.more.replace("{}", sorted.length - SHOWN)));
  }
  return box;
}

function failed(reply) {
  const list = make("ul", undefined, "error");
  const problems = reply.problems || [];
  for (const p of problems) list.append(make("li", p.where.replace(/^row\./, "") + ": expected " + p.expected + ", found " + p.found));
  if (!problems.length) list.append(make("li", reply.error || words.failed));
  return list;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  const began = performance.now();
  try {
    const where = "/predict" + (about.several ? "?model=" + encodeURIComponent(about.model) : "");
    const response = await fetch(where, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ rows: [row()] }) });
    const reply = await response.json();
    if (!response.ok) return show(failed(reply));
    const parts = Object.entries(reply.predictions[0]).map(([name, found]) => answer(name, found));
    for (const note of reply.notes || []) parts.push(make("p", note, "quiet"));
    parts.push(make("small", words.took.replace("{}", Math.round(performance.now() - began))));
    show(...parts);
  } catch (error) {
    show(failed({}));
  } finally {
    button.disabled = false;
  }
});
