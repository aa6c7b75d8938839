// The program that the Go tests of this folder talk to. It takes one order on each line of its standard input and
// answers with a line of JSON for each verdict, and {"end":true}. Chromium is started once, with the first order.

import { createInterface } from "node:readline";
import { acts } from "./acts.mjs";
import { launch } from "./browser.mjs";
import { calls } from "./calls.mjs";
import { corpus } from "./executes.mjs";
import { firstRun } from "./firstrun.mjs";
import { pages } from "./pages.mjs";
import { act } from "./perform.mjs";
import { read } from "./read.mjs";
import { roles } from "./roles.mjs";
import { unseen, walk } from "./walks.mjs";

const out = (o) => process.stdout.write(JSON.stringify(o) + "\n");

const orders = {
  pages: async (browser, world) => {
    const rows = await pages(world);
    const now = rows.filter((row) => world.full || !row.rare);
    const links = await walk(browser, world, now, out);
    if (world.part === "console") unseen(links, world, rows, out);
  },
  acts: (browser, world) => act(browser, world, acts(world.part).filter((row) => world.full || !row.rare), out),
  roles: (browser, world) => roles(browser, world, out),
  rows: (browser, world) => walk(browser, world, world.rows, out),
  executes: (browser, world) => corpus(browser, world, out),
  calls: (browser, world) => calls(world, out),
  firstRun: (browser, world) => firstRun(browser, world, out),
  read: (browser, world) => read(browser, world, out),
};

let browser;
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  try {
    browser ??= await launch();
    await orders[order.do](browser, order.world);
    out({ end: true });
  } catch (e) {
    out({ end: true, error: String(e.stack ?? e) });
  }
}
await browser?.close();
