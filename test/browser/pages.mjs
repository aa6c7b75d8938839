// The table of pages: what the walk opens, and what it does there. A new page joins by a row; what a row may say stands
// at look() in look.mjs. world describes the staged server: base, stories (with their messages), apps (ids by slug).

// pages are all rows, with their paths. Rows that are much like others are rare: they are looked at where world.full.
// world.part is docs or console.
export async function pages(world) {
  const parts = { docs: () => docs(world), console: () => [...door(), overview(), ...messages(world), ...apps(world)] };
  const rows = await parts[world.part]();
  return Promise.all(rows.map(async (row) => ({ ...row, path: typeof row.path === "function" ? await row.path(world) : row.path })));
}

const console = (path, more) => ({ name: "console" + path.split("?")[0], path: "/console" + path, ...more });
const message = (world, story) => world.stories.find((s) => s.name === story).message;

// door is what stands before the console.
const door = () => [
  console("/sign-in", { signedOut: true }),
  console("/sign-in?with=name", { name: "console/sign-in by name", signedOut: true, rare: true }),
  console("/sign-in", {
    name: "console/sign-in refused",
    signedOut: true,
    act: async (page) => {
      await page.locator("[name=adminKey]").fill("wrong");
      await page.keyboard.press("Enter");
      await page.locator("[role=alert]").waitFor();
    },
    without: { console: "the browser itself tells of the 401" },
  }),
  console("/nothing", { status: 404 }),
];

const overview = () => console("", { name: "console/overview" });

// apps are their list, and the pages of one app.
const apps = (world) => [
  console("/apps"),
  console("/apps?q=zzzz", { name: "console/apps finds nothing", rare: true }),
  console("/new-app"),
  console("/new-app", { name: "console/new-app refused", act: (page) => submit(page, { name: "" }), without: { console: "the browser itself tells of the 400" } }),
  console("/new-app", { name: "console/new-app made", act: makeApp }),
  console("/apps/market", { name: "console/app" }),
  console("/apps/radio", { name: "console/app switched off", rare: true }),
  console("/apps/market/settings", { name: "console/app settings" }),
  console("/apps/market/keys/new", { name: "console/key new" }),
  console(`/apps/${world.apps.market}`, { name: "console/app by its id", rare: true }),
  ...["pause", "drain", "sandbox", "off", "delete"].map((act) => console(`/apps/market/do/${act}`, { name: `console/app ${act}`, rare: act !== "delete" })),
  console("/apps/cinema/do/resume", { name: "console/app resume", rare: true }),
  console("/apps/radio/do/on", { name: "console/app on", rare: true }),
  console("/apps/market/keys/rotate", { name: "console/key rotate", path: async (w) => keyPage(w, "rotate") }),
  console("/apps/market/keys/revoke", { name: "console/key revoke", rare: true, path: async (w) => keyPage(w, "revoke") }),
];

let made = 0;
async function makeApp(page) {
  await submit(page, { name: `A new app ${++made}` });
  await page.getByRole("heading", { name: "Send the first message" }).waitFor();
}

// keyPage is a page of the first key of the market.
async function keyPage(world, act) {
  const keys = await ask(world, "/api/admin/apps/market/keys");
  return `/console/apps/market/keys/${keys.data[0].id}/${act}`;
}

// ask reads something of the API as the administrator.
async function ask(world, path) {
  const answer = await fetch(world.base + path, { headers: { "X-Admin-Key": world.adminKey } });
  if (!answer.ok) throw new Error(`${path} is answered ${answer.status}`);
  return answer.json();
}

// submit fills fields of the first form in the page's main part and sends it by Enter; what the browser itself would
// refuse goes to the server all the same, for its words.
async function submit(page, fields) {
  const form = page.locator("main form").first();
  await form.evaluate((f) => f.setAttribute("novalidate", ""));
  for (const [name, value] of Object.entries(fields)) await form.locator(`[name="${name}"]`).fill(value);
  await Promise.all([page.waitForLoadState("load"), form.locator("[name]:not([type=hidden])").first().press("Enter")]);
}

// messages are their list, and a message page for each story.
const messages = (world) => [
  console("/messages"),
  console("/messages?status=FAILED&channel=EMAIL", { name: "console/messages narrowed", rare: true }),
  console("/messages?find=nobody@example.com", { name: "console/messages finds nothing" }),
  ...world.stories.map(({ name, message }) => console(`/messages/${message}`, { name: `console/message ${name}`, rare: !["failed-over", "unknown-repeated", "throttled"].includes(name) })),
  console(`/messages/${message(world, "scheduled")}/cancel`, { name: "console/message cancel" }),
  console(`/messages/${message(world, "address-refused")}/retry`, { name: "console/message retry", rare: true }),
  console("/messages/bulk?action=retry&status=FAILED", { name: "console/messages bulk" }),
];

// docs are the pages of the documentation, found by the links of its contents.
async function docs(world) {
  const home = await (await fetch(world.base + "/docs")).text();
  const all = [...new Set([...home.matchAll(/href="(\/docs\/[a-z0-9/_-]+)"/g)].map((m) => m[1]))].filter((path) => !/^\/docs\/(assets|search)/.test(path));
  const some = ["/docs/guide/quickstart", "/docs/providers/smtp", "/docs/states", "/docs/api/suppressions"];
  for (const path of some) if (!all.includes(path)) throw new Error(`the contents of /docs do not lead to ${path}`);
  const page = (path, more) => ({ name: path.slice(1), path, signedOut: true, ...more });
  return [
    page("/docs"),
    ...all.map((path) => page(path, { rare: !some.includes(path) })),
    page("/docs/search?q=webhook", { name: "docs/search" }),
    page("/docs/search?q=zzzz", { name: "docs/search finds nothing", rare: true }),
    page("/docs/nothing", { name: "docs/no such page", status: 404 }),
  ];
}
