// The acts of who signs in: at the door, of one's own account, and of users. And of the audit log, which tells who did what.

import { ask, codeOf, fresh, keyed, protect, session, someone, there } from "../api.mjs";
import { asked, unfolded } from "./making.mjs";

const operator = (world) => someone(world, "OPERATOR");
const itself = (_, made) => made;
const userOf = (world, made) => ask(world, `/api/admin/users/${made.id}`);
const page = (made) => `/users/${made.id}`;
// opens says whether somebody can sign in so.
const opens = (world, as) => session(world, as).then(() => true, () => false);
// live says whether a user's session still opens anything.
const live = async (world, user) => (await fetch(world.base + "/api/admin/session", { headers: { Cookie: user.cookie } })).ok;
const signedIn = (p) => p.locator("nav[aria-label=Console] a").first().waitFor({ state: "attached" });

// plugged gives the page's browser a security key that somebody touches whenever it asks.
async function plugged(p) {
  const cdp = await p.context().newCDPSession(p);
  await cdp.send("WebAuthn.enable");
  await cdp.send("WebAuthn.addVirtualAuthenticator", { options: { protocol: "ctap2", transport: "usb", hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } });
}

// called finds a user by name.
async function called(world, name) {
  for (let cursor = ""; ; ) {
    const found = await ask(world, "/api/admin/users?limit=100" + cursor);
    const one = found.data.find((u) => u.name === name);
    if (one || !found.nextCursor) return one;
    cursor = "&cursor=" + encodeURIComponent(found.nextCursor);
  }
}

const invited = async (world) => ask(world, "/api/admin/users", "", { name: fresh("walker"), role: "VIEWER", password: "six blue kettles whistle" });
const whole = (name, link, button, says, then, more) => ({ name: "user " + name, make: invited, at: page, does: asked(link, { button }), says, then: async (w, made) => then(await userOf(w, made), w, made), ...more });

export const people = () => [
  {
    name: "sign in by key", refused: true, as: () => null,
    at: "/sign-in?next=/console/audit",
    async does({ refused, send, page: p, world }) {
      await refused({ adminKey: "wrong" }, "Sign in", /./);
      await send({ adminKey: world.adminKey }, "Sign in");
      await signedIn(p);
    },
    says: "Check the chain",
    noThen: "the page shows what only who is signed in sees",
  },
  {
    name: "sign in by name", refused: true, as: () => null,
    make: operator,
    at: "/sign-in",
    async does({ press, refused, send, made, page: p }) {
      await press("Use your name and password instead");
      await refused({ name: made.name, password: "not this one" }, "Sign in", /./);
      await send({ name: made.name, password: made.password }, "Sign in");
      await p.locator(".who-name", { hasText: made.name }).waitFor({ state: "attached" });
    },
    noThen: "the page shows who is signed in",
  },
  {
    name: "sign in without JavaScript", as: () => null, blind: true,
    at: "/sign-in",
    async does({ send, page: p, world }) {
      await send({ adminKey: world.adminKey }, "Sign in");
      await signedIn(p);
    },
    noThen: "the page shows what only who is signed in sees",
  },
  {
    name: "sign out", as: itself, make: operator,
    at: "/account",
    async does({ press, page: p }) {
      await unfolded(p);
      await press(p.getByRole("button", { name: "Sign out" }));
    },
    says: "You are signed out.",
    then: async (w, made) => !(await live(w, made)),
  },
  {
    name: "colours chosen", as: itself, make: operator,
    at: "/audit",
    async does({ press, page: p }) {
      await unfolded(p);
      await press(p.getByRole("button", { name: "Dark", exact: true }));
      if ((await p.locator("html").getAttribute("data-theme")) !== "dark") throw new Error("the page is not dark");
    },
    noThen: "a browser keeps its colours by itself",
  },
  {
    name: "password changed", refused: true, as: itself, make: operator,
    at: "/account",
    async does({ refused, send, made, undone }) {
      await refused({ current: made.password, new: "nine red kettles hum", again: "nine red kettles hump" }, "Change the password", "Look at these again");
      await undone("although it was refused");
      await send({ current: made.password, new: "nine red kettles hum", again: "nine red kettles hum" }, "Change the password");
    },
    says: "The password is changed.",
    then: (w, made) => opens(w, { name: made.name, password: "nine red kettles hum" }),
  },
  {
    name: "first password chosen", as: itself,
    async make(w) {
      const user = { name: fresh("walker"), start: "six blue kettles whistle" };
      user.id = (await ask(w, "/api/admin/users", "", { name: user.name, role: "VIEWER", password: user.start })).id;
      user.cookie = await session(w, { name: user.name, password: user.start });
      return user;
    },
    at: "/audit", // which is not open yet
    async does({ send, made, page: p }) {
      await p.getByText("An administrator set your password.").waitFor();
      await send({ current: made.start, new: "nine red kettles hum", again: "nine red kettles hum" }, "Change the password");
    },
    says: "The password is changed.",
    then: async (w, made) => (await userOf(w, made)).startPasswordUntil === null,
  },
  {
    name: "second factor set up", refused: true, as: itself, make: operator,
    at: "/account",
    async does({ refused, send, made, undone, page: p }) {
      await refused({ password: "not this one" }, "Set it up", /./);
      await send({ password: made.password }, "Set it up");
      const secret = await p.locator("section[aria-labelledby=h-factor] pre").first().innerText();
      await refused({ code: "000000" }, "Switch it on", /./);
      await undone("although the code was wrong");
      await send({ code: codeOf(secret) }, "Switch it on");
    },
    says: "Recovery codes",
    then: async (w, made) => (await userOf(w, made)).secondFactor,
  },
  {
    name: "second factor removed", refused: true, as: itself,
    async make(w) {
      const user = await operator(w);
      return { ...user, codes: await protect(w, user) };
    },
    at: "/account",
    async does({ refused, send, made, undone }) {
      await refused({ password: made.password, code: "000000" }, "Remove it", /./);
      await undone("although the code was wrong");
      await send({ password: made.password, code: made.codes[0] }, "Remove it");
    },
    says: "The authenticator app is removed.",
    then: async (w, made) => !(await userOf(w, made)).secondFactor,
  },
  {
    name: "security key registered and used", refused: true, as: itself,
    async make(w) {
      const user = await operator(w);
      return { ...user, before: (await userOf(w, user)).signedInAt };
    },
    at: "/account",
    async does({ at, press, refused, send, made, undone, page: p }) {
      await plugged(p);
      await press("Add a security key");
      await refused({ name: "blue", password: "not this one" }, "Go on", /./);
      await send({ name: "blue", password: made.password }, "Go on");
      await send({}, "Register it");
      await p.getByRole("heading", { name: "Recovery codes" }).waitFor();
      await press("I have kept them");
      await p.getByText("not used yet").waitFor();
      await unfolded(p);
      await press(p.getByRole("button", { name: "Sign out" }));
      await at("/sign-in?with=name&next=/console/account");
      await send({ name: made.name, password: made.password }, "Sign in");
      await undone("by the password alone");
      await send({}, "Use your security key");
      await signedIn(p);
    },
    says: "last used",
    then: async (w, made) => (await userOf(w, made)).signedInAt !== made.before,
  },
  {
    name: "sign in by a code, where there is a security key and no script", blind: true, refused: true, as: () => null,
    async make(w) {
      const user = await operator(w);
      const codes = await protect(w, user);
      await keyed(w, user, { code: codes[0] });
      return { ...user, code: codes[1] };
    },
    at: "/sign-in?with=name&next=/console/account",
    async does({ send, made, page: p }) {
      await send({ name: made.name, password: made.password }, "Sign in");
      if (!(await p.locator("main").innerText()).includes("Security keys need JavaScript")) throw new Error("nothing says what security keys need");
      if (await p.getByRole("button", { name: "Use your security key" }).isVisible()) throw new Error("a key is asked for that nobody can use");
      await send({ name: made.name, password: made.password, code: made.code }, "Sign in");
      await signedIn(p);
    },
    noThen: "the page shows what only who is signed in sees",
  },
  {
    name: "security key removed", refused: true, as: itself,
    async make(w) {
      const user = await operator(w);
      return { ...user, codes: (await keyed(w, user)).recoveryCodes };
    },
    at: "/account",
    async does({ press, refused, send, made, undone }) {
      await press("Remove blue");
      await refused({ password: made.password, code: "000000" }, "Remove it", /./);
      await undone("although the code was wrong");
      await send({ password: made.password, code: made.codes[0] }, "Remove it");
    },
    says: "The security key is removed.",
    then: async (w, made) => !(await userOf(w, made)).secondFactor,
  },
  {
    name: "user new", refused: true,
    make: () => ({ name: fresh("walker") }),
    at: "/users",
    async does({ press, refused, send, made, undone }) {
      await press("New user");
      await refused({ name: "No such name!" }, "Create the user", "Look at these again");
      await undone("although it was refused");
      await send({ name: made.name, role: "Viewer: sees everything, changes nothing" }, "Create the user");
    },
    says: "This password is shown this once",
    then: async (w, made) => (await called(w, made.name))?.role === "VIEWER",
  },
  {
    name: "user changed", refused: true,
    make: invited,
    at: page,
    async does({ refused, send, undone, made }) {
      await refused({ name: "No such name!" }, "Save", "Look at these again");
      await undone("although it was refused");
      await send({ name: made.name, role: "Admin: everything, also apps, keys, settings and users" }, "Save");
    },
    says: "The user is changed.",
    then: async (w, made) => (await userOf(w, made)).role === "ADMIN",
  },
  whole("password", "Give another password", "Make a password", "This password is shown this once", async (_, w, made) => !(await opens(w, { name: made.name, password: "six blue kettles whistle" }))),
  whole("factor", "Take the second factor away", "Take it away", "The second factor is gone.", (u) => !u.secondFactor, {
    async make(w) {
      const user = await operator(w);
      await protect(w, user);
      return user;
    },
  }),
  whole("off", "Lock the user out", "Lock them out", "The user is locked out.", (u) => !u.isActive),
  whole("on", "Let the user in again", "Let them in", "The user may sign in again.", (u) => u.isActive, {
    async make(w) {
      const made = await invited(w);
      await ask(w, `/api/admin/users/${made.id}`, "", { isActive: false }, "PATCH");
      return made;
    },
  }),
  whole("delete", "Delete the user", "Delete the user", "The user is deleted.", undefined, { then: async (w, made) => !(await there(w, `/api/admin/users/${made.id}`)) }),
  { name: "audit log checked", at: "/audit", does: ({ press }) => press("Check the chain"), says: /^All .* hold\./, noThen: "a check changes nothing" },
];
