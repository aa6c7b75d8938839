// What several rows of acts make by the API, and what they do alike.

import { ask, fresh } from "../api.mjs";

// app makes an app of its own, in the sandbox unless more says otherwise; it answers it with its key, as the API does.
export async function app(world, more = {}) {
  const slug = fresh("act");
  const made = await ask(world, "/api/admin/apps", "", { name: "Act " + slug.slice(4), slug, ...more });
  return { slug, name: "Act " + slug.slice(4), id: made.app.id, key: made.apiKey };
}

// stateOf is an app as it is now.
export const stateOf = (world, made) => ask(world, `/api/admin/apps/${made.slug}`);

// change changes what the administrator may change of an app.
export const change = (world, made, what) => ask(world, `/api/admin/apps/${made.slug}`, "", what, "PATCH");

// order gives the queue of an app an order.
export const order = (world, made, action) => ask(world, "/api/admin/queue", "", { action, app: made.slug });

// send sends a message of an app, an SMS unless more says otherwise; it answers its id.
export async function send(world, made, more = {}) {
  return (await ask(world, "/api/v1/messages", made.slug, { channel: "SMS", to: "233241234567", body: "Your order is ready.", ...more })).id;
}

// tomorrow is a time that nobody waits for.
export const tomorrow = () => new Date(Date.now() + 48 * 3600_000).toISOString();

// asked is the act of a link that opens a confirmation. how is that of confirmed() in perform.mjs, or a function of what was made.
export const asked = (link, how) => async (steps) => {
  const h = typeof how === "function" ? how(steps.made) : how;
  await steps.confirmed(typeof link === "function" ? link(steps) : link, h);
};

// unfolded opens the navigation, which a phone keeps behind a box.
export async function unfolded(p) {
  const box = p.locator("#menu");
  if (!(await box.isVisible()) || (await p.getByRole("button", { name: "Sign out" }).isVisible())) return;
  await box.focus();
  await p.keyboard.press("Space");
}
