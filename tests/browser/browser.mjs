// What the scenarios share: a real engine, a real browser, and a way between them that can be cut. Nothing here waits for
// time, only for conditions; what is begun here is ended in `leave`, whatever happens.

import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

/// Longer than anything here takes on a loaded machine.
export const PATIENCE_MS = 30_000;

/// What this machine lacks, so that nothing can be tried.
export class Missing extends Error {}

/// `world.test` is this machine, and looks to a page as if it were not.
const FAR_AWAY = ['--host-resolver-rules=MAP world.test 127.0.0.1'];

/// What is to be undone in the end, the last first.
const begun = [];

export function atTheEnd(undo) {
  begun.push(undo);
}

export async function leave() {
  while (begun.length > 0) await begun.pop()();
}

/// Waits until `look` gives something that counts as true, and returns it.
export async function waitFor(what, look) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await new Promise((done) => setTimeout(done, 20))) {
    const seen = await look();
    if (seen) return seen;
  }
  throw new Error(`waited in vain for ${what}`);
}

/// The engine whose path stands in the environment, in a folder of its own, on free ports.
export class Engine {
  /// Starts one and waits until its World runs. `world` is the text of a world file; `variables` go beside the usual ones.
  static async start({ world, variables = {} } = {}) {
    const engine = new Engine();
    engine.folder = mkdtempSync(join(tmpdir(), 'aqevia-browser-'));
    atTheEnd(() => rmSync(engine.folder, { recursive: true, force: true }));
    engine.variables = {
      // Where a sanitizer that is compiled in is to report (see tests/sanitize.sh).
      ...(process.env.ASAN_OPTIONS && { ASAN_OPTIONS: process.env.ASAN_OPTIONS }),
      AQEVIA_SQLITE_PATH: join(engine.folder, 'storage.sqlite'),
      AQEVIA_OBSERVABILITY_ADDR: '127.0.0.1:0',
      AQEVIA_TELNET_ADDR: '127.0.0.1:0',
      AQEVIA_WEB_ADDR: '127.0.0.1:0',
      PERSIST_FLUSH_INTERVAL_MS: '20',
      ...variables,
    };
    if (world) {
      engine.variables.AQEVIA_WORLD_PATH = join(engine.folder, 'world.json5');
      writeFileSync(engine.variables.AQEVIA_WORLD_PATH, world);
    }
    atTheEnd(() => engine.stop('SIGKILL'));
    await engine.begin();
    return engine;
  }

  /// Starts it, again after a stop, with the database that is there. Its ports may be others then: see `Way`.
  async begin() {
    this.log = '';
    this.process = spawn(process.env.AQEVIA_ENGINE, [], { env: this.variables, stdio: ['ignore', 'pipe', 'inherit'] });
    this.ended = new Promise((done) => this.process.once('exit', done).once('error', done));
    this.process.stdout.on('data', (text) => (this.log += text));
    this.ended.then(() => (this.process = null));
    await waitFor(`the World to run: ${this.log}`, () => / msg=running /.test(this.log) || !this.process);
    if (!this.process) throw new Error(`the engine did not start: ${this.log}`);
    const told = (name) => this.log.match(new RegExp(` msg=listening .*\\b${name}=(\\S+)`))?.[1];
    [this.observability, this.telnet, this.web] = [told('addr'), told('telnet'), told('web')];
  }

  async stop(signal = 'SIGTERM') {
    this.process?.kill(signal);
    await this.ended;
  }
}

/// A port that leads to another one, which may change, or nowhere: what it carries is cut then, and whoever comes is sent away.
export class Way {
  static async to(address) {
    const way = new Way();
    way.sockets = new Set();
    way.server = createServer((near) => way.carry(near));
    await new Promise((done) => way.server.listen(0, '127.0.0.1', done));
    atTheEnd(() => way.server.close());
    atTheEnd(() => way.cut());
    way.leadsTo(address);
    way.address = `127.0.0.1:${way.server.address().port}`;
    way.url = `http://${way.address}/`;
    return way;
  }

  leadsTo(address) {
    this.port = Number(address.match(/:(\d+)\/?$/)[1]);
  }

  cut() {
    this.port = null;
    for (const socket of this.sockets) socket.destroy();
  }

  /// Carries no more of what it has begun to carry, without a word to anybody.
  hold() {
    for (const socket of this.sockets) socket.pause();
  }

  carry(near) {
    if (!this.port) return near.destroy();
    const far = connect(this.port, '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]]) {
      this.sockets.add(from.setNoDelay(true));
      from.on('error', () => to.destroy());
      from.on('close', () => (this.sockets.delete(from), to.destroy()));
      from.pipe(to);
    }
  }
}

/// The browser. All pages of a scenario are opened in it, each person in a context of their own; what is wrong with one is
/// put down among the faults.
export class Browser {
  static async start(faults) {
    const browser = new Browser();
    browser.faults = faults;
    const { chromium } = await import('playwright-core').catch(() => {
      throw new Missing('playwright-core is not installed in tests/browser');
    });
    browser.chromium = await chromium.launch({ executablePath: program(), chromiumSandbox: false, args: FAR_AWAY });
    atTheEnd(() => browser.chromium.close());
    return browser;
  }

  /// A page, in a context like that of somebody who has never been here. `expected` are what its console may say of a
  /// network that is cut; anything else it says as an error fails the scenario, what the Content-Security-Policy forbids too.
  async open(url, { expected = [], ...context } = {}) {
    const people = await this.chromium.newContext({ viewport: { width: 1280, height: 800 }, ...context });
    people.setDefaultTimeout(PATIENCE_MS);
    await people.addInitScript(() =>
      addEventListener('securitypolicyviolation', (event) =>
        console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`)));
    const page = await people.newPage();
    const fault = (words) => expected.some((known) => known.test(words)) || this.faults.push(`${url}: ${words}`);
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && fault(message.text()));
    page.on('pageerror', (error) => fault(error.stack));
    await page.goto(url);
    return page;
  }

  /// What axe-core, which knows the rules of accessibility, finds on a page is a fault too.
  async audit(page, state) {
    const axe = new URL('node_modules/axe-core/axe.min.js', import.meta.url);
    await page.evaluate(readFileSync(axe, 'utf8'));
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    for (const { id, help, nodes } of violations) {
      this.faults.push(`axe, ${state}: ${id}: ${help}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`)}`);
    }
  }
}

/// Where Chromium is.
function program() {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch { /* Not here. */ }
    }
  }
  throw new Missing('chromium is not installed');
}
