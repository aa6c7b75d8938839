// The acts of webhooks.

import { ask, there, until } from "../api.mjs";
import { app, asked } from "./making.mjs";

const endpoint = (more) => async (world) => {
  const made = await app(world);
  return { ...made, hook: await ask(world, "/api/v1/webhooks", made.slug, { name: "orders", url: `${world.simulator}/hooks/${made.slug}`, ...more }) };
};
const off = async (world) => {
  const made = await endpoint()(world);
  await ask(world, `/api/v1/webhooks/${made.hook.id}`, made.slug, { isActive: false }, "PATCH");
  return made;
};
const deliveries = async (world, made) => (await ask(world, `/api/v1/webhooks/${made.hook.id}/deliveries`, made.slug)).data;

// delivered has an event that its receiver took.
const delivered = async (world) => {
  const made = await endpoint()(world);
  await ask(world, "/api/v1/messages", made.slug, { channel: "SMS", to: "233241234567", body: "Your order is ready." });
  const found = await until(async () => {
    const all = await deliveries(world, made);
    return all.length > 0 && all.every((d) => d.state === "delivered") && all[0];
  });
  if (!found) throw new Error("nothing was delivered");
  return { ...made, delivery: found.id };
};
const triesOf = async (world, made) => (await ask(world, `/api/v1/webhooks/${made.hook.id}/deliveries/${made.delivery}`, made.slug)).attemptLog.length;

const stateOf = (world, made) => ask(world, `/api/v1/webhooks/${made.hook.id}`, made.slug);
const page = (made) => `/webhooks/${made.slug}/${made.hook.id}`;
const whole = (name, link, button, says, then, more) => ({ name: "webhook " + name, make: endpoint(), at: page, does: asked(link, { button }), says, then: async (w, made) => then(await stateOf(w, made)), ...more });

export const webhooks = () => [
  {
    name: "webhook new", refused: true,
    make: (w) => app(w),
    at: (made) => `/webhooks?app=${made.slug}`,
    async does({ press, refused, send, undone, world, made }) {
      await press("New webhook");
      await refused({ name: "orders", url: "nowhere" }, "Add the webhook", "Look at these again");
      await undone("although it was refused");
      await send({ url: `${world.simulator}/hooks/${made.slug}`, statuses: ["SENT"], channels: ["SMS"], tags: "order" }, "Add the webhook");
    },
    says: "shown this once",
    then: async (w, made) => (await ask(w, "/api/v1/webhooks", made.slug)).data.some((e) => e.name === "orders" && e.statuses.join() === "SENT" && e.channels.join() === "SMS" && e.tags.join() === "order"),
  },
  {
    name: "webhook edit", refused: true,
    make: endpoint(),
    at: page,
    async does({ press, refused, send, undone }) {
      await press("Change");
      await refused({ url: "nowhere" }, "Save", "Look at these again");
      await undone("although it was refused");
      await send({ name: "renamed", url: "https://hooks.acts.example/in" }, "Save");
    },
    says: "The webhook is changed.",
    then: async (w, made) => (await stateOf(w, made)).name === "renamed",
  },
  { name: "webhook tested", make: endpoint(), at: page, does: ({ press }) => press("Send a test event"), says: "A test event is on its way.", then: async (w, made) => (await deliveries(w, made)).length > 0 },
  {
    name: "webhook secret replaced",
    make: endpoint(),
    at: page,
    async does({ press, send }) {
      await press("Replace the secret");
      await send({ overlap: "A day" }, "Make the new secret");
    },
    says: "shown this once",
    then: async (w, made) => Boolean((await stateOf(w, made)).previousSecretEndsAt),
  },
  {
    name: "webhook replayed",
    make: delivered,
    at: page,
    async does({ press, send }) {
      await press("Replay deliveries");
      await send({ state: "Those that were delivered, once more" }, "Replay");
    },
    says: /^[1-9]\d* deliver(y is|ies are) posted again\.$/,
    then: async (w, made) => (await triesOf(w, made)) > 1,
  },
  whole("off", "Switch it off", "Switch it off", "The webhook is off.", (e) => !e.isActive),
  whole("on", "Switch it on", "Switch it on", "The webhook is on.", (e) => e.isActive, { make: off }),
  whole("delete", "Delete it", "Delete the webhook", "The webhook is deleted.", undefined, { then: async (w, made) => !(await there(w, `/api/v1/webhooks/${made.hook.id}`, made.slug)) }),
  {
    name: "delivery posted again",
    make: delivered,
    at: page,
    async does({ press, page: p, made }) {
      await press(p.locator(`main a[href$="/deliveries/${made.delivery}"]`));
      await press("Post it again");
    },
    says: "It is posted again.",
    then: async (w, made) => (await triesOf(w, made)) > 1,
  },
];
