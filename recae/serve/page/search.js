// The search field: a combobox with a list, after the pattern of the ARIA Authoring Practices.
import { call } from "./calls.js";
import { element, keyOf, nameOf, show } from "./elements.js";

const PAUSE = 120, MOST = 8;

// pick(item) is called with what was chosen; has(item) says what is picked; model() is asked.
export function searchField({ pick, has, model, failed }) {
  const input = document.querySelector("#search"), list = document.querySelector("#found");
  const nothing = document.querySelector("#nothing"), heard = document.querySelector("#heard");
  let items = [], at = -1, timer, running;

  const open = () => !list.hidden;
  function close() {
    running?.abort();
    clearTimeout(timer);
    [items, at] = [[], -1];
    list.replaceChildren();
    show(list, false);
    show(nothing, false);
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function mark(place) {
    at = place;
    [...list.children].forEach((row, n) => row.setAttribute("aria-selected", String(n === at)));
    if (at < 0) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", list.children[at].id);
    list.children[at].scrollIntoView({ block: "nearest" });
  }

  function draw(found, text) {
    items = found;
    list.replaceChildren(...items.map((item, n) => {
      const row = element("li", { role: "option", id: `option-${n}`, "aria-selected": "false" },
        element("span", {}, nameOf(item)),
        has(item) ? element("small", {}, "picked") : "");
      row.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus
      row.addEventListener("click", () => choose(n));
      return row;
    }));
    show(list, items.length > 0);
    show(nothing, items.length === 0);
    nothing.textContent = items.length ? "" : `No title matches “${text}”.`;
    heard.textContent = items.length
      ? `${items.length} ${items.length === 1 ? "title" : "titles"}. Use the arrow keys, and Enter to pick.`
      : nothing.textContent;
    input.setAttribute("aria-expanded", String(items.length > 0));
    mark(items.length ? 0 : -1);
  }

  async function look() {
    running?.abort();
    const text = input.value.trim();
    if (!text) return close();
    const mine = running = new AbortController();
    const asked = new URLSearchParams({ q: text, limit: MOST });
    if (model()) asked.set("model", model());
    try {
      const answer = await call(`v1/items?${asked}`, { signal: mine.signal, waiting: () => {} });
      const found = Array.isArray(answer) ? answer : answer.items ?? [];
      if (mine === running && !mine.signal.aborted) draw(found.slice(0, MOST), text);
    } catch (error) {
      if (error.name === "AbortError") return;
      close();
      failed(error, look);
    }
  }

  function choose(place) {
    const item = items[place];
    input.value = "";
    close();
    pick(item);
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return; // Enter ends the writing of a Japanese word, say
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (!open()) look();
      else if (!event.altKey) mark((at + step + items.length) % items.length);
      else if (step < 0) close();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (open() && at >= 0) choose(at);
      else look();
    } else if (event.key === "Escape") {
      if (open() || !nothing.hidden) close();
      else input.value = "";
      event.preventDefault();
    } else if (event.key === "Tab") close();
  });
  input.addEventListener("blur", () => setTimeout(() => {
    if (document.activeElement !== input) close();
  }, 0));
  input.addEventListener("focus", () => { if (input.value.trim()) look(); });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
  });
  return { focus: () => input.focus() };
}
