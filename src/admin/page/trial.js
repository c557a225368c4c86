// Try it: what a request would cost, then the answer with what it means.

import { $, copyButton, counted, duration, el, number, percent, scroll, set, table } from "/ui/dom.js";
import { dataPort } from "/ui/reports.js";

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;
let send, told, cost = null;

export function startTrial(request, shown) {
  [send, told] = [request, shown];
  $("try-id").addEventListener("input", (event) => {
    if (/no_clicks=(true|1)/i.test(event.target.value)) $("try-all").checked = true;
    price();
  });
  $("try-all").addEventListener("input", price);
  $("trial").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!$("try").disabled) run();
  });
}

export function prepare(id) {
  $("try-id").value = id;
  $("try-id").focus();
  price();
}

const wanted = () => $("try-id").value.match(UUID)?.[0].toLowerCase() ?? null;
const form = () => ($("try-all").checked ? "true" : "false");

// What it costs, told before the button can be pressed.
async function price() {
  const id = wanted();
  $("try").disabled = true;
  cost = null;
  if (!id) {
    set($("cost"), $("try-id").value.trim() && "There is no id in it.");
    return;
  }
  const answer = await send(`/cache/${id}`);
  if (!answer?.ok || id !== wanted()) return;
  const { held, next, cost_calls } = (await answer.json()).reports.find((report) => report.no_clicks === form());
  const left = told()?.calls.remaining, of = left == null ? "" : ` of ${number(left)} left today`;
  cost = cost_calls;
  const words = cost ? `costs ${counted(cost, "call")}${of}` : "costs nothing";
  set($("cost"), `${held ? `Held, ${duration(held.age_seconds)} old` : "Not held"}: ${words}. ${next[0].toUpperCase()}${next.slice(1)}.`);
  $("try").disabled = false;
}

async function run() {
  const id = wanted(), all = form();
  const mode = told()?.calls.mode;
  if (cost && mode !== "normal" && !confirm(`Calls are scarce (${mode}). Spend one?`)) return;
  const headers = { "X-Requested-By": "page" };
  if ($("token").value) headers.Authorization = `Bearer ${$("token").value}`;
  $("try").disabled = true;
  const answer = await send(`/try/${id}${all === "true" ? "?no_clicks=true" : ""}`, { method: "POST", headers });
  if (answer) await showAnswer(id, all, answer);
  else $("result").replaceChildren(el("p", { class: "red" }, "No answer."));
  $("result").focus();
  price();
}

// Cache-Status in words; the first that is in it.
const MEANINGS = [
  ["detail=rationed", "from memory, since calls are scarce"], ["detail=shared", "from another replica"],
  ["collapsed", "waited for a call under way"], ["fwd=uri-miss", "fetched now, by a call"], ["fwd-status=200", "fetched anew"],
  ["fwd=stale", "from memory, since a newer one failed"], ["ttl=-", "from memory, and refreshed behind"], ["hit", "from memory"],
];

async function showAnswer(id, all, answer) {
  const text = await answer.text(), age = answer.headers.get("age"), how = answer.headers.get("cache-status") ?? "";
  const words = MEANINGS.find(([part]) => how.includes(part));
  const parts = [el("h3", {}, `${answer.status}${words ? `: ${words[1]}` : ""}${age === null ? "" : `, ${duration(age)} old`}`), el("p", { class: "quiet" }, how)];
  let report = null;
  try {
    report = JSON.parse(text);
  } catch {
    parts.push(el("p", {}, text));
  }
  if (report && answer.ok) parts.push(...links(report, how));
  else if (report) parts.push(el("p", { class: "red" }, `${report.error_key}: ${report.error_message}`));
  if (report) parts.push(el("details", {}, el("summary", {}, "JSON, as it came"), el("pre", {}, JSON.stringify(report, null, 2))));
  if (answer.ok) parts.push(...recipes(id, all));
  $("result").replaceChildren(...parts);
}

function links(report, how) {
  const counts = [...(report.link_click_counts ?? [])].sort((one, other) => other.unique_clicks - one.unique_clicks);
  if (!counts.length) return [el("p", {}, `No links: ${how.replace(/.*detail=/, "").replace("_", " ").replace("unknown", "not sent, or nobody clicked")}.`)];
  const sum = counts.reduce((total, link) => total + (link.unique_clicks || 0), 0);
  const rows = counts.map(({ link_url, unique_clicks }) => {
    const share = sum ? unique_clicks / sum : 0;
    return [address(String(link_url)), number(unique_clicks), el("span", {}, el("meter", { value: share, "aria-label": "share" }), ` ${percent(share)}`)];
  });
  return [el("p", {}, `${counted(counts.length, "link")}, ${counted(sum, "unique click")}.`), scroll(table(["Link", "Unique clicks", "Share"], rows))];
}

// Text; a link only to the web, and nobody there learns where it was clicked.
function address(text) {
  try {
    if (["http:", "https:"].includes(new URL(text).protocol)) return el("a", { href: text, rel: "noreferrer noopener", target: "_blank" }, text);
  } catch {
    // It is text then.
  }
  return el("span", {}, text);
}

function recipes(id, all) {
  const base = dataPort, path = `/v3/reports/email_reports/${id}/links`;
  const query = all === "true" ? "?no_clicks=true" : "", url = base + path + query;
  const list = [["curl", `curl -s '${url}'`],
    ["Python", `import requests; links = requests.get("${url}").json()["link_click_counts"]`],
    ["Power Query", `Json.Document(Web.Contents("${base}", [RelativePath="${path.slice(1)}"${query && ', Query=[no_clicks="true"]'}]))[link_click_counts]`],
    ["Infinity (Grafana)", `JSON, parser Backend, URL ${url}, root selector link_click_counts`]];
  return [el("h3", {}, "Elsewhere"), ...list.map(([name, text]) => el("div", {}, el("p", { class: "bar" }, name, copyButton(text)), el("pre", {}, text)))];
}
