// Draws the status page, and an analyst's table, from a day of a real run: a day takes ten minutes, by Debian's `faketime`.
//
//     BROWSER_NODE_MODULES=DIRECTORY PYTHON=PYTHON-OF-tests/api node picture.mjs BINARY deploy/pictures

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { close, launch, loaded, open, told } from "./page.mjs";
import { Proxy, SENT, Simulator, cold, end, file, place } from "./processes.mjs";

const DIRECTORY = process.argv[3], { PYTHON } = process.env;
const ANALYST = new URL("../../deploy/analyst.md", import.meta.url);
const LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/** A clock is so many times as fast as it should be. */
const SPEED = 150;
const HOUR = 3_600_000;
/** A day and a bit, from the afternoon before, so that no plot begins in the middle. */
const [BEGIN, END] = [Date.UTC(2026, 2, 10, 14, 30), Date.UTC(2026, 2, 11, 15, 10)];

const started = Date.now();
const clock = () => BEGIN + (Date.now() - started) * SPEED;
/** The environment of a process whose clock is that one. */
const fast = () => ({ LD_PRELOAD: LIBRARY, TZ: "UTC", FAKETIME: `@${new Date(clock()).toISOString().slice(0, 19).replace("T", " ")} x${SPEED}` });
const until = (time) => new Promise((done) => setTimeout(done, Math.max(0, (time - clock()) / SPEED)));

const TOKENS = { sales: "0123456789abcdef0123", newsroom: "fedcba98765432100123", "nightly-report": "00000000000000000123" };
/** Sent between an hour and three days ago, so that they are clicked more and less. */
const CAMPAIGNS = [SENT, ...Array.from({ length: 23 }, (_, number) => cold(1 + number * 3))];
/** How busy an hour of UTC is. */
const BUSY = [0.02, 0.02, 0.02, 0.02, 0.03, 0.06, 0.15, 0.4, 0.8, 1, 1, 0.9, 0.7, 0.9, 1, 0.9, 0.8, 0.6, 0.4, 0.3, 0.2, 0.15, 0.08, 0.04];

function random(seed) {
  let state = seed;
  return () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
}

/** Dashboards that poll every half minute, when somebody has them open; a report of all that is old at night. */
function viewers(proxies) {
  const draw = random(7);
  const ask = (client, id) =>
    fetch(`${proxies.at(-1).data}/v3/reports/email_reports/${id}/links`, { headers: { Authorization: `Bearer ${TOKENS[client]}` } })
      .then((answer) => answer.arrayBuffer())
      .catch(() => {}); // A restart.
  let old = 0;
  return setInterval(() => {
    const hour = new Date(clock()).getUTCHours();
    CAMPAIGNS.forEach((id, number) => {
      if (draw() < BUSY[hour] / (1 + number / 6)) ask(number % 3 ? "sales" : "newsroom", id);
    });
    if (hour === 3 && old < 240) for (let times = 0; times < 4; times++) ask("nightly-report", cold(5_000 + old++));
  }, 30_000 / SPEED);
}

async function story(vendor, proxies, settings) {
  const at = (hour, minute = 0) => until(Date.UTC(2026, 2, 11, hour, minute));
  await at(6, 30);
  proxies.at(-1).signal("SIGTERM");
  await proxies.at(-1).ended;
  proxies.push(await Proxy.start("serve", settings, fast()));
  await at(10, 20);
  await vendor.fault("status-503");
  await at(10, 50);
  await vendor.mend();
  await at(13, 5);
  await vendor.fault("throttled");
  await at(13, 12);
  await vendor.mend();
  await until(END);
}

/** Runs the chart of deploy/analyst.md on what this proxy gives. */
async function chart(proxy) {
  const directory = place(), [, recipe] = readFileSync(ANALYST, "utf8").match(/^```py\n(.*?)^```$/ms);
  const answer = await fetch(`${proxy.data}/v1/links/${SENT}.csv`, { headers: { Authorization: `Bearer ${TOKENS.sales}` } });
  writeFileSync(join(directory, "links.csv"), await answer.text());
  execFileSync(PYTHON, ["-c", recipe], { cwd: directory, env: { MPLBACKEND: "Agg", HOME: directory } });
  writeFileSync(join(DIRECTORY, "links.png"), readFileSync(join(directory, "links.png")));
}

/** With a palette a picture is a third as large, and looks the same. */
const smaller = (name) =>
  execFileSync(PYTHON, ["-c", "import sys; from PIL import Image; Image.open(sys.argv[1]).convert('RGB').quantize(256, method=Image.Quantize.FASTOCTREE).save(sys.argv[1], optimize=True)", join(DIRECTORY, `${name}.png`)]);

await launch();
try {
  const vendor = await Simulator.start(fast());
  const settings = {
    ...vendor.settings, "state.dir": place(), "clients.tokens_file": file(Object.entries(TOKENS).map((client) => client.join(" ")).join("\n")),
    // As they would be, but for a machine that is not faster than its clock.
    "server.idle_timeout": "1h", "server.request_timeout": "10m", "upstream.connect_timeout": "60s", "upstream.attempt_timeout": "4m", "quota.max_wait": "60s", "quota.per_second": 1,
    "server.listen": "127.0.0.1:8080", "admin.listen": "127.0.0.1:9090",
  };
  const proxies = [await Proxy.start("serve", settings, fast())];
  const asking = viewers(proxies);
  await story(vendor, proxies, settings);
  const proxy = proxies.at(-1);
  const page = await open(proxy);
  await loaded(page);
  await page.waitForSelector("#plot-ages path");
  await page.fill("#try-id", SENT);
  await told(page, "#cost", "costs");
  const top = async (selector) => Math.round((await page.locator(selector).boundingBox()).y + (await page.evaluate(() => scrollY)));
  const shot = async (name, y, height) => page.screenshot({ path: join(DIRECTORY, `${name}.png`), fullPage: true, clip: { x: 0, y, width: 1280, height } });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await shot(`page-${colorScheme}`, 0, await top("#reports"));
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.click("#try");
  await told(page, "#result", "unique click");
  await shot("try", await top("section:has(> #trial)"), 700);
  clearInterval(asking);
  await chart(proxy);
  for (const name of ["page-light", "page-dark", "try", "links"]) smaller(name);
} finally {
  await close();
  await end();
}
