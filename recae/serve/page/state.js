// What the page shows, and the link that shows it again: #like=1,2,'abc&block=3&k=20&model=ease
import { keyOf } from "./elements.js";

const MOST_IDS = 1000;

const write = (id) => typeof id === "string" ? `'${encodeURIComponent(id)}` : String(id);

function readId(text) {
  if (text.startsWith("'")) return decodeURIComponent(text.slice(1));
  if (!/^-?\d{1,20}$/.test(text)) throw new RangeError(text);
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

function readIds(text) {
  const ids = new Map();
  for (const part of text.split(",").slice(0, MOST_IDS)) {
    try {
      const id = readId(part);
      ids.set(keyOf(id), { item_id: id });
    } catch { /* a damaged link shows what is left of it */ }
  }
  return [...ids.values()];
}

export function fromLink(hash) {
  const state = { history: [], blocked: [], k: 10, model: null, other: null, rules: {} };
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name, text = ""] = [part.split("=", 1)[0], part.slice(part.indexOf("=") + 1)];
    if (!part.includes("=")) continue;
    try {
      if (name === "like") state.history = readIds(text);
      else if (name === "block") state.blocked = readIds(text);
      else if (name === "k") state.k = Math.min(Math.max(Number.parseInt(text, 10) || 10, 1), 1000);
      else if (name === "model") state.model = decodeURIComponent(text) || null;
      else if (name === "with") state.other = decodeURIComponent(text) || null;
      else if (name.startsWith("rule-")) state.rules[name.slice(5)] = decodeURIComponent(text);
    } catch { /* as above */ }
  }
  return state;
}

export function toLink({ history, blocked, k, model, other, rules }) {
  const parts = [];
  if (history.length) parts.push(`like=${history.map((item) => write(item.item_id)).join(",")}`);
  if (blocked.length) parts.push(`block=${blocked.map((item) => write(item.item_id)).join(",")}`);
  if (k !== 10) parts.push(`k=${k}`);
  if (model) parts.push(`model=${encodeURIComponent(model)}`);
  if (other) parts.push(`with=${encodeURIComponent(other)}`);
  for (const [name, value] of Object.entries(rules)) parts.push(`rule-${name}=${encodeURIComponent(value)}`);
  return parts.length ? `#${parts.join("&")}` : "";
}
