// Walking over rows of pages, side by side.

import { contextOf, halves, settings, signIn } from "./browser.mjs";
import { pattern } from "./executes.mjs";
import { look } from "./look.mjs";
import { watch } from "./watch.mjs";

// walk looks at rows of pages: where world.full in each of the four settings, else in one of two of them, in turn, and at the
// colours of another one. Each setting has one browser that is signed in and one that is not, and in each two pages are used
// side by side.
export async function walk(browser, world, rows, out) {
  const state = rows.some((row) => !row.signedOut) ? await signIn(browser, world.base, { adminKey: world.adminKey }) : undefined;
  const contexts = [];
  const lanes = [];
  for (const setting of world.only ? settings.filter((s) => s.name === world.only) : world.full ? settings : halves) {
    for (const signedOut of [false, true]) {
      const all = rows.filter((row) => Boolean(row.signedOut) === signedOut);
      const mine = world.full || world.only ? all : all.filter((_, n) => n % halves.length === halves.indexOf(setting));
      if (mine.length === 0) continue;
      const context = await contextOf(browser, setting, signedOut ? undefined : state);
      contexts.push(context);
      lanes.push({ context, setting, rows: mine[Symbol.iterator]() });
    }
  }
  const links = new Set();
  const tell = ({ links: more, ...verdict }) => {
    for (const link of more ?? []) links.add(link);
    out(verdict);
  };
  await Promise.all(
    lanes.flatMap((lane) =>
      [1, 2].map(async () => {
        const page = await lane.context.newPage();
        const seen = await watch(page, world.base);
        for (const row of lane.rows) await look({ page, seen, setting: lane.setting }, row, world, !world.full && !world.only, tell);
      }),
    ),
  );
  for (const context of contexts) await context.close();
  return [...links];
}

// unseen tells which kinds of pages of the console nobody looked at, although links lead there.
export function unseen(links, world, rows, out) {
  const made = links.map((l) => new URL(l).pathname.match(/^\/console\/apps\/(demo|a-new-app-\d+|act-\d+-\d+)(\/|$)/)?.[1]).filter(Boolean); // by the first start, and by walks
  const slugs = [...Object.keys(world.apps), ...made];
  const kind = (path) => pattern(new URL(path, world.base).pathname, slugs);
  const looked = new Set(rows.map((row) => kind(row.path)));
  const missed = new Map();
  for (const link of links) {
    const url = new URL(link);
    if (url.origin === new URL(world.base).origin && /^\/console(\/|$)/.test(url.pathname) && !looked.has(kind(link))) missed.set(kind(link), link);
  }
  out({ page: "every page", setting: "links", check: "looked at", ok: missed.size === 0, detail: [...missed.keys()].map((k) => `no row of pages.mjs looks at ${k}`).join("\n") });
}
