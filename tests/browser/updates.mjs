// The page while time goes on: what it asks for, and what stays where it is.

import { strict as assert } from "node:assert";

import { isClean, loaded, open, tile, told } from "./page.mjs";
import { Proxy, SENT, Vendor, cold, demo, link } from "./processes.mjs";

/** So many reports are listed without a hiccup. */
const MANY = 10_000;

/** A page whose clock stands still until `goOn`. */
async function paused(proxy) {
  const page = await open(proxy, { path: "/livez" });
  await page.clock.install();
  await page.goto(proxy.admin);
  await loaded(page);
  await page.clock.pauseAt(Date.now() + 3_600_000);
  return page;
}

/** As if so many polls had been due, one after the other. */
async function polls(page, times) {
  for (let at = 0; at < times; at++) {
    let done = false;
    const answered = page.waitForResponse((response) => response.url().endsWith("/status")).finally(() => (done = true));
    // The next one is due two seconds after the answers to the last, which may still be on their way.
    while (!done) await page.clock.runFor(1000);
    await answered;
  }
}

async function hide(page, hidden) {
  await page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
}

export const updates = {
  async "a hidden page sends nothing, and is up to date once it is seen"() {
    const proxy = await demo();
    const page = await paused(proxy);
    await polls(page, 2);
    await hide(page, true);
    const before = page.watched.requests.length;
    await page.clock.runFor(600_000);
    assert.deepEqual(page.watched.requests.slice(before), []);
    await proxy.report(SENT);
    const asked = page.waitForResponse((response) => response.url().endsWith("/status"));
    await hide(page, false);
    await asked;
    await told(page, "#shown", "1 held");
    await isClean(page);
  },

  async "an answer that is the same costs no more than a line"() {
    const page = await paused(await demo());
    const again = page.waitForResponse((response) => response.url().endsWith("/status"));
    await page.clock.runFor(2000);
    assert.equal((await again).status(), 304);
  },

  async "a paused page asks for nothing until it goes on"() {
    const page = await paused(await demo());
    await page.click("#pause");
    const before = page.watched.requests.length;
    await page.clock.runFor(60_000);
    assert.deepEqual(page.watched.requests.slice(before), []);
    const asked = page.waitForResponse((response) => response.url().endsWith("/status"));
    await page.click("#pause");
    await asked;
  },

  async "a selection survives ten refreshes, in the list and in a tile"() {
    const proxy = await demo();
    await proxy.report(SENT);
    const page = await paused(proxy);
    const select = (selector) => page.evaluate((selector) => getSelection().selectAllChildren(document.querySelector(selector)), selector);
    const selected = () => page.evaluate(() => getSelection().toString());
    let number = 0;
    for (const [selector, text] of [["#list button.id", SENT], [".tile:nth-child(3) h2", /Calls today/]]) {
      await select(selector);
      const before = await tile(page, "Calls today");
      for (let at = 0; at < 10; at++) {
        // Something new each time: another report is held, and the calls are more.
        await proxy.report(cold(++number));
        await polls(page, 1);
      }
      assert.notEqual(await tile(page, "Calls today"), before);
      assert.match(await selected(), new RegExp(text), selector);
    }
    await isClean(page);
  },

  async "a row under the pointer stays where it is, until the pointer has gone"() {
    const proxy = await demo({ "cache.ttl": "1s", "cache.stale_while_revalidate": "0s" });
    for (const number of [1, 2, 3]) await proxy.report(cold(number));
    const page = await paused(proxy);
    const order = () => page.$$eval("#list button.id", (buttons) => buttons.map((button) => button.textContent));
    const before = await order();
    await page.hover("#list tbody tr:last-child");
    // The last one gets into trouble, which is listed first.
    await proxy.fault("status-503", `&id=${before.at(-1)}`);
    const failing = async () => (await (await fetch(`${proxy.admin}/cache?trouble=1`)).json()).items.some((item) => item.last_error);
    while (!(await failing())) await proxy.report(before.at(-1));
    while (!(await page.$("#list .red"))) await polls(page, 1);
    assert.deepEqual(await order(), before);
    await page.mouse.move(0, 0);
    while ((await order())[0] !== before.at(-1)) await polls(page, 1);
    await isClean(page);
  },

  async [`of ${MANY} reports a hundred are shown, and any can be found`]() {
    const vendor = await Vendor.start((id) => [link(`https://www.example.com/${id}`, 7)]);
    const proxy = await Proxy.start("serve", { ...vendor.settings, "quota.per_day": 0, "log.level": "warn,link_report_proxy::app=info" });
    let number = 0;
    const ask = async () => {
      while (number < MANY) await (await proxy.report(cold(++number))).arrayBuffer();
    };
    await Promise.all(Array.from({ length: 32 }, ask));
    const page = await open(proxy);
    await told(page, "#shown", "10,000 held");
    await told(page, "#page", "Page 1 of 100");
    assert.equal(await page.locator("#list tbody tr").count(), 100);
    const listed = await (await fetch(`${proxy.admin}/cache?sort=trouble`)).text();
    assert.ok(listed.length < 64_000, `${listed.length} bytes`);
    assert.ok((await (await fetch(`${proxy.admin}/status`)).text()).length < 3 * 1024);
    await page.click("#next");
    await told(page, "#page", "Page 2 of 100");
    await page.fill("#filter", cold(4321).slice(0, 8));
    await told(page, "#shown", "1 found");
    assert.equal(await page.textContent("#list button.id"), cold(4321));
    assert.match(await tile(page, "Memory"), /10,000 reports/);
    await isClean(page);
  },
};
