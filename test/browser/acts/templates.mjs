// The acts of templates and of the lists of suppressions.

import { ask, there, until } from "../api.mjs";
import { app, asked } from "./making.mjs";

const written = async (world) => {
  const made = await app(world);
  return { ...made, template: await ask(world, "/api/v1/templates", made.slug, { key: "act", channel: "EMAIL", name: "Act", subject: "Your order {{reference}}", body: "<p>Dear {{name}}, first words.</p>" }) };
};
const rewritten = async (world) => {
  const made = await written(world);
  await ask(world, `/api/v1/templates/${made.template.id}`, made.slug, { body: "<p>Dear {{name}}, second words.</p>" }, "PATCH");
  return made;
};
const page = (made) => `/templates/${made.slug}/${made.template.id}`;
const stateOf = (world, made) => ask(world, `/api/v1/templates/${made.template.id}`, made.slug);
const draft = (p, text) => p.frameLocator("iframe[name=draft]").getByText(text).first().waitFor();
const left = "left@acts.example";
const listed = async (world, made) => (await ask(world, `/api/v1/suppressions?address=${left}`, made.slug)).data.length > 0;
const removal = {
  async make(w) {
    const made = await app(w);
    await ask(w, "/api/v1/suppressions", made.slug, { channel: "EMAIL", address: left, reason: "unsubscribed" });
    return made;
  },
  at: (made) => `/suppressions?app=${made.slug}`,
  does: asked(({ page: p }) => p.getByRole("link", { name: "Take off " + left }), { button: "Take it off" }),
  says: "The address is off the list.",
  then: async (w, made) => !(await listed(w, made)),
};

export const templates = () => [
  {
    name: "template new", refused: true,
    make: (w) => app(w),
    at: (made) => `/templates?app=${made.slug}`,
    async does({ press, refused, send, undone }) {
      await press("New email template");
      await refused({ key: "made", subject: "Hello", body: "<p>Dear {{name</p>" }, "Create the template", "Look at these again");
      await undone("although it was refused");
      await send({ body: "<p>Dear {{name}}</p>\n<p>Welcome</p>" }, "Create the template");
    },
    says: "The template is made.",
    then: async (w, made) => (await ask(w, "/api/v1/templates", made.slug)).data.some((t) => t.key === "made" && t.body.includes("</p>\n<p>")),
  },
  {
    name: "template saved",
    make: written,
    at: page,
    async does({ send, page: p }) {
      await draft(p, "first words"); // what it looks like shows beside it
      await send({ body: "<p>Dear {{name}}, third words.</p>" }, "Save as version 2");
    },
    says: "Saved as version 2.",
    then: async (w, made) => (await stateOf(w, made)).body.includes("third"),
  },
  {
    name: "template drafted",
    make: written,
    at: page,
    async does({ fill, focus, page: p, calm }) {
      await draft(p, "first words");
      await fill({ body: "<p>Dear {{name}}, fourth words.</p>", values: "name = Esi" });
      await draft(p, "Dear Esi, fourth words.");
      await focus("Dark");
      await p.keyboard.press("Enter");
      const dark = () => p.frameLocator("iframe[name=draft]").locator(":root").evaluate((e) => getComputedStyle(e).colorScheme === "dark").catch(() => false); // it loads meanwhile
      if (!(await until(dark))) throw new Error("the draft is not shown as in the dark");
      await calm();
      if ((await p.locator("button[data-show][aria-pressed=true]").innerText()) !== "Dark") throw new Error("nothing says which view is shown");
    },
    noThen: "a draft is stored nowhere",
  },
  {
    name: "template drafted without JavaScript", blind: true,
    make: written,
    at: page,
    async does({ focus, page: p }) {
      await focus("Text");
      await p.keyboard.press("Enter");
      await draft(p, "first words.");
      // The text is made from the HTML; the other views have the subject above them.
      if (await p.frameLocator("iframe[name=draft]").getByText("Your order").count()) throw new Error("the draft is not the text alone");
    },
    noThen: "a draft is stored nowhere",
  },
  {
    name: "template brought back",
    make: rewritten,
    at: page,
    async does({ press }) {
      await press("Version 1, and what changed since");
      await press("Bring this version back");
    },
    says: "Version 3 has the content of version 1.",
    then: async (w, made) => (await stateOf(w, made)).body.includes("first"),
  },
  {
    name: "template sent", refused: true,
    make: written,
    at: page,
    async does({ press, refused, send, undone }) {
      await press("Send a test");
      await refused({ to: "nobody" }, "Send it", "Look at these again");
      await undone("although it was refused");
      await send({ to: "ama@acts.example", values: "reference = 4711\nname = Ama" }, "Send it");
    },
    says: "The message is accepted.",
    then: async (w, made) => (await ask(w, `/api/admin/messages?app=${made.slug}`)).data.some((m) => m.subject === "Your order 4711"),
  },
  { name: "template delete", make: written, at: page, does: asked("Delete", { button: "Delete the template" }), says: "The template is deleted.", then: async (w, made) => !(await there(w, `/api/v1/templates/${made.template.id}`, made.slug)) },
  {
    name: "suppressions add", refused: true,
    make: (w) => app(w),
    at: (made) => `/suppressions?app=${made.slug}`,
    async does({ press, refused, send, undone }) {
      await press("Add");
      await refused({ addresses: "nobody" }, "Add them", "1 line is refused");
      await undone("although it was refused");
      await send({ channel: "Email", addresses: left, reason: "Reported as spam", note: "by telephone" }, "Add them");
    },
    says: "1 address was added.",
    then: listed,
  },
  { name: "suppression remove", ...removal },
  { name: "suppression remove without JavaScript", ...removal, blind: true },
  {
    name: "suppressions add without JavaScript", blind: true,
    make: (w) => app(w),
    at: (made) => `/suppressions?app=${made.slug}`,
    async does({ press, send }) {
      await press("Add");
      await send({ channel: "Email", addresses: left }, "Add them");
    },
    says: "1 address was added.",
    then: listed,
  },
];
