// Settings: changed by keyboard and mouse, refused at their field, and changed by others.
import assert from "node:assert/strict";

import { Daemon } from "./programs.mjs";

export async function settings(browser, room) {
  const daemon = await Daemon.start(room, "the fake", ["serve", "--capacity", "64mib", "--control-tcp", "127.0.0.1:0"]);
  const tab = await browser.open(daemon.page);
  const given = await daemon.done("GET", "/settings");
  const field = (name) => `#setting-${name} [name=${name}]`;
  const value = (name) => `document.querySelector('${field(name)}').value`;
  const present = (name) => `document.querySelector('#setting-${name} .present').textContent`;
  const error = (name) => `document.getElementById('setting-${name}-error').textContent`;
  const is = async (name, wanted) => assert.deepEqual((await daemon.done("GET", "/settings"))[name], wanted, name);
  await tab.until("settings have their present values", `document.getElementById('link')?.textContent === 'live' && ${value("capacity")} === '64mib' && ${value("max_requests")} === '' && ${value("gc_interval")} === '15m'`);

  // Each by the keyboard alone; empty is none.
  for (const [name, typed, shown, wanted] of [
    ["capacity", "1gib", "1gib", 1 << 30], ["capacity", "", "none", null],
    ["max_requests", "3", "3", 3], ["max_requests", "", "none", null],
    ["replication_delay", "90s", "1m 30s", "1m 30s"], ["gc_interval", "1h", "1h", "1h"],
    ["block", "import:tag=x\nexport:application=y", "import:tag=x, export:application=y", ["import:tag=x", "export:application=y"]], ["block", "", "none", []],
  ]) {
    await tab.fill(field(name), typed);
    await tab.choose(`#setting-${name} button`);
    await tab.until(`${name} becomes ${shown}`, `${present(name)}.startsWith('Now: ${shown} ') && ${error(name)} === ''`);
    await is(name, wanted);
  }
  await tab.tabTo("#setting-quirks [value=ttl-limits]");
  await tab.press(" ");
  await tab.choose("#setting-quirks button");
  await tab.until("a quirk is on", `${present("quirks")} === 'Now: ttl-limits'`);
  await is("quirks", ["ttl-limits"]);
  await tab.click("#setting-quirks [value=ttl-limits]");
  await tab.click("#setting-quirks button");
  await tab.until("it is off, by the mouse", `${present("quirks")} === 'Now: none'`);

  for (const [name, wrong] of [["capacity", "much"], ["max_requests", "many"], ["max_requests", "-1"], ["block", "import"], ["replication_delay", "soon"], ["replication_delay", ""], ["gc_interval", "0s"]]) {
    const before = await daemon.done("GET", "/settings");
    await tab.fill(field(name), wrong);
    await tab.choose(`#setting-${name} button`);
    await tab.until(`${JSON.stringify(wrong)} is refused at ${name}`, `${error(name)}.includes('${name}') && document.querySelector('${field(name)}').getAttribute('aria-invalid') === 'true'`);
    assert.equal(await tab.js(value(name)), wrong, "what was typed stays");
    assert.deepEqual(await daemon.done("GET", "/settings"), before);
  }
  await tab.look("settings");

  await daemon.done("PATCH", "/settings", { replication_delay: "7s", capacity: "2gib" });
  await tab.until("a change by others arrives", `${present("replication_delay")}.startsWith('Now: 7s')`);
  assert.equal(await tab.js(value("replication_delay")), "", "what a person has typed stays");
  await tab.go(daemon.page);
  await tab.until("a page loaded anew", `document.getElementById('link')?.textContent === 'live' && ${value("replication_delay")} === '7s'`);
  await daemon.done("PATCH", "/settings", { capacity: "3gib", quirks: ["no-local-calls"] });
  await tab.until("fields that nobody touches follow", `${value("capacity")} === '3gib' && document.querySelector('#setting-quirks [value=no-local-calls]').checked`);
  await daemon.done("POST", "/reset");
  await tab.until("a reset brings back what was given", `${value("capacity")} === '64mib' && ${value("replication_delay")} === '0s'`);
  assert.deepEqual(await daemon.done("GET", "/settings"), given);
  return tab;
}
