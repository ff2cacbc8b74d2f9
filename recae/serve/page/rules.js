// The rules that can be turned on: each is a switch with, for most, one number.
import { element } from "./elements.js";

// `body(value, column)` is the rule as the service reads it; `needs(columns)` whether it can be used.
const RULES = [
  { name: "seen", label: "Show my picks again", hint: "Titles that you picked may be in the list.", top: () => ({ exclude_seen: false }) },
  { name: "most", label: "Limit each category", hint: "At most this many titles of one category.", number: { low: 1, high: 20, step: 1, start: 2, unit: "of a category" }, needs: (columns) => groups(columns).length > 0, body: (value, column) => ({ at_most: Math.round(value), category: column }) },
  { name: "variety", label: "More variety", hint: "Prefers titles that are unlike those above them.", range: { low: 0.05, high: 1, step: 0.05, start: 0.3 }, body: (value, column) => ({ diversity: value, ...(column ? { category: column } : {}) }) },
  { name: "newer", label: "Prefer new titles", hint: "A title counts half for every so many days of its age.", number: { low: 1, high: 36500, step: 1, start: 365, unit: "days" }, needs: (columns) => columns.includes("date"), body: (value) => ({ half_life: value }) },
  { name: "least", label: "Minimum score", hint: "Leaves out titles with a lower score.", number: { low: -1e9, high: 1e9, step: "any", start: 0.1, unit: "or more" }, body: (value) => ({ min_score: value }) },
  { name: "chance", label: "Some surprises", hint: "Draws this share of the places at random from the next best titles.", range: { low: 0.05, high: 1, step: 0.05, start: 0.2 }, body: (value) => ({ explore: value }) },
];

// The columns that may hold categories, and the one that does.
const groups = (columns) => columns.filter((name) => name !== "title" && name !== "date");
const USUAL = ["category", "categories", "genre", "genres"];

function columnOf(on, columns) {
  const known = groups(columns);
  return known.includes(on.of) ? on.of : USUAL.find((name) => known.includes(name)) ?? known[0];
}

const startOf = (rule) => (rule.range ?? rule.number)?.start ?? 1;
const limits = (rule) => rule.range ?? rule.number;

function valueOf(rule, text) {
  const { low, high } = limits(rule) ?? { low: 1, high: 1 }, value = Number(text);
  return Number.isFinite(value) && text.trim() !== "" ? Math.min(Math.max(value, low), high) : startOf(rule);
}

export const rulesOn = (on, columns) =>
  RULES.filter((rule) => on[rule.name] !== undefined && (!rule.needs || rule.needs(columns))).length;

// {rules: the object of the request, top: what stands beside it}
export function rulesBody(on, blocked, columns) {
  const found = { rules: blocked.length ? { block: blocked } : {}, top: {} };
  for (const rule of RULES) {
    if (on[rule.name] === undefined || (rule.needs && !rule.needs(columns))) continue;
    const value = valueOf(rule, on[rule.name]);
    Object.assign(found.rules, rule.body?.(value, columnOf(on, columns)));
    Object.assign(found.top, rule.top?.(value));
  }
  return found;
}

// Makes the switches once, and sets them by `on` each time.
export function drawRules(box, on, columns, changed) {
  if (!box.children.length) box.append(...RULES.map((rule) => made(rule)), choice());
  for (const [n, rule] of RULES.entries()) {
    const part = box.children[n], [tick, field] = part.querySelectorAll("input");
    part.hidden = rule.needs !== undefined && !rule.needs(columns);
    part.onchange = ({ target }) => {
      if (target === tick && !tick.checked) delete on[rule.name];
      else on[rule.name] = field ? String(valueOf(rule, field.value)) : "1";
      changed();
    };
    tick.checked = on[rule.name] !== undefined;
    if (!field) continue;
    if (document.activeElement !== field || !tick.checked) field.value = String(valueOf(rule, on[rule.name] ?? ""));
    part.querySelector(".set").hidden = !tick.checked;
    const shown = part.querySelector("output");
    if (shown) shown.textContent = field.value;
  }
  drawChoice(box.lastElementChild, on, columns, changed);
}

// Which column the categories are in, where there are several.
function choice() {
  const select = element("select", { "data-key": "rule-of" });
  return element("div", { class: "rule" }, element("label", { class: "field" }, "Categories are in ", select));
}

function drawChoice(part, on, columns, changed) {
  const known = groups(columns), select = part.querySelector("select");
  part.hidden = known.length < 2 || (on.most === undefined && on.variety === undefined);
  const names = known.map((name) => element("option", { value: name, selected: name === columnOf(on, columns) }, name));
  select.replaceChildren(...names);
  part.onchange = () => {
    on.of = select.value;
    changed();
  };
}

function made(rule) {
  const id = `rule-${rule.name}`;
  const tick = element("input", { type: "checkbox", id, "aria-describedby": `${id}-hint`, "data-key": id });
  const part = element("div", { class: "rule" },
    element("label", {}, tick, rule.label),
    element("p", { class: "hint", id: `${id}-hint` }, rule.hint));
  const range = limits(rule);
  if (range) {
    const field = element("input", { type: rule.range ? "range" : "number", min: range.low, max: range.high, step: range.step, "aria-label": rule.label, "data-key": `${id}-value` });
    const shown = rule.range ? element("output", {}) : element("span", { class: "unit" }, range.unit);
    if (rule.range) field.addEventListener("input", () => { shown.textContent = field.value; });
    part.append(element("div", { class: "set" }, field, shown));
  }
  return part;
}
