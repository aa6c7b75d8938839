// The hands of who walks over the acts: they have a keyboard and nothing else. What they cannot reach with it is an error.

import { until } from "./api.mjs";
import { settle } from "./watch.mjs";

// handsOf are hands on a page. blind says that the page runs no scripts: then nothing of it opens in a dialog.
//   at(path)                    opens a page
//   press(control)              gives a control the focus and presses Enter, which leads to another page
//   fill(fields), tabTo(where)  types into fields, going from each to the next with the Tab key; goes there with it
//   send(fields, button)        fills a form and presses its button
//   refused(fields, button, words)  the same, where that is to be answered by these words
// A control is a locator, or the name of a button or link of the page's main part.
export function handsOf({ page, seen }, world, blind) {
  const calm = () => (blind ? page.waitForLoadState("load") : settle(page, seen));
  const named = (control) => {
    if (typeof control !== "string") return control;
    const main = page.locator("main");
    return main.getByRole("button", { name: control, exact: true }).or(main.getByRole("link", { name: control, exact: true })).first();
  };
  const has = (where) => named(where).evaluate((e) => e === document.activeElement);
  const leads = async (key) => {
    await Promise.all([page.waitForEvent("load"), page.keyboard.press(key)]);
    await calm();
  };
  const hands = {
    page, calm, named, has, leads, blind,
    async at(path) {
      await page.goto(world.base + "/console" + path, { waitUntil: "load" });
      await calm();
    },
    async focus(control) {
      for (let tries = 0; tries < 3; tries++) { // the part that it stands in may be replaced by another one at that moment
        await named(control).focus();
        if (await until(() => has(control), 2)) return;
      }
      throw new Error(`${control} does not take the focus`);
    },
    async press(control, key = "Enter") {
      await hands.focus(control);
      await leads(key);
    },
    // Fields may have others between them, of which some have several stops (a date).
    async tabTo(where, most = 40) {
      for (let i = 0; i < most; i++) {
        if (await has(where)) return;
        await page.keyboard.press("Tab");
      }
      throw new Error(`${most} times Tab does not lead to ${where}`);
    },
    // true and false are of a box, a list names the boxes of a group that are to be ticked; the text of a choice chooses it.
    async fill(fields) {
      let first = true;
      for (const [name, value] of Object.entries(fields)) {
        for (const one of Array.isArray(value) ? value : [value]) {
          const field = page.locator(`main [name="${name}"]:not([type=hidden])${Array.isArray(value) ? `[value="${one}"]` : ""}`).first();
          if (first) await hands.focus(field);
          else await hands.tabTo(field);
          first = false;
          await enter(field, Array.isArray(value) ? true : one);
        }
      }
    },
    async send(fields, button) {
      await hands.fill(fields);
      if (Object.keys(fields).length > 0) await hands.tabTo(named(button));
      else await hands.focus(button);
      await leads("Enter");
    },
    // What the browser itself would refuse goes to the server all the same, for its words.
    async refused(fields, button, words) {
      await page.locator("main form").filter({ has: page.getByRole("button", { name: button, exact: true }) }).evaluate((f) => f.setAttribute("novalidate", ""));
      await hands.send(fields, button);
      const told = page.getByRole("alert").filter({ hasText: words });
      if ((await told.count()) === 0) throw new Error(`it is not refused with the words ${words}: ${(await page.locator("main").innerText()).slice(0, 600)}`);
      if (!blind && !(await told.first().evaluate((e) => e.contains(document.activeElement)))) throw new Error("what refuses it does not take the focus: nobody who listens is told");
    },
  };
  async function enter(field, value) {
    const kind = await field.evaluate((e) => (e.localName === "input" ? e.type : e.localName));
    if (kind === "checkbox" || kind === "radio") {
      if ((await field.isChecked()) !== value) await page.keyboard.press("Space");
      if ((await field.isChecked()) !== value) throw new Error("Space does not tick the box");
    } else if (kind === "select") {
      await page.keyboard.type(value);
      const chosen = await field.evaluate((e) => e.selectedOptions[0]?.text);
      if (chosen !== value) throw new Error(`typing ${value} chooses ${chosen}`);
    } else {
      await page.keyboard.press("ControlOrMeta+A");
      if (value === "") await page.keyboard.press("Delete");
      else await page.keyboard.type(value);
    }
  }
  return hands;
}

// dialogs are what hands do with a confirmation that opens in the dialog of the page.
//   open(control)    presses Enter on it: the dialog opens and takes the focus, on nothing that destroys
//   escape(control)  Escape closes it, and the focus is where it was
export function dialogsOf(hands) {
  const { page } = hands;
  const dialog = page.locator("#dialog");
  return {
    dialog,
    async open(control) {
      await hands.focus(control);
      await page.keyboard.press("Enter");
      await page.locator("#dialog[open] form.confirm").waitFor();
      await hands.calm();
      const at = await dialog.evaluate((d) => (d.contains(document.activeElement) && d !== document.activeElement ? document.activeElement.className : null));
      if (at === null) throw new Error("the dialog that opens does not take the focus");
      if (/\bdanger\b/.test(at)) throw new Error("the button that destroys has the focus when the dialog opens");
      if (!(await dialog.evaluate((d) => d.matches(":modal") && document.getElementById(d.getAttribute("aria-labelledby"))?.textContent.trim() !== ""))) throw new Error("the dialog has no name, or is not modal");
    },
    async escape(control) {
      await page.keyboard.press("Escape");
      await page.locator("#dialog:not([open])").waitFor({ state: "attached" });
      if (!(await until(() => hands.has(control), 5))) throw new Error(`after Escape the focus is on ${await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200))}`);
    },
  };
}
