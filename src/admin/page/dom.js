// Elements, and how numbers and times are told. Everything that comes from outside becomes text, never HTML.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

export const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

// In place, so that a selection survives.
export function set(node, text) {
  const shown = text ?? "";
  if (node.textContent === shown) return;
  if (node.childNodes.length !== 1) node.textContent = shown;
  else node.firstChild.data = shown;
}

// Makes a node like another, and changes only what differs.
function patch(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) return set(old, fresh.data);
  for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
  old.tell = fresh.tell;
  show(old, ...fresh.childNodes);
}
export function show(node, ...fresh) {
  if (node.childNodes.length !== fresh.length) node.replaceChildren(...fresh);
  else [...node.childNodes].forEach((child, at) => patch(child, fresh[at].nodeType ? fresh[at] : new Text(fresh[at])));
}

export const number = (value) => (value == null ? "–" : value.toLocaleString("en-US"));
export const counted = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
export const percent = (share) => (share == null ? "–" : `${Math.round(share * 1000) / 10} %`);

export function bytes(count) {
  const [unit, size] = count < 1024 ? ["B", 1] : count < 1048576 ? ["KiB", 1024] : ["MiB", 1048576];
  return `${Number((count / size).toPrecision(3))} ${unit}`;
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
export function duration(seconds) {
  if (seconds == null) return "–";
  const whole = Math.max(0, Math.round(seconds)), from = UNITS.findIndex(([, size]) => whole >= size);
  if (from < 0) return "0 s";
  const [[unit, size], next] = UNITS.slice(from), rest = next && Math.floor((whole % size) / next[1]);
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${next[0]}` : ""}`;
}

// The clock of the proxy, which may not be that of this machine.
let ahead = 0;
export function clockIs(date) {
  const told = Date.parse(date);
  if (!Number.isNaN(told) && Math.abs(told - now()) > 1500) ahead = told - Date.now();
}
export const now = () => Date.now() + ahead;

export const since = (time) => duration((now() - Date.parse(time)) / 1000);
export const ago = (time) => `${since(time)} ago`;
export const until = (time) => `in ${duration((Date.parse(time) - now()) / 1000)}`;
export const utc = (milliseconds) => new Date(milliseconds).toISOString().slice(11, 19);

// A duration that is counted on until the next answer; the time itself is in its title.
export function ticking(time, tell) {
  const node = el("time", { datetime: time, title: time }, tell(time));
  node.tell = tell;
  return node;
}
export function tick() {
  for (const node of document.querySelectorAll("time")) set(node, node.tell(node.dateTime));
}

export function table(columns, rows) {
  const head = el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, name)));
  const cell = (value) => el("td", { class: (value?.textContent ?? String(value)).length > 40 ? "wide" : null }, value ?? "–");
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell)))));
}
// One that may be wider than the page.
export const scroll = (...children) => el("div", { class: "scroll", tabindex: 0 }, ...children);

export function copyButton(text) {
  // There is no clipboard where the page came by plain HTTP from another machine.
  const copied = () => navigator.clipboard.writeText(text).then(() => set(button, "Copied"));
  const button = el("button", { onclick: copied, disabled: navigator.clipboard ? null : "" }, "Copy");
  return button;
}
