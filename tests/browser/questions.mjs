// What somebody who has never seen the program can answer from the page alone.

import { strict as assert } from "node:assert";

import { isClean, loaded, open, tile, told } from "./page.mjs";
import { Proxy, SENT, Simulator, UNCLICKED, cold, demo, file } from "./processes.mjs";

const CLIENTS = { sales: "0123456789abcdef0123", newsroom: "fedcba98765432100123" };

/** A proxy that has been asked by two clients, of whom one causes all calls. */
async function asked(more = {}) {
  const vendor = await Simulator.start();
  const tokens = file(Object.entries(CLIENTS).map((client) => client.join(" ")).join("\n"));
  const proxy = await Proxy.start("serve", { ...vendor.settings, ...more, "clients.tokens_file": tokens });
  const as = (client, id) =>
    fetch(`${proxy.data}/v3/reports/email_reports/${id}/links`, { headers: { Authorization: `Bearer ${CLIENTS[client]}` } });
  for (const id of [SENT, cold(1), UNCLICKED]) assert.equal((await as("newsroom", id)).status, 200);
  for (let times = 0; times < 5; times++) await as("sales", SENT);
  return { proxy, vendor };
}

/** The cells of the first row. */
const first = (page) => page.$eval("#list tbody tr", (row) => Array.from(row.cells, (cell) => cell.textContent));

export const questions = {
  async "is it well, and if not, why and since when"() {
    const proxy = await demo({ "circuit.consecutive_failures": 2 });
    await proxy.report(SENT);
    const page = await open(proxy);
    await told(page, "#text", /^All is well\.$/);
    assert.equal(await page.title().then((title) => title.split(":")[0]), "ok");
    await proxy.fault("status-503");
    await Promise.all([proxy.report(cold(1)), proxy.report(cold(2))]);
    await told(page, "#text", /^Constant Contact has been failing since \d\d:\d\d UTC/);
    await told(page, "#since", /^It has been so for \d+ (s|min)/);
    assert.equal(await page.title().then((title) => title.split(":")[0]), "critical");
    await told(page, "#failures", /upstream_error.*503/);
    assert.match(await tile(page, "Constant Contact"), /circuit open/);
    await isClean(page);
  },

  async "how old are the numbers, and will the calls of the day last"() {
    const { proxy } = await asked();
    const page = await open(proxy);
    await loaded(page);
    const freshness = await tile(page, "Freshness");
    assert.match(freshness, /fresh\s+\d+ s\s+median age when served; 95 %: \d+ s\s+100 % within 5 min\s+none older than \d+ s/);
    const calls = await tile(page, "Calls today");
    assert.match(calls, /enough\s+[\d,]+ of 10,000\s+[\d,]+ of these assumed\s+[\d,]+ left for refreshes, [\d,]+ kept for misses/);
    assert.match(calls, /starts anew in/);
    await told(page, "#plot-calls figcaption", /^Calls against the plan, today by UTC: [\d,]+ of 10,000/);
    assert.equal((await first(page))[3].endsWith(" s"), true);
    await isClean(page);
  },

  async "what is refreshed next, and why"() {
    const { proxy } = await asked();
    const page = await open(proxy);
    await loaded(page);
    await page.click("#list thead button:has-text('Next refresh')");
    await page.waitForSelector("th[aria-sort=ascending]");
    const [id, , , , next] = await first(page);
    assert.match(next, /^in /);
    await page.click("#list tbody tr:first-child button.id");
    const why = await told(page, "#detail", /Served from the cache; refreshed when it is worth a call/);
    assert.equal(why.startsWith(id.split(" ")[0]), true);
    assert.match(why, /Its answers have missed about [\d.e-]+ clicks; at [\d.]+ it is refreshed/);
    await page.waitForSelector("#detail svg[role=img] title", { state: "attached" });
    await isClean(page);
  },

  async "who spends the calls"() {
    const { proxy } = await asked();
    const page = await open(proxy);
    await told(page, "#clients", /newsroom/);
    const rows = await page.$$eval("#clients tbody tr", (rows) => rows.map((row) => Array.from(row.cells, (cell) => cell.textContent)));
    assert.deepEqual(rows.map((row) => row.slice(0, 3)), [["newsroom", "3", "3"], ["sales", "5", "0"]]);
    await isClean(page);
  },

  async "which replicas share the calls, and what each knows"() {
    const proxy = await Proxy.start(["demo", "--replicas", "2"]);
    await proxy.report(SENT);
    const page = await open(proxy);
    await told(page, "#tiles", /Replicas.*2 of 2/);
    const replicas = await tile(page, "Replicas");
    assert.match(replicas, /up\s+2 of 2\s+.*\(this\).*\s+epoch \S+\s+calls: store \d+, this replica \d+/);
    await isClean(page);
  },

  async "which settings are in force, and where they come from"() {
    const { proxy } = await asked();
    const page = await open(proxy);
    await loaded(page);
    await page.click("#settings summary");
    await page.waitForSelector("#settings td");
    const rows = new Map(await page.$$eval("#settings tbody tr", (rows) => rows.map((row) => Array.from(row.cells, (cell) => cell.textContent)).map(([name, ...more]) => [name, more])));
    assert.deepEqual(rows.get("cache.ttl"), ["5m", "default"]);
    assert.equal(rows.get("clients.tokens_file")[1], "LINK_REPORT_PROXY__CLIENTS__TOKENS_FILE");
    assert.deepEqual(rows.get("token.client_secret"), ["not set", "default"]);
    await isClean(page);
  },

  async "what does this campaign's report say, and what does it cost to ask"() {
    // What is held costs nothing, however long a test takes.
    const { proxy, vendor } = await asked({ "cache.refresh": "fixed", "cache.ttl": "1h", "cache.empty_ttl": "1h" });
    const page = await open(proxy);
    await page.fill("#try-id", `https://app.example/pages/campaigns/view/${SENT.toUpperCase()}?tab=clicks`);
    await told(page, "#cost", /^Held, \d+ s old: costs nothing\. Served from the cache;/);
    await page.click("#try");
    await told(page, "#result", /^200: from memory, \d+ s old.*\d+ links, [\d,]+ unique clicks\./);
    const { link_click_counts: links } = await (await fetch(`${vendor.url}/v3/reports/email_reports/${SENT}/links`, { headers: await bearer(vendor) })).json();
    const shown = await page.$$eval("#result tbody tr", (rows) => rows.map((row) => row.cells[0].textContent));
    assert.deepEqual(shown.toSorted(), links.map((link) => link.link_url).toSorted());
    for (const recipe of ["curl", "Python", "Power Query", "Infinity"]) await told(page, "#result", recipe);
    // One that is not held says so before it is asked for.
    await page.fill("#try-id", cold(7));
    await told(page, "#cost", /^Not held: costs 1 call of [\d,]+ left today\. Not cached: the next request is a miss/);
    await page.click("#try");
    await told(page, "#result", /^200: fetched now, by a call, 0 s old/);
    await page.fill("#try-id", UNCLICKED);
    await told(page, "#cost", /^Held/);
    await page.click("#try");
    await told(page, "#result", "No links: not sent, or nobody clicked.");
    await isClean(page);
  },
};

/** The simulated vendor takes the token that it gave last. */
async function bearer(vendor) {
  const form = new URLSearchParams({ grant_type: "refresh_token", client_id: vendor.settings["token.client_id"], refresh_token: vendor.refreshToken });
  const answer = await fetch(vendor.settings["token.token_url"], { method: "POST", body: form });
  return { Authorization: `Bearer ${(await answer.json()).access_token}` };
}
