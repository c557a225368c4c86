// What comes from outside stays text, what is secret stays inside, and no other page can do anything here.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";

import { isClean, loaded, open, told } from "./page.mjs";
import { Proxy, SENT, UNCLICKED, Vendor, cold, demo, file, link } from "./processes.mjs";

const HOSTILE = ["<script>globalThis.ran = 1</script>", "<img src=x onerror='globalThis.ran = 1'>"];
const JAVASCRIPT = "javascript:globalThis.ran=1";
const WEB = 'https://www.example.com/?q="><svg onload=globalThis.ran=1>';

const SECRETS = {
  access: "an-access-token-of-the-settings",
  renewed: "an-access-token-from-the-vendor",
  refresh: "the-refresh-token-of-the-account",
  client: "the-secret-of-the-application",
  admin: "the-token-of-the-admin-port-0123456789",
  caller: "the-token-of-a-caller-0123456789",
  cookie: "a-cookie-of-a-caller",
  password: "the-password-of-the-store",
  seal: "5ea1".repeat(16),
};
const ROUTES = ["/status", "/status/history", "/failures", "/cache", `/cache/${SENT}`, "/quota", "/token", "/fleet", "/config", "/metrics", "/version", "/openapi.json", "/ui/app.js"];

/** All that a proxy with these settings shows: on the page, after all of it was used, and on each route. */
async function shownBy(settings) {
  const proxy = await Proxy.start("serve", settings);
  const caller = { Authorization: `Bearer ${SECRETS.caller}`, Cookie: SECRETS.cookie };
  for (const id of [SENT, cold(1)]) await fetch(`${proxy.data}/v3/reports/email_reports/${id}/links`, { headers: caller });
  const shown = [];
  const page = await open(proxy);
  page.on("response", async (response) => shown.push(await response.text().catch(() => "")));
  await loaded(page);
  await page.fill("#token", SECRETS.admin);
  await tried(page, SENT);
  await told(page, "#result", "1 link, 3 unique clicks.");
  await page.click("#settings summary");
  await told(page, "#settings", "client_secret");
  shown.push(await page.content());
  await isClean(page);
  const asked = ROUTES.map((path) => fetch(proxy.admin + path));
  const own = { Authorization: `Bearer ${SECRETS.admin}`, "X-Requested-By": "page" };
  asked.push(fetch(proxy.admin, { headers: { Accept: "text/html" } }), fetch(`${proxy.admin}/try/${SENT}`, { method: "POST", headers: own }));
  for (const answer of await Promise.all(asked)) {
    assert.equal(answer.status, 200, answer.url);
    shown.push(JSON.stringify([...answer.headers]), await answer.text());
  }
  return shown;
}

async function tried(page, id) {
  await page.fill("#try-id", id);
  await told(page, "#cost", /costs/);
  await page.click("#try");
}

export const safety = {
  async "what the vendor sends is text, and only what leads to the web is a link"() {
    const vendor = await Vendor.start((id) =>
      id === SENT
        ? [JAVASCRIPT, "data:text/html,<script>globalThis.ran=1</script>", WEB, ...HOSTILE].map((url, at) => link(url, 9 - at, at))
        : { status: id === UNCLICKED ? 404 : 503, body: [{ error_key: HOSTILE[0], error_message: HOSTILE[1] }] });
    const proxy = await Proxy.start("serve", vendor.settings);
    const page = await open(proxy);
    await loaded(page);
    await tried(page, SENT);
    await told(page, "#result", "5 links");
    const cells = await page.$$eval("#result tbody tr", (rows) => rows.map((row) => row.cells[0].textContent));
    assert.deepEqual(cells.slice(0, 1), [JAVASCRIPT]);
    assert.deepEqual(cells.slice(3), HOSTILE);
    const links = await page.$$eval("#result a", (links) => links.map((link) => [link.textContent, link.protocol, link.rel]));
    assert.deepEqual(links, [[WEB, "https:", "noreferrer noopener"]]);
    await page.click("#result details summary");
    await tried(page, UNCLICKED);
    await told(page, "#result", HOSTILE[1]);
    await tried(page, cold(1));
    await told(page, "#result", /^50\d/);
    await told(page, "#failures", /upstream/);
    await told(page, "#list", UNCLICKED);
    assert.equal(await page.evaluate(() => globalThis.ran), undefined);
    await isClean(page);
  },

  async "no secret is in any byte, whatever is shown"() {
    const vendor = await Vendor.start((id) => {
      if (id === "token") return { status: 200, body: { access_token: SECRETS.renewed, token_type: "Bearer", expires_in: 86_400 } };
      return id === SENT ? [link("https://www.example.com/", 3)] : { status: 500, body: [{ error_key: "x", error_message: "y" }] };
    });
    const base = vendor.settings["upstream.base_url"];
    const settings = { "upstream.base_url": base, "admin.token_file": file(SECRETS.admin), "clients.tokens_file": file(`sales ${SECRETS.caller}`) };
    const shown = await Promise.all([
      shownBy({
        ...settings, "token.source": "refresh", "token.token_url": `${base}/oauth2/default/v1/token`, "token.client_id": "an-application",
        "token.client_secret": SECRETS.client, "token.refresh_token": SECRETS.refresh,
      }),
      shownBy({
        ...settings, "token.access_token": SECRETS.access, "shared.key_file": file(SECRETS.seal),
        "shared.namespace": "fleet", "shared.url": `redis://somebody:${SECRETS.password}@127.0.0.1:1`,
      }),
    ]);
    const bytes = shown.flat().join("\n");
    assert.ok(bytes.length > 200_000, `${bytes.length} bytes`);
    for (const [name, secret] of Object.entries(SECRETS)) {
      const hash = (kind) => createHash("sha256").update(secret).digest(kind);
      for (const form of [secret, Buffer.from(secret).toString("base64"), hash("hex"), hash("base64")]) assert.ok(!bytes.includes(form), name);
    }
  },

  async "another page can neither spend a call nor purge"() {
    const proxy = await demo();
    await proxy.report(SENT);
    // Another port of this machine is another origin, and localhost another site.
    const other = await demo();
    for (const origin of [other.admin, other.admin.replace("127.0.0.1", "localhost")]) {
      const page = await open({ admin: origin }, { path: "/livez" });
      const outcomes = await page.evaluate(async ({ admin, id }) => {
        const outcome = (path, options) => fetch(admin + path, options).then((answer) => answer.type, () => "refused");
        return Promise.all([
          outcome(`/try/${id}`, { method: "POST", mode: "no-cors" }),
          outcome(`/try/${id}`, { method: "POST", headers: { "X-Requested-By": "page" } }),
          outcome("/cache", { method: "DELETE" }),
          outcome(`/cache/${id}`, { method: "DELETE" }),
          outcome("/status", {}),
        ]);
      }, { admin: proxy.admin, id: cold(1) });
      assert.deepEqual(outcomes, ["opaque", "refused", "refused", "refused", "refused"], origin);
    }
    const status = await (await fetch(`${proxy.admin}/status`)).json();
    assert.deepEqual([status.calls.used, status.memory.reports], [1, 1]);
    // Whereas its own page may.
    const page = await open(proxy);
    await loaded(page);
    page.on("dialog", (dialog) => dialog.accept());
    await page.click("#list tbody button.id");
    await page.click("#detail button:has-text('Forget')");
    await told(page, "#shown", "0 held");
    await isClean(page);
  },
};
