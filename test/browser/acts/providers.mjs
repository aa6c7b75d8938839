// The acts of provider configurations.

import { ask, there } from "../api.mjs";
import { app, asked } from "./making.mjs";

// relay is a mail relay of the simulator, as an app of the stage has it.
let known;
const relay = (world) => (known ??= ask(world, "/api/v1/provider-configs", "market").then((all) => all.data[0].config));

// add gives an app a configuration; it answers the app with it as provider.
async function add(world, made, more = {}) {
  const { host, port, from } = await relay(world);
  return { ...made, provider: await ask(world, "/api/v1/provider-configs", made.slug, { providerType: "SMTP", name: "Relay", config: { host, port, from }, ...more }) };
}

const provided = (more) => async (world) => add(world, await app(world), more);
const stateOf = (world, made) => ask(world, `/api/v1/provider-configs/${made.provider.id}`, made.slug);
const page = (made) => `/providers/${made.provider.id}?app=${made.slug}`;

// whole is an act on a configuration as a whole, by a confirmation.
const whole = (name, link, button, says, then, more) => ({ name: "provider " + name, make: provided(), at: page, does: asked(link, { button }), says, then: async (w, made) => then(await stateOf(w, made), made), ...more });

// changed is a configuration that was made and then changed.
const changed = (change) => async (world) => {
  const made = await provided()(world);
  await ask(world, `/api/v1/provider-configs/${made.provider.id}`, made.slug, change, "PATCH");
  return made;
};

// three are an app's configurations in a chain: First, Second, Third.
async function three(world) {
  const made = { ...(await app(world)), ids: {} };
  for (const [n, name] of ["First", "Second", "Third"].entries()) made.ids[name] = (await add(world, made, { name, priority: 10 * (n + 1) })).provider.id;
  return made;
}

const orderOf = async (world, made) => (await ask(world, "/api/v1/provider-configs", made.slug)).data.map((p) => p.name).join(" ");

// shows holds the chain of the page to the names of its configurations, from the top, and to the numbers of their places.
async function shows(page, names) {
  const got = await page.locator(".chain li").evaluateAll((all) => all.map((one) => one.querySelector(".place").textContent + one.querySelector(".main").textContent).join(" "));
  const want = names.split(" ").map((name, n) => n + 1 + name).join(" ");
  if (got !== want) throw new Error(`the chain is shown as ${got}, not as ${want}`);
}

// reloaded holds the chain to its order when the page is opened anew.
async function reloaded(page, calm, names) {
  await page.goto(page.url());
  await calm();
  await shows(page, names);
}

// drag moves a configuration by the mouse to another one's place: above it, or below.
async function drag(page, name, to, side = "above") {
  const row = (one) => page.locator(".chain li").filter({ has: page.getByRole("link", { name: one, exact: true }) });
  await row(name).scrollIntoViewIfNeeded();
  const [from, where] = [await row(name).locator(".place").boundingBox(), await row(to).boundingBox()];
  const x = from.x + from.width / 2;
  await page.mouse.move(x, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(x, where.y + where.height * (side === "above" ? 0.2 : 0.8), { steps: 8 });
  await page.mouse.up();
}

export const providers = () => [
  {
    name: "provider new", refused: true,
    make: (w) => app(w),
    at: (made) => `/providers?app=${made.slug}`,
    async does({ press, refused, send, undone, page: p, world }) {
      const { port } = await relay(world);
      await press("New provider");
      await press(p.locator('main a[href*="type=SMTP"]'));
      await refused({ name: "Own relay" }, "Add the provider", "Look at these again");
      await undone("although it was refused");
      await send({ name: "Own relay", "config.host": "127.0.0.1", "config.port": String(port), "config.from": "Act <act@acts.example>", ratePerSecond: "5" }, "Add the provider");
    },
    says: "The provider is added.",
    then: async (w, made) => (await ask(w, "/api/v1/provider-configs", made.slug)).data.some((p) => p.name === "Own relay" && p.ratePerSecond === 5),
  },
  {
    name: "provider edit", refused: true,
    make: provided(),
    at: page,
    async does({ press, refused, send, undone }) {
      await press("Change");
      await refused({ "config.host": "no host" }, "Save", "Look at these again");
      await undone("although it was refused");
      await send({ name: "Renamed", "config.host": "127.0.0.1" }, "Save");
    },
    says: "The provider is changed.",
    then: async (w, made) => (await stateOf(w, made)).name === "Renamed",
  },
  { name: "provider checked", make: provided(), at: page, does: ({ press }) => press("Check it"), says: "Every check passed", noThen: "a check changes nothing" },
  {
    name: "provider tried", refused: true,
    make: provided(),
    at: page,
    async does({ refused, send }) {
      await refused({ to: "nobody" }, "Send it", "Look at these again");
      await send({ to: "ama@acts.example" }, "Send it");
    },
    says: "The provider took the message",
    noThen: "a test is no message of the app",
  },
  {
    name: "provider moved",
    make: three,
    at: (made) => `/providers?app=${made.slug}`,
    async does({ press, page: p, calm }) {
      await press(p.getByRole("button", { name: "Move Third up" }));
      await press(p.getByRole("button", { name: "Move Third up" }), "Space");
      await p.locator("main").getByText("The order is changed.").waitFor();
      await reloaded(p, calm, "Third First Second");
    },
    then: async (w, made) => (await orderOf(w, made)) === "Third First Second",
  },
  {
    name: "provider dragged",
    make: three,
    at: (made) => `/providers?app=${made.slug}`,
    async does({ press, page: p, calm, undone, world, made }) {
      if (await p.getByRole("button", { name: "Keep this order" }).isVisible()) throw new Error("an order is offered to be kept that nobody made");
      await drag(p, "Third", "First");
      await shows(p, "Third First Second");
      await undone("before the order was kept");
      // Somebody else moves one meanwhile: that is not undone by the order that stood there before.
      await ask(world, `/api/v1/provider-configs/${made.ids.Second}`, made.slug, { priority: 5 }, "PATCH");
      await press("Keep this order");
      await p.locator("main").getByText("The chain was changed meanwhile").waitFor();
      await undone("although the chain was changed meanwhile");
      await shows(p, "Second First Third");
      await drag(p, "Third", "Second");
      await drag(p, "Second", "First", "below");
      await shows(p, "Third First Second");
      await press("Keep this order");
      await p.locator("main").getByText("The order is changed.").waitFor();
      await reloaded(p, calm, "Third First Second");
    },
    then: async (w, made) => (await orderOf(w, made)) === "Third First Second",
  },
  whole("pin", "Pin it", "Pin it", "The provider is pinned.", (p) => p.pinned),
  whole("unpin", "Unpin it", "Unpin it", "The provider is not pinned any more.", (p) => !p.pinned, { make: changed({ pinned: true }) }),
  whole("off", "Switch it off", "Switch it off", "The provider is off.", (p) => !p.isActive),
  whole("on", "Switch it on", "Switch it on", "The provider is on.", (p) => p.isActive, { make: changed({ isActive: false }) }),
  whole("callback", "Replace the callback URL", "Make the new URL", "The provider has another callback URL.", (p, made) => p.callbackUrl !== made.provider.callbackUrl, {
    make: provided({ providerType: "RESEND", name: "Resend", config: { apiKey: "re_acts_0123456789", from: "Act <act@acts.example>" } }),
  }),
  whole("delete", "Delete it", "Delete the provider", "The provider is deleted.", undefined, { then: async (w, made) => !(await there(w, `/api/v1/provider-configs/${made.provider.id}`, made.slug)) }),
  {
    name: "provider delete, the last of a live app", // the sandbox would take its messages: its name is typed
    make: async (w) => add(w, await app(w, { sandboxMode: false })),
    at: page,
    does: asked("Delete it", (made) => ({ button: "Delete the provider", type: made.slug, slip: { type: made.slug + "x", says: "Nothing was changed" } })),
    says: "The provider is deleted.",
    then: async (w, made) => !(await there(w, `/api/v1/provider-configs/${made.provider.id}`, made.slug)),
  },
];
