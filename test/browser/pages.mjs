// The table of pages: what the walk opens, and what it does there. A new page joins by a row; what a row may say stands
// at look() in look.mjs. world describes the staged server: base, stories (with their messages), apps (ids by slug).

import { ask } from "./api.mjs";

// pages are all rows, with their paths. Rows that are much like others are rare: they are looked at where world.full.
// world.part is docs or console.
export async function pages(world) {
  const parts = { docs: () => docs(world), console: async () => [...door(), overview(), ...messages(world), ...apps(world), ...watched(), ...(await setUp(world)), ...guard()] };
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
    name: "console/sign-in refused", rare: true,
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
  console("/apps?search=zzzz", { name: "console/apps finds nothing", rare: true }),
  console("/new-app", { rare: true }),
  console("/new-app", { name: "console/new-app refused", rare: true, act: (page) => submit(page, { name: "" }), without: { console: "the browser itself tells of the 400" } }),
  console("/new-app", { name: "console/new-app made", act: makeApp }),
  console("/apps/market", { name: "console/app" }),
  console("/apps/radio", { name: "console/app switched off", rare: true }),
  console("/apps/market/settings", { name: "console/app settings", rare: true }),
  console("/apps/market/persons"),
  console("/apps/market/persons/erase?channel=EMAIL&address=ama@market.example", { name: "console/person erase", rare: true }),
  console("/apps/market/keys/new", { name: "console/key new", rare: true }),
  console("/apps/market/first", { name: "console/first message", rare: true }),
  console("/apps/market/first?since=2099-01-01T00:00:00Z", { name: "console/first message has not come", rare: true }),
  console(`/apps/${world.apps.market}`, { name: "console/app by its id", rare: true }),
  ...["pause", "drain", "sandbox", "off", "delete"].map((act) => console(`/apps/market/do/${act}`, { name: `console/app ${act}`, rare: true })),
  console("/apps/cinema/do/resume", { name: "console/app resume", rare: true }),
  console("/apps/radio/do/on", { name: "console/app on", rare: true }),
  console("/apps/market/keys/rotate", { name: "console/key rotate", rare: true, path: async (w) => keyPage(w, "rotate") }),
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
  console("/messages?find=nobody@example.com", { name: "console/messages finds nothing", rare: true }),
  ...world.stories.map(({ name, message }) => console(`/messages/${message}`, { name: `console/message ${name}`, rare: !["failed-over", "queue-paused"].includes(name) })),
  console(`/messages/${message(world, "scheduled")}/cancel`, { name: "console/message cancel", rare: true }),
  console(`/messages/${message(world, "address-refused")}/retry`, { name: "console/message retry", rare: true }),
  console("/messages/bulk?action=retry&status=FAILED", { name: "console/messages bulk" }),
];

// watched are the pages of what is sent and of what waits.
const watched = () => [
  console("/live"),
  console("/live?live=off&only=problems", { name: "console/live, problems", rare: true }),
  console("/live?app=gym&channel=SMS", { name: "console/live finds nothing", rare: true }),
  console("/sandbox?app=workshop", { name: "console/sandbox" }),
  console("/sandbox?app=workshop&to=nobody@workshop.example", { name: "console/sandbox finds nothing", rare: true }),
  console("/sandbox?app=workshop&to=nobody", { name: "console/sandbox, no recipient", rare: true }),
  console("/sandbox?app=gym", { name: "console/sandbox is empty", rare: true }),
  console("/sandbox", { name: "console/captured mail", path: async (w) => captured(w, "EMAIL", "") }),
  console("/sandbox", { name: "console/captured mail, its source", rare: true, path: async (w) => captured(w, "EMAIL", "?view=source") }),
  console("/sandbox", { name: "console/captured SMS", path: async (w) => captured(w, "SMS", "") }),
  console("/queue"),
  console("/queue?lane=CRITICAL&app=market", { name: "console/queue finds nothing", rare: true }),
  console("/queue/tickets/clear", { name: "console/queue clear", rare: true }),
  console("/queue", { name: "console/queue pause", act: async (page) => {
    await page.getByRole("link", { name: /^Pause the queue of/ }).first().click();
    await page.locator("dialog[open] #confirm-title").waitFor();
  } }),
];

// captured is the page of what the sandbox took last of a channel.
async function captured(world, channel, query) {
  const found = await ask(world, `/api/v1/sandbox/messages?channel=${channel}`, "workshop");
  return `/console/sandbox/workshop/${found.data[0].id}${query}`;
}

// setUp are the pages of what apps have been given. One of each is made for them.
async function setUp(world) {
  const template = await ask(world, "/api/v1/templates", "market", { key: "shipped", channel: "EMAIL", name: "Order shipped", subject: "Your order {{reference}}", body: "<p>Dear {{name}}, it has left.</p>" });
  const rewritten = await ask(world, `/api/v1/templates/${template.id}`, "market", { body: "<p>Dear {{name}}, your order has left.</p>" }, "PATCH");
  const hook = await ask(world, "/api/v1/webhooks", "market", { name: "shipping", url: "https://hooks.market.example/orders", statuses: ["SENT", "FAILED"], tags: ["order"] });
  await ask(world, "/api/v1/suppressions", "market", { channel: "EMAIL", address: "left@market.example", reason: "unsubscribed", note: "asked by telephone" });
  await ask(world, "/api/v1/messages", "workshop", { channel: "EMAIL", to: "ama@workshop.example", subject: "Your order 4711", body: "<h1>Good news</h1><p>It has left.</p>", text: "It has left.", attachments: [{ filename: "invoice.txt", contentType: "text/plain", content: "MTIzNA==" }] });
  await ask(world, "/api/v1/messages", "workshop", { channel: "SMS", to: "233241234567", body: "Your “order” 4711 – it comes today. ".repeat(3) });
  for (const to of ["ama@workshop.example", "233241234567"]) await ask(world, `/api/v1/sandbox/messages/wait?timeout=40&to=${to}`, "workshop");
  const mail = await ask(world, "/api/v1/messages", "market", { channel: "EMAIL", to: "ama@market.example", subject: "Your order 4711", body: "<h1>Good news</h1><p>It has left.</p>", text: "It has left.", cc: ["kofi@market.example"], bcc: ["books@market.example"],
    replyTo: "help@market.example", headers: { "X-Order": "4711" }, attachments: [{ filename: "invoice.txt", contentType: "text/plain", content: "MTIzNA==" }] });
  const relays = await ask(world, "/api/v1/provider-configs", "clinic");
  const relay = `/providers/${relays.data[0].id}`;
  const at = `/templates/market/${template.id}`;
  return [
    console(`/messages/${mail.id}`, { name: "console/whole mail" }),
    console(`/messages/${mail.id}?view=text`, { name: "console/whole mail, its text", rare: true }),
    console("/providers", { rare: true }),
    console("/providers?app=clinic", { name: "console/providers of an app" }),
    console("/providers/new", { name: "console/provider types", rare: true }),
    console("/providers/new?type=SMTP&app=clinic", { name: "console/provider new" }),
    console("/providers/new?type=TWILIO", { name: "console/provider new refused", rare: true, act: (page) => submit(page, { name: "" }), without: { console: "the browser itself tells of the 400" } }),
    console(`${relay}?app=clinic`, { name: "console/provider" }),
    console(`${relay}/edit?app=clinic`, { name: "console/provider edit", rare: true }),
    ...["pin", "off", "delete"].map((act) => console(`${relay}/do/${act}?app=clinic`, { name: `console/provider ${act}`, rare: true })),
    console("/templates?app=market", { name: "console/templates" }),
    console("/templates?app=gym", { name: "console/templates are none", rare: true }),
    console("/templates/market/new?channel=SMS", { name: "console/template new", rare: true, act: drafted }),
    console(at, { name: "console/template", act: drafted }),
    console(`${at}/versions/${rewritten.version - 1}`, { name: "console/template version", rare: true }),
    console(`${at}/send`, { name: "console/template send", rare: true }),
    console(`${at}/delete`, { name: "console/template delete", rare: true }),
    console("/suppressions?app=market", { name: "console/suppressions" }),
    console("/suppressions?address=left@market.example", { name: "console/suppressions of an address", rare: true }),
    console("/suppressions/market/add", { name: "console/suppressions add", rare: true }),
    console("/suppressions/market/remove?channel=EMAIL&address=left@market.example", { name: "console/suppression remove", rare: true }),
    console("/webhooks?app=market", { name: "console/webhooks", rare: true }),
    console("/webhooks?app=gym", { name: "console/webhooks are none", rare: true }),
    console("/webhooks/market/new", { name: "console/webhook new", rare: true }),
    console(`/webhooks/market/${hook.id}`, { name: "console/webhook" }),
    console("/webhooks", { name: "console/delivery", rare: true, path: delivered("market") }),
    console("/webhooks", { name: "console/delivery of a story", rare: true, path: delivered(world.apps.market) }), // which names its app by id
    ...["edit", "rotate", "replay", "do/off", "do/delete"].map((page) => console(`/webhooks/market/${hook.id}/${page}`, { name: `console/webhook ${page}`, rare: true })),
  ];
}

// delivered is the page of an event of a story, on its way to a webhook.
const delivered = (app) => async (world) => {
  const hook = (await ask(world, "/api/v1/webhooks", "market")).data.find((e) => e.name === "orders");
  const found = await ask(world, `/api/v1/webhooks/${hook.id}/deliveries`, "market");
  return `/console/webhooks/${app}/${hook.id}/deliveries/${found.data[0].id}`;
};

// drafted waits until the frame beside the editor shows what is written.
async function drafted(page) {
  await page.frameLocator("iframe[name=draft]").locator("body *").first().waitFor();
}

// guard are the pages of who did what, and who may.
const guard = () => [
  console("/audit"),
  console("/audit?action=app_created", { name: "console/audit narrowed", rare: true }),
  console("/users"),
  console("/new-user", { name: "console/user new", rare: true }),
  console("/new-user", { name: "console/user made", rare: true, act: makeUser }),
  console("/users", { name: "console/user", path: async (w) => `/console/users/${(await someone(w)).id}` }),
  ...["password", "off", "delete"].map((act) => console("/users", { name: `console/user ${act}`, rare: true, path: async (w) => `/console/users/${(await someone(w)).id}/do/${act}` })),
  console("/account"),
];

let invited = 0;
async function makeUser(page) {
  await submit(page, { name: `kofi.${++invited}` });
  await page.getByRole("heading", { name: "This password is shown this once" }).waitFor();
}

// someone is a user who was made for the pages of users, once for each server.
const amas = new Map(); // by server
function someone(world) {
  if (!amas.has(world.base)) amas.set(world.base, ask(world, "/api/admin/users", "", { name: "ama.boateng", role: "OPERATOR", password: "seven green kettles sing" }));
  return amas.get(world.base);
}

// docs are the pages of the documentation, found by the links of its contents.
async function docs(world) {
  const home = await (await fetch(world.base + "/docs")).text();
  const all = [...new Set([...home.matchAll(/href="(\/docs\/[a-z0-9/_-]+)"/g)].map((m) => m[1]))].filter((path) => !/^\/docs\/(assets|search)/.test(path));
  const some = ["/docs/guide/quickstart", "/docs/api/suppressions"];
  for (const path of some) if (!all.includes(path)) throw new Error(`the contents of /docs do not lead to ${path}`);
  const page = (path, more) => ({ name: path.slice(1), path, signedOut: true, ...more });
  return [
    page("/docs"),
    ...all.map((path) => page(path, { rare: !some.includes(path) })),
    page("/docs/search?q=webhook", { name: "docs/search", rare: true }),
    page("/docs/search?q=zzzz", { name: "docs/search finds nothing", rare: true }),
    page("/docs/nothing", { name: "docs/no such page", status: 404 }),
  ];
}
