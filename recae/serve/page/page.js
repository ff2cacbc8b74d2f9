// The page: what is picked, the rules, the lists of one or two models, and the link to all of it.
import { call, Trouble, useToken } from "./calls.js";
import { counted, element, keyOf, nameOf, show } from "./elements.js";
import { drawList } from "./list.js";
import { drawRules, rulesBody, rulesOn } from "./rules.js";
import { searchField } from "./search.js";
import { fromLink, toLink } from "./state.js";

const REASONS = 5, STARTERS = 8;
const NO_REASONS = [422, 500, 501, 503, 504]; // of a model that has none to give, or takes too long
const at = (name) => document.querySelector(`#${name}`);
let state = fromLink(location.hash), models = [], running = null, touched = false, again = () => {};
const titles = new Map(), opened = new Set(), plain = new Set(); // plain: models without reasons

const remember = (item) => {
  if (item.title !== undefined && item.title !== null) titles.set(keyOf(item.item_id), { title: item.title });
};
const full = (item) => ({ ...item, ...titles.get(keyOf(item.item_id)) });
const among = (items, item) => items.some((other) => keyOf(other.item_id) === keyOf(item.item_id));
const without = (items, item) => items.filter((other) => keyOf(other.item_id) !== keyOf(item.item_id));
const say = (text) => { at("spoken").textContent = text; };

// Draws anew without losing the focus: the same control, or else the one that took its place.
function keepingFocus(draw) {
  const held = document.activeElement, key = held?.dataset?.key;
  const peers = (node) => [...document.querySelectorAll(`[data-key^="${CSS.escape(node.dataset.key.split(" ")[0])} "]`)];
  const place = key?.includes(" ") ? peers(held).indexOf(held) : -1;
  draw();
  if (!key || document.activeElement?.dataset?.key === key) return;
  const same = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (same) return same.focus({ preventScroll: true });
  if (place < 0) return;
  const kind = CSS.escape(key.split(" ")[0]);
  const left = [...document.querySelectorAll(`[data-key^="${kind} "]`)];
  (left[Math.min(place, left.length - 1)] ?? at("search")).focus({ preventScroll: true });
}

function changed() {
  history.replaceState(null, "", toLink(state) || location.pathname + location.search);
  keepingFocus(drawSide);
  update();
}

function pick(item) {
  remember(item);
  if (!among(state.history, item)) state.history.push({ item_id: item.item_id });
  state.blocked = without(state.blocked, item);
  say(`${nameOf(item)} added.`);
  changed();
}

function drawSide() {
  const drop = (kind, item, list, word) => element("li", {},
    element("span", {}, nameOf(full(item))),
    element("button", { class: "cross", "data-key": `${kind} ${keyOf(item.item_id)}`, "aria-label": `${word} ${nameOf(full(item))}`, onclick: () => {
      state[list] = without(state[list], item);
      changed();
    } }, "×"));
  at("picked").replaceChildren(...state.history.map((item) => drop("drop", item, "history", "Remove")));
  at("blocked").replaceChildren(
    ...(state.blocked.length ? [element("li", { class: "name" }, "Blocked")] : []),
    ...state.blocked.map((item) => drop("unblock", item, "blocked", "Unblock")));
  show(at("blocked"), state.blocked.length > 0);
  show(at("clear"), state.history.length > 0);
  show(at("none"), state.history.length === 0);
  drawRules(at("switches"), state.rules, columns(), changed);
  const on = rulesOn(state.rules, columns());
  at("active").textContent = on ? `${on} on` : "";
  show(at("reset"), on > 0);
  if (![...at("k").options].some((option) => Number(option.value) === state.k)) at("k").append(element("option", {}, String(state.k)));
  at("k").value = String(state.k);
  drawModels();
}

const columns = () => models.find((model) => model.name === (state.model ?? chosen()))?.columns ?? [];
const chosen = () => (models.find((model) => model.default) ?? models[0])?.name;

function drawModels() {
  show(at("models"), models.length > 1);
  if (models.length < 2) return;
  const first = state.model ?? chosen();
  const options = (some, picked) => some.map(({ name }) => element("option", { value: name, selected: name === picked }, name));
  at("model").replaceChildren(...options(models, first));
  const rest = models.filter(({ name }) => name !== first);
  at("other").replaceChildren(element("option", { value: "" }, "no other model"), ...options(rest, state.other));
}

function body(model, reasons) {
  const rules = rulesBody(state.rules, state.blocked.map((item) => item.item_id), columns());
  const asked = { history: state.history.map((item) => item.item_id), k: state.k, ...rules.top };
  if (model) asked.model = model;
  if (Object.keys(rules.rules).length) asked.rules = rules.rules;
  if (reasons) asked.explain = reasons;
  return asked;
}

// The list of one model; without reasons where the model has none to give.
async function listOf(model, signal, waiting) {
  const ask = (reasons) => call("v1/recommend", { body: body(model, reasons), signal, waiting });
  if (plain.has(model)) return ask(0);
  try {
    return await ask(REASONS);
  } catch (error) {
    if (!(error instanceof Trouble) || !NO_REASONS.includes(error.status)) throw error;
    const answer = await ask(0); // fails, too, where the reasons were not at fault
    plain.add(model);
    return answer;
  }
}

async function update() {
  running?.abort();
  const mine = running = new AbortController();
  show(at("start"), false);
  if (!state.history.length) return starters(mine);
  at("lists").setAttribute("aria-busy", "true");
  const first = state.model ?? chosen();
  const asked = state.other && state.other !== first ? [first, state.other] : [first];
  try {
    const answers = await Promise.all(asked.map((model) => listOf(model, mine.signal, waiting(mine))));
    if (mine === running) keepingFocus(() => drawLists(answers, asked));
  } catch (error) {
    if (mine !== running || error.name === "AbortError") return;
    mine.abort();
    at("lists").replaceChildren();
    show(at("summary"), false);
    failed(error, update);
  } finally {
    if (mine === running) at("lists").setAttribute("aria-busy", "false");
  }
}

function drawLists(answers, asked) {
  calm();
  for (const answer of answers) for (const item of answer.items ?? []) [item, ...(item.because ?? [])].forEach(remember);
  const ranks = answers.map((answer) => new Map((answer.items ?? []).map((item) => [keyOf(item.item_id), item.rank])));
  const top = answers[0].items?.[0];
  if (!touched) opened.clear(); // the reasons of the first are open until the reader chooses
  if (!touched && top && answers.length === 1) opened.add(`${asked[0] ?? "list"} ${keyOf(top.item_id)}`);
  at("lists").className = answers.length > 1 ? "lists two" : "lists";
  at("lists").replaceChildren(...answers.map((answer, n) => drawList(answer, {
    name: asked[n] ?? "list", beside: asked[1 - n], others: answers.length > 1 ? ranks[1 - n] : null,
    opened, titles, like: pick, block, toggle,
  })));
  const shared = answers.length > 1 ? [...ranks[0].keys()].filter((key) => ranks[1].has(key)).length : 0;
  const most = Math.min(...ranks.map((rank) => rank.size));
  at("summary").textContent = answers.length > 1 ? `${shared} of ${most} titles are in both lists.` : "";
  show(at("summary"), answers.length > 1);
  drawSide();
  say(answers.map((answer) => `${counted(answer.items?.length ?? 0, "recommendation")} of ${answer.model ?? "the model"}`).join(", "));
}

function toggle(key, on) {
  touched = true;
  on ? opened.add(key) : opened.delete(key);
}

function block(item) {
  remember(item);
  if (!among(state.blocked, item)) state.blocked.push({ item_id: item.item_id });
  say(`${nameOf(item)} blocked.`);
  changed();
}

// Without a pick: popular titles to begin with, if the service gives any.
async function starters(mine) {
  at("lists").replaceChildren();
  show(at("summary"), false);
  const head = element("p", { class: "lead" }, "What do you like?");
  const draw = (items) => {
    at("start").replaceChildren(head, ...(items.length ? [
      element("p", { class: "hint" }, "Search for a few titles, or begin with one of these."),
      element("ul", { class: "chips", "aria-label": "Popular titles" }, ...items.map((item) => element("li", {},
        element("button", { "data-key": `start ${keyOf(item.item_id)}`, onclick: () => { at("search").focus(); pick(item); } }, nameOf(item)))))] : []));
    show(at("start"), true);
  };
  draw([]);
  try {
    const asked = { history: [], k: STARTERS, ...(state.model ? { model: state.model } : {}) };
    const answer = await call("v1/recommend", { body: asked, signal: mine.signal, waiting: waiting(mine) });
    if (mine !== running) return;
    calm();
    draw(answer.items ?? []);
  } catch (error) {
    if (mine !== running || error.name === "AbortError") return;
    failed(error, update);
  }
}

function failed(error, retry) {
  console.warn(error);
  const trouble = error instanceof Trouble ? error : new Trouble("The page met a fault of its own. Reload it.");
  again = retry;
  if (trouble.status === 401 || trouble.status === 403) show(at("token"), true);
  at("trouble").querySelector("p").textContent = trouble.message;
  at("trouble").querySelector("button").textContent = "Try again";
  show(at("trouble"), true);
}

const calm = () => show(at("trouble"), false);

const waiting = (mine) => (seconds, retry) => {
  if (mine !== running) return;
  again = retry;
  at("trouble").querySelector("p").textContent = `The service is busy. The page asks again in ${counted(seconds, "second")}.`;
  at("trouble").querySelector("button").textContent = "Ask now";
  show(at("trouble"), true);
};

// The titles of what a link names.
async function nameShared() {
  const nameless = [...state.history, ...state.blocked].filter((item) => !titles.has(keyOf(item.item_id)));
  await Promise.allSettled(nameless.slice(0, 50).map(async ({ item_id }) => {
    const asked = new URLSearchParams({ q: String(item_id), limit: 1 });
    const answer = await call(`v1/items?${asked}`);
    for (const item of answer.items ?? answer) if (keyOf(item.item_id) === keyOf(item_id)) remember(item);
  }));
  if (nameless.length) keepingFocus(drawSide);
}

async function begin() {
  keepingFocus(drawSide);
  const mine = running = new AbortController();
  try {
    models = (await call("v1/models", { signal: mine.signal, waiting: waiting(mine) })).models ?? [];
  } catch (error) {
    if (error.name !== "AbortError") failed(error, begin);
    return;
  }
  const known = new Set(models.map(({ name }) => name));
  if (!known.has(state.model)) state.model = null;
  if (!known.has(state.other)) state.other = null;
  changed();
  nameShared();
}

async function share() {
  const button = at("share"), field = at("link").querySelector("input");
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
    say("The link is copied.");
    setTimeout(() => { button.textContent = "Copy link"; }, 2000);
  } catch { // only pages from this machine or over https may write to the clipboard
    field.value = location.href;
    show(at("link"), true);
    field.select();
  }
}

searchField({ pick, has: (item) => among(state.history, item), model: () => state.model, failed });
at("clear").addEventListener("click", () => { state.history = []; changed(); at("search").focus(); });
at("reset").addEventListener("click", () => { state.rules = {}; changed(); at("rules").querySelector("summary").focus(); });
at("k").addEventListener("change", () => { state.k = Number(at("k").value); changed(); });
at("model").addEventListener("change", () => {
  state.model = at("model").value === chosen() ? null : at("model").value;
  if (state.other === at("model").value) state.other = null;
  changed();
});
at("other").addEventListener("change", () => { state.other = at("other").value || null; changed(); });
at("share").addEventListener("click", share);
at("trouble").querySelector("button").addEventListener("click", () => { calm(); again(); });
at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(at("token").querySelector("input").value.trim());
  show(at("token"), false);
  calm();
  begin();
});
document.querySelector("[data-skip]").addEventListener("click", (event) => { // the fragment is the link's
  event.preventDefault();
  at("results").focus();
});
addEventListener("hashchange", () => { state = fromLink(location.hash); begin(); });
begin();
