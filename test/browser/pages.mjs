// The table of pages: what the walk opens, and what it does there. A new page joins by a row; what a row may say stands
// at look() in look.mjs. world describes the staged server: base, stories (with their messages), apps (ids by slug).

// pages are all rows. Of the documentation, whose pages are alike, some of each kind are looked at unless world.full.
export async function pages(world) {
  return [...(await docs(world)), ...door(), overview(), ...messages(world), ...apps(world)];
}

const console = (path, more) => ({ name: "console" + path.split("?")[0], path: "/console" + path, ...more });
const message = (world, story) => world.stories.find((s) => s.name === story).message;

// door is what stands before the console.
const door = () => [
  console("/sign-in", { signedOut: true }),
  console("/sign-in?with=name", { name: "console/sign-in by name", signedOut: true }),
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
  console("/apps?q=zzzz", { name: "console/apps finds nothing" }),
  console("/apps/new"),
  console("/apps/new", { name: "console/app refused", act: (page) => submit(page, { name: "" }) }),
  console("/apps/market", { name: "console/app" }),
  console("/apps/radio", { name: "console/app switched off" }),
  console("/apps/market/settings", { name: "console/app settings" }),
  console("/apps/market/keys/new", { name: "console/key new" }),
  console("/apps/market/do/pause", { name: "console/app pause" }),
  console("/apps/market/do/delete", { name: "console/app delete" }),
];

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
  console("/messages?status=FAILED&channel=EMAIL", { name: "console/messages narrowed" }),
  console("/messages?find=nobody@example.com", { name: "console/messages finds nothing" }),
  ...(world.full ? world.stories.map((s) => s.name) : ["address-refused", "failed-over", "unknown-repeated", "throttled", "delivered"]).map((story) =>
    console(`/messages/${message(world, story)}`, { name: `console/message ${story}` }),
  ),
  console(`/messages/${message(world, "scheduled")}/cancel`, { name: "console/message cancel" }),
  console(`/messages/${message(world, "address-refused")}/retry`, { name: "console/message retry" }),
  console("/messages/bulk?action=retry&status=FAILED", { name: "console/messages bulk" }),
];

// docs are the pages of the documentation, found by the links of its contents.
async function docs(world) {
  const first = await fetch(world.base + "/docs");
  if (first.status === 404) return [];
  const home = await first.text();
  const all = [...new Set([...home.matchAll(/href="(\/docs\/[a-z0-9/_-]+)"/g)].map((m) => m[1]))].filter((path) => !/^\/docs\/(assets|search)/.test(path));
  const some = ["/docs/guide/quickstart", "/docs/providers/smtp", "/docs/states", "/docs/config", "/docs/benchmarks", "/docs/api/messages"];
  for (const path of some) if (!all.includes(path)) throw new Error(`the contents of /docs do not lead to ${path}`);
  const page = (path, more) => ({ name: path.slice(1), path, signedOut: true, ...more });
  return [
    page("/docs"),
    ...(world.full ? all : some).map((path) => page(path)),
    page("/docs/search?q=webhook", { name: "docs/search" }),
    page("/docs/search?q=zzzz", { name: "docs/search finds nothing" }),
    page("/docs/nothing", { name: "docs/no such page", status: 404 }),
  ];
}
