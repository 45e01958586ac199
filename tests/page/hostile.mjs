// Text of clients is text, and a page of another origin gets nothing.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect } from "node:http2";
import { connect as connectTo } from "node:net";

import { Daemon, file } from "./programs.mjs";

const HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
// It turns the direction of what follows.
const TURNED = "\u202e";
// No slash: names of files.
const HOSTILE_NAME = "<img src=x onerror=\"document.title='owned'\">";

/** A call with hostile metadata, to a method with a name as hostile as HTTP allows. */
function callUnserved(socket) {
  return new Promise((resolve, reject) => {
    const session = connect("http://localhost", { createConnection: () => connectTo(socket) });
    session.on("error", reject);
    const call = session.request({ ":method": "POST", ":path": `/${encodeURIComponent(HOSTILE)}/x`, "content-type": "application/grpc", te: "trailers", "x-hostile": HOSTILE, "user-agent": HOSTILE });
    call.on("error", reject);
    call.on("close", () => session.close(resolve));
    call.resume();
    call.end();
  });
}

async function otherOrigin(browser, daemon) {
  const server = createServer((_, answer) => answer.end("<!doctype html><title>elsewhere</title>"));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const tab = await browser.open(`http://127.0.0.1:${server.address().port}/`);
    await tab.until("a page of another origin", "document.title === 'elsewhere'");
    const tasks = (await daemon.done("GET", "/tasks")).tasks.length;
    const page = JSON.stringify(daemon.page);
    for (const name of ["127.0.0.1", "localhost"]) {
      const at = `${page}.replace('127.0.0.1', '${name}')`;
      const got = await tab.js(`Promise.all(['', 'tasks', 'journal', 'metrics', 'openapi.json'].map((path) => fetch(${at} + path).then((a) => a.text(), () => null)))`);
      assert.deepEqual(got, [null, null, null, null, null], "it reads nothing");
      const sent = await tab.js(`Promise.all([['POST', 'reset'], ['POST', 'hosts/host-0/stop'], ['POST', 'faults']].map(([method, path]) => fetch(${at} + path, { method, mode: 'no-cors', body: '{}' }).then((a) => a.type, () => 'refused')))`);
      assert.ok(sent.every((type) => ["opaque", "refused"].includes(type)), JSON.stringify(sent));
      assert.equal(await tab.js(`new Promise((resolve) => { const s = new EventSource(${at} + 'events'); s.onopen = () => resolve('open'); s.onerror = () => { s.close(); resolve('refused'); }; })`), "refused");
      const framed = await tab.js(`new Promise((resolve) => { const f = document.createElement('iframe'); f.onload = () => { let title; try { title = f.contentDocument && f.contentDocument.title; } catch { title = null; } resolve(title); }; f.src = ${at}; document.body.append(f); })`);
      assert.ok(!framed, `it frames ${framed}`);
    }
    assert.equal((await daemon.done("GET", "/tasks")).tasks.length, tasks, "it changes nothing");
    assert.equal((await daemon.done("GET", "/hosts")).hosts[0].state, "running");
    console.log("ok a page of another origin reads nothing and changes nothing");
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

export async function hostile(browser, room) {
  const daemon = await Daemon.start(room, "the fake", ["serve", "--control-tcp", "127.0.0.1:0"]);
  const tab = await browser.open(daemon.page);
  await tab.until("the page is live", "document.getElementById('link')?.textContent === 'live'");

  const path = file(room, HOSTILE_NAME, "content");
  const id = daemon.dfcache("import", path, "--tag", HOSTILE + TURNED, "--application", HOSTILE);
  daemon.fails("stat", HOSTILE);
  daemon.dfcache("export", id, "--output", `${path}.out`);
  await callUnserved(daemon.ready.endpoint);
  await daemon.done("POST", "/faults", { on: "delete", task: HOSTILE, tag: HOSTILE, application: HOSTILE, do: { error: { code: "ABORTED", message: HOSTILE } } });
  await daemon.done("POST", "/faults", { on: "list", do: { error: { code: "ABORTED", message: HOSTILE + TURNED } } });
  daemon.fails("ls");
  await daemon.done("PATCH", "/settings", { block: [`import:tag=${HOSTILE}${TURNED}`] });
  const texts = { tasks: 2, calls: 4, faults: 2, settings: 1, glance: 1 };
  for (const [place, least] of Object.entries(texts)) await tab.until(`hostile text is text among ${place}`, `document.getElementById('${place}').textContent.split('onerror').length > ${least}`);
  await tab.js("for (const details of document.querySelectorAll('#calls details')) details.open = true");
  await tab.until("also in metadata", "[...document.querySelectorAll('#calls pre')].some((pre) => pre.textContent.includes('x-hostile') && pre.textContent.includes('onerror'))");
  const isHarmless = "document.title === 'fake-dfdaemon' && document.querySelectorAll('img, main script, iframe').length === 0";
  assert.ok(await tab.js(isHarmless));
  const isStraight = "!document.body.innerText.includes('\\u202e') && document.body.innerText.includes('\\ufffd')";
  assert.ok(await tab.js(isStraight), "text of a client turns others around");
  await tab.axe("hostile text");
  await tab.go(`${daemon.page}?text=${encodeURIComponent(HOSTILE)}&host=${encodeURIComponent(HOSTILE)}&rpc=${encodeURIComponent(HOSTILE)}`);
  await tab.until("hostile text in the address is text", `document.getElementById('link')?.textContent === 'live' && document.querySelector('#filters [name=text]').value.includes('onerror') && ${isHarmless}`);
  await otherOrigin(browser, daemon);
  return tab;
}
