// What people of each role are offered: nothing that they would be refused, and where they may not go they are told what to do.

import { someone } from "./api.mjs";
import { contextOf, settings } from "./browser.mjs";
import { pattern } from "./executes.mjs";
import { pages } from "./pages.mjs";

// roles opens every page that the administrator has as a user of each role that may do less, and then asks for whatever these
// pages offered: links as they are, and forms as they stand there, which does things. The server is nobody else's afterwards. It
// tells a verdict for each page, and for each kind of thing that was offered.
export async function roles(browser, world, out) {
  const rows = (await pages({ ...world, part: "console" })).filter((row) => !row.signedOut && (row.status ?? 200) < 400);
  const paths = [...new Set(rows.map((row) => row.path))];
  for (const role of ["VIEWER", "OPERATOR"]) {
    const user = await someone(world, role);
    const offered = await collect(browser, world, user, role, paths, out);
    const forms = [...offered.values()].filter((o) => o.form).sort((a, b) => a.last - b.last);
    for (const one of [...[...offered.values()].filter((o) => !o.form), ...forms]) {
      const answer = await fetch(world.base + one.path, {
        method: one.form ? "POST" : "GET",
        headers: { Cookie: user.cookie, ...(one.form && { "Content-Type": "application/x-www-form-urlencoded" }) },
        body: one.form,
        redirect: "manual",
      });
      await answer.arrayBuffer();
      const wrong = answer.status === 403 || answer.status >= 500 || (answer.headers.get("location") ?? "").includes("/sign-in?");
      out({ page: one.kind, setting: role, check: "is not refused", ok: !wrong, detail: `“${one.label}” on ${one.from}: ${one.form ? "POST" : "GET"} ${one.path} is answered ${answer.status}` });
    }
    out({ page: "everything", setting: role, check: "was looked at", ok: paths.length > 50 && offered.size > 20 && forms.length > 3, detail: `${paths.length} pages offer ${offered.size} kinds of things, ${forms.length} of them forms` });
  }
}

// collect answers what pages offer to a user, one of each kind.
async function collect(browser, world, user, role, paths, out) {
  const context = await contextOf(browser, settings[2]);
  const page = await context.newPage(); // it only reads what is fetched: nothing of it is shown
  const slugs = Object.keys(world.apps);
  const offered = new Map();
  for (const path of paths) {
    const answer = await fetch(world.base + path, { headers: { Cookie: user.cookie } });
    const status = answer.status;
    const there = await page.evaluate(looked, [await answer.text(), world.base + path]);
    const clear = status === 200 || (status === 403 && there.title !== "" && /administrator/i.test(there.text) && /right to|role/i.test(there.text));
    out({ page: path, setting: role, check: "is shown, or refused in words", ok: clear, detail: `answered ${status}: ${there.title}. ${there.text.slice(0, 300)}` });
    for (const one of there.controls) {
      const url = new URL(one.action);
      if (url.origin !== new URL(world.base).origin || !url.pathname.startsWith("/console")) continue;
      const kind = `${one.form === undefined ? "GET" : "POST"} ${pattern(url.pathname, slugs)}`;
      if (!offered.has(kind)) offered.set(kind, { kind, path: url.pathname + url.search, form: one.form, label: one.label, from: path, last: url.pathname.endsWith("/sign-out") ? 1 : 0 });
    }
  }
  await context.close();
  return offered;
}

// Runs in a page: what can be followed and sent where another page stands, and its words.
function looked([text, at]) {
  const document = new DOMParser().parseFromString(text, "text/html");
  const said = (e) => (e?.textContent ?? "").replace(/\s+/g, " ").trim();
  const to = (path) => new URL(path, at).href;
  const controls = [...document.querySelectorAll('a[href]:not([href^="#"])')].map((a) => ({ action: to(a.getAttribute("href")), label: said(a) || a.getAttribute("aria-label") }));
  for (const form of document.querySelectorAll("form[method=post]")) {
    const buttons = [...form.elements].filter((e) => e.type === "submit" && !e.disabled);
    const types = [...form.elements].some((e) => e.localName === "input" && !["hidden", "checkbox", "radio"].includes(e.type));
    for (const button of buttons.length > 0 ? buttons : types ? [null] : []) {
      const sent = new URLSearchParams();
      for (const [name, value] of new FormData(form, button)) sent.append(name, value);
      controls.push({ action: to(button?.getAttribute("formaction") ?? form.getAttribute("action")), form: sent.toString(), label: said(button) || button?.getAttribute("aria-label") || "Enter" });
    }
  }
  return { title: said(document.querySelector("h1")), text: said(document.querySelector("main")), controls };
}
