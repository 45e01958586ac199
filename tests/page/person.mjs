// What a person does, by the keyboard alone.
import assert from "node:assert/strict";

import { Daemon, file } from "./programs.mjs";

export async function person(browser, room) {
  const daemon = await Daemon.start(room, "the fake", ["serve", "--hosts", "4", "--state-dir", "world", "--clock", "manual=2030-01-01T00:00:00Z", "--capacity", "64mib", "--control-tcp", "127.0.0.1:0"]);
  const tab = await browser.open(daemon.page);
  await tab.until("the page is live", "document.getElementById('link')?.textContent === 'live'");
  await tab.until("four hosts", "document.querySelectorAll('#hosts li').length === 4");

  const model = file(room, "model.bin", Buffer.alloc(5 << 20, 7));
  const id = daemon.dfcache("import", model, "--persistent-replica-count", "2", "--tag", "nightly", "--ttl", "2h");
  const row = `[...document.querySelectorAll('#tasks tr')].find((row) => row.cells[0].textContent === '${id}')`;
  const replicas = `[...${row}.querySelectorAll('.replica [role=img]')].map((sign) => sign.getAttribute('aria-label')).join()`;
  const left = `${row}.querySelector('[data-expires]').textContent`;
  await tab.until("a task appears with its replicas", `${row} && ${row}.cells[3].textContent === '2 of 2' && ${replicas} === 'persistent replica on host-0,persistent replica on host-1'`);
  await tab.until("its time left", `${left} === '2h 0m'`);
  await tab.until("its call", "[...document.querySelectorAll('#calls summary')].some((s) => /import\\s*host-0\\s*OK/.test(s.textContent))");

  await tab.js("document.querySelector('#fault [name=on]').focus()");
  await tab.press("s");
  await tab.until("a call is chosen by its name", "document.querySelector('#fault [name=on]').value === 'stat'");
  await tab.fill("#fault [name=call]", "1");
  assert.equal(await tab.js("document.getElementById('spec').textContent"), "stat@call=1:error=UNAVAILABLE:gone");
  await tab.choose("#fault button");
  await tab.until("a fault is armed", "document.querySelector('#faults code')?.textContent === 'stat@call=1:error=UNAVAILABLE:gone'");
  daemon.fails("stat", id);
  await tab.until("it has fired", "document.querySelector('#faults li').textContent.includes('fired once')");
  await tab.until("why the call failed, at a glance", "document.getElementById('glance').textContent.includes('stat on host-0: UNAVAILABLE, gone. Fault 1 did that')");
  const failed = "[...document.querySelectorAll('#calls details')].find((d) => d.textContent.includes('UNAVAILABLE'))";
  await tab.js(`${failed}.querySelector('summary').focus()`);
  await tab.press("Enter");
  await tab.until("why the call failed, in full", `${failed}.querySelector('p')?.textContent === 'gone' && ${failed}.textContent.includes('"task_id": "${id}"')`);
  await tab.choose("[aria-label='remove fault 1']");
  await tab.until("a fault is removed", "document.getElementById('faults').textContent === 'no faults are armed'");

  const host = (n) => `document.querySelector('#hosts li:nth-child(${n + 1})').dataset.state`;
  await tab.choose("[aria-label='stop host-1']");
  await tab.until("a host is stopped", `${host(1)} === 'stopped' && ${row}.cells[3].textContent === '2 of 2'`);
  await tab.choose("[aria-label='leave host-1']");
  await tab.until("a host leaves, and its replica is made elsewhere", `${host(1)} === 'left' && ${replicas}.includes('host-2')`);
  await tab.choose("[aria-label='start host-1']");
  await tab.until("a host is back", `${host(1)} === 'running'`);
  for (const other of ["host-1", "host-2", "host-3"]) await daemon.done("POST", `/hosts/${other}/leave`);
  await tab.until("which task lacks a replica, at a glance", `document.getElementById('glance').textContent.includes('Task ${id} lacks 1 of 2 persistent replicas: it is on host-0; ')`);
  const signs = `[...${row}.querySelectorAll('.replica')].map((cell) => cell.textContent).join()`;
  await tab.until("replicas that do not count have a sign of their own", `${signs}.startsWith("●,⊗,⊗,")`);
  await tab.look("lacking");
  for (const other of ["host-1", "host-2", "host-3"]) await daemon.done("POST", `/hosts/${other}/start`);
  await tab.until("nothing lacks any more", "document.getElementById('glance').textContent.startsWith('Every task has all its persistent replicas')");

  await tab.fill("#clock [name=advance]", "soon");
  await tab.choose("#clock button");
  await tab.until("what the clock does not take stands at it", "document.getElementById('clock-error').textContent.startsWith('advance') && document.querySelector('#clock [name=advance]').getAttribute('aria-invalid') === 'true'");
  await tab.fill("#clock [name=advance]", "1h");
  await tab.choose("#clock button");
  await tab.until("time passes", `${left} === '1h 0m' && document.getElementById('clock-error').textContent === ''`);
  await daemon.done("POST", "/clock", { advance: "30m" });
  await tab.until("time that others move", `${left} === '30m 0s'`);

  await tab.fill("#snapshot [name=name]", "before");
  await tab.press("Enter");
  await tab.until("a snapshot is taken", "document.querySelector('#snapshots li')?.textContent.startsWith('before')");
  await tab.choose(`[aria-label='delete task ${id}']`);
  await tab.until("a task is deleted", `!${row}`);
  await tab.choose("[aria-label='bring snapshot before back']");
  await tab.until("it is brought back", `!!${row}`);
  await daemon.done("POST", "/snapshots/of-others");
  await tab.until("a snapshot that others take", "document.getElementById('snapshots').textContent.includes('of-others')");
  await daemon.done("POST", "/faults", { on: "list", do: { stall: true } });
  await tab.until("a fault that others add", "document.getElementById('faults').textContent.includes('list:stall')");
  await daemon.done("DELETE", "/faults");
  await tab.until("faults that others remove", "document.getElementById('faults').textContent === 'no faults are armed'");

  await tab.fill("#filters [name=text]", "no such");
  await tab.until("filters hide", `!${row} && document.querySelectorAll('#calls details').length === 0`);
  const url = await tab.js("location.href");
  assert.ok(url.endsWith("?text=no+such"), url);
  await tab.go(daemon.page + "?rpc=stat&ended=failed&host=host-0");
  await tab.until("a view comes back from its address", "document.getElementById('link')?.textContent === 'live' && document.querySelectorAll('#calls details').length === 1 && document.querySelector('#filters [name=host]').value === 'host-0'");
  await tab.go(daemon.page);
  await tab.until("the page is live again", `document.getElementById('link')?.textContent === 'live' && !!${row}`);
  await tab.look("person");

  await tab.click("#reset");
  await tab.until("everything is reset, by the mouse", `!${row} && document.getElementById('tasks').textContent.startsWith('no tasks yet')`);
  await tab.until("calls are forgotten too", "document.querySelectorAll('#calls details').length === 0 && document.getElementById('glance').textContent.includes('No call has failed.')");
  return tab;
}
