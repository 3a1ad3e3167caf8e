
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

// the picture that an output is of, as the reader chose it; null where the browser can't show it
function pictureOf(name) {
  const of = about.overlays[name].of;
  const input = [...form.querySelectorAll("input[type=file]")].find((i) => !of || i.dataset.name === of);
  const image = input && document.getElementById("p" + input.id.slice(1));
  return image && !image.hidden && image.naturalWidth ? image : null;
}

function key(entries) {
  const list = make("ul", undefined, "tags key");
  for (const [colour, text] of entries) {
    const item = make("li", undefined, "tag");
    const swatch = drawing("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
    swatch.append(drawing("rect", { width: 10, height: 10, rx: 2, fill: colour }));
    item.append(swatch, make("span", text));
    list.append(item);
  }
  if (!entries.length) list.append(make("li", "–", "quiet"));
  return list;
}

function boxes(name, value) {
  const whole = make("div", undefined, "value drawn");
  const image = pictureOf(name);
  const labels = [...new Set(value.map((b) => b.label))].sort();
  const colourOf = (label) => COLOURS[labels.indexOf(label) % COLOURS.length];
  const counts = labels.map((label) => [colourOf(label), value.filter((b) => b.label === label).length + " " + label]);
  if (image) {
    const [wide, high] = [image.naturalWidth, image.naturalHeight];
    const unit = wide / Math.min(result.clientWidth || 480, 480); // of a pixel as it is seen
    const size = 13 * unit;
    const said = name + ": " + (counts.map((c) => c[1]).join(", ") || "–");
    const svg = drawing("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": said, width: "100%" });
    svg.append(drawing("image", { href: image.src, width: wide, height: high }));
    for (const b of value) {
      const frame = { x: b.x1, y: b.y1, width: b.x2 - b.x1, height: b.y2 - b.y1, fill: "none" };
      svg.append(drawing("rect", { ...frame, stroke: "#fff", "stroke-opacity": 0.7, "stroke-width": 4.5 * unit }));
      svg.append(drawing("rect", { ...frame, stroke: colourOf(b.label), "stroke-width": 2 * unit, "class": "box" }));
    }
    for (const b of value) {
      const right = b.x1 > 0.7 * wide; // words that would leave the picture end where their box ends
      const words = { x: right ? b.x2 : b.x1, y: b.y1 > size * 1.2 ? b.y1 - 4 * unit : Math.min(b.y2 + size, high - 2 * unit), "text-anchor": right ? "end" : "start" };
      const look = { "font-size": size, "font-weight": 700, fill: colourOf(b.label), stroke: "#fff", "stroke-width": 3.5 * unit, "stroke-linejoin": "round", "paint-order": "stroke" };
      svg.append(drawing("text", { ...words, ...look }, b.label + " " + b.score.toFixed(2)));
    }
    whole.append(svg);
  }
  whole.append(key(counts));
  return whole;
}

function loaded(data) {
  const image = new Image();
  return new Promise((resolve, reject) => {
    image.onload = () => resolve(image);
    image.onerror = reject;
    image.src = "data:image/png;base64," + data;
  });
}

// a canvas of the size of an answer, with the picture under it; and the answer's own pixels
function layers(name, said, alt) {
  const canvas = make("canvas");
  [canvas.width, canvas.height] = [said.naturalWidth, said.naturalHeight];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", alt);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(said, 0, 0);
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  const image = pictureOf(name);
  if (image) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  else pen.fillRect(0, 0, canvas.width, canvas.height);
  return [canvas, pen, pixels];
}

function mixed(canvas, pen, colour) {
  const under = pen.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < under.data.length; at += 4) {
    const found = colour(at);
    if (!found) continue;
    for (let c = 0; c < 3; c++) under.data[at + c] = (1 - found[3]) * under.data[at + c] + found[3] * found[c];
  }
  pen.putImageData(under, 0, 0);
}

const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

async function labelled(name, found, whole) {
  const { values, background } = about.overlays[name];
  const labels = Object.keys(values).filter((label) => label !== background);
  const colours = new Map(labels.map((label, i) => [values[label], [...rgb(COLOURS[i % COLOURS.length]), 0.55]]));
  const coloured = Object.values(values).some((v) => v > 255);
  const shares = labels.map((label, i) => [COLOURS[i % COLOURS.length], label + ": " + (100 * (found.beside || {})[label]).toFixed(1) + " %"]);
  const [canvas, pen, pixels] = layers(name, await loaded(found.value), name + ": " + shares.map((s) => s[1]).join(", "));
  mixed(canvas, pen, (at) => colours.get(coloured ? pixels[at] * 65536 + pixels[at + 1] * 256 + pixels[at + 2] : pixels[at]));
  whole.append(canvas, key(shares));
}

async function heated(name, found, whole) {
  const data = found.beside[about.overlays[name].heat];
  const [canvas, pen, pixels] = layers(name, await loaded(data), name + ": " + found.value);
  let hottest = 128; // the threshold
  for (let at = 0; at < pixels.length; at += 4) hottest = Math.max(hottest, pixels[at]);
  mixed(canvas, pen, (at) => [224, 49, 49, 0.75 * (pixels[at] / hottest) ** 2]);
  whole.append(canvas);
}

function picture(name, found) {
  const image = make("img", undefined, "value drawn");
  image.src = "data:image/png;base64," + found.value;
  image.alt = name;
  return image;
}

// over the picture that was read, where the output says how
function overlaid(name, found, draw, ...first) {
  const whole = make("div", undefined, "value drawn");
  whole.append(...first);
  draw(name, found, whole).catch(() => whole.append(picture(name, found)));
  return whole;
}

function beside(found) {
  const list = make("ul", undefined, "quiet beside");
  for (const [what, value] of Object.entries(found.beside || {})) if (typeof value === "number") list.append(make("li", what + " " + number(value)));
  return list;
}

function sound(name, found) {
  const player = make("audio", undefined, "value");
  player.src = "data:audio/wav;base64," + found.value;
  player.controls = true;
  player.setAttribute("aria-label", name);
  return player;
}

const SEEN = { boxes: (name, found) => boxes(name, found.value), picture, sound };

function seen(name, found) {
  const how = about.overlays[name];
  if (how.values) return [overlaid(name, found, labelled)];
  const draw = SEEN[about.kinds[name]];
  const parts = [draw ? draw(name, found) : shown(found.value), beside(found)];
  return how.heat && found.beside ? [...parts, overlaid(name, found, heated)] : parts;
}

function answer(name, found) {
  const box = make("div", undefined, "answer");
  box.append(make("h3", name), ...seen(name, found));
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
