// Many hosts, tasks and calls: the page samples, says so, and still does what it is asked to.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { connect } from "node:http2";
import { connect as connectTo } from "node:net";
import { join } from "node:path";

import { Daemon, file } from "./programs.mjs";

const HOSTS = 200;
const TASKS = 320;
const CALLS = 3000;

/** Health checks, many at once on one connection. */
function callOften(socket, times, lanes = 50) {
  return new Promise((resolve, reject) => {
    const session = connect("http://localhost", { createConnection: () => connectTo(socket) });
    session.on("error", reject);
    let begun = 0, ended = 0;
    const one = () => {
      begun += 1;
      const call = session.request({ ":method": "POST", ":path": "/grpc.health.v1.Health/Check", "content-type": "application/grpc", te: "trailers" });
      call.on("error", reject);
      call.on("close", () => {
        ended += 1;
        if (begun < times) one();
        else if (ended === times) session.close(resolve);
      });
      call.resume();
      call.end(Buffer.alloc(5));
    };
    for (let lane = 0; lane < lanes; lane += 1) one();
  });
}

export async function crowd(browser, room) {
  mkdirSync(join(room, "files"));
  for (let n = 0; n < TASKS; n += 1) file(room, `files/${n}.bin`, `content ${n}`);
  const daemon = await Daemon.start(room, "the fake", ["serve", "--hosts", String(HOSTS), "--preload", "files", "--control-tcp", "127.0.0.1:0"]);
  const tab = await browser.open(daemon.page);
  await tab.until("two hundred hosts", `document.getElementById('link')?.textContent === 'live' && document.querySelectorAll('#hosts li').length === ${HOSTS}`);
  await tab.until("the first tasks, and how many there are", `document.getElementById('tasks-count').textContent === 'the first 300 of ${TASKS}'`);
  await daemon.done("POST", "/settle");
  await tab.until("that all of them have their replicas", "document.getElementById('glance').textContent.startsWith('Every task has all its persistent replicas')");
  const { tasks } = await daemon.done("GET", "/tasks");
  const last = tasks[TASKS - 1], other = last.replicas.find(({ host }) => host !== "host-0").host;
  const [first] = tasks.filter((task) => task.replicas.some(({ host }) => host === other));
  await tab.fill("#filters [name=text]", last.task_id);
  await tab.until("a task is found wherever in the list", `document.querySelector('#tasks .id')?.title === '${last.task_id}' && document.getElementById('tasks-count').textContent === '1 of ${TASKS}'`);
  await tab.fill("#filters [name=text]", "");
  const choose = (host) => tab.js(`filters.host.value = '${host}', filters.dispatchEvent(new Event("input"))`);
  const held = tasks.filter((task) => task.replicas.some(({ host }) => host === other)).length;
  await choose(other);
  await tab.until("what a host has is found too", `document.getElementById('tasks-count').textContent === '${held} of ${TASKS}' && document.querySelectorAll('#tasks tr').length === ${held}`);
  await choose("");
  await daemon.done("POST", "/faults", { on: "replicate", do: { stall: true } });
  await daemon.done("POST", `/hosts/${other}/leave`);
  await tab.until("what lacks a replica, wherever in the list", `document.getElementById('glance').textContent.includes('Task ${first.task_id} lacks 1 of 2 persistent replicas: it is on host-0')`);
  await daemon.done("DELETE", "/faults");
  await daemon.done("POST", `/hosts/${other}/start`);
  await daemon.done("POST", "/settle");
  await callOften(daemon.ready.endpoint, 1, 1);
  await tab.until("a call", "/health/.test(document.querySelector('#calls li').textContent)");
  await tab.js("window.first = document.querySelector('#calls li'), first.querySelector('summary').focus()");
  await callOften(daemon.ready.endpoint, 1, 1);
  await tab.until("another one, which leaves the first as it was", "document.querySelector('#calls li') !== first && first.contains(document.activeElement)");
  await daemon.done("POST", "/faults", { on: "health", call: CALLS / 2, do: { error: "ABORTED:one of many" } });
  const begun = Date.now();
  await callOften(daemon.ready.endpoint, CALLS);
  const rate = Math.round(CALLS / ((Date.now() - begun) / 1000));
  await tab.until("the last of many calls is shown", "Number(document.querySelector('#calls .number').textContent) === " + (await daemon.done("GET", "/journal/count")).last);
  await tab.until("calls are sampled, and it says so", "/of them left out: too many to show/.test(document.getElementById('calls-count').textContent)");
  await tab.until("the one that failed is not left out", "document.getElementById('glance').textContent.includes('ABORTED, one of many. Fault ') && [...document.querySelectorAll('#calls summary')].some((s) => s.textContent.includes('ABORTED'))");
  const { count } = await daemon.done("GET", "/journal/count?rpc=health");
  await tab.until("all are counted", `Number(document.getElementById('calls-count').textContent.match(/, (\\d+) ended/)[1]) >= ${count}`);
  await tab.until("what runs is not made up", "![...document.querySelectorAll('#calls summary')].some((s) => /health.*running/.test(s.textContent))");
  const late = await tab.js("new Promise((resolve) => { const at = performance.now(); setTimeout(() => resolve(performance.now() - at)); })");
  assert.ok(late < 2000, `the page answers after ${late} ms`);
  await tab.click("[aria-label='stop host-7']");
  await tab.until("it does what it is asked to", "document.querySelector('#hosts li:nth-child(8)').dataset.state === 'stopped'");
  await tab.shot("crowd", 1280, "light");
  console.log(`ok ${HOSTS} hosts, ${TASKS} tasks, ${rate} calls a second`);
  return tab;
}
