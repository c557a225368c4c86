// The status page: asks every two seconds whether anything is new, and shows it.

import { $, ago, bytes, clockIs, counted, duration, el, now, number, percent, set, show, since, table, tick, ticking, until, utc } from "/ui/dom.js";
import { MODES, draw } from "/ui/plots.js";
import { dataPortIs, explained, loadReports, startReports } from "/ui/reports.js";
import { prepare, startTrial } from "/ui/trial.js";

const EVERY = 2000, SLOWEST = 30000, LIST_EVERY = 10000;
let status = null, tag = null, history = [], opener = null, paused = false, timer = null, wait = EVERY;
let heardAt = null, failures = null, listAt = 0, historyAt = 0;

// The answer, or null if there was none.
async function call(path, options = {}) {
  try {
    const answer = await fetch(path, { cache: "no-store", ...options });
    if (answer.headers.get("date")) clockIs(answer.headers.get("date"));
    return answer;
  } catch {
    return null;
  }
}

async function poll() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  const answer = await call("/status", tag ? { headers: { "If-None-Match": tag } } : {});
  if (answer && (answer.ok || answer.status === 304)) {
    wait = EVERY;
    heardAt = now();
    lost(false);
    if (answer.ok) {
      tag = answer.headers.get("etag");
      status = await answer.json();
      showStatus();
    }
    await more(answer.ok);
  } else {
    lost(true);
    wait = Math.min(wait * 2, SLOWEST);
  }
  clearTimeout(timer);
  timer = setTimeout(poll, wait);
}

// What is asked for less often.
async function more(changed) {
  if (now() - historyAt > 60000) {
    const answer = await call(`/status/history?since=${history.at(-1)?.at ?? 0}`);
    if (answer?.ok) {
      const { columns, modes, rows } = await answer.json();
      const named = rows.map((row) => Object.fromEntries(row.map((value, at) => [columns[at], value])));
      history = [...history, ...named.map((row) => ({ ...row, mode: modes[row.mode] }))].slice(-1440);
      historyAt = history.length ? Math.max(history.at(-1).at * 1000 + 1000, now() - 58000) : now() - 55000;
      draw(history, status);
    }
  }
  if (changed || Date.now() - listAt > LIST_EVERY) {
    listAt = Date.now();
    await loadReports();
  }
  if (status && failures !== status.upstream.failures) {
    const answer = await call("/failures");
    if (answer?.ok) {
      failures = status.upstream.failures;
      showFailures(await answer.json());
    }
  }
}

function lost(is) {
  document.body.classList.toggle("old", is);
  $("banner").hidden = !is;
  if (is) set($("banner"), heardAt ? `No answer since ${utc(heardAt)} UTC: the figures are of then.` : "No answer yet.");
}

function showStatus() {
  const { process, sentence, since: begun } = status;
  $("sentence").className = sentence.severity;
  set($("text"), sentence.text);
  set($("advice"), sentence.runbook ? `${sentence.advice} Runbook: ${sentence.runbook}` : sentence.advice);
  show($("since"), ...(begun ? ["It has been so for ", ticking(begun, since), "."] : []));
  show($("process"), `${process.version} (${process.revision.slice(0, 12)}) on ${process.host} · ${process.serving} · up `, ticking(process.started_at, since));
  document.title = `${sentence.severity}: ${process.host}, link-report-proxy`;
  // Where it listens on all addresses, it can be reached by the name that this page came from.
  dataPortIs(`http://${process.data_port.replace(/^(0\.0\.0\.0|\[::\])/, location.hostname)}`);
  tiles();
  clients();
}

function tile(name, word, kind, big, ...lines) {
  return el("div", { class: "tile" }, el("h2", {}, name, el("span", { class: kind }, word)), el("div", { class: "big" }, big), ...lines.filter(Boolean).map((line) => el("div", {}, ...[line].flat())));
}

function tiles() {
  const { answers, freshness, calls, token, upstream, memory, fleet, plan } = status;
  const list = [];
  list.push(answers
    ? tile("Answers", answers.server_errors ? "errors" : "fine", answers.server_errors ? "red" : "green", `${number(answers.per_minute)} a minute`,
      `${percent(answers.from_cache)} from memory`, `${number(answers.server_errors)} with 5xx in ${duration(answers.window_seconds)}`)
    : tile("Answers", "collecting", "quiet", "–"));
  const young = freshness.within_ttl > 0.9;
  list.push(freshness.within_ttl === null ? tile("Freshness", "idle", "quiet", "–", "nothing served lately")
    : tile("Freshness", young ? "fresh" : "older", young ? "green" : "amber", duration(freshness.age_median_seconds),
      `median age when served; 95 %: ${duration(freshness.age_p95_seconds)}`, `${percent(freshness.within_ttl)} within ${duration(freshness.ttl_seconds)}`,
      `none older than ${duration(freshness.age_at_most_seconds)}`));
  // Where there is a plan, its price sees to it that they last.
  const runsOut = calls.burn_rates && calls.exhausted_at;
  list.push(tile("Calls today", ...(runsOut ? ["runs out", "amber"] : MODES[calls.mode]), `${number(calls.used)} of ${calls.limit === null ? "any number" : number(calls.limit)}`,
    calls.assumed && `${number(calls.assumed)} of these assumed`, calls.by_others && `${number(calls.by_others)} more by other programs`,
    calls.limit && `${number(calls.for_refreshes)} left for refreshes, ${number(calls.reserved)} kept for misses`,
    plan?.calls_rest_of_day != null && `${number(plan.calls_rest_of_day)} refreshes planned, at ${plan.price} clicks missed`,
    runsOut && ["used up at this pace ", ticking(runsOut, until)], ["starts anew ", ticking(calls.resets_at, until)]));
  const usable = token.status === "valid" || token.status === "renewing";
  list.push(tile("Token", token.status.replaceAll("_", " "), usable ? "green" : "red", token.source,
    token.expires_at ? ["expires ", ticking(token.expires_at, until)] : "expiry not known", token.renewal?.last_renewal_at && ["renewed ", ticking(token.renewal.last_renewal_at, ago)],
    token.renewal && `kept: ${token.renewal.durability}`, token.renewal?.last_error, token.status === "reauthorization_required" && "run: link-report-proxy login"));
  list.push(tile("Constant Contact", upstream.circuit === "closed" ? (upstream.failing_since ? "failing" : "fine") : `circuit ${upstream.circuit.replace("_", " ")}`, upstream.failing_since ? "red" : "green",
    upstream.median_ms === null ? "–" : `${number(upstream.median_ms)} ms`, ["last good answer ", upstream.last_success_at ? ticking(upstream.last_success_at, ago) : "never"],
    upstream.last_failure ? [`last failure: ${upstream.last_failure.error_key} ${upstream.last_failure.status ?? ""}, `, ticking(upstream.last_failure.at, ago)] : "no failure yet",
    upstream.next_trial_at && ["next try ", ticking(upstream.next_trial_at, until)]));
  const full = memory.bytes / memory.max_bytes;
  list.push(tile("Memory", full > 0.95 ? "full" : "room", full > 0.95 ? "amber" : "green", `${bytes(memory.bytes)} of ${bytes(memory.max_bytes)}`,
    `${counted(memory.reports, "report")}, ${counted(memory.refusals, "refusal")}`, `${number(memory.evicted)} evicted for room`));
  if (fleet) {
    const names = (fleet.replicas ?? []).map((replica) => `${replica.name}${replica.this ? " (this)" : ""}`).join(", ");
    list.push(tile("Replicas", fleet.store.replaceAll("_", " "), fleet.store === "up" ? "green" : "red", `${number(fleet.replicas?.length)} of ${number(fleet.replicas_configured)}`,
      names, `epoch ${fleet.epoch ?? "–"}`, `calls: store ${number(fleet.store_knew_calls)}, this replica ${number(fleet.this_replica_knows_calls)}`, fleet.last_error));
  }
  show($("tiles"), ...list);
}

const listed = (columns, rows, none) => (rows.length ? table(columns, rows) : el("p", {}, none));

function clients() {
  const rows = status.clients.map((client) => [client.client, number(client.requests), number(client.calls_today), client.last_asked ? ticking(client.last_asked, ago) : "–"]);
  show($("clients"), listed(["Client", "Requests", "Calls caused today", "Last asked"], rows, "Nobody yet."));
}

function showFailures(list) {
  const rows = list.items.map((item) => [ticking(item.at, ago), item.report, item.error_key, item.status ?? "none", item.error, item.upstream_request_id ?? "–", number(item.times)]);
  show($("failures"), listed(["When", "Report", "Error", "Status", "In words", "Request id, for the vendor's support", "Times"], rows, "None yet."));
}

async function explain(id) {
  const answer = await call(`/cache/${id}`);
  if (!answer?.ok) return;
  if (!$("detail").contains(document.activeElement)) opener = document.activeElement;
  const forget = el("button", { onclick: () => purge(id) }, "Forget it");
  const attempt = el("button", { onclick: () => prepare(id) }, "Try it");
  explained(await answer.json(), [forget, attempt, el("button", { onclick: close }, "Close")]);
}

async function purge(id) {
  if (!confirm(`Forget both reports of ${id}? Each costs a call then.`)) return;
  const headers = $("token").value ? { Authorization: `Bearer ${$("token").value}` } : {};
  const answer = await call(`/cache/${id}`, { method: "DELETE", headers });
  $("detail").prepend(el("p", { role: "status" }, answer?.ok ? "Forgotten." : `Refused: ${await answer?.text()}`));
  loadReports(true);
}

function close() {
  $("detail").hidden = true;
  opener?.focus();
}

function flat(value, name, rows) {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flat(inner, name ? `${name}.${key}` : key, rows);
  } else rows.push([name, value === null ? "not set" : Array.isArray(value) ? value.join(", ") || "none" : String(value)]);
  return rows;
}

$("settings").addEventListener("toggle", async () => {
  const answer = $("settings").open ? await call("/config") : null;
  if (!answer?.ok) return;
  const { origins, reload, ...settings } = await answer.json();
  const rows = flat(settings, "", []).map(([name, value]) => [name, value, origins ? origins[name] ?? "default" : "–"]);
  show($("settings").lastElementChild, table(["Setting", "Value", "From"], [...rows, ...flat(reload, "reload", []).map((row) => [...row, "–"])]));
});

function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  set($("pause"), paused ? "Go on" : "Pause");
  if (!paused) poll();
}
$("pause").addEventListener("click", pause);

const KEYS = {
  "/": () => $("filter").focus(), t: () => $("try-id").focus(), p: pause, "?": () => $("keys").focus(),
  r: () => ([historyAt, listAt] = [0, 0]) && poll(),
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    document.activeElement.blur();
    if (!$("detail").hidden) close();
  }
  const typing = event.target.matches("input:not([type=checkbox]), textarea, select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !$("keys").checked || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
document.addEventListener("visibilitychange", () => !document.hidden && poll());
addEventListener("resize", () => draw(history, status));
setInterval(() => {
  if (document.hidden) return;
  set($("clock"), `${utc(now())} UTC, ${new Date(now()).toLocaleTimeString()} here`);
  if (!paused) tick();
}, 1000);

startReports(call, explain);
startTrial(call, () => status);
poll();
