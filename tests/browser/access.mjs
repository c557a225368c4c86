// For everybody: by keyboard, on a small screen, in dark and in forced colours, and without scripts.

import { strict as assert } from "node:assert";

import { isClean, loaded, open, told, violations } from "./page.mjs";
import { DRAFT, SENT, cold, demo } from "./processes.mjs";

/** What is held costs nothing, however long a test takes. */
const LASTING = { "cache.ttl": "1h", "cache.empty_ttl": "1h" };

/** A page on which everything is open that can be. */
async function full(proxy, options) {
  await proxy.report(SENT);
  await proxy.report(DRAFT);
  await proxy.report(cold(1));
  const page = await open(proxy, options);
  await loaded(page);
  for (const summary of await page.$$("summary")) await summary.click();
  await page.waitForSelector("#settings td");
  await page.click("#list tbody tr:first-child button.id");
  await told(page, "#detail", "Served from the cache");
  await page.fill("#try-id", SENT);
  await told(page, "#cost", "costs nothing");
  await page.click("#try");
  await told(page, "#result", "unique clicks");
  return page;
}

const focused = (page) =>
  page.evaluate(() => {
    const { activeElement: node } = document;
    const { outlineStyle } = getComputedStyle(node);
    return { name: node.id || node.closest("[id]")?.id || node.tagName, text: node.textContent.slice(0, 60), outlineStyle };
  });

export const access = {
  async "axe finds nothing, in two themes, at two widths, with forced colours and without"() {
    const proxy = await demo(LASTING);
    const fresh = await open(proxy);
    await loaded(fresh);
    assert.deepEqual(await violations(fresh), [], "nothing held");
    const page = await full(proxy);
    // All that it can tell: failures, and a report that fails.
    await proxy.fault("status-503");
    await proxy.report(cold(2));
    await told(page, "#failures", "503");
    for (const width of [320, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      for (const colorScheme of ["light", "dark"]) {
        for (const forcedColors of ["none", "active"]) {
          await page.emulateMedia({ colorScheme, forcedColors });
          // Neither theme nor forced colours change anything but colours.
          const rules = colorScheme === "light" && forcedColors === "none" ? null : ["color-contrast", "link-in-text-block"];
          assert.deepEqual(await violations(page, rules), [], `${width} px, ${colorScheme}, forced colours ${forcedColors}`);
        }
      }
    }
    await isClean(page);
  },

  async "at 320 px, which is 1280 px at 400 %, nothing is wider than the page"() {
    const page = await full(await demo(LASTING), { viewport: { width: 320, height: 640 } });
    const { wide, page: width } = await page.evaluate(() => {
      const outside = (node) => node.getBoundingClientRect().right > innerWidth && !node.closest(".scroll, pre, svg");
      return { wide: [...document.body.querySelectorAll("*")].filter(outside).map((node) => node.outerHTML.slice(0, 90)), page: document.documentElement.scrollWidth };
    });
    assert.deepEqual([wide, width], [[], 320]);
  },

  async "everything can be reached and done by keyboard"() {
    const proxy = await demo(LASTING);
    await proxy.report(SENT);
    const page = await open(proxy);
    await loaded(page);
    // Polling stops, so that the walk ends where it began.
    await page.keyboard.press("p");
    assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
    await page.evaluate(() => document.activeElement.blur());
    const walk = [];
    for (;;) {
      await page.keyboard.press("Tab");
      const at = await focused(page);
      if (at.name === "BODY" || walk.length > 80) break;
      assert.notEqual(at.outlineStyle, "none", `no visible focus: ${JSON.stringify(at)}`);
      walk.push(at.name);
    }
    for (const id of ["pause", "filter", "trouble", "empty", "list", "try-id", "try-all", "token", "settings", "keys"]) {
      assert.ok(walk.includes(id), `${id} is not reached: ${walk}`);
    }
    await page.keyboard.press("p");
    // Sort by a header, open a row, close it again.
    await page.focus("#list th[data-sort=age] button");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#list th[data-sort=age][aria-sort=descending]");
    await page.focus("#list tbody button.id");
    await page.keyboard.press("Enter");
    await told(page, "#detail", "Clicked links");
    await page.waitForFunction(() => document.activeElement.id === "detail");
    await page.keyboard.press("Escape");
    assert.equal(await page.isVisible("#detail"), false);
    assert.equal((await focused(page)).text, SENT, "back where it was opened");
    // Filter.
    await page.keyboard.press("/");
    assert.equal((await focused(page)).name, "filter");
    await page.keyboard.type("ffffffff");
    await told(page, "#none", "No report is like that.");
    await page.keyboard.press("Escape");
    // Try.
    await page.keyboard.press("t");
    await page.keyboard.type(SENT);
    await told(page, "#cost", "costs nothing");
    await page.keyboard.press("Enter");
    await told(page, "#result", "unique clicks");
    await page.waitForFunction(() => document.activeElement.id === "result");
    // The keys can be switched off, since speech input may press them.
    await page.keyboard.press("?");
    assert.equal((await focused(page)).name, "keys");
    await page.keyboard.press("Space");
    await page.keyboard.press("p");
    assert.equal(await page.getAttribute("#pause", "aria-pressed"), "false");
    await isClean(page);
  },

  async "without scripts there is the sentence, and links that lead somewhere"() {
    const proxy = await demo({ "circuit.consecutive_failures": 1 });
    await proxy.fault("status-503");
    await proxy.report(cold(1));
    const page = await open(proxy, { javaScriptEnabled: false });
    assert.match(await page.textContent("#text"), /^Constant Contact has been failing since/);
    assert.match(await page.textContent("#advice"), /request id/);
    assert.equal(await page.getAttribute("#sentence", "class"), "critical");
    const links = await page.$$eval("noscript a", (links) => links.map((link) => link.getAttribute("href")));
    assert.ok(links.length >= 5, links);
    for (const link of links) assert.equal((await fetch(proxy.admin + link)).status, 200, link);
  },
};
