// The page of a proxy, a recorder and a replay leaves out what they cannot know.
import assert from "node:assert/strict";
import { join } from "node:path";

import { Daemon, file } from "./programs.mjs";

const OF_FAKES = ["h-hosts", "h-tasks", "h-settings", "clock", "snapshot", "settle"];
const shown = (id) => `(document.getElementById('${id}').offsetParent !== null)`;

export async function proxies(browser, room) {
  const fake = await Daemon.start(room, "the fake", ["serve", "--control-tcp", "127.0.0.1:0"]);
  const id = fake.dfcache("import", file(room, "model.bin", Buffer.alloc(1 << 20, 7)));
  const cassette = join(room, "cassette");
  let tab;
  for (const [role, ...args] of [
    ["proxy", "--upstream", fake.ready.endpoint],
    ["record", "--upstream", fake.ready.endpoint, "--cassette", cassette],
    ["replay", "--cassette", cassette],
  ]) {
    const proxy = await Daemon.start(room, role, [role, ...args, "--socket", join(room, `${role}.sock`), "--control", join(room, `${role}.control`), "--control-tcp", "127.0.0.1:0"]);
    if (tab) await tab.go(proxy.page);
    else tab = await browser.open(proxy.page);
    await tab.until(`the page of a ${role} is live`, `document.getElementById('link')?.textContent === 'live' && document.getElementById('about').textContent.includes('${role} of')`);
    for (const place of OF_FAKES) assert.equal(await tab.js(shown(place)), false, place);
    assert.equal(await tab.js("[...document.querySelectorAll('#fault option')].filter((o) => ['transfer', 'replicate', 'connect', 'refuse', 'no_space'].includes(o.value)).length"), 0);
    assert.ok((await tab.js("document.getElementById('glance').textContent")).startsWith("No call has failed"));
    proxy.dfcache("stat", id);
    await tab.until("a call that passes", "[...document.querySelectorAll('#calls summary')].some((s) => /^\\d+ stat OK task /.test(s.textContent))");
    await tab.js("document.querySelector('#fault [name=on]').focus()");
    await tab.press("s");
    await tab.choose("#fault button");
    await tab.until("a fault is armed", "document.querySelector('#faults code')?.textContent === 'stat:error=UNAVAILABLE:gone'");
    proxy.fails("stat", id);
    await tab.until("why the call failed, at a glance", "document.getElementById('glance').textContent.includes('UNAVAILABLE, gone. Fault 1 did that')");
    await tab.until("it has fired", "document.querySelector('#faults li').textContent.includes('fired once')");
    if (role === "proxy") await tab.look("proxy");
    proxy.process.kill("SIGTERM");
    await new Promise((resolve) => proxy.process.once("exit", resolve));
    // What the page says when its daemon ends: nobody can be at fault.
    await tab.until("the daemon has ended", "document.getElementById('link').textContent.startsWith('not connected')");
    tab.errors.length = 0;
  }
  return tab;
}
