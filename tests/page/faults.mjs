// The form of faults knows the same grammar as the daemon.
import assert from "node:assert/strict";

import { Daemon } from "./programs.mjs";

const choose = (name, value) => `(() => { const f = document.getElementById('fault')[${JSON.stringify(name)}]; f.value = ${JSON.stringify(value)}; for (const kind of ['input', 'change']) f.dispatchEvent(new Event(kind, { bubbles: true })); })()`;

export async function faults(browser, room) {
  const daemon = await Daemon.start(room, "the fake", ["serve", "--control-tcp", "127.0.0.1:0"]);
  const tab = await browser.open(daemon.page);
  await tab.until("the page is live", "document.getElementById('link')?.textContent === 'live'");

  const { components } = await daemon.done("GET", "/openapi.json");
  const actions = Object.keys(components.schemas.Action.properties);
  const options = (name) => tab.js(`[...document.getElementById('fault')[${JSON.stringify(name)}].options].map((option) => option.value)`);
  assert.deepEqual((await options("do")).sort(), [...actions].sort(), "the form offers every action");
  const places = await options("on");
  const stated = components.schemas.NewFault.properties.on.enum;
  assert.deepEqual([...places].sort(), [...stated].sort(), "the form offers every call");
  for (const on of places) {
    await tab.js(choose("on", on));
    const offered = await tab.js("[...document.getElementById('fault').do.options].filter((option) => !option.disabled).map((option) => option.value)");
    for (const action of actions) {
      if (offered.includes(action)) await tab.js(choose("do", action));
      const json = offered.includes(action) ? await tab.js("faultJson()") : { on, do: { [action]: { error: "UNAVAILABLE", delay: "1s", bandwidth: "1MiB" }[action] ?? true } };
      const { status, told } = await daemon.ask("POST", "/faults", json);
      assert.equal(status === 200, offered.includes(action), `${JSON.stringify(json)}: ${JSON.stringify(told)}`);
      if (status !== 200) continue;
      const { id, fired, ...given } = told;
      const spec = await tab.js(`specOf(${JSON.stringify(given)})`);
      const fields = await tab.js("Object.fromEntries(KEYS.map((key) => [key, !document.getElementById('fault')[key].disabled]))");
      for (const [key, value] of Object.entries({ piece: 1, bytes: 1, phase: "before", task: "7", tag: "x", application: "x", call: 1, times: 1, probability: 0.5 })) {
        const narrowed = await daemon.ask("POST", "/faults", { ...json, [key]: value });
        assert.equal(narrowed.status === 200, fields[key], `${spec} with ${key}: ${JSON.stringify(narrowed.told)}`);
      }
      // Sockets go stale at once, those of all three hosts.
      assert.ok(fired === (action === "stale" ? 3 : 0) && id > 0, JSON.stringify(told));
    }
    await daemon.done("DELETE", "/faults");
  }
  console.log(`ok the form offers what the API takes: ${places.length} calls, ${actions.length} actions`);

  await tab.js(choose("on", "transfer"));
  await tab.js(choose("do", "corrupt_piece"));
  await tab.fill("#fault [name=host]", "host-1");
  await tab.fill("#fault [name=piece]", "2");
  await tab.choose("#fault button");
  await tab.until("a fault of transfers is armed", "document.querySelector('#faults code')?.textContent === 'transfer@host=host-1,piece=2:corrupt_piece'");
  for (const [field, wrong] of [["host", "host-9"], ["call", "often"], ["probability", "2"], ["times", "-1"], ["piece", "1.5"]]) {
    await tab.js("document.getElementById('fault').reset(); showForm()");
    await tab.js(choose("on", "export"));
    await tab.js(choose("do", "stall"));
    await tab.fill(`#fault [name=${field}]`, wrong);
    await tab.press("Enter");
    await tab.until(`what is wrong with ${field} stands at it`, `document.getElementById('fault-error').textContent.startsWith(${JSON.stringify(field)}) && document.querySelector('#fault [name=${field}]').getAttribute('aria-invalid') === 'true'`);
  }
  assert.equal((await daemon.done("GET", "/faults")).faults.length, 1, "nothing that was refused is armed");
  return tab;
}
