// Reading pages as a person does: what stands on them in words.

import { contextOf, settings, signIn } from "./browser.mjs";

// read answers the text of each of world.paths: {path, text}.
export async function read(browser, world, out) {
  const state = world.adminKey ? await signIn(browser, world.base, { adminKey: world.adminKey }) : undefined;
  const context = await contextOf(browser, settings[2], state);
  for (const path of world.paths) {
    const page = await context.newPage();
    const answer = await page.goto(world.base + path);
    const text = await page.evaluate(() => {
      for (const d of document.querySelectorAll("details")) d.open = true;
      return document.body.innerText;
    });
    out({ path, status: answer.status(), text });
    await page.close();
  }
  await context.close();
}
