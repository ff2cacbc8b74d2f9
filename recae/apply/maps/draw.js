// What is drawn on the canvas of a map: points with colours and marks, and their names.
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
  for (const at of data.named ? data.order : []) {
    if (count >= most) break;
    if (visible(at) && at !== chosen && !marked.includes(at) && put(at)) count += 1;
  }
  pen.globalAlpha = 1;
}
const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };
