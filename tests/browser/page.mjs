// One browser for all tests, and pages that are watched: what they ask for, and what they complain of.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const packages = createRequire(`${process.env.BROWSER_NODE_MODULES}/`);
const { chromium } = packages("playwright-core");
const AXE = readFileSync(packages.resolve("axe-core/axe.min.js"), "utf8");

let browser;

export async function launch() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  // Tests run as root, and in containers with a small /dev/shm.
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

export const close = () => browser.close();

/** The page of this proxy, in a profile of its own; `watched` is what must stay empty. */
export async function open(proxy, { path = "/", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, timezoneId: "Europe/Berlin", ...options });
  // A busy machine is no fault of the page's.
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const watched = { console: [], foreign: [], requests: [] };
  // A refused answer is told in the console by the browser itself, and so is a server that is gone.
  page.on("console", (message) => /^Failed to load resource/.test(message.text()) || watched.console.push(message.text()));
  page.on("pageerror", (error) => watched.console.push(String(error)));
  page.on("request", (request) => {
    watched.requests.push(new URL(request.url()).pathname);
    if (new URL(request.url()).origin !== proxy.admin) watched.foreign.push(request.url());
  });
  // Also what the page would not complain of in the console.
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(proxy.admin + path);
  return Object.assign(page, { watched });
}

/** Nothing was asked for elsewhere, complained of, or refused by the policy. */
export async function isClean(page) {
  assert.deepEqual(page.watched.foreign, []);
  assert.deepEqual(page.watched.console, []);
  assert.deepEqual(await page.evaluate(() => globalThis.violations ?? []), []);
}

/** Waits until the page shows a status, and a list of reports or that there is none. */
export async function loaded(page) {
  await page.waitForSelector(".tile");
  await page.waitForFunction(() => document.querySelector("#shown").textContent);
}

/** Waits for this text, or a match of this pattern, in an element. */
export async function told(page, selector, text) {
  const pattern = text instanceof RegExp ? text.source : text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  await page.waitForFunction(([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.textContent), [selector, pattern]).catch(async (error) => {
    throw new Error(`waited in vain for ${pattern} in ${selector}: ${await page.textContent(selector).catch(() => "gone")}`, { cause: error });
  });
  return page.textContent(selector);
}

/** What axe finds wrong; by these of its rules, or all that are on. */
export async function violations(page, rules = null) {
  // Not by a <script>, which the page's policy forbids.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate((rules) => axe.run(document, { resultTypes: ["violations"], ...(rules && { runOnly: { type: "rule", values: rules } }) }), rules);
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.failureSummary}`));
}

export const tile = (page, name) => page.locator(".tile", { has: page.locator("h2", { hasText: name }) }).innerText();
