// The acts of apps and their keys.

import { ask, fresh, there } from "../api.mjs";
import { app, asked, change, order, send, stateOf } from "./making.mjs";

const page = (made) => `/apps/${made.slug}`;

// whole is an act on an app as a whole, by a confirmation.
const whole = (name, link, button, says, then, more) => ({ name: "app " + name, make: (w) => app(w), at: page, does: asked(link, { button }), says, then: async (w, made) => then(await stateOf(w, made)), ...more });

const keysOf = async (world, made) => (await ask(world, `/api/admin/apps/${made.slug}/keys`)).data;
const opens = async (world, made) => (await fetch(world.base + "/api/v1/app", { headers: { "X-App-ID": made.slug, "X-API-Key": made.key } })).status === 200;

// keyed is an app with its key's id.
async function keyed(world) {
  const made = await app(world);
  return { ...made, keyId: (await keysOf(world, made))[0].id };
}

export const apps = () => [
  {
    name: "app new", refused: true,
    make: () => ({ slug: fresh("act") }),
    at: "/apps",
    async does({ press, refused, send: sends, made, undone }) {
      await press("New app");
      await refused({ name: "" }, "Create the app", "Look at these again");
      await undone("although it was refused");
      await sends({ name: "Act of a form", slug: made.slug, scopes: ["TEMPLATES"] }, "Create the app");
    },
    says: "This key is shown this once.",
    then: (w, made) => there(w, `/api/admin/apps/${made.slug}`),
  },
  {
    name: "app settings", refused: true,
    make: (w) => app(w),
    at: page,
    async does({ press, refused, send: sends, undone }) {
      await press("Settings");
      await refused({ ratePerMinute: "0" }, "Save the settings", "Look at these again");
      await undone("although it was refused");
      await sends({ ratePerMinute: "77", onUnknownOutcome: "Do not try again: nobody gets it twice, somebody may miss it", allowedSenders: "acts.example", smsPrefixes: "233" }, "Save the settings");
    },
    says: "The settings are saved.",
    then: async (w, made) => {
      const a = await stateOf(w, made);
      return a.ratePerMinute === 77 && a.onUnknownOutcome === "FAIL" && a.allowedSenders[0] === "acts.example" && a.smsPrefixes[0] === "233";
    },
  },
  whole("live", "Take it live", "Take it live", "The app is live.", (a) => !a.sandboxMode),
  whole("sandbox", "Back to the sandbox", "Put it into the sandbox", "The app is in the sandbox.", (a) => a.sandboxMode, { make: (w) => app(w, { sandboxMode: false }) }),
  whole("pause", "Pause the queue", "Pause the queue", "The queue is paused.", (a) => a.queueState === "PAUSED"),
  whole("drain", "Drain the queue", "Drain the queue", "The queue is drained", (a) => a.queueState === "DRAINING"),
  whole("resume", "Resume the queue", "Resume the queue", "The queue runs again.", (a) => a.queueState === "RUNNING", {
    async make(w) {
      const made = await app(w);
      await order(w, made, "PAUSE");
      return made;
    },
  }),
  whole("off", "Switch the app off", "Switch it off", "The app is off.", (a) => !a.isActive),
  whole("on", "Switch the app on", "Switch it on", "The app is on.", (a) => a.isActive, {
    async make(w) {
      const made = await app(w);
      await change(w, made, { isActive: false });
      return made;
    },
  }),
  whole("pause without JavaScript", "Pause the queue", "Pause the queue", "The queue is paused.", (a) => a.queueState === "PAUSED", { blind: true }),
  {
    name: "app delete",
    async make(w) {
      const made = await app(w);
      await send(w, made);
      return made;
    },
    at: page,
    does: asked("Delete the app", (made) => ({ button: "Delete the app", type: made.slug, slip: { type: made.slug + "x", says: "Nothing was changed" } })),
    says: "The app is deleted.",
    then: async (w, made) => !(await there(w, `/api/admin/apps/${made.slug}`)),
  },
  {
    name: "key new", refused: true,
    make: (w) => app(w),
    at: page,
    async does({ press, focus, refused, send: sends, undone, page: p }) {
      await press("New key");
      const ticked = p.locator("main [name=scopes]:checked");
      while ((await ticked.count()) > 0) {
        await focus(ticked.first());
        await p.keyboard.press("Space");
      }
      await refused({ name: "CI" }, "Create the key", "Look at these again");
      await undone("although it was refused");
      await sends({ name: "CI", scopes: ["TEMPLATES"], days: "30 days" }, "Create the key");
    },
    says: "This key is shown this once.",
    then: async (w, made) => (await keysOf(w, made)).some((k) => k.name === "CI" && k.expiresAt && k.scopes.join() === "TEMPLATES"),
  },
  {
    // The wait beside a new key ends by itself in a link to the message, while the key still stands there.
    name: "first message waited for",
    make: (w) => app(w),
    at: page,
    async does({ press, send: sends, page: p, made, world, calm }) {
      await press("New key");
      await sends({ name: "CI", scopes: ["SEND"] }, "Create the key");
      await p.getByText("Waiting for the first message").waitFor();
      const message = await send(world, made);
      await p.locator(`#first-message a[href$="/messages/${message}"]`).waitFor();
      await p.getByText("This key is shown this once.").waitFor();
      await calm();
    },
    says: "It has arrived.",
    then: async (w, made) => (await ask(w, `/api/admin/messages?app=${made.slug}`)).data.length > 0,
  },
  {
    name: "key replaced",
    make: keyed,
    at: page,
    async does({ press, send: sends, page: p }) {
      await press(p.getByRole("link", { name: /^Replace the key/ }));
      await sends({ overlap: "Not at all" }, "Make the new key");
    },
    says: "This key is shown this once.",
    then: async (w, made) => (await keysOf(w, made)).length === 2 && !(await opens(w, made)),
  },
  {
    name: "key revoked",
    make: keyed,
    at: page,
    does: asked(({ page: p }) => p.getByRole("link", { name: /^Revoke the key/ }), { button: "Revoke the key" }),
    says: "The key is revoked.",
    then: async (w, made) => !(await opens(w, made)),
  },
  {
    // The part that is fetched again must not take the focus away from who works in it.
    name: "queue looked at while it changes",
    async make(w) {
      const made = await app(w);
      await order(w, made, "PAUSE");
      await send(w, made);
      return made;
    },
    at: (made) => `/queue?app=${made.slug}`,
    async does({ page: p, focus, has, calm }) {
      const link = p.getByRole("link", { name: /^Cancel what waits of/ });
      await link.waitFor();
      await focus(link);
      await p.locator("#queue").evaluate((e) => (e.dataset.old = "yes"));
      await p.locator("#queue:not([data-old])").waitFor();
      await calm();
      if (!(await has(link))) throw new Error("the focus is lost when the part is fetched again");
    },
    noThen: "nothing is done",
  },
  {
    name: "person erased",
    async make(w) {
      const made = await app(w);
      return { ...made, message: await send(w, made, { channel: "EMAIL", to: "asks@acts.example", subject: "Hello" }) };
    },
    at: (made) => `/apps/${made.slug}/persons`,
    async does({ refused, send: sends, undone }) {
      await sends({ address: "asks@acts.example" }, "Erase…");
      await undone("before it was confirmed");
      await refused({ confirm: "asks" }, "Erase the person's data", "Nothing was erased");
      await undone("although something else was typed");
      await sends({ confirm: "asks@acts.example" }, "Erase the person's data");
    },
    says: "The erasure has begun.",
    then: async (w, made) => (await ask(w, `/api/admin/audit?app=${made.slug}&action=erasure_requested`)).data.length > 0,
  },
];
