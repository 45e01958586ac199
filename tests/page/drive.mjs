// Drives the page as a person does: daemons, a headless Chromium, and no packages. Arguments choose parts.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Browser } from "./browser.mjs";
import { stopAll } from "./programs.mjs";
import { crowd } from "./crowd.mjs";
import { faults } from "./faults.mjs";
import { hostile } from "./hostile.mjs";
import { person } from "./person.mjs";
import { proxies } from "./proxies.mjs";
import { settings } from "./settings.mjs";

const room = mkdtempSync(join(tmpdir(), "page-test-"));
const browser = new Browser(join(room, "profile"));
process.once("SIGTERM", async () => {
  await stopAll([browser.process]);
  process.exit(1);
});
try {
  const all = [person, faults, settings, hostile, proxies, crowd];
  const chosen = process.argv.slice(2);
  for (const part of all.filter(({ name }) => !chosen.length || chosen.includes(name))) {
    const begun = Date.now();
    const tab = await part(browser, mkdtempSync(join(room, part.name)));
    assert.deepEqual(tab.errors, [], "the console has errors");
    console.log(`ok ${part.name}: ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  }
  console.log(`the page does what a person asks of it; screenshots are in ${process.env.OUT}`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await stopAll([browser.process]);
  rmSync(room, { recursive: true, force: true });
}
