// Doing the acts of acts.mjs: each is done by keyboard alone, and is then told on the page and seen in the API. A row is
//   name             what it is called
//   make(world)      makes by the API what it is done to, so that rows know nothing of each other; what it answers is handed on
//   at               the path below /console of the page that a person would start from; a function of what was made, or a text
//   does(steps)      does it. steps are those of handsOf (hands.mjs), with
//                      made, world               as above
//                      confirmed(control, how)   opens a confirmation, leaves it, opens it again and confirms
//                      undone(why)               fails where the act is done already
//   says             what the page tells of it afterwards
//   then(world, made)  whether it is done, by the API: false before and after each refusal, true afterwards. Where nothing
//                    stands there, noThen says why
//   as(world)        who does it, other than the administrator: a user of someone(), or null for who is not signed in
//   blind            it is done without JavaScript
//   refused          something of it is answered as an error, of which the browser itself tells
//   rare             it is much like another one, and done only at full size

import { cookieOf, until } from "./api.mjs";
import { contextOf, halves, settings, signIn } from "./browser.mjs";
import { dialogsOf, handsOf } from "./hands.mjs";
import { judge, judgeDialog } from "./look.mjs";
import { policyOf, watch } from "./watch.mjs";

// act does rows: where world.full in each of the four settings, else in one of two of them, in turn, and the colours of another
// one are judged, too. It tells verdicts, and of each row that is well the POST requests that it made, as {posts}.
export async function act(browser, world, rows, out) {
  const state = await signIn(browser, world.base, { adminKey: world.adminKey });
  const ways = world.only ? settings.filter((s) => s.name === world.only) : world.full ? settings : halves;
  await Promise.all(
    ways.flatMap((setting, w) => {
      const mine = (world.full || world.only ? rows : rows.filter((_, n) => n % ways.length === w))[Symbol.iterator]();
      return [1, 2].map(async () => {
        // One for each of those who work side by side: what was done is told by a cookie.
        const shared = await contextOf(browser, setting, state);
        const page = await shared.newPage();
        const view = { page, seen: await watch(page, world.base), setting };
        for (const row of mine) await (row.as || row.blind ? alone(browser, row, setting, state, world, out) : perform(view, row, world, out));
        await shared.close();
      });
    }),
  );
}

// alone does a row in a browser that nobody else uses.
async function alone(browser, row, setting, state, world, out) {
  const context = await contextOf(browser, setting, row.as ? undefined : state, { javaScriptEnabled: !row.blind });
  const page = await context.newPage();
  await perform({ page, seen: await watch(page, world.base), setting }, row, world, out);
  await context.close();
}

async function perform(view, row, world, out) {
  const { page, seen, setting } = view;
  const turn = !world.full && !world.only;
  const tell = (check, detail, ok, more) => out({ page: "act " + row.name, setting: setting.name, check, ok, detail, ...more });
  const say = (check, wrong, note, where = setting) => out({ page: "act " + row.name, setting: where.name, check, ok: wrong.length === 0, detail: wrong.slice(0, 12).join("\n") || note || "" });
  const began = Date.now();
  page.setDefaultTimeout(60_000);
  try {
    seen.forget();
    await seen.cdp.send("Network.setCacheDisabled", { cacheDisabled: false }); // how much a page takes on the wire is not judged here
    const made = await row.make?.(world);
    const hands = handsOf(view, world, row.blind);
    const user = await row.as?.(world, made);
    if (user) await page.context().addCookies([cookieOf(world, user.cookie)]);
    const undone = async (when) => {
      if (row.then && (await row.then(world, made))) throw new Error(`it is done already ${when}`);
    };
    await hands.at(typeof row.at === "function" ? row.at(made) : row.at);
    await undone("before anybody did it");
    const confirmed = (control, how) => confirm(hands, control, how, undone, () => judgeDialog(view, turn, say));
    await row.does({ ...hands, made, world, undone, confirmed, say });
    if (row.says) await page.locator("main").getByText(row.says).first().waitFor();
    if (row.then && !(await until(() => row.then(world, made)))) throw new Error("it was not done, by what the API answers");
    if (!row.then && !row.noThen) throw new Error("the row says neither how it is seen that it was done, nor why it cannot be");
    await hands.calm();
    if (row.blind) await blindly(view, say);
    else await judge(view, turn, say, { keys: false, refused: row.refused });
    tell("works", `${Date.now() - began} ms`, true, { posts: seen.posts.filter((p) => p.status < 400).map((p) => p.path) });
  } catch (e) {
    tell("works", `${e.stack ?? e}\non the page ${page.url()}:\n${(await page.locator("body").innerText().catch(() => "")).slice(0, 1200)}`, false);
  }
}

// blindly is what can be judged where no script runs: axe-core is one. The same pages are judged with scripts elsewhere.
async function blindly({ page, seen }, say) {
  say("policy", await policyOf(page, seen));
  say("hosts", [...seen.hosts].map((u) => `asks ${u}`));
}

// confirm does what asks first. how says what of it: button is the one that does it, type what has to be typed, slip what is typed
// wrongly first, with the words that refuse it.
async function confirm(hands, control, { button, type, slip }, undone, judged) {
  if (hands.blind) {
    await hands.press(control);
    await hands.send(type ? { confirm: type } : {}, button);
    return;
  }
  const { page } = hands;
  const { dialog, open, escape } = dialogsOf(hands);
  await open(control);
  await judged();
  await escape(control);
  await undone("although Escape was pressed");
  const confirmation = async (typed) => {
    await open(control);
    if (typed === undefined) {
      await hands.tabTo(dialog.getByRole("button", { name: button, exact: true }));
    } else {
      await hands.tabTo(dialog.locator("[name=confirm]"));
      await page.keyboard.type(typed);
    }
    await hands.leads("Enter");
  };
  if (slip) {
    await confirmation(slip.type);
    await page.getByRole("alert").getByText(slip.says).waitFor();
    await undone("although the wrong word was typed");
    await hands.press("Leave it as it is");
  }
  await confirmation(type);
}
