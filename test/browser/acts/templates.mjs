// The acts of templates and of the lists of suppressions.

import { ask, someone, there, until } from "../api.mjs";
import { app, asked, unfolded } from "./making.mjs";

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
// authored is a template with an operator who is about to write it.
const authored = async (world) => ({ ...(await written(world)), user: await someone(world, "OPERATOR") });
const author = (_, made) => made.user;
// ended ends the session that the browser has.
async function ended(world, page) {
  const Cookie = (await page.context().cookies()).map((one) => `${one.name}=${one.value}`).join("; ");
  const answer = await fetch(world.base + "/api/admin/session", { method: "DELETE", headers: { Cookie } });
  if (!answer.ok) throw new Error(`ending the session is answered ${answer.status} ${await answer.text()}`);
}
// enter signs in by name, from the door.
async function enter({ press, send, page: p }, user) {
  await press("Use your name and password instead");
  await send({ name: user.name, password: user.password }, "Sign in");
  await p.locator(".who-name", { hasText: user.name }).waitFor({ state: "attached" });
}
const kept = (p) => p.evaluate(() => sessionStorage.getItem("commserver-kept"));
const notOffered = async (p, why) => {
  if (await p.getByRole("button", { name: "Bring it back" }).count()) throw new Error(`what was written is offered ${why}`);
  if (await kept(p)) throw new Error(`what was written is kept ${why}`);
};
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
    name: "template written while the session ends",
    make: authored, as: author,
    at: page,
    async does(hands) {
      const { at, fill, send, focus, undone, page: p, world, made, named } = hands;
      await fill({ body: "<p>Dear {{name}}, kept words.</p>" });
      await ended(world, p);
      await send({}, "Save as version 2");
      await undone("although the session had ended");
      const stored = await kept(p);
      if (!stored?.includes("kept words") || /_token|password/.test(stored)) throw new Error(`kept is ${stored}`);
      await enter(hands, made.user);
      if ((await p.locator("[name=body]").inputValue()).includes("kept words")) throw new Error("what was written is brought back unasked");
      // Somebody else saves a version before it is brought back: that is not undone.
      await ask(world, `/api/v1/templates/${made.template.id}`, made.slug, { body: "<p>Dear {{name}}, words of somebody else.</p>" }, "PATCH");
      await at(page(made));
      await focus("Bring it back");
      await p.keyboard.press("Enter");
      if ((await p.locator("[name=body]").inputValue()) !== "<p>Dear {{name}}, kept words.</p>") throw new Error("it is not brought back");
      await p.locator(".note", { hasText: "What you wrote here" }).waitFor({ state: "detached" });
      await draft(p, "kept words");
      await send({}, "Save as version 3");
      await p.getByText("It was changed meanwhile").waitFor();
      await undone("although somebody else had saved a version");
      await send({}, "Save as version 3");
      await p.locator("main").getByText("Saved as version 3.").waitFor();
      await at(page(made));
      await notOffered(p, "after it was saved");
      if (await named("Bring it back").count()) throw new Error("it is offered again");
    },
    refused: true,
    then: async (w, made) => (await stateOf(w, made)).body.includes("kept"),
  },
  {
    name: "test message written while the session ends",
    make: authored, as: author,
    at: (made) => page(made) + "/send",
    async does(hands) {
      const { at, fill, send, focus, press, page: p, world, made } = hands;
      const lost = async (to) => {
        await fill({ to, values: "reference = 4712\nname = Esi" });
        await ended(world, p);
        await send({}, "Send it");
      };
      await lost("esi@acts.example");
      await send({ adminKey: world.adminKey }, "Sign in");
      await notOffered(p, "to somebody else");
      await ended(world, p);
      await at("/sign-in");
      await enter(hands, made.user);
      await at(page(made) + "/send");
      await notOffered(p, "after somebody else was signed in");
      await fill({ to: "kofi@acts.example" });
      await unfolded(p);
      await press(p.getByRole("button", { name: "Sign out" }));
      if (await kept(p)) throw new Error("something is kept of who signed out");
      await enter(hands, made.user);
      await at(page(made) + "/send");
      await lost("esi@acts.example");
      await enter(hands, made.user);
      await focus("Bring it back");
      await p.keyboard.press("Enter");
      await send({}, "Send it");
    },
    says: "The message is accepted.",
    then: async (w, made) => (await ask(w, `/api/admin/messages?app=${made.slug}`)).data.some((m) => m.subject === "Your order 4712" && m.toAddress === "esi@acts.example"),
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
