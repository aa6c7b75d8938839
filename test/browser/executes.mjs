// Whether any text that a page shows is taken for more than text. Every payload has a number; one that runs calls
// __x with it, opens a dialog or a window, or asks the host elsewhere.test. What a policy stops from running is found
// as well, by what it planted in the page.

import { contextOf, settings, signIn } from "./browser.mjs";

// pattern is a path without what differs between things of one kind.
export function pattern(path, slugs = []) {
  return path
    .split("/")
    .map((part) => (/^[a-z0-9]{25}$/.test(part) ? "{id}" : /^\d+$/.test(part) ? "{number}" : slugs.includes(part) ? "{app}" : /[^\w.-]/.test(part) ? "{text}" : part))
    .join("/");
}

// corpus opens world.start and what those pages lead to, at most world.most pages of each kind, and the search forms
// that it meets, filled with payloads. It tells a verdict for each kind of page: {page, check, ok, detail, numbers}.
export async function corpus(browser, world, out) {
  const state = world.adminKey ? await signIn(browser, world.base, { adminKey: world.adminKey }) : undefined;
  const home = new URL(world.base).host;
  const kinds = new Map(); // pattern -> { wrong, numbers, pages }
  const seen = new Set();
  const queue = [...world.start];
  const given = new Set(queue);
  const forms = new Set();
  const filled = new Set(); // what a form asked for with payloads in its fields
  const enqueue = (path) => {
    const url = new URL(path, world.base);
    url.hash = "";
    url.searchParams.delete("live"); // the same page, which does not update
    const key = url.pathname + url.search;
    if (url.host !== home || !url.pathname.startsWith(world.below ?? "/") || seen.has(key)) return;
    seen.add(key);
    queue.push(key);
    return key;
  };
  for (const path of queue) seen.add(path);
  const listed = (path) => /[?&](cursor|after|page)=/.test(new URL(path, world.base).search);
  let turn = 0;
  const visit = async ({ page, ran }, path) => {
    const kind = pattern(new URL(path, world.base).pathname, world.slugs);
    const k = kinds.get(kind) ?? kinds.set(kind, { wrong: [], numbers: new Set(), pages: 0 }).get(kind);
    // What was asked for is looked at, and all pages of a list, each of which shows other texts; of the rest some.
    if (!listed(path) && !given.has(path) && k.pages >= world.most) return;
    k.pages++;
    ran.length = 0;
    const answer = await page.goto(world.base + path, { waitUntil: "load" }).catch((e) => k.wrong.push(`${path}: ${e.message.split("\n")[0]}`) && null);
    if (!answer) return;
    const source = await answer.text().catch(() => "");
    const there = await page
      .evaluate(() => new Promise((ok) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(ok, 20)))))
      .then(() => page.evaluate(planted))
      .catch((e) => ({ wrong: [`the page goes elsewhere by itself: ${e.message.split("\n")[0]}`], links: [], forms: [] }));
    for (const what of [...ran, ...there.wrong]) k.wrong.push(`${path}: ${what}`);
    for (const m of source.matchAll(/[(/\\=:]([12]\d{3})\b/g)) k.numbers.add(Number(m[1]));
    // The further pages of a list are followed from the list itself: a form that is filled in leads to the same texts again, or to few.
    for (const link of there.links) if (!filled.has(path) || !listed(link)) enqueue(link);
    for (const form of there.forms) {
      const id = pattern(form.action, world.slugs) + form.fields;
      if (forms.has(id)) continue;
      forms.add(id);
      for (let i = 0; i < world.fill; i++) {
        const query = new URLSearchParams(form.fields.map((f) => [f, world.payloads[(turn++ * 37) % world.payloads.length].text]));
        filled.add(enqueue(`${form.action}?${query}`));
      }
    }
  };
  // In each lane one page at a time: what runs late is counted for the next page, which is still found.
  let busy = 0;
  const walk = async () => {
    const lane = await laneOf(browser, home, state);
    while (queue.length > 0 || busy > 0) {
      const path = queue.shift();
      if (path === undefined) {
        await new Promise((ok) => setTimeout(ok, 20)); // the other one may find more
        continue;
      }
      busy++;
      try {
        await visit(lane, path);
      } finally {
        busy--;
      }
    }
    await lane.context.close();
  };
  await Promise.all([walk(), walk()]);
  for (const [kind, k] of kinds) {
    out({ page: kind, setting: "payloads", check: "nothing runs", ok: k.wrong.length === 0, detail: (world.all ? k.wrong : k.wrong.slice(0, 15)).join("\n"), asked: k.pages, numbers: [...k.numbers] });
  }
}

// laneOf is a page in a context of its own, and what ran in it.
async function laneOf(browser, home, state) {
  const context = await contextOf(browser, settings[2], state);
  const ran = [];
  await context.exposeFunction("__x", (n) => void ran.push(`runs: ${n}`));
  context.on("page", (page) => {
    page.on("dialog", (d) => {
      ran.push(`dialog: ${d.message()}`);
      d.dismiss().catch(() => {});
    });
    page.on("popup", (p) => ran.push(`opens a window: ${p.url()}`));
  });
  await context.route(
    (url) => url.host !== home,
    (route) => {
      ran.push(`asks ${route.request().url()}`);
      return route.abort();
    },
  );
  return { context, page: await context.newPage(), ran };
}

// Runs in the page: what of it only a text can have planted, where it leads, and the forms that only ask.
function planted() {
  const wrong = [];
  const host = "elsewhere.test";
  const addresses = ["href", "src", "action", "formaction", "data", "poster", "background", "srcset", "xlink:href", "ping"];
  for (const e of document.querySelectorAll("*")) {
    for (const a of e.attributes) {
      const value = a.value.trim().replace(/[\u0000-\u0020]/g, "").toLowerCase();
      const other = value.startsWith("//" + host) || value.startsWith("\\\\" + host) || (/^https?:/.test(value) && value.includes(host));
      if (/^on/i.test(a.name)) wrong.push(`planted ${a.name} on <${e.localName}>`);
      else if (addresses.includes(a.name) && (/^(javascript|vbscript|data:text)/.test(value) || other)) wrong.push(`planted an address, ${a.name}=${a.value.slice(0, 60)}`);
      else if (/^(data-)?hx-/.test(a.name) && (other || /__x|elsewhere|^js:/.test(value))) wrong.push(`planted ${a.name}=${a.value.slice(0, 60)}`);
      else if (a.name === "style" && /elsewhere|__x/.test(value)) wrong.push(`planted a style, ${a.value.slice(0, 60)}`);
    }
    if (e.localName === "script" && !e.src && /__x|elsewhere/.test(e.textContent)) wrong.push(`planted <script>: ${e.textContent.slice(0, 60)}`);
    if (e.localName === "style" && /elsewhere/.test(e.textContent)) wrong.push(`planted <style>: ${e.textContent.slice(0, 60)}`);
    if (["base", "object", "embed", "applet", "marquee"].includes(e.localName) || (e.localName === "meta" && e.httpEquiv?.toLowerCase() === "refresh")) wrong.push(`planted <${e.localName}>`);
  }
  const links = [...document.querySelectorAll("a[href]:not([download])")].map((a) => a.href).filter((h) => h.startsWith(location.origin));
  const forms = [...document.querySelectorAll("form")]
    .filter((f) => (f.getAttribute("method") ?? "get").toLowerCase() === "get") // f.action and f.method may be inputs of that name
    .map((f) => ({ action: new URL(f.getAttribute("action") ?? "", location.href).pathname, fields: [...f.elements].filter((e) => e.name && ["text", "search", "textarea", "hidden", "select-one"].includes(e.type)).map((e) => e.name) }))
    .filter((f) => f.fields.length > 0);
  return { wrong, links, forms };
}
