// Three plots of the last day, drawn by hand.

import { $, duration, el, now, number, svg, table, utc } from "/ui/dom.js";

const HEIGHT = 190, LEFT = 52, RIGHT = 12, TOP = 12, BOTTOM = 26;
const DAY = 86400;
const MODES = { normal: ["N", "normal", "f-green"], throttled: ["S", "scarce", "f-blue"], misses_only: ["M", "misses only", "f-amber"], exhausted: ["X", "exhausted", "f-red"] };

function frame(width, title, description) {
  return svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" }, svg("title", {}, title), svg("desc", {}, description));
}

const line = (x1, y1, x2, y2, kind) => svg("line", { x1, y1, x2, y2, class: kind });
const label = (x, y, text, anchor = "start", kind = "") => svg("text", { x, y, "text-anchor": anchor, class: kind }, text);
const curve = (points, kind) => svg("path", { class: kind, d: points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") });

function hours(drawing, x, from, bottom, width) {
  const step = width < 480 ? 6 : 3;
  const first = Math.ceil(from / (step * 3600)) * step * 3600;
  for (let at = first; at <= from + DAY; at += step * 3600) {
    const end = at === from + DAY;
    drawing.append(line(x(at), TOP, x(at), bottom, "grid"), label(x(at), HEIGHT - 4, end ? "24" : utc(at * 1000).slice(0, 2), "middle"));
  }
}

// For the tables: a row an hour, and the last.
const hourly = (rows, tell) => rows.filter((row, at) => at === rows.length - 1 || row.at % 3600 < 60).map((row) => [utc(row.at * 1000).slice(0, 5), ...tell(row)]);

// The figure, redrawn whole; its table stays open.
function showPlot(figure, caption, drawing, columns, rows) {
  const open = figure.querySelector("details")?.open ?? false;
  const told = el("details", open ? { open: "" } : {}, el("summary", {}, "As a table"), el("div", { class: "scroll", tabindex: "0" }, table(columns, rows)));
  figure.replaceChildren(el("figcaption", {}, caption), drawing, told);
}

function plotCalls(rows, status, width) {
  const { limit, used, reserved } = status.calls;
  const end = Date.parse(status.calls.resets_at) / 1000, start = end - DAY, at = now() / 1000;
  const today = rows.filter((row) => row.at > start);
  const title = "Calls against the plan, today by UTC";
  const spent = [...today.map((row) => [row.at, row.calls_today]), [at, used]];
  const recent = today.filter((row) => row.at > at - 1800);
  const slope = recent.length > 1 ? (used - recent[0].calls_today) / (at - recent[0].at) : null;
  const forecast = slope === null ? null : Math.round(used + slope * (end - at));
  const told = forecast === null ? "" : `; at the pace of the last half hour about ${number(forecast)} by midnight`;
  const caption = `${title}: ${number(used)}${limit ? ` of ${number(limit)}` : ", without a limit"}${told}`;
  const top = Math.max(limit ?? 0, used, limit ? 0 : forecast ?? 0, 1) * 1.04;
  const bottom = HEIGHT - BOTTOM - 16;
  const x = (time) => LEFT + ((time - start) / DAY) * (width - LEFT - RIGHT);
  const y = (count) => bottom - (Math.min(count, top) / top) * (bottom - TOP);
  const drawing = frame(width, title, caption);
  if (limit) {
    drawing.append(svg("rect", { class: "band", x: LEFT, width: width - LEFT - RIGHT, y: y(limit), height: y(limit - reserved) - y(limit) }));
    drawing.append(line(LEFT, y(limit), width - RIGHT, y(limit), "red"), curve([[x(start), y(0)], [x(end), y(limit)]], "pace"));
    drawing.append(label(LEFT - 4, y(limit) + 4, number(limit), "end"), label(LEFT + 4, y(limit) + 13, `${number(reserved)} kept for misses`));
  }
  hours(drawing, x, start, bottom, width);
  drawing.append(label(LEFT - 4, bottom, "0", "end"));
  const steps = spent.flatMap(([time, count], index) => (index ? [[x(time), y(spent[index - 1][1])], [x(time), y(count)]] : [[x(time), y(count)]]));
  drawing.append(curve(steps, "blue"));
  if (forecast !== null) {
    drawing.append(curve([[x(at), y(used)], [x(end), y(forecast)]], "dots"));
    drawing.append(label(width - RIGHT - 2, Math.max(y(forecast) - 5, TOP + 24), number(forecast), "end", "on"));
  }
  drawing.append(line(x(at), TOP, x(at), bottom, "now"), label(x(at), TOP - 2, "now", at - start > DAY / 2 ? "end" : "start", "on"));
  for (const row of today) {
    if (row.started) drawing.append(label(x(row.at), bottom - 2, "▲", "middle", "f-amber"));
    if (row.throttled) drawing.append(label(x(row.at), bottom - 12, "✕", "middle", "f-red"));
  }
  modes(drawing, today, x, bottom, at);
  showPlot($("plot-calls"), caption, drawing, ["UTC", "calls", "mode"], hourly(today, (row) => [number(row.calls_today), MODES[row.mode][1]]));
}

// The strip below: which calls were allowed, by colour and letter.
function modes(drawing, today, x, bottom, at) {
  let from = 0;
  for (let index = 1; index <= today.length; index++) {
    if (index < today.length && today[index].mode === today[from].mode) continue;
    const [letter, word, kind] = MODES[today[from].mode], begin = x(today[from].at), width = x(index < today.length ? today[index].at : at) - begin;
    drawing.append(svg("rect", { class: kind, x: begin, y: bottom + 2, width: Math.max(width, 1), height: 12 }));
    if (width > 12) drawing.append(label(begin + 3, bottom + 12, width > 90 ? `${letter} ${word}` : letter, "start", "in"));
    from = index;
  }
}

function plotAges(rows, status, width) {
  const end = now() / 1000, start = end - DAY, { ttl_seconds: ttl, served_until_seconds: last } = status.freshness;
  const title = "Age when served: median and 95th percentile";
  const bottom = HEIGHT - BOTTOM, drawing = frame(width, title, "Logarithmic, 1 second to 24 hours.");
  const x = (time) => LEFT + ((time - start) / DAY) * (width - LEFT - RIGHT);
  const y = (age) => bottom - (Math.log(Math.min(Math.max(age, 1), DAY)) / Math.log(DAY)) * (bottom - TOP);
  hours(drawing, x, start, bottom, width);
  for (const age of [1, 60, 3600, DAY]) drawing.append(line(LEFT, y(age), width - RIGHT, y(age), "grid"), label(LEFT - 4, y(age) + 4, duration(age), "end"));
  drawing.append(line(LEFT, y(ttl), width - RIGHT, y(ttl), "pace"), label(LEFT + 4, y(ttl) - 4, `fresh ${duration(ttl)}`));
  drawing.append(line(LEFT, y(last), width - RIGHT, y(last), "pace"), label(LEFT + 4, y(last) - 4, `refreshed first ${duration(last)}`));
  for (const [column, kind] of [["age_p95_seconds", "amber"], ["age_median_seconds", "blue"]]) {
    const points = rows.filter((row) => row.at > start && row[column] !== null).map((row) => [x(row.at), y(row[column])]);
    if (points.length) drawing.append(curve([...points, points.at(-1)], kind));
    const [px, py] = points.at(-1) ?? [];
    if (px) drawing.append(label(px - 4, py + (kind === "blue" ? 14 : -5), kind === "blue" ? "median" : "95 %", "end", "on"));
  }
  const known = rows.filter((row) => row.age_median_seconds !== null);
  showPlot($("plot-ages"), title, drawing, ["UTC", "median", "95 %"], hourly(known, (row) => [duration(row.age_median_seconds), duration(row.age_p95_seconds)]));
}

function plotRefreshes(rows, width) {
  const end = Math.ceil(now() / 300000) * 300, start = end - DAY;
  const sums = Array.from({ length: DAY / 300 }, () => [0, 0, 0]);
  for (const row of rows) {
    const at = Math.floor((row.at - 1 - start) / 300);
    if (sums[at]) row.refreshes_changed_unchanged_failed.forEach((count, kind) => (sums[at][kind] += count));
  }
  const all = sums.reduce((total, sum) => total.map((count, kind) => count + sum[kind]), [0, 0, 0]);
  const share = all[0] + all[1] ? Math.round((100 * all[0]) / (all[0] + all[1])) : null;
  const caption = `Refreshes by five minutes: ${share === null ? "none yet" : `${share} % brought something new`}${all[2] ? `, ${number(all[2])} failed` : ""}`;
  const most = Math.max(1, ...sums.map(([changed, unchanged, failed]) => changed + unchanged + failed));
  const bottom = HEIGHT - BOTTOM, drawing = frame(width, "Refreshes", caption);
  const x = (time) => LEFT + ((time - start) / DAY) * (width - LEFT - RIGHT), each = ((width - LEFT - RIGHT) * 300) / DAY;
  hours(drawing, x, start, bottom, width);
  drawing.append(label(LEFT - 4, TOP + 4, number(most), "end"), label(LEFT - 4, bottom, "0", "end"), line(LEFT, bottom, width - RIGHT, bottom, "grid"));
  sums.forEach((sum, at) => {
    let base = bottom;
    ["f-green", "f-grey", "f-red"].forEach((kind, which) => {
      const height = (sum[which] / most) * (bottom - TOP);
      base -= height;
      if (height) drawing.append(svg("rect", { class: kind, x: x(start + at * 300), y: base, width: Math.max(each - 0.4, 1), height }));
    });
  });
  drawing.append(label(LEFT + 4, TOP + 2, "■ changed", "start", "f-green"), label(LEFT + 74, TOP + 2, "■ unchanged"), label(LEFT + 156, TOP + 2, "■ failed", "start", "f-red"));
  const told = [];
  sums.forEach((sum, at) => {
    if (sum.some(Boolean)) told.push([utc((start + at * 300) * 1000).slice(0, 5), ...sum.map(number)]);
  });
  showPlot($("plot-refreshes"), caption, drawing, ["UTC", "changed", "unchanged", "failed"], told.slice(-48));
}

export function draw(rows, status) {
  if (!rows.length || !status) return;
  const width = Math.max(280, Math.floor($("plots").clientWidth));
  plotCalls(rows, status, width);
  plotAges(rows, status, width);
  plotRefreshes(rows, width);
}
