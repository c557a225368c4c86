// Each rule of the one sentence, brought about from outside and read from the page.

import { strict as assert } from "node:assert";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { isClean, open, told } from "./page.mjs";
import { Proxy, SENT, Simulator, Vendor, cold, dayLeft, demo, link, place } from "./processes.mjs";

/** The page shows a sentence like this, as this severe, and what to do. */
async function shows(page, severity, sentence, advice) {
  await told(page, "#text", sentence);
  assert.equal(await page.getAttribute("#sentence", "class"), severity);
  await told(page, "#advice", advice);
  await isClean(page);
}

/** The calls that are left of an even pace at the start: so many that one which is rounded away makes them not scarce, at any hour. */
const EVEN = 40;

export const sentences = {
  async "all is well"() {
    const proxy = await demo();
    await proxy.report(SENT);
    await shows(await open(proxy), "ok", /^All is well\.$/, "Nothing to do.");
  },

  async "a count that is assumed, then calls that are scarce, then refreshes that stop, then a day that is spent"() {
    const vendor = await Vendor.start(() => [link("https://www.example.com/", 1)]);
    // An even pace is assumed until now, so that as many calls are left as `EVEN`, whatever the hour.
    const settings = { "cache.refresh": "fixed", "quota.reserve": 0, "quota.per_day": Math.round(EVEN / dayLeft()) };
    const proxy = await Proxy.start("serve", { ...vendor.settings, ...settings });
    let spent = 0;
    const spend = async (until) => {
      while (spent < until) await proxy.report(cold(++spent));
    };
    const page = await open(proxy);
    await shows(page, "notice", /^Well; but \d+ of the \d+ calls of today are assumed/, "Set state.dir");
    // The plot says above which number of calls that is.
    await told(page, "#plot-calls", /scarce.*refreshes stop/);
    await spend(14);
    await shows(page, "notice", /^Calls are scarce: reports are refreshed less often until 00:00 UTC\.$/, "Nothing to do, unless");
    await spend(24);
    await shows(page, "warning", /^Refreshes have stopped: the \d+ calls left until 00:00 UTC are kept/, /what has used them\?.*#linkreportproxyrefreshesstopped/);
    await spend(EVEN + 5);
    await shows(page, "critical", /^The calls of the day are spent: nothing is fetched before 00:00 UTC; the \d+ reports held are served on, others get 503\.$/, "a restart does not help");
    assert.match(await page.textContent("#since"), /^It has been so for \d+ (s|min)/);
  },

  async "a day that another program has spent"() {
    const proxy = await demo();
    await proxy.report(cold(1));
    await proxy.spend(10_000);
    await proxy.report(cold(2));
    await shows(await open(proxy), "critical", /^The calls of the day are spent.*the 1 report held is served on/, "a restart does not help");
  },

  async "a circuit that is open, since when, and when it is tried again"() {
    const proxy = await demo({ "circuit.open_min": "1s" });
    await proxy.report(SENT);
    await proxy.fault("status-503");
    await Promise.all([1, 2, 3, 4, 5].map((number) => proxy.report(cold(number))));
    const page = await open(proxy);
    await shows(page, "critical", /^Constant Contact has been failing since \d\d:\d\d UTC; the next request.*Meanwhile the 1 report held is served on, others get 503\.$/, "a request id");
    await proxy.mend();
    // The next request after the pause is the one that finds it well again.
    const tried = page.waitForFunction(() => document.querySelector("#text").textContent === "All is well.");
    const asking = setInterval(() => proxy.report(cold(9)).catch(() => {}), 500);
    await tried.finally(() => clearInterval(asking));
  },

  async "consent that is needed"() {
    const vendor = await Simulator.start();
    const proxy = await Proxy.start("serve", { ...vendor.settings, "token.refresh_token": "never-given-out" });
    await shows(await open(proxy), "critical", /^Nobody has allowed this proxy to read the account's reports.*requests get 503\.$/, "link-report-proxy login");
  },

  async "a token that cannot be had, and then can"() {
    const vendor = await Simulator.start();
    await vendor.fault("status-503", "&on=token");
    const proxy = await Proxy.start("serve", { ...vendor.settings, "quota.per_day": 0 });
    const page = await open(proxy);
    await shows(page, "critical", /^There is no access token yet: requests get 503\.$/, "renewals fail");
    await vendor.mend();
    await shows(page, "ok", "All is well.", "Nothing to do.");
  },

  async "a token that Constant Contact refuses"() {
    const vendor = await Simulator.start();
    const settings = { "upstream.base_url": vendor.url, "token.access_token": "a-token-of-somebody-else", "quota.per_day": 0 };
    const proxy = await Proxy.start("serve", settings);
    for (const number of [1, 2, 3]) await proxy.report(cold(number));
    await shows(await open(proxy), "critical", /^Constant Contact refuses the access token/, "must be replaced");
  },

  async "a shared store that is away"() {
    const vendor = await Vendor.start(() => [link("https://www.example.com/", 1)]);
    const proxy = await Proxy.start("serve", { ...vendor.settings, "shared.url": "unix:///nowhere/store", "shared.namespace": "fleet" });
    const page = await open(proxy);
    await shows(page, "warning", /^The shared store has been away since \d\d:\d\d UTC: each replica counts by itself/, "whether the store runs");
    await told(page, "#tiles", /Replicas/);
  },

  async "calls that other programs make"() {
    const vendor = await Vendor.start(() => [link("https://www.example.com/", 1)]);
    const settings = { ...vendor.settings, "state.dir": place() };
    // What a day with such programs leaves behind: a plan that knows of them.
    const before = await Proxy.start("serve", settings);
    before.signal("SIGTERM");
    await before.ended;
    const path = join(settings["state.dir"], "refresh-plan.json");
    const plan = JSON.parse(readFileSync(path, "utf8"));
    plan.price.unseen = 1234;
    writeFileSync(path, JSON.stringify(plan));
    const proxy = await Proxy.start("serve", settings);
    await shows(await open(proxy), "notice", /^Other programs use the same API key: about 1234 calls a day/, "lower quota.per_day");
  },

  async "a drain, while the page is open, and then no answer"() {
    // The drain lasts until the test ends it.
    const proxy = await demo({ "server.request_timeout": "3m", "upstream.attempt_timeout": "2m", "shutdown.grace": "3m" });
    await proxy.fault("hang");
    const page = await open(proxy);
    await told(page, "#text", "All is well.");
    const inFlight = proxy.report(cold(1)).catch(() => {});
    // It is in flight once it has caused a call.
    await told(page, "#tiles", /Calls today.*1 of 10,000/);
    proxy.signal("SIGTERM");
    await shows(page, "notice", /^The process is stopping: requests in flight are answered/, "the process ends by itself");
    await told(page, "#process", "draining");
    proxy.signal("SIGKILL");
    await inFlight;
    await told(page, "#banner", /^No answer since \d\d:\d\d:\d\d UTC: the figures are of then\.$/);
    assert.equal(await page.isVisible("#banner"), true);
    assert.equal(await page.getAttribute("body", "class"), "old");
  },
};
