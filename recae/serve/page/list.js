// One list of recommendations: titles, reasons, and what can be done with each row.
import { counted, element, keyOf, named, nameOf, number, show, signed } from "./elements.js";

const ICONS = {
  like: "M10 4v12M4 10h12",
  block: "M10 3a7 7 0 1 0 0 14a7 7 0 0 0 0-14M5.2 5.2l9.6 9.6",
};

function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const drawn = document.createElementNS(space, "svg"), line = document.createElementNS(space, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" })) drawn.setAttribute(key, value);
  line.setAttribute("d", path);
  drawn.append(line);
  return drawn;
}

// answer: of /v1/recommend; others: rank by key in the list beside it, or null for one list alone.
export function drawList(answer, { others, name, beside, opened, titles, like, block, toggle }) {
  const items = answer.items ?? [];
  const rows = items.map((item) => row(item, { others, beside, opened, titles, like, block, toggle, list: name }));
  const heading = others === null ? null : element("h3", {}, answer.model ?? name);
  const list = rows.length
    ? element("ol", { "aria-label": `Recommendations of ${answer.model ?? name}` }, ...rows)
    : element("p", { class: "empty" }, "Nothing is left to recommend. Turn off a rule, or unblock a title.");
  return element("section", { class: "list" }, heading, list, ...notes(answer));
}

function row(item, { others, beside, opened, titles, like, block, toggle, list }) {
  const key = `${list} ${keyOf(item.item_id)}`, title = nameOf(item);
  const reasons = (item.because ?? []).map((reason) => ({ ...reason, title: nameOf({ ...titles.get(keyOf(reason.item_id)), ...reason }) }));
  const panel = reasons.length ? bars(reasons, title) : null;
  const details = element("div", { class: "details", id: `why ${key}`.replace(/\s/g, "-") }, panel);
  show(details, opened.has(key) && panel !== null);
  const why = panel && element("button", {
    class: "why", "aria-expanded": String(!details.hidden), "aria-controls": details.id, "data-key": `why ${key}`,
    "aria-label": `Why ${title}?`,
  }, "Why?");
  why?.addEventListener("click", () => {
    show(details, details.hidden);
    why.setAttribute("aria-expanded", String(!details.hidden));
    toggle(key, !details.hidden);
  });
  return element("li", {},
    element("span", { class: "rank", "aria-hidden": "true" }, String(item.rank ?? "")),
    element("div", { class: "what" },
      element("span", { class: "title" }, title),
      place(others, item, beside)),
    element("span", { class: "score", title: "score" }, element("span", { class: "only" }, "score "), number(item.score)),
    element("span", { class: "actions" },
      element("button", { class: "icon", "data-key": `like ${key}`, "aria-label": `Add ${title} to what you like`, title: "I like this", onclick: () => like(item) }, icon(ICONS.like)),
      element("button", { class: "icon", "data-key": `block ${key}`, "aria-label": `Block ${title}`, title: "Never show this", onclick: () => block(item) }, icon(ICONS.block))),
    why && element("div", { class: "because" }, ...because(reasons), why),
    details);
}

function because(reasons) {
  const strongest = reasons.filter((reason) => reason.contribution > 0).slice(0, 2);
  return strongest.length ? ["Because you liked ", ...named(strongest.map((reason) => reason.title)), ". "] : [];
}

// Where the row is in the list beside it.
function place(others, item, beside) {
  if (others === null) return null;
  const rank = others.get(keyOf(item.item_id));
  return rank === undefined
    ? element("span", { class: "place alone" }, "only in this list")
    : element("span", { class: "place" }, `rank ${rank} in ${beside}`);
}

function bars(reasons, title) {
  const most = Math.max(...reasons.map((reason) => Math.abs(reason.contribution)), Number.MIN_VALUE);
  const both = reasons.some((reason) => reason.contribution < 0) && reasons.some((reason) => reason.contribution > 0);
  const lines = reasons.map((reason) => {
    const bar = element("i", { class: reason.contribution < 0 ? "against" : "for" });
    bar.style.width = `${(Math.abs(reason.contribution) / most) * (both ? 50 : 100)}%`;
    return element("li", {},
      element("span", { class: "from" }, reason.title),
      element("span", { class: both ? "bar both" : "bar", "aria-hidden": "true" }, bar),
      element("span", { class: "amount" }, signed(reason.contribution)));
  });
  return element("div", {},
    element("p", { class: "hint" }, "How much each of your picks adds to the score"),
    element("ul", { class: "bars", "aria-label": `What speaks for ${title}` }, ...lines));
}

function notes(answer) {
  const given = answer.notes ?? [], cause = given.some((note) => note.rule !== "short" && note.short);
  const told = [...new Set(given.filter((note) => note.rule !== "short" || !cause).map(sentence))];
  if (answer.unknown) {
    told.unshift(`${counted(answer.unknown, "pick is", "picks are")} unknown to this model and ${answer.unknown === 1 ? "does" : "do"} not count.`);
  }
  return told.length ? [element("ul", { class: "notes", "aria-label": "Notes" }, ...told.map((text) => element("li", {}, text)))] : [];
}

const ABOUT = {
  short: () => "Only these titles are left.",
  allowed: (note) => note.short && "Only these titles are left.",
  min_score: (note) => note.short && "The minimum score leaves no more titles.",
  at_most: (note) => note.short && "The limit of each category leaves no more titles.",
};

// A note of the service as a sentence; one that the page does not know as its rule and numbers.
function sentence(note) {
  const { rule, ...counts } = note;
  const known = ABOUT[rule]?.(note);
  if (known) return known;
  const facts = Object.entries(counts).map(([name, value]) =>
    `${name.replaceAll("_", " ")} ${typeof value === "number" ? number(value) : JSON.stringify(value)}`);
  return `Rule ${String(rule).replaceAll("_", " ")}: ${facts.join(", ")}`;
}
