// Drives the page as a person does: a daemon, a headless Chromium behind a pipe, and no packages.
import { execFileSync, spawn } from "node:child_process";
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { AXE, CHROMIUM, OUT, BIN } = process.env;
const PATIENCE = 30_000;
const room = mkdtempSync(join(tmpdir(), "page-test-"));
const HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

function started(command, args, options) {
  const child = spawn(command, args, options);
  child.on("error", (error) => { console.error(error); process.exit(1); });
  return child;
}

const daemon = started(join(BIN, "fake-dfdaemon"), ["serve", "--hosts", "4", "--state-dir", join(room, "world"), "--clock", "manual=2030-01-01T00:00:00Z", "--capacity", "64mib", "--control-tcp", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
const ready = await new Promise((resolve) => {
  let text = "";
  daemon.stdout.on("data", (part) => { text += part; if (text.includes("\n")) resolve(JSON.parse(text)); });
});
const page = `http://${ready.control_tcp}/`;
const dfcache = (...args) => execFileSync(join(BIN, "dfcache"), args, { env: { ...process.env, DFCACHE_ENDPOINT: ready.endpoint, DFCACHE_LOG_DIR: join(room, "logs") }, stdio: ["ignore", "pipe", "pipe"] }).toString().trim();
const fails = (...args) => assert.throws(() => dfcache(...args));
const post = async (path, body) => { const answer = await fetch(new URL(path, page), { method: "POST", body: JSON.stringify(body) }); assert.equal(answer.status, 200); };

const browser = started(CHROMIUM, ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", `--user-data-dir=${join(room, "profile")}`, "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
let last = 0, unread = "";
const waiting = new Map(), errors = [];
browser.stdio[4].on("data", (part) => {
  unread += part;
  for (let end; (end = unread.indexOf("\0")) >= 0; unread = unread.slice(end + 1)) {
    const told = JSON.parse(unread.slice(0, end));
    if (told.id) { const { resolve, reject } = waiting.get(told.id); waiting.delete(told.id); told.error ? reject(new Error(told.error.message)) : resolve(told.result); }
    else if (told.method === "Runtime.exceptionThrown") errors.push(told.params.exceptionDetails.exception?.description ?? told.params.exceptionDetails.text);
    else if (told.method === "Log.entryAdded" && told.params.entry.level === "error") errors.push(told.params.entry.text);
    else if (told.method === "Runtime.consoleAPICalled" && told.params.type === "error") errors.push(JSON.stringify(told.params.args));
  }
});
const send = (method, params = {}, sessionId) => new Promise((resolve, reject) => {
  waiting.set(++last, { resolve, reject });
  browser.stdio[3].write(JSON.stringify({ id: last, method, params, sessionId }) + "\0");
});
const { targetId } = await send("Target.createTarget", { url: "about:blank" });
const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
const tab = (method, params) => send(method, params, sessionId);
for (const domain of ["Page", "Runtime", "Log"]) await tab(domain + ".enable");

async function js(expression) {
  const { result, exceptionDetails } = await tab("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  assert.equal(exceptionDetails, undefined, `${expression}: ${exceptionDetails?.exception?.description}`);
  return result.value;
}
async function until(what, expression) {
  const end = Date.now() + PATIENCE;
  while (!(await js(expression))) {
    assert.ok(Date.now() < end, `${what}: it never came to be\n${await js("document.body.innerText")}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  console.log("ok", what);
}
const KEYS = { Tab: 9, Enter: 13, " ": 32 };
async function press(key, modifiers = 0) {
  const text = key === "Enter" ? "\r" : key === " " ? " " : undefined;
  await tab("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", key, code: key === " " ? "Space" : key, windowsVirtualKeyCode: KEYS[key], text, modifiers });
  await tab("Input.dispatchKeyEvent", { type: "keyUp", key, windowsVirtualKeyCode: KEYS[key], modifiers });
}
const type = (text) => tab("Input.insertText", { text });
/** Goes there by the keyboard alone. */
async function tabTo(selector) {
  for (let steps = 0; steps < 200; steps += 1) {
    if (await js(`document.activeElement && document.activeElement.matches(${JSON.stringify(selector)})`)) return;
    await press("Tab");
  }
  assert.fail(`the keyboard does not reach ${selector}`);
}
async function shot(name, width, scheme) {
  await tab("Emulation.setDeviceMetricsOverride", { width, height: 1100, deviceScaleFactor: 1, mobile: false });
  await tab("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  const { data } = await tab("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
  writeFileSync(join(OUT, `${name}.png`), Buffer.from(data, "base64"));
}
async function axe(what) {
  // Runs beside the page's own script, past its policy.
  await tab("Runtime.evaluate", { expression: readFileSync(AXE, "utf8") });
  const found = JSON.parse(await js("axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.help, v.nodes.map((n) => n.html.slice(0, 200))])))"));
  assert.deepEqual(found, [], what);
  console.log("ok axe finds nothing:", what);
}

try {
  await tab("Page.navigate", { url: page });
  await until("the page is live", "document.getElementById('link')?.textContent === 'live'");
  await until("four hosts", "document.querySelectorAll('#hosts li').length === 4");

  writeFileSync(join(room, "model.bin"), Buffer.alloc(5 << 20, 7));
  const id = dfcache("import", join(room, "model.bin"), "--persistent-replica-count", "2", "--tag", HOSTILE, "--ttl", "2h");
  const row = `[...document.querySelectorAll('#tasks tr')].find((row) => row.cells[0].textContent === '${id}')`;
  await until("a task appears with its replicas", `${row}?.cells[3].textContent === '2 of 2'`);
  await until("its time left", `${row}.cells[5].textContent === '2h 0m'`);
  assert.equal(await js(`${row}.cells[6].textContent`), HOSTILE);
  await until("its call", "[...document.querySelectorAll('#calls summary')].some((s) => s.textContent.includes('import host-0 OK'))");

  await js("document.querySelector('[name=on]').focus()");
  await js("(() => { const f = document.getElementById('fault'); f.on.value = 'stat'; f.on.dispatchEvent(new Event('change', {bubbles: true})); })()");
  await tabTo("#fault [name=call]");
  await type("1");
  assert.equal(await js("document.getElementById('spec').textContent"), "stat@call=1:error=UNAVAILABLE:gone");
  await tabTo("#fault button");
  await press("Enter");
  await until("a fault is armed", "document.querySelector('#faults code')?.textContent.includes('stat')");
  fails("stat", id);
  await until("it has fired", "document.querySelector('#faults li').textContent.includes('fired once')");
  const failed = "[...document.querySelectorAll('#calls details')].find((d) => d.textContent.includes('UNAVAILABLE'))";
  await until("the call that failed", `!!${failed}`);
  await js(`${failed}.querySelector('summary').focus()`);
  await press("Enter");
  await until("why it failed", `${failed}.querySelector('p')?.textContent === 'gone' && ${failed}.textContent.includes('"task_id": "${id}"')`);

  fails("stat", HOSTILE);
  await until("hostile text is text", "[...document.querySelectorAll('#calls summary')].some((s) => s.textContent.includes('onerror'))");
  assert.equal(await js("document.title"), "fake-dfdaemon");
  assert.equal(await js("document.querySelectorAll('img').length"), 0);

  await tabTo("[aria-label='stop host-3']");
  await press("Enter");
  await until("a host is stopped", "document.querySelector('#hosts li:nth-child(4)').dataset.state === 'stopped'");
  await js("document.querySelector('#clock [name=advance]').focus()");
  await press("Tab");
  await press("Enter");
  await until("time passes", `${row}.cells[5].textContent === '1h 0m'`);
  await post("/clock", { advance: "30m" });
  await until("time that others move", `${row}.cells[5].textContent === '30m 0s'`);

  await js("document.querySelector('#snapshot [name=name]').focus()");
  await type("before");
  await press("Enter");
  await until("a snapshot is taken", "document.querySelector('#snapshots li')?.textContent.startsWith('before')");
  await tabTo(`[aria-label='delete task ${id}']`);
  await press("Enter");
  await until("a task is deleted", `!${row}`);
  await js("document.querySelector('#snapshots button').focus()");
  await press("Enter");
  await until("it is brought back", `!!${row}`);

  await js("document.querySelector('#filters [name=text]').focus()");
  await type("no such");
  await until("filters hide", `!${row} && document.querySelectorAll('#calls li').length === 0`);
  const url = await js("location.href");
  assert.ok(url.endsWith("?text=no+such"), url);
  await tab("Page.navigate", { url: page + "?rpc=stat&ended=failed&host=host-0" });
  await until("a view comes back from its address", "document.getElementById('link')?.textContent === 'live' && document.querySelectorAll('#calls li').length === 2 && document.querySelector('#filters [name=host]').value === 'host-0'");
  await tab("Page.navigate", { url: page });
  await until("the page is live again", "document.getElementById('link')?.textContent === 'live' && document.querySelectorAll('#tasks tr').length === 1");

  await shot("wide-light", 1280, "light");
  await axe("light");
  await shot("wide-dark", 1280, "dark");
  await axe("dark");
  await shot("narrow-light", 400, "light");
  await axe("narrow");
  await shot("narrow-dark", 400, "dark");
  assert.deepEqual(errors, [], "the console has errors");
  console.log(`the page does what a person asks of it; screenshots are in ${OUT}`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  const gone = [daemon, browser].map((child) => child.exitCode !== null ? null : new Promise((resolve) => child.once("exit", resolve)));
  daemon.kill("SIGTERM");
  browser.kill("SIGTERM");
  await Promise.all(gone);
  rmSync(room, { recursive: true, force: true });
}
