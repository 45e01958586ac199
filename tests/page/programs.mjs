// The programs that the page is about.
import { execFileSync, spawn } from "node:child_process";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const { BIN } = process.env;
const running = [];

/** A daemon with a page. */
export class Daemon {
  static async start(room, name, args) {
    const daemon = new Daemon();
    daemon.room = room;
    daemon.process = spawn(join(BIN, "fake-dfdaemon"), args, { stdio: ["ignore", "pipe", "inherit"], cwd: room });
    daemon.process.on("error", (error) => { console.error(error); process.exit(1); });
    running.push(daemon.process);
    daemon.ready = await new Promise((resolve, reject) => {
      let text = "";
      daemon.process.stdout.on("data", (part) => {
        text += part;
        if (text.includes("\n")) resolve(JSON.parse(text.slice(0, text.indexOf("\n"))));
      });
      daemon.process.once("exit", (code) => reject(new Error(`${name} ended with ${code}`)));
    });
    daemon.page = `http://${daemon.ready.control_tcp}/`;
    return daemon;
  }

  dfcache(...args) {
    const env = { ...process.env, DFCACHE_ENDPOINT: this.ready.endpoint, DFCACHE_LOG_DIR: join(this.room, "logs") };
    return execFileSync(join(BIN, "dfcache"), args, { env, cwd: this.room, stdio: ["ignore", "pipe", "pipe"] }).toString().trim();
  }

  fails(...args) {
    assert.throws(() => this.dfcache(...args));
  }

  async ask(method, path, body) {
    const answer = await fetch(new URL(path, this.page), { method, body: body === undefined ? undefined : JSON.stringify(body) });
    return { status: answer.status, told: await answer.json() };
  }

  async done(method, path, body) {
    const { status, told } = await this.ask(method, path, body);
    assert.equal(status, 200, JSON.stringify(told));
    return told;
  }
}

export function file(room, name, content) {
  const path = join(room, name);
  writeFileSync(path, content);
  return path;
}

/** Ends them all, and waits for it. */
export async function stopAll(more = []) {
  const all = [...running, ...more];
  const gone = all.map((child) => (child.exitCode !== null || child.signalCode !== null ? null : new Promise((resolve) => child.once("exit", resolve))));
  for (const child of all) child.kill("SIGTERM");
  await Promise.all(gone);
}
