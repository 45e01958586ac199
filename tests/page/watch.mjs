// Keeps the page open while others make calls, as many as they can, and clicks on it as a person does: until
// standard input ends. Then it says how long the page took to answer, and what it says of the calls. `make load`
// runs it.
//
//   CHROMIUM=<program> node watch.mjs <address of the page>
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Browser } from "./browser.mjs";

const BETWEEN = 400;
const room = mkdtempSync(join(tmpdir(), "page-watch-"));
const browser = new Browser(join(room, "profile"));
let isOver = false;
process.stdin.on("end", () => { isOver = true; }).resume();
// What was clicked is said in the page, and drawn: the time from the click to that.
const NEXT = `window.answered = new Promise((resolve) => document.addEventListener("click", ({ timeStamp }) =>
  requestAnimationFrame(() => setTimeout(() => resolve({ drawn: performance.now() - timeStamp, said: document.getElementById("said").textContent }))), { once: true, capture: true })), 0`;
try {
  const tab = await browser.open(process.argv[2]);
  await tab.until("live", "document.getElementById('link')?.textContent === 'live' && document.querySelectorAll('#hosts li').length > 1");
  const drawn = [], done = [];
  for (let count = 0; !isOver; count += 1) {
    const word = count % 2 ? "start" : "stop", state = count % 2 ? "running" : "stopped";
    await tab.js(NEXT);
    const begun = performance.now();
    await tab.click(`[aria-label='${word} host-1']`);
    const answered = await tab.js("answered");
    if (!answered.said.startsWith(`${word} host-1`)) throw new Error(`the page says ${answered.said}`);
    drawn.push(answered.drawn);
    await tab.js(`new Promise((resolve) => { const look = () => document.querySelector('#hosts li:nth-child(2)').dataset.state === '${state}' ? resolve() : setTimeout(look, 5); look(); })`);
    done.push(performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, BETWEEN));
  }
  const told = (times) => { const sorted = [...times].sort((a, b) => a - b).map(Math.round); return { clicks: sorted.length, median_ms: sorted[sorted.length >> 1], most_ms: sorted.at(-1) }; };
  console.log(JSON.stringify({ drawn: told(drawn), done: told(done), calls: await tab.js("document.getElementById('calls-count').textContent"), errors: tab.errors }));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  browser.process.kill("SIGTERM");
  await new Promise((resolve) => browser.process.once("exit", resolve));
  rmSync(room, { recursive: true, force: true });
}
