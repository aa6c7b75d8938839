// The acts of messages and of what waits.

import { ask, until } from "../api.mjs";
import { app, asked, order, send, tomorrow } from "./making.mjs";

// waiting is an app with a message that waits for tomorrow.
async function waiting(world) {
  const made = await app(world);
  return { ...made, message: await send(world, made, { scheduledAt: tomorrow() }) };
}

// cancelled is one that was cancelled.
async function cancelled(world) {
  const made = await waiting(world);
  await ask(world, `/api/admin/messages/${made.message}`, "", { action: "CANCEL" }, "PATCH");
  return made;
}

const statusOf = async (world, made) => (await ask(world, `/api/admin/messages/${made.message}`)).status;

// listed waits until a search finds the app's message in a status.
const listed = (make, status) => async (world) => {
  const made = await make(world);
  if (!(await until(async () => (await ask(world, `/api/admin/messages?app=${made.slug}&status=${status}`)).data.length > 0))) throw new Error("the message is not found");
  return made;
};

// crowd is an app with more messages that wait than a step of an act on many takes, and so many that a word has to be typed.
const crowded = 520;
async function crowd(world) {
  const made = await app(world);
  const messages = Array.from({ length: crowded }, (_, n) => ({ channel: "SMS", to: String(233241000000 + n), body: "Your order is ready.", scheduledAt: tomorrow(), idempotencyKey: `${made.slug}-${n}` }));
  const { data } = await ask(world, "/api/v1/messages/batch", made.slug, { messages });
  return { ...made, message: data[0].id };
}

// nothingWaits says whether nothing of the app waits any more.
const nothingWaits = async (w, made) => (await ask(w, `/api/admin/messages?app=${made.slug}&status=QUEUED`)).data.length === 0;

const story = (made) => `/messages/${made.message}`;

export const messages = () => [
  { name: "message cancel", make: waiting, at: story, does: asked("Cancel it", { button: "Cancel the message" }), says: "The message is cancelled.", then: async (w, made) => (await statusOf(w, made)) === "CANCELLED" },
  { name: "message retry", make: cancelled, at: story, does: asked("Queue it again", { button: "Queue it again" }), says: "The message is queued again.", then: async (w, made) => (await statusOf(w, made)) !== "CANCELLED" },
  {
    name: "messages cancelled in bulk",
    make: listed(waiting, "QUEUED"),
    at: (made) => `/messages?status=QUEUED&app=${made.slug}`,
    async does({ press, undone }) {
      await press("Cancel all that is found");
      await undone("before it was confirmed");
      await press("Cancel them");
    },
    says: "1 message is cancelled.",
    then: async (w, made) => (await statusOf(w, made)) === "CANCELLED",
  },
  {
    name: "messages queued again in bulk", rare: true,
    make: listed(cancelled, "CANCELLED"),
    at: (made) => `/messages?status=CANCELLED&app=${made.slug}`,
    async does({ press, undone }) {
      await press("Queue all that is found again");
      await undone("before it was confirmed");
      await press("Queue them again", "Space");
    },
    says: "1 message is queued again.",
    then: async (w, made) => (await statusOf(w, made)) !== "CANCELLED",
  },
  {
    name: "messages cancelled in bulk, a crowd by itself",
    refused: true,
    make: listed(crowd, "QUEUED"),
    at: (made) => `/messages?status=QUEUED&app=${made.slug}`,
    async does({ press, send, refused, undone, page: p, made, named }) {
      await press("Cancel all that is found");
      await p.getByText(`${crowded} messages of the app ${made.slug} will be cancelled.`).waitFor();
      if (new URL(p.url()).searchParams.has("count") || (await named("Count them").count())) throw new Error("the count does not come by itself");
      await refused({ confirm: "everything" }, "Cancel them", "Nothing was changed");
      await undone("although the wrong word was typed");
      await send({ confirm: made.slug }, "Cancel them");
    },
    says: `${crowded} messages are cancelled.`,
    then: nothingWaits,
  },
  {
    name: "messages cancelled in bulk, a crowd by hand",
    blind: true,
    make: listed(crowd, "QUEUED"),
    at: (made) => `/messages?status=QUEUED&app=${made.slug}`,
    async does({ press, send, undone, page: p, made, named }) {
      await press("Cancel all that is found");
      await press("Count them");
      await p.getByText(`${crowded} messages of the app ${made.slug} will be cancelled.`).waitFor();
      await send({ confirm: made.slug }, "Cancel them");
      await p.getByText(new RegExp(`messages? (is|are) cancelled so far, of ${crowded}\\.`)).waitFor();
      await press("Stop");
      await p.getByText("You stopped it.").waitFor();
      await undone("although it was stopped");
      while (await named("Go on").count()) await press("Go on");
    },
    says: `${crowded} messages are cancelled.`,
    then: nothingWaits,
  },
  {
    name: "queue cleared",
    async make(w) {
      const made = await app(w);
      await order(w, made, "PAUSE");
      return { ...made, message: await send(w, made) };
    },
    at: (made) => `/queue?app=${made.slug}`,
    does: asked(({ page }) => page.getByRole("link", { name: /^Cancel what waits of/ }), (made) => ({ button: "Cancel what waits", type: made.slug, slip: { type: "everything", says: "Nothing was cancelled" } })),
    says: "1 message is cancelled.",
    then: async (w, made) => (await statusOf(w, made)) === "CANCELLED",
  },
];
