// What happens to a map: zoom, movement, what is said of a point, the legend and the search.

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
  if (wanted && !results.length) found.append(make("li", "nothing of that name", { "aria-disabled": "true" }));
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
