// How elements are made. Text is always a text node: what users named and wrote is never read as markup.

/** An element. `on…` attributes listen, `hidden`, `disabled` and the like are properties, anything else is an attribute. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Write a text where it differs, so that a screen reader is not told the same again and a selection stays. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A time, relative, with the exact one as its title. `tick` keeps all of them true. */
export function when(iso) {
  const element = h("time");
  setTime(element, iso);
  return element;
}

export function setTime(element, iso) {
  element.dateTime = iso ?? "";
  element.title = iso ? new Date(iso).toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" }) : "";
  say(element, iso ? relative(iso) : "–");
}

export function tick() {
  for (const element of document.querySelectorAll("main time")) if (element.dateTime) say(element, relative(element.dateTime));
}

/** A table with a caption and headers: `columns` are [text, class] pairs. Of class `stack`, its rows are cards where the page is narrow. */
export function table(caption, columns, body, kind = "") {
  const heads = columns.map(([text, kind]) => h("th", { scope: "col", class: kind }, text));
  const made = h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, ...heads)), body);
  // Scrolled by its own bar where it is wide, so it must be reachable by keyboard.
  return h("div", { class: `scroll ${kind}`.trim(), tabindex: "0", role: "region", "aria-label": caption }, made);
}

const STEPS = [
  ["second", 60],
  ["minute", 60],
  ["hour", 24],
  ["day", 7],
  ["week", 4.35],
  ["month", 12],
  ["year", Infinity],
];
const WORDS = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

function relative(iso) {
  let distance = (new Date(iso) - Date.now()) / 1000;
  for (const [unit, size] of STEPS) {
    if (Math.abs(distance) < size)
      return unit === "second" && distance > -5 && distance < 5 ? "just now" : WORDS.format(Math.round(distance), unit);
    distance /= size;
  }
  return iso;
}
