// Looking at one page in one setting: what is judged, and how the verdicts are told.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { turned } from "./browser.mjs";
import { keyboard } from "./keyboard.mjs";
import { bytesOf, policyOf, settle } from "./watch.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

// firstView is the largest number of bytes that a page may take on the wire, with everything it needs.
export const firstView = 150_000;

// look opens a page of the table and tells a verdict for each thing that is judged. A row is
//   name, path         what it is called, and where it is
//   status             that it is answered with; 200 if not given
//   act(page, world)   what is done on it first; what is judged is what then stands there
//   rare               it is much like another one, and looked at only at full size
//   signedOut          it is looked at by whoever has not signed in
//   without            what is not judged, each with the reason
//
// view is { page, seen, setting }: the page that is used, watched, and the setting that it has. Where turn is true, the
// colours of the other scheme are judged on the same page afterwards.
export async function look({ page, seen, setting }, row, world, turn, tell) {
  const say = (check, wrong, note, where = setting) => {
    if (row.without?.[check]) return;
    tell({ page: row.name, setting: where.name, check, ok: wrong.length === 0, detail: wrong.slice(0, 12).join("\n") || note || "" });
  };
  try {
    seen.forget();
    const began = Date.now();
    const answer = await page.goto(world.base + row.path, { waitUntil: "load" });
    await settle(page, seen);
    const bytes = await bytesOf(seen);
    if (row.act) {
      await row.act(page, world);
      await settle(page, seen);
    }
    const want = row.status ?? 200;
    say("status", answer.status() === want ? [] : [`${row.path} is answered ${answer.status()}, not ${want}`]);
    say("size", bytes <= firstView ? [] : [`${bytes} bytes on the wire, more than ${firstView}`], `${bytes} bytes`);
    const links = await page.evaluate(() => [...document.querySelectorAll("a[href]:not([download])")].map((a) => a.href));
    await judge({ page, seen, setting }, turn, say, { keys: true, refused: want >= 400 });
    tell({ page: row.name, setting: setting.name, check: "works", ok: true, links, detail: `${Date.now() - began} ms` });
  } catch (e) {
    tell({ page: row.name, setting: setting.name, check: "works", ok: false, detail: String(e.stack ?? e) });
  }
}

// judge judges what stands on a page, however it came to stand there. keys: with a walk by the Tab key. refused: something was
// answered as an error, of which the browser itself tells.
export async function judge({ page, seen, setting }, turn, say, { keys, refused }) {
  say("heading", await page.evaluate(headings));
  if (setting.phone) say("width", await page.evaluate(tooWide, setting.width));
  await page.evaluate(axe);
  say("axe", await judged(page, { type: "tag", values: rules }));
  if (keys) say("keyboard", await keyboard(page, seen.cdp));
  if (turn) {
    const other = turned(setting);
    await page.emulateMedia({ colorScheme: other.scheme });
    if (other.phone) say("width", await page.evaluate(tooWide, other.width), "", other);
    say("axe", await judged(page, ["color-contrast"]), "colours", other);
    await page.emulateMedia({ colorScheme: setting.scheme });
  }
  say("console", refused ? seen.console.filter((t) => !/Failed to load resource/.test(t)) : seen.console);
  say("policy", await policyOf(page, seen));
  say("hosts", [...seen.hosts].map((u) => `asks ${u}`));
}

// judgeDialog judges the dialog that is open: by axe in both colour schemes, by the Tab key, and whether the window holds it.
export async function judgeDialog({ page, seen, setting }, turn, say) {
  await page.evaluate(axe);
  say("dialog axe", await judged(page, { type: "tag", values: rules }, "#dialog"));
  say("dialog keyboard", await keyboard(page, seen.cdp));
  say("dialog fits", await page.evaluate(outside));
  if (!turn) return;
  const other = turned(setting);
  await page.emulateMedia({ colorScheme: other.scheme });
  say("dialog axe", await judged(page, ["color-contrast"], "#dialog"), "colours", other);
  await page.emulateMedia({ colorScheme: setting.scheme });
}

async function judged(page, runOnly, within) {
  const found = await page.evaluate(([only, part]) => axe.run(part ?? document, { runOnly: only, iframes: false, resultTypes: ["violations"] }), [runOnly, within]);
  return found.violations.flatMap((v) => v.nodes.slice(0, 4).map((n) => `${v.id}: ${n.target.join(" ")}: ${n.failureSummary.replace(/\s+/g, " ")}`));
}

// Runs in the page.
function headings() {
  const wrong = [];
  if (!document.title.trim()) wrong.push("the page has no title");
  const h1 = [...document.querySelectorAll("h1")].filter((e) => e.checkVisibility());
  if (h1.length !== 1) wrong.push(`${h1.length} headings of the first level: ${h1.map((e) => e.innerText).join(", ")}`);
  if (!document.documentElement.lang) wrong.push("the page does not say its language");
  return wrong;
}

// Runs in the page.
function outside() {
  const box = document.querySelector("dialog:modal")?.getBoundingClientRect();
  if (!box) return ["no dialog is open"];
  return box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight ? [] : [`it stands at ${[box.left, box.top, box.right, box.bottom].map(Math.round)} in a window of ${innerWidth} by ${innerHeight}`];
}

// Runs in the page.
function tooWide(width) {
  const all = document.scrollingElement.scrollWidth;
  if (all <= width) return [];
  const wide = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > width + 1);
  const first = wide.filter((e) => !wide.some((o) => o !== e && e.contains(o))).slice(0, 3);
  return [`${all} pixels wide on a screen of ${width}: ${first.map((e) => e.outerHTML.slice(0, 120)).join(" | ")}`];
}
