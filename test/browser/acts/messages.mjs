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
