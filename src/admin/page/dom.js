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
  if (node.textContent !== shown) node.textContent = shown;
}

export const number = (value) => (value == null ? "–" : value.toLocaleString("en-US"));
export const percent = (share) => (share == null ? "–" : `${Math.round(share * 1000) / 10} %`);

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  return count < 1048576 ? `${(count / 1024).toFixed(0)} KiB` : `${(count / 1048576).toFixed(1)} MiB`;
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
  const node = el("time", { datetime: time, title: time });
  node.tick = () => set(node, tell(time));
  node.tick();
  return node;
}
export function tick() {
  for (const node of document.querySelectorAll("time")) if (node.tick) node.tick();
}

export function table(columns, rows) {
  const head = el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, name)));
  const cell = (value) => el("td", { class: (value?.textContent ?? String(value)).length > 40 ? "wide" : null }, value ?? "–");
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell)))));
}

export function copyButton(text) {
  // There is no clipboard where the page came by plain HTTP from another machine.
  const copied = () => navigator.clipboard.writeText(text).then(() => set(button, "Copied"));
  const button = el("button", { type: "button", onclick: copied, disabled: navigator.clipboard ? null : "" }, "Copy");
  return button;
}
