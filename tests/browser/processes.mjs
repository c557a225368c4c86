// The real programs, each on ports that the system chose, and a vendor whose answers a test writes itself.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PREFIX = "LINK_REPORT_PROXY__";
const BINARY = process.argv[2];

/** The vendor's own ids, which the simulator knows: a sent campaign, a draft, and one that nobody clicks. */
export const SENT = "1ead98be-dfa0-4e04-81f7-5f1534d42e9c";
export const DRAFT = "6cc0d637-cf3d-4ac6-aad7-21567698eb38";
export const UNCLICKED = "3c4fcf09-8815-4ff7-8a2c-6d5e4b3a2910";

/** A report that nobody has asked for: the simulator knows every id of this form. */
export const cold = (number) => `${number.toString(16).padStart(8, "0")}-0000-4000-8000-000000000003`;

/** The share of the day's calls that a proxy with no count of them believes to be left. */
export const dayLeft = () => 1 - (Date.now() % 86_400_000) / 86_400_000;

/** The count of calls begins anew at 00:00 UTC, and no test is about that: waits until it is over. */
export const notAtMidnight = () => new Promise((done) => setTimeout(done, dayLeft() < 2 / 1440 ? dayLeft() * 86_400_000 + 1000 : 0));

const started = new Set();
const places = [];

export function place() {
  const made = mkdtempSync(join(tmpdir(), "status-page-"));
  places.push(made);
  return made;
}

/** A file with this text. */
export function file(text) {
  const path = join(place(), "file");
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** Ends all that was started here. */
export async function end() {
  await Promise.all([...started].map((one) => one.end()));
  for (const made of places) rmSync(made, { recursive: true, force: true });
}

/** {"cache.ttl": "1m"} as the environment of a process that has nothing else. */
function environment(settings) {
  const named = ([key, value]) => [PREFIX + key.toUpperCase().replaceAll(".", "__"), String(value)];
  return Object.fromEntries(Object.entries(settings).map(named));
}

class Program {
  constructor(command, settings = {}, more = {}) {
    this.process = spawn(BINARY, command, { env: { ...environment(settings), ...more }, stdio: ["ignore", "pipe", "pipe"] });
    this.ended = once(this.process, "exit");
    this.said = [];
    started.add(this);
  }

  /** The first match in a line of this stream, or all that it has said if it ends before. */
  async line(stream, pattern) {
    for await (const line of createInterface({ input: stream })) {
      this.said.push(line);
      const found = line.match(pattern);
      if (found) {
        // Else it would stop when the pipe is full.
        stream.resume();
        return found;
      }
    }
    throw new Error(`it has ended: ${this.said.join("\n")}`);
  }

  signal(name) {
    this.process.kill(name);
  }

  async end() {
    if (this.process.exitCode === null && this.process.signalCode === null) this.signal("SIGKILL");
    await this.ended;
    started.delete(this);
  }
}

/** link-report-proxy, run by `serve` or, with a simulated vendor in the same process, by `demo`. */
export class Proxy extends Program {
  static async start(command, settings = {}, more = {}) {
    const ports = { "server.listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", "log.format": "json", "log.level": "link_report_proxy=info" };
    const proxy = new Proxy([command].flat(), { ...ports, ...settings }, more);
    const listening = proxy.line(proxy.process.stderr, /"listening","data":"(.*?)","admin":"(.*?)"/);
    const simulated = [command].flat()[0] === "demo" ? proxy.line(proxy.process.stdout, /simulated: (http:.*)$/) : null;
    const [, data, admin] = await listening;
    proxy.data = `http://${data}`;
    proxy.admin = `http://${admin}`;
    proxy.vendor = (await simulated)?.[1];
    return proxy;
  }

  report(id, query = "") {
    return fetch(`${this.data}/v3/reports/email_reports/${id}/links${query}`);
  }

  async fault(kind, scope = "") {
    await simulator(this.vendor, "PUT", `fault?kind=${kind}${scope}`);
  }

  async mend() {
    await simulator(this.vendor, "DELETE", "fault");
  }

  async spend(calls) {
    await simulator(this.vendor, "POST", `spend?calls=${calls}`);
  }
}

async function simulator(vendor, method, command) {
  const answer = await fetch(`${vendor}/_simulator/${command}`, { method });
  if (!answer.ok) throw new Error(await answer.text());
}

export const demo = (settings) => Proxy.start("demo", settings);

/** The simulated vendor alone; `settings` are those of a proxy in front of it. */
export class Simulator extends Program {
  static async start(more = {}) {
    const vendor = new Simulator(["simulator", "--listen", "127.0.0.1:0", "--refresh-tokens", "long-lived"], {}, more);
    const [, token] = await vendor.line(vendor.process.stdout, /REFRESH_TOKEN=(.*)$/);
    const values = vendor.said.map((line) => line.match(/^LINK_REPORT_PROXY__(.*?)=(.*)$/)).filter(Boolean);
    vendor.settings = Object.fromEntries(values.map(([, key, value]) => [key.toLowerCase().replaceAll("__", "."), value]));
    vendor.url = vendor.settings["upstream.base_url"];
    vendor.refreshToken = token;
    return vendor;
  }

  fault(kind, scope = "") {
    return simulator(this.url, "PUT", `fault?kind=${kind}${scope}`);
  }

  mend() {
    return simulator(this.url, "DELETE", "fault");
  }
}

/** A vendor that answers as a test wants it, without a limit of calls. */
export class Vendor {
  /** `answer(id)`: the links of this activity, or { status, body }. */
  static async start(answer) {
    const server = createServer((request, response) => {
      const id = request.url.split("/")[4];
      const told = answer(id);
      const { status, body } = Array.isArray(told) ? { status: 200, body: { campaign_activity_id: id, link_click_counts: told } } : told;
      response.writeHead(status, { "content-type": "application/json", "x-request-id": "quote-this" });
      response.end(JSON.stringify(body));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const vendor = new Vendor();
    vendor.server = server;
    vendor.settings = {
      "upstream.base_url": `http://127.0.0.1:${server.address().port}`,
      "token.access_token": "an-access-token-of-the-browser-test",
      "quota.per_second": 0,
    };
    started.add(vendor);
    return vendor;
  }

  async end() {
    this.server.close();
    this.server.closeAllConnections();
    started.delete(this);
  }
}

/** One link of a report. */
export const link = (url, clicks, number = 1) => ({ link_url: url, url_id: String(1_100_000_000_000 + number), unique_clicks: clicks });
