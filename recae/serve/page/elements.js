// Small makers of elements. Text from the service only ever becomes text, never markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const show = (node, shown) => { node.hidden = !shown; };

// The text 7 and the number 7 are two items.
export const keyOf = (id) => typeof id === "string" ? `'${id}` : String(id);
export const nameOf = (item) => item.title === undefined || item.title === null || String(item.title).trim() === ""
  ? String(item.item_id) : String(item.title);

export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(Number(value))) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  const text = size < 0.001 || size >= 1e6
    ? Number(value).toExponential(1)
    : Number(value).toLocaleString("en", size >= 1000 ? { maximumSignificantDigits: 4 } : { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
  return text.replace("-", "−");
}

export const signed = (value) => value > 0 ? `+${number(value)}` : number(value);

export function counted(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

// "A", "A and B", "A, B and C", as nodes with the names in <b>.
export function named(names) {
  return names.flatMap((name, n) => [
    n === 0 ? "" : n === names.length - 1 ? " and " : ", ", element("b", {}, name),
  ]);
}
