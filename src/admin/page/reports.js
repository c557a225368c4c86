// The list of reports held, and the explanation of one.

import { $, bytes, copyButton, counted, duration, el, number, set, svg, until } from "/ui/dom.js";
import { line, rect } from "/ui/plots.js";

const COLUMNS = [
  ["id", "Report"], [null, "Form"], ["trouble", "State"], ["age", "Age"], ["next_refresh", "Next refresh"],
  ["unchanged", "Unchanged for"], ["links", "Links"], ["clicks", "Clicks"], ["hits", "Hits"], ["bytes", "Size"], [null, "Last error"],
];
const NUMERIC = /Links|Clicks|Hits|Size/;
const STATES = { fresh: "fresh", stale: "refreshed behind", stale_if_error: "too old", expired: "expired" };
const order = { sort: "trouble", order: "desc", page: 1 };
const rows = new Map();
let ask, explainRow;

export function startReports(request, open) {
  [ask, explainRow] = [request, open];
  const head = el("tr", {}, ...COLUMNS.map(([sort, name]) => {
    const button = sort && el("button", { onclick: () => sortBy(sort) }, name);
    return el("th", { scope: "col", class: NUMERIC.test(name) ? "num" : null, "data-sort": sort }, button || name);
  }));
  $("list").tHead.append(head);
  for (const id of ["filter", "trouble", "empty"]) $(id).addEventListener("input", () => goTo(1));
  $("previous").addEventListener("click", () => goTo(order.page - 1));
  $("next").addEventListener("click", () => goTo(order.page + 1));
}

function sortBy(sort) {
  const first = sort === "id" || sort === "next_refresh" ? "asc" : "desc";
  const other = order.order === "asc" ? "desc" : "asc";
  order.order = order.sort === sort ? other : first;
  order.sort = sort;
  goTo(1);
}

function goTo(page) {
  order.page = Math.max(1, page);
  loadReports(true);
}

// A row under the pointer, the focus or a selection stays where it is.
function isHeld() {
  const body = $("list").tBodies[0], selection = getSelection();
  return body.matches(":hover") || body.contains(document.activeElement) || (!selection.isCollapsed && body.contains(selection.anchorNode));
}

export async function loadReports(anew = false) {
  const query = new URLSearchParams(order);
  const part = $("filter").value.trim();
  if (part) query.set("q", part);
  for (const id of ["trouble", "empty"]) if ($(id).checked) query.set(id, "1");
  const answer = await ask(`/cache?${query}`);
  if (!answer?.ok) return;
  render(await answer.json(), anew);
}

function render(list, anew) {
  const body = $("list").tBodies[0], held = !anew && isHeld();
  for (const cell of $("list").tHead.rows[0].cells) {
    const sorted = cell.dataset.sort === order.sort;
    if (sorted) cell.setAttribute("aria-sort", order.order === "asc" ? "ascending" : "descending");
    else cell.removeAttribute("aria-sort");
  }
  const seen = new Set();
  for (const item of list.items) {
    const key = `${item.id} ${item.no_clicks}`;
    seen.add(key);
    if (!rows.has(key)) rows.set(key, row(item));
    update(rows.get(key), item);
  }
  for (const [key, node] of rows) {
    if (!seen.has(key) && !held) {
      node.remove();
      rows.delete(key);
    }
  }
  if (!held) {
    list.items.forEach((item, at) => {
      const node = rows.get(`${item.id} ${item.no_clicks}`);
      if (body.children[at] !== node) body.insertBefore(node, body.children[at] ?? null);
    });
  }
  const filtered = $("filter").value || $("trouble").checked || $("empty").checked;
  set($("shown"), `${number(list.entries)} ${filtered ? "found" : "held"}`);
  set($("page"), `Page ${list.page} of ${Math.max(1, list.pages)}`);
  $("previous").disabled = list.page <= 1;
  $("next").disabled = list.page >= list.pages;
  $("none").hidden = list.entries > 0;
  set($("none"), filtered ? "No report is like that." : `No report has been asked for. Paste an id below, or point a dashboard at ${dataPort}.`);
}

export let dataPort = "the data port";
export const dataPortIs = (address) => (dataPort = address);

function row(item) {
  const open = el("button", { class: "id", onclick: () => explainRow(item.id) }, item.id);
  const first = el("td", {}, open, " ", copyButton(item.id), item.name ? ` ${item.name}` : "");
  return el("tr", {}, first, ...COLUMNS.slice(1).map(([, name]) => el("td", { class: NUMERIC.test(name) ? "num" : name === "Last error" ? "wide" : null })));
}

function update(node, item) {
  const state = item.last_error ? "failing" : item.answer === "refusal" ? "refused" : STATES[item.state] ?? item.state;
  const values = [
    item.no_clicks === "true" ? "all links" : "clicked", state, duration(item.age_seconds), item.next_refresh_at ? until(item.next_refresh_at) : "not foreseen",
    duration(item.unchanged_for_seconds), number(item.links), number(item.clicks), number(item.hits), bytes(item.bytes), item.last_error ?? "–",
  ];
  values.forEach((value, at) => set(node.cells[at + 1], value));
  node.cells[2].className = item.last_error ? "red" : item.answer === "refusal" || state === "too old" ? "amber" : "";
}

// The lifetime as a bar: fresh, refreshed behind, kept for errors, and now.
function lifetime(held) {
  const { fresh_until_seconds: fresh, stale_while_revalidate_until_seconds: behind, stale_if_error_until_seconds: kept } = held.lifetime;
  const end = Math.max(kept, behind, fresh, held.age_seconds, 1), width = 600;
  // By the cube root, since the last part is a hundred times as long as the first.
  const x = (age) => (Math.cbrt(Math.min(age, end)) / Math.cbrt(end)) * width;
  const words = `fresh until ${duration(fresh)}, refreshed behind until ${duration(behind)}, kept for errors until ${duration(kept)}; now ${duration(held.age_seconds)}`;
  const part = (from, to, kind) => rect(kind, x(from), 4, Math.max(x(to) - x(from), 0), 12);
  const bar = svg("svg", { viewBox: `0 0 ${width} 20`, role: "img" }, svg("title", {}, words));
  bar.append(part(0, fresh, "green"), part(fresh, behind, "blue"), part(behind, kept, "band"), line(x(held.age_seconds), 0, x(held.age_seconds), 20, "now"));
  return el("div", {}, bar, el("p", { class: "quiet" }, words));
}

function formOf(report) {
  const { held } = report, name = report.no_clicks === "true" ? "All links" : "Clicked links";
  const parts = [el("h3", {}, name), el("p", {}, `${report.next[0].toUpperCase()}${report.next.slice(1)}.`)];
  if (held) {
    parts.push(lifetime(held));
    parts.push(el("p", {}, `${counted(held.links, "link")}, ${counted(held.clicks, "click")}, unchanged for ${duration(held.unchanged_for_seconds)}; ${held.source}, lifetime by: ${held.lifetime.why}`));
    if (held.plan) parts.push(el("p", {}, `Its answers have missed about ${held.plan.owes} clicks; at ${held.plan.price} it is refreshed. About ${held.plan.clicks_per_hour} clicks an hour.`));
  }
  const failure = held?.last_refresh_error ?? report.last_fetch_error;
  if (failure) parts.push(el("p", { class: "red" }, `Last error: ${failure.error} (${failure.failures} in a row, next try in ${duration(failure.next_try_in_seconds)}).`));
  return el("div", {}, ...parts);
}

export function explained(told, actions) {
  const [last] = told.clicks?.changes ?? [];
  const clicks = last && el("p", {}, `Last change: ${counted(last.difference, "click")}, ${duration(last.seconds_ago)} ago.`);
  $("detail").replaceChildren(el("h3", {}, told.name ?? told.id), el("p", {}, told.sent.why), clicks ?? "", ...told.reports.map(formOf), el("p", { class: "bar" }, ...actions));
  $("detail").hidden = false;
  $("detail").focus();
}

