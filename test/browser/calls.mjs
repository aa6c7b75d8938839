// Opens pages as a browser does that has a profile: one that connects to a host as soon as a page hints at it. The browser that
// everything else is looked at with is told not to, and a window without a profile does not.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchWhole, signInBy } from "./browser.mjs";

// calls opens world.paths, one after another, and waits on each for what it begins late.
export async function calls(world, out) {
  const profile = await mkdtemp(join(tmpdir(), "calls-"));
  const context = await launchWhole(profile);
  context.setDefaultTimeout(120_000); // a machine under load is no fault of the page
  try {
    const page = await context.newPage();
    if (world.adminKey) await signInBy(page, world.base, { adminKey: world.adminKey });
    for (const path of world.paths) {
      const answer = await page.goto(world.base + path, { waitUntil: "load" });
      await page.waitForTimeout(300);
      out({ page: path, setting: "profile", check: "it is there", ok: answer?.ok() === true, detail: `${answer?.status()}` });
    }
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}
