// Three plots of the last day, drawn by hand.

import { $, duration, el, now, number, scroll, svg, table, utc } from "/ui/dom.js";

const HEIGHT = 190, LEFT = 52, RIGHT = 12, TOP = 12, DAY = 86400;
// Which calls the day still allows. Each begins with another letter, since colour alone tells nothing.
export const MODES = { normal: ["enough", "green"], throttled: ["scarce", "blue"], misses_only: ["misses only", "amber"], exhausted: ["used up", "red"] };

export const line = (x1, y1, x2, y2, kind) => svg("line", { x1, y1, x2, y2, class: kind });
const label = (x, y, text, anchor = "start", kind = "") => svg("text", { x, y, "text-anchor": anchor, class: kind }, text);
const curve = (points, kind) => svg("path", { class: kind, d: points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") });
export const rect = (kind, x, y, width, height) => svg("rect", { class: kind, x, y, width, height });

// An empty day from `start` on, in Unix seconds, with its hours.
function chart(figure, start, caption, strip = 0) {
  const width = Math.max(280, Math.floor($("plots").clientWidth)), right = width - RIGHT, bottom = HEIGHT - 26 - strip;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" }, svg("title", {}, caption), svg("desc", {}, "By hours of UTC; below as a table."));
  const x = (time) => LEFT + ((time - start) / DAY) * (right - LEFT), step = width < 480 ? 21600 : 10800;
  for (let at = Math.ceil(start / step) * step; at <= start + DAY; at += step) {
    drawing.append(line(x(at), TOP, x(at), bottom, "grid"), label(x(at), HEIGHT - 4, at === start + DAY ? "24" : utc(at * 1000).slice(0, 2), "middle"));
  }
  // Drawn whole each time; its table stays open.
  const done = (columns, rows) => {
    const open = figure.querySelector("details")?.open ? "" : null;
    figure.replaceChildren(el("figcaption", {}, caption), drawing, el("details", { open }, el("summary", {}, "As a table"), scroll(table(columns, rows))));
  };
  return { add: (...shapes) => drawing.append(...shapes), x, right, bottom, done };
}

// For the tables: a row an hour, and the last.
const hourly = (rows, tell) => rows.filter((row, at) => at === rows.length - 1 || row.at % 3600 < 60).map((row) => [utc(row.at * 1000).slice(0, 5), ...tell(row)]);

function plotCalls(rows, { limit, used, reserved, resets_at, burn_rates }) {
  const end = Date.parse(resets_at) / 1000, start = end - DAY, at = now() / 1000;
  const today = rows.filter((row) => row.at > start), recent = today.filter((row) => row.at > at - 1800);
  const slope = recent.length > 1 ? (used - recent[0].calls_today) / (at - recent[0].at) : null;
  const forecast = slope === null ? null : Math.round(used + slope * (end - at));
  const told = slope === null ? "" : `; at the pace of the last half hour about ${number(forecast)} by midnight`;
  const { add, x, right, bottom, done } = chart($("plot-calls"), start, `Calls against the plan, today by UTC: ${number(used)}${limit ? ` of ${number(limit)}` : ", without a limit"}${told}`, 16);
  const top = Math.max(limit ?? forecast, used, 1) * 1.04, y = (count) => bottom - (Math.min(count, top) / top) * (bottom - TOP);
  if (limit) {
    add(rect("band", LEFT, y(limit), right - LEFT, y(limit - reserved) - y(limit)), line(LEFT, y(limit), right, y(limit), "red"), curve([[x(start), y(0)], [x(end), y(limit)]], "pace"));
    add(label(LEFT - 4, y(limit) + 4, number(limit), "end"), label(LEFT + 4, y(limit) + 13, `${number(reserved)} kept for misses${burn_rates ? "" : "; refreshes stop there"}`));
    // Above these, refreshes are fewer, or stop; the reserve shrinks with the hours left, but not below that of one.
    const left = (time) => (end - time) / DAY, hours = (time) => Math.max(left(time), 1 / 24), kept = reserved / hours(at);
    for (const rate of burn_rates ?? []) {
      const points = [start, end - 3600, end].map((time) => [x(time), y(limit - kept * hours(time) - ((limit - kept) * left(time)) / rate)]);
      add(curve(points, "amber"), label(LEFT + 4, points[0][1] - 4, rate < 2 ? "scarce" : "refreshes stop"));
    }
  }
  add(label(LEFT - 4, bottom, "0", "end"));
  const spent = [...today.map((row) => [row.at, row.calls_today]), [at, used]];
  add(curve(spent.flatMap(([time, count], index) => [[x(time), y(spent[Math.max(index - 1, 0)][1])], [x(time), y(count)]]), "blue"));
  if (forecast !== null) add(curve([[x(at), y(used)], [x(end), y(forecast)]], "dots"), label(right - 2, Math.max(y(forecast) - 5, TOP + 24), number(forecast), "end", "on"));
  add(line(x(at), TOP, x(at), bottom, "now"), label(x(at), TOP - 2, "now", at - start > DAY / 2 ? "end" : "start", "on"));
  for (const row of today) {
    if (row.started) add(label(x(row.at), bottom - 2, "▲", "middle", "amber"));
    if (row.throttled) add(label(x(row.at), bottom - 12, "✕", "middle", "red"));
  }
  // The strip below: which calls were allowed, by colour and letter.
  for (let from = 0, index = 1; index <= today.length; index++) {
    if (today[index]?.mode === today[from].mode) continue;
    const [word, kind] = MODES[today[from].mode], begin = x(today[from].at), width = x(today[index]?.at ?? at) - begin;
    add(rect(kind, begin, bottom + 2, Math.max(width, 1), 12));
    if (width > 12) add(label(begin + 3, bottom + 12, width > 80 ? word : word[0].toUpperCase(), "start", "in"));
    from = index;
  }
  done(["UTC", "calls", "mode"], hourly(today, (row) => [number(row.calls_today), MODES[row.mode][0]]));
}

function plotAges(rows, { ttl_seconds, served_until_seconds }) {
  const start = now() / 1000 - DAY, known = rows.filter((row) => row.at > start && row.age_median_seconds !== null);
  const { add, x, right, bottom, done } = chart($("plot-ages"), start, "Age when served: median and 95th percentile");
  const y = (age) => bottom - (Math.log(Math.min(Math.max(age, 1), DAY)) / Math.log(DAY)) * (bottom - TOP);
  for (const age of [1, 60, 3600, DAY]) add(line(LEFT, y(age), right, y(age), "grid"), label(LEFT - 4, y(age) + 4, duration(age), "end"));
  for (const [age, word] of [[ttl_seconds, "fresh"], [served_until_seconds, "refreshed first"]]) add(line(LEFT, y(age), right, y(age), "pace"), label(LEFT + 4, y(age) - 4, `${word} ${duration(age)}`));
  for (const [column, kind, name, below] of [["age_p95_seconds", "amber", "95 %", -5], ["age_median_seconds", "blue", "median", 14]]) {
    const points = known.map((row) => [x(row.at), y(row[column])]), last = points.at(-1);
    if (last) add(curve([...points, last], kind), label(last[0] - 4, last[1] + below, name, "end", "on"));
  }
  done(["UTC", "median", "95 %"], hourly(known, (row) => [duration(row.age_median_seconds), duration(row.age_p95_seconds)]));
}

function plotRefreshes(rows) {
  const start = Math.ceil(now() / 300000) * 300 - DAY, sums = Array.from({ length: DAY / 300 }, () => [0, 0, 0]), all = [0, 0, 0];
  for (const row of rows) {
    const sum = sums[Math.floor((row.at - 1 - start) / 300)];
    row.refreshes_changed_unchanged_failed.forEach((count, kind) => sum && ((sum[kind] += count), (all[kind] += count)));
  }
  const [changed, unchanged, failed] = all, most = Math.max(1, ...sums.map((sum) => sum[0] + sum[1] + sum[2]));
  const share = changed + unchanged ? `${Math.round((100 * changed) / (changed + unchanged))} % brought something new` : "none yet";
  const { add, x, right, bottom, done } = chart($("plot-refreshes"), start, `Refreshes by five minutes: ${share}${failed ? `, ${number(failed)} failed` : ""}`);
  add(label(LEFT - 4, TOP + 4, number(most), "end"), label(LEFT - 4, bottom, "0", "end"), line(LEFT, bottom, right, bottom, "grid"));
  const kinds = [["green", "changed", 4], ["quiet", "unchanged", 74], ["red", "failed", 156]];
  sums.forEach((sum, at) => {
    let base = bottom;
    kinds.forEach(([kind], which) => {
      const height = (sum[which] / most) * (bottom - TOP);
      if (height) add(rect(kind, x(start + at * 300), (base -= height), Math.max((right - LEFT) / sums.length - 0.4, 1), height));
    });
  });
  for (const [kind, word, at] of kinds) add(label(LEFT + at, TOP + 2, `■ ${word}`, "start", kind));
  const told = sums.map((sum, at) => [utc((start + at * 300) * 1000).slice(0, 5), ...sum.map(number)]).filter((_, at) => sums[at].some(Boolean));
  done(["UTC", "changed", "unchanged", "failed"], told.slice(-48));
}

export function draw(rows, status) {
  if (!rows.length || !status) return;
  plotCalls(rows, status.calls);
  plotAges(rows, status.freshness);
  plotRefreshes(rows);
}
