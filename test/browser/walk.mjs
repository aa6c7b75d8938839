// Walks over the pages or acts by hand and says what is wrong, against the server that stage describes:
//   go run ./test/browser/stage node test/browser/walk.mjs docs|console|acts [part of a name …]

import { readFileSync } from "node:fs";
import { acts } from "./acts.mjs";
import { launch } from "./browser.mjs";
import { pages } from "./pages.mjs";
import { act } from "./perform.mjs";
import { unseen, walk } from "./walks.mjs";

const world = { ...JSON.parse(readFileSync(process.env.STAGED_WORLD, "utf8")), full: Boolean(process.env.COMMS_TEST_FULL) };
const [part, ...words] = process.argv.slice(2);
world.part = part;
const all = part === "acts" ? acts("console") : await pages(world);
const rows = all.filter((row) => (words.length === 0 ? world.full || !row.rare : words.some((w) => row.name.includes(w))));
const browser = await launch();
let wrong = 0;
const times = [];
const began = Date.now();
const tell = (v) => {
  if (v.ok && v.check === "works") times.push([parseInt(v.detail), `${v.page}, ${v.setting}`]);
  if (v.ok) return;
  wrong++;
  console.log(`${v.page}, ${v.setting}, ${v.check}:\n  ${v.detail.replaceAll("\n", "\n  ")}`);
};
const links = await (part === "acts" ? act : walk)(browser, world, rows, tell);
if (words.length === 0 && part === "console") unseen(links, world, all, tell);
await browser.close();
for (const [ms, what] of times.sort((a, b) => b[0] - a[0]).slice(0, 5)) console.log(`${ms} ms: ${what}`);
console.log(`${rows.length} rows, ${wrong} things wrong, ${((Date.now() - began) / 1000).toFixed(1)} s`);
process.exitCode = wrong > 0 ? 1 : 0;
