// The program that the Go tests of this folder talk to. It takes one order on each line of its standard input and
// answers with a line of JSON for each verdict, and {"end":true}. Chromium is started once, with the first order.

import { createInterface } from "node:readline";
import { contextOf, halves, launch, settings, signIn } from "./browser.mjs";
import { corpus } from "./executes.mjs";
import { look } from "./look.mjs";
import { read } from "./read.mjs";
import { watch } from "./watch.mjs";

const out = (o) => process.stdout.write(JSON.stringify(o) + "\n");

// walk looks at rows of pages: where world.full in each of the four settings, else in two of them, and at the colours of
// the other two. Each setting has one browser that is signed in and one that is not, and in each two pages are used
// side by side.
async function walk(browser, world, rows) {
  const state = world.signIn ? await signIn(browser, world.base, world.signIn) : undefined;
  const contexts = [];
  const lanes = [];
  for (const setting of world.only ? settings.filter((s) => s.name === world.only) : world.full ? settings : halves) {
    for (const signedOut of [false, true]) {
      const mine = rows.filter((row) => Boolean(row.signedOut) === signedOut);
      if (mine.length === 0) continue;
      const context = await contextOf(browser, setting, signedOut ? undefined : state);
      contexts.push(context);
      lanes.push({ context, setting, rows: mine[Symbol.iterator]() });
    }
  }
  await Promise.all(
    lanes.flatMap((lane) =>
      [1, 2].map(async () => {
        const page = await lane.context.newPage();
        const seen = await watch(page, world.base);
        for (const row of lane.rows) await look({ page, seen, setting: lane.setting }, row, world, !world.full && !world.only, out);
      }),
    ),
  );
  for (const context of contexts) await context.close();
}

const orders = {
  rows: (browser, world) => walk(browser, world, world.rows),
  executes: (browser, world) => corpus(browser, world, out),
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
