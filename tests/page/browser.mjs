// A headless Chromium behind a pipe, and what a person does in it; no packages.
import { spawn } from "node:child_process";
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const { AXE, CHROMIUM, OUT } = process.env;
const PATIENCE = 30_000;
const KEYS = { Tab: 9, Enter: 13, " ": 32, Backspace: 8 };

export class Browser {
  #last = 0;
  #unread = "";
  #waiting = new Map();
  #tabs = new Map();

  constructor(profile) {
    const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "about:blank"];
    this.process = spawn(CHROMIUM, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.process.on("error", (error) => { console.error(error); process.exit(1); });
    this.process.stdio[4].on("data", (part) => {
      this.#unread += part;
      for (let end; (end = this.#unread.indexOf("\0")) >= 0; this.#unread = this.#unread.slice(end + 1)) this.#take(JSON.parse(this.#unread.slice(0, end)));
    });
  }

  #take(told) {
    if (!told.id) {
      this.#tabs.get(told.sessionId)?.note(told);
      return;
    }
    const { resolve, reject } = this.#waiting.get(told.id);
    this.#waiting.delete(told.id);
    if (told.error) reject(new Error(told.error.message));
    else resolve(told.result);
  }

  send(method, params = {}, sessionId) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(++this.#last, { resolve, reject });
      this.process.stdio[3].write(JSON.stringify({ id: this.#last, method, params, sessionId }) + "\0");
    });
  }

  async open(url) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const tab = new Tab(this, sessionId);
    this.#tabs.set(sessionId, tab);
    for (const domain of ["Page", "Runtime", "Log"]) await tab.send(domain + ".enable");
    await tab.go(url);
    return tab;
  }
}

export class Tab {
  /** What the console says of errors, and what would be one. */
  errors = [];

  constructor(browser, sessionId) {
    this.send = (method, params) => browser.send(method, params, sessionId);
  }

  note({ method, params }) {
    if (method === "Runtime.exceptionThrown") this.errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    // The page shows the person what the API refuses; that the browser writes of it too is nobody's error.
    else if (method === "Log.entryAdded" && params.entry.level === "error" && !(params.entry.source === "network" && /status of 400 /.test(params.entry.text))) this.errors.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    else if (method === "Runtime.consoleAPICalled" && params.type === "error") this.errors.push(JSON.stringify(params.args));
    else if (method === "Page.javascriptDialogOpening") this.send("Page.handleJavaScriptDialog", { accept: true });
  }

  go(url) {
    return this.send("Page.navigate", { url });
  }

  async js(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    assert.equal(exceptionDetails, undefined, `${expression}: ${exceptionDetails?.exception?.description}`);
    return result.value;
  }

  /** Waits until the page says so. */
  async until(what, expression) {
    const end = Date.now() + PATIENCE;
    while (!(await this.js(expression))) {
      assert.ok(Date.now() < end, `${what}: it never came to be\n${await this.js("document.body.innerText")}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    console.log("ok", what);
  }

  async press(key, modifiers = 0) {
    const text = key === "Enter" ? "\r" : key.length === 1 ? key : undefined;
    const code = key === " " ? "Space" : key;
    const windowsVirtualKeyCode = KEYS[key] ?? key.toUpperCase().charCodeAt(0);
    await this.send("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", key, code, windowsVirtualKeyCode, text, modifiers });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", key, code, windowsVirtualKeyCode, modifiers });
  }

  type(text) {
    return this.send("Input.insertText", { text });
  }

  /** Goes there by the keyboard alone. */
  async tabTo(selector) {
    for (let steps = 0; steps < 300; steps += 1) {
      if (await this.js(`document.activeElement && document.activeElement.matches(${JSON.stringify(selector)})`)) return;
      await this.press("Tab");
    }
    assert.fail(`the keyboard does not reach ${selector}`);
  }

  /** Goes to a button by the keyboard alone, and presses it. */
  async choose(selector) {
    await this.tabTo(selector);
    await this.press("Enter");
  }

  /** Goes to a field by the keyboard alone, and types over what is there. */
  async fill(selector, text) {
    await this.tabTo(selector);
    await this.js("document.activeElement.select()");
    if (text) await this.type(text);
    else await this.press("Backspace");
  }

  /** Clicks with the mouse. */
  async click(selector) {
    const { x, y } = await this.js(`(() => { const e = document.querySelector(${JSON.stringify(selector)}); e.scrollIntoView({ block: "center" }); const b = e.getBoundingClientRect(); return { x: b.x + b.width / 2, y: b.y + b.height / 2 }; })()`);
    for (const type of ["mousePressed", "mouseReleased"]) await this.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
  }

  async shot(name, width, scheme) {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height: 1100, deviceScaleFactor: 1, mobile: false });
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
    assert.ok(await this.js("document.documentElement.scrollWidth <= window.innerWidth"), `${name}: the page is wider than the window`);
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
    writeFileSync(join(OUT, `${name}.png`), Buffer.from(data, "base64"));
  }

  async axe(what) {
    // Runs beside the page's own script, past its policy.
    await this.send("Runtime.evaluate", { expression: readFileSync(AXE, "utf8") });
    const found = JSON.parse(await this.js("axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.help, v.nodes.map((n) => n.html.slice(0, 200))])))"));
    assert.deepEqual(found, [], what);
    console.log("ok axe finds nothing:", what);
  }

  /** Screenshots at two widths, dark and light, and what axe-core says of each. */
  async look(name) {
    for (const [size, width] of [["wide", 1280], ["narrow", 400]]) {
      for (const scheme of ["light", "dark"]) {
        await this.shot(`${name}-${size}-${scheme}`, width, scheme);
        await this.axe(`${name}, ${size}, ${scheme}`);
      }
    }
    await this.send("Emulation.clearDeviceMetricsOverride");
  }
}
