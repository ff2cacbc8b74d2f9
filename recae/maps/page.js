// A map on a canvas: points with colours and marks, zoom, search, and what is near each point.
const data = JSON.parse(document.getElementById("points").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), pen = canvas.getContext("2d"), n = data.x.length;
const dark = matchMedia("(prefers-color-scheme: dark)");
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const make = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

// What is seen: a place in units is at (place - middle) * scale from the middle of the canvas.
const view = { x: data.units / 2, y: data.units / 2, scale: 1 };
let width = 0, height = 0, ratio = 1, least = 1;
let colour = data.colours.find((some) => some.name === $("colour")?.value) ?? null;
let chosen = -1, hovered = -1, waiting = false;
const hidden = new Set();  // groups that are not shown
const across = (at) => (data.x[at] - view.x) * view.scale + width / 2;
const down = (at) => (data.y[at] - view.y) * view.scale + height / 2;
const visible = (at) => !colour?.groups || !hidden.has(colour.codes[at]);

// Marks: a path around (0, 0) of about radius 1, the same as in the picture.
const corners = (count, turn, inner) => Array.from({ length: inner ? 2 * count : count }, (_, k) => {
  const angle = turn + (k * 2 * Math.PI) / (inner ? 2 * count : count);
  const far = inner && k % 2 ? inner : 1;
  return [far * Math.cos(angle), far * Math.sin(angle)];
});
const up = -Math.PI / 2, cross = (turn) => {
  const arm = [[-.35, -1], [.35, -1], [.35, -.35], [1, -.35], [1, .35], [.35, .35], [.35, 1], [-.35, 1], [-.35, .35], [-1, .35], [-1, -.35], [-.35, -.35]];
  return arm.map(([x, y]) => [x * Math.cos(turn) - y * Math.sin(turn), x * Math.sin(turn) + y * Math.cos(turn)]);
};
const MARKS = [null, [[-.85, -.85], [.85, -.85], [.85, .85], [-.85, .85]], corners(3, up), corners(4, up), corners(3, -up), cross(0), cross(Math.PI / 4), corners(5, up)];
function outline(pen, mark, x, y, radius) {
  pen.beginPath();
  if (!MARKS[mark]) pen.arc(x, y, radius, 0, 2 * Math.PI);
  else MARKS[mark].forEach(([a, b], k) => pen[k ? "lineTo" : "moveTo"](x + a * radius * 1.15, y + b * radius * 1.15));
  pen.closePath();
}

// Sprites: every look is drawn once, and copied to all its points.
const STEPS = 64;
let sprites = [], looks = new Uint8Array(n);
const shades = () => (dark.matches ? data.dark : data.light);
function mixed(part) {
  const scale = shades().scale, place = part * (scale.length - 1), low = Math.min(Math.floor(place), scale.length - 2);
  const channel = (text, at) => parseInt(text.slice(1 + 2 * at, 3 + 2 * at), 16);
  return `rgb(${[0, 1, 2].map((at) => Math.round(channel(scale[low], at) * (1 - place + low) + channel(scale[low + 1], at) * (place - low))).join()})`;
}
const range = () => {
  const known = colour.values.filter((value) => value !== null);
  return known.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
};
function prepare() {
  const kinds = shades().groups, other = kinds.length - 1;
  if (!colour) { sprites = [[kinds[0], 0]]; looks.fill(0); }
  else if (colour.groups) {
    sprites = [...colour.groups.map((_, k) => [kinds[k], k]), [kinds[other], 0, .65]];
    looks = Uint8Array.from(colour.codes);
  } else {
    const [low, high] = range(), bend = colour.logarithmic ? Math.log : (value) => value;
    sprites = Array.from({ length: STEPS }, (_, k) => [mixed(k / (STEPS - 1)), 0]);
    sprites.push([kinds[other], 0]);
    looks = Uint8Array.from(colour.values, (value) => value === null ? STEPS : high > low ? Math.round((STEPS - 1) * (bend(value) - bend(low)) / (bend(high) - bend(low))) : STEPS >> 1);
  }
}
const radius = () => Math.min(9, Math.max(1.6, Math.sqrt((width * height) / n) / 7) * (view.scale / least) ** .3);
function sprite([shade, mark, part = 1], size) {
  const made = document.createElement("canvas"), side = Math.ceil((size * 2 + 4) * ratio), brush = made.getContext("2d");
  made.width = made.height = side;
  outline(brush, mark, side / 2, side / 2, size * part * ratio);
  brush.globalAlpha = .88; brush.fillStyle = shade; brush.fill();
  return made;
}

// Order of drawing: what says least first; the chosen point and its neighbours last.
let layers = [];
function arrange() {
  const last = sprites.length - 1, rank = colour?.groups ? (k) => (k === last ? -1 : k) : (k) => (k === last ? -1 : k);
  layers = Array.from({ length: n }, (_, at) => at).sort((a, b) => rank(looks[a]) - rank(looks[b]) || a - b);
}
function draw() {
  waiting = false;
  const size = radius(), drawn = sprites.map((look) => sprite(look, size));
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const at of layers) {
    if (!visible(at)) continue;
    const x = across(at), y = down(at);
    if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
    const image = drawn[looks[at]];
    pen.drawImage(image, x * ratio - image.width / 2, y * ratio - image.width / 2);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const marked = chosen < 0 ? [] : data.near[chosen];
  pen.strokeStyle = style("--ink"); pen.lineWidth = 1;
  pen.globalAlpha = .55;
  for (const at of marked) { pen.beginPath(); pen.moveTo(across(chosen), down(chosen)); pen.lineTo(across(at), down(at)); pen.stroke(); }
  pen.globalAlpha = 1;
  for (const at of marked) ring(at, size + 2, 1.5);
  if (hovered >= 0) ring(hovered, size + 3, 2);
  if (chosen >= 0) ring(chosen, size + 4, 3);
  write(size, marked);
}
function ring(at, far, thick) {
  pen.lineWidth = thick; pen.beginPath(); pen.arc(across(at), down(at), far, 0, 2 * Math.PI); pen.stroke();
}
const short = (text, most) => ((text = [...text]).length <= most ? text.join("") : `${text.slice(0, most - 1).join("").trimEnd()}…`);
const names = data.titles.map((title) => short(title.replace(/\s+/g, " "), 30));
const widths = new Map();
function write(size, marked) {
  pen.font = `${width < 600 ? 11 : 12}px ${getComputedStyle(document.body).fontFamily}`;
  pen.textBaseline = "middle"; pen.lineJoin = "round"; pen.lineWidth = 3;
  const most = Math.min(60, Math.max(6, Math.round((width * height) / 26000))), boxes = [[width - 48, 0, width, 136]];
  const put = (at, must) => {
    const x = across(at), y = down(at);
    if (x < 2 || y < 8 || x > width - 2 || y > height - 8) return false;
    if (!widths.has(at)) widths.set(at, pen.measureText(names[at]).width);
    const long = widths.get(at);
    for (const left of [x + size + 4, x - size - 4 - long]) {
      const box = [left - 3, y - 8, left + long + 3, y + 8];
      if (box[0] < 0 || box[2] > width) continue;
      if (boxes.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      boxes.push(box);
      pen.strokeStyle = style("--paper"); pen.strokeText(names[at], left, y);
      pen.fillStyle = style("--ink"); pen.fillText(names[at], left, y);
      return true;
    }
    return false;
  };
  for (const at of [chosen, ...marked]) if (at >= 0) put(at);
  if (chosen >= 0 && marked.length) pen.globalAlpha = .75;
  let count = 0;
  for (const at of data.order) {
    if (count >= most) break;
    if (visible(at) && at !== chosen && !marked.includes(at) && put(at)) count += 1;
  }
  pen.globalAlpha = 1;
}
const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };

// Zoom and movement.
function show() { view.x = view.y = data.units / 2; view.scale = least; redraw(); }
function resize() {
  const box = canvas.getBoundingClientRect(), before = least;
  if (!box.width || !box.height) return;
  [width, height, ratio] = [box.width, box.height, Math.min(devicePixelRatio || 1, 3)];
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const [wide, high] = [data.x, data.y].map((places) => { let low = Infinity, top = -Infinity; for (const p of places) { low = Math.min(low, p); top = Math.max(top, p); } return Math.max(top - low, data.units / 20); });
  least = Math.min((width - 40) / wide, (height - 40) / high);
  view.scale = before === 1 ? least : view.scale * least / before;
  widths.clear(); redraw();
}
function zoom(by, x = width / 2, y = height / 2) {
  const scale = Math.min(Math.max(view.scale * by, least * .8), least * 200);
  view.x += (x - width / 2) * (1 / view.scale - 1 / scale);
  view.y += (y - height / 2) * (1 / view.scale - 1 / scale);
  view.scale = scale; move(0, 0);
}
function move(x, y) {
  const held = (place) => Math.min(Math.max(place, 0), data.units);
  view.x = held(view.x - x / view.scale); view.y = held(view.y - y / view.scale);
  redraw();
}

// Which point is where: a grid of lists.
const CELLS = 96, cell = data.units / CELLS, grid = Array.from({ length: CELLS * CELLS }, () => []);
for (let at = 0; at < n; at += 1) grid[Math.min(CELLS - 1, Math.floor(data.y[at] / cell)) * CELLS + Math.min(CELLS - 1, Math.floor(data.x[at] / cell))].push(at);
function pick(x, y, reach) {
  const px = (x - width / 2) / view.scale + view.x, py = (y - height / 2) / view.scale + view.y, far = reach / view.scale;
  const [left, right, top, bottom] = [px - far, px + far, py - far, py + far].map((place) => Math.min(CELLS - 1, Math.max(0, Math.floor(place / cell))));
  let best = -1, distance = far * far;
  for (let row = top; row <= bottom; row += 1) for (let column = left; column <= right; column += 1) {
    for (const at of grid[row * CELLS + column]) {
      const apart = (data.x[at] - px) ** 2 + (data.y[at] - py) ** 2;
      if (apart <= distance && visible(at)) [best, distance] = [at, apart];
    }
  }
  return best;
}

// What is said of a point.
const told = (some, at) => some.groups ? some.texts[some.text[at]] : some.values[at] === null ? "" : some.values[at].toLocaleString("en", { maximumSignificantDigits: 6 });
function choose(at, centre = false) {
  chosen = at; hovered = -1; tip.hidden = true;
  $("hint").hidden = at >= 0;
  const details = $("details");
  details.replaceChildren();
  if (at >= 0) {
    const facts = make("dl", null, { class: "facts-of" });
    const fact = (name, text) => text && facts.append(make("dt", name), make("dd", text));
    if (data.ids) fact("id", data.ids[at]);
    for (const some of data.colours) fact(some.name, told(some, at));
    const near = make("ul", null, { class: "near" });
    for (const other of data.near[at]) {
      const button = make("button", data.titles[other], { type: "button" });
      button.addEventListener("click", () => { choose(other, true); details.querySelector("h2").focus(); });
      const line = make("li", null);
      line.append(button); near.append(line);
    }
    details.append(make("h2", data.titles[at], { tabindex: "-1" }), facts, make("h3", "Nearest by their vectors"), near);
    if (centre) {
      view.scale = Math.max(view.scale, least * 3); view.x = data.x[at]; view.y = data.y[at];
      if (!visible(at)) { hidden.delete(colour.codes[at]); legend(); }
    }
  }
  redraw();
}
const tip = $("tip");
function hover(at, x, y) {
  if (at === hovered) return;
  hovered = at; tip.hidden = at < 0; canvas.style.cursor = at < 0 ? "" : "pointer";
  if (at >= 0) {
    const facts = data.colours.map((some) => told(some, at) && `${some.name}: ${told(some, at)}`).filter(Boolean);
    const nearest = data.near[at].slice(0, 3).map((other) => names[other]).join("; ");
    tip.replaceChildren(make("strong", data.titles[at]), ...facts.map((fact) => make("small", fact)), make("small", `near: ${nearest}`));
    const box = tip.getBoundingClientRect();
    const left = across(at) + 14 + box.width > width ? across(at) - 14 - box.width : across(at) + 14;
    tip.style.transform = `translate(${Math.max(0, left)}px, ${Math.max(0, Math.min(down(at) + 10, height - box.height))}px)`;
  }
  redraw();
}

// Hands: mouse, touch and keys.
const pointers = new Map();
let moved = 0;
const spot = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); pointers.set(event.pointerId, spot(event)); if (pointers.size === 1) moved = 0; hover(-1); });
canvas.addEventListener("pointermove", (event) => {
  const now = spot(event), before = pointers.get(event.pointerId);
  if (!before) { if (event.pointerType !== "touch") hover(pick(...now, 14), ...now); return; }
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
  if (other) {
    const apart = (a) => Math.max(Math.hypot(a[0] - other[0], a[1] - other[1]), 10);
    zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  } else if (moved > 4) move(now[0] - before[0], now[1] - before[1]);
  pointers.set(event.pointerId, now);
});
const release = (event) => {
  if (pointers.delete(event.pointerId) && event.type === "pointerup" && moved <= 4 && !pointers.size) choose(pick(...spot(event), event.pointerType === "touch" ? 26 : 14));
};
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", release);
canvas.addEventListener("pointerleave", () => hover(-1));
canvas.addEventListener("wheel", (event) => { event.preventDefault(); hover(-1); zoom(Math.exp(-Math.max(-200, Math.min(200, event.deltaY * (event.deltaMode ? 30 : 1))) / 300), ...spot(event)); }, { passive: false });
canvas.addEventListener("dblclick", (event) => zoom(2, ...spot(event)));
canvas.addEventListener("keydown", (event) => {
  const step = 60, keys = {
    ArrowLeft: () => move(step, 0), ArrowRight: () => move(-step, 0), ArrowUp: () => move(0, step), ArrowDown: () => move(0, -step),
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: show, Escape: () => choose(-1),
    Enter: () => choose(pick(width / 2, height / 2, Math.hypot(width, height))),
  };
  if (keys[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); keys[event.key](); }
});
$("zoom-in").addEventListener("click", () => zoom(1.5));
$("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
$("zoom-all").addEventListener("click", show);

// The legend: groups that can be hidden, or a ramp of amounts.
function legend() {
  const key = $("key");
  key.replaceChildren();
  if (!colour) return;
  if (!colour.groups) {
    const [low, high] = range(), ramp = make("div", null, { class: "ramp" }), ends = make("div", null, { class: "ends" });
    if (!Number.isFinite(low)) return;
    ramp.style.background = `linear-gradient(to right, ${[0, .25, .5, .75, 1].map(mixed).join()})`;
    ends.append(make("span", low.toLocaleString("en")), make("span", colour.logarithmic ? "logarithmic" : ""), make("span", high.toLocaleString("en")));
    key.append(ramp, ends);
    return;
  }
  const box = make("div", null, { class: "key" }), buttons = [];
  [...colour.groups, "other"].forEach((name, code) => {
    if (!colour.counts[code]) return;
    const button = make("button", null, { type: "button", "aria-pressed": String(!hidden.has(code)) });
    const icon = sprite(sprites[code], 6);
    icon.style.width = icon.style.height = "16px";
    button.append(icon, make("span", `${short(name, 24)} (${colour.counts[code].toLocaleString("en")})`));
    button.addEventListener("click", () => { hidden.has(code) ? hidden.delete(code) : hidden.add(code); button.setAttribute("aria-pressed", String(!hidden.has(code))); redraw(); });
    buttons.push(code); box.append(button);
  });
  const both = make("div", null, { class: "both" });
  for (const [name, all] of [["all", true], ["none", false]]) {
    const button = make("button", name, { type: "button", "aria-label": all ? "Show all groups" : "Hide all groups" });
    button.addEventListener("click", () => { hidden.clear(); if (!all) buttons.forEach((code) => hidden.add(code)); legend(); redraw(); });
    both.append(button);
  }
  key.append(box, both);
}
function recolour() {
  colour = data.colours.find((some) => some.name === $("colour")?.value) ?? null;
  prepare(); arrange(); legend(); redraw();
}
$("colour")?.addEventListener("change", () => { hidden.clear(); recolour(); });
dark.addEventListener("change", recolour);

// Search by title, without regard to case and accents.
const search = $("search"), found = $("found");
const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
const keys = data.titles.map(folded);
let results = [], active = -1;
function list() {
  const wanted = folded(search.value.trim());
  results = [];
  if (wanted) {
    const all = data.order.filter((at) => keys[at].includes(wanted));
    results = [...all.filter((at) => keys[at].startsWith(wanted)), ...all.filter((at) => !keys[at].startsWith(wanted))].slice(0, 12);
  }
  active = results.length ? 0 : -1;
  found.replaceChildren(...results.map((at, k) => {
    const line = make("li", data.titles[at], { role: "option", id: `found-${k}` });
    line.addEventListener("pointerdown", (event) => { event.preventDefault(); take(k); });
    return line;
  }));
  if (wanted && !results.length) found.append(make("li", "no such title", { "aria-disabled": "true" }));
  found.hidden = !wanted;
  search.setAttribute("aria-expanded", String(!found.hidden));
  light();
}
function light() {
  [...found.children].forEach((line, k) => line.setAttribute("aria-selected", String(k === active)));
  if (active >= 0) { search.setAttribute("aria-activedescendant", `found-${active}`); found.children[active].scrollIntoView({ block: "nearest" }); }
  else search.removeAttribute("aria-activedescendant");
}
function take(k) { if (results[k] === undefined) return; choose(results[k], true); search.value = data.titles[results[k]]; close(); }
function close() { found.hidden = true; search.setAttribute("aria-expanded", "false"); search.removeAttribute("aria-activedescendant"); }
search.addEventListener("input", list);
search.addEventListener("blur", close);
search.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { close(); return; }
  if (found.hidden) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && results.length) { event.preventDefault(); active = (active + step + results.length) % results.length; light(); }
  if (event.key === "Enter") { event.preventDefault(); take(active); }
});

recolour();
new ResizeObserver(resize).observe(canvas);
resize();
