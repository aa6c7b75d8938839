// The walk of a newcomer who has just started the server: signs in with the printed key, creates an app, sends by the
// command that is shown, and sees the message, and what the sandbox captured. Everything by keyboard, as fast as the pages allow.

import { execFileSync } from "node:child_process";
import { contextOf, settings } from "./browser.mjs";

// firstRun tells a verdict for each step, with the seconds since the beginning.
export async function firstRun(browser, world, out) {
  const context = await contextOf(browser, settings[2]);
  const page = await context.newPage();
  const began = Date.now();
  const step = async (check, todo) => {
    let detail = "";
    try {
      await todo();
    } catch (e) {
      detail = `${e.message}\non the page ${page.url()}:\n${(await page.locator("body").innerText()).slice(0, 1500)}`;
    }
    out({ page: "first run", setting: "desktop-light", check, ok: detail === "", detail: detail || `after ${((Date.now() - began) / 1000).toFixed(1)} s` });
    return detail === "";
  };
  const heading = (name) => page.getByRole("heading", { name }).waitFor();
  const post = (command) => {
    const answer = execFileSync("bash", ["-e", "-o", "pipefail", "-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    if (JSON.parse(answer).status !== "QUEUED") throw new Error(`the command is answered ${answer}`);
  };
  // again says whether a command that was run is answered with what it sent.
  const again = (command) => {
    const answer = execFileSync("bash", ["-e", "-o", "pipefail", "-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    if (!JSON.parse(answer).deduplicated) throw new Error(`the same command again is answered ${answer}`);
  };
  let commands;
  (await step("the address leads to signing in", async () => {
    await page.goto(world.base + "/");
    await page.waitForURL("**/console/sign-in*");
  })) &&
    (await step("the printed key signs in", async () => {
      await page.locator("[name=adminKey]").fill(world.adminKey);
      await page.keyboard.press("Enter");
      await heading("Create an app");
    })) &&
    (await step("create app", async () => {
      const name = page.locator("main [name=name]");
      await name.fill("Newcomer");
      await name.press("Enter");
      await heading("Send the first message");
      commands = await page.locator("main pre", { hasText: /^curl / }).allInnerTexts(); // an email, and an SMS
      if (commands.length !== 2) throw new Error(`${commands.length} commands are shown`);
    })) &&
    (await step("send", async () => {
      await page.goto(world.base + "/console"); // a second tab, in which the message is waited for
      await heading("See it");
      post(commands[1]);
    })) &&
    (await step("see it", async () => {
      const link = page.locator('main a[href^="/console/messages/"]').first();
      await link.waitFor(); // it shows by itself
      await link.press("Enter");
      await heading("Timeline");
      await page.getByText("taken by the provider").first().waitFor();
    })) &&
    (await step("send an email", async () => {
      post(commands[0]);
    })) &&
    (await step("send both again", async () => {
      commands.forEach(again);
    })) &&
    (await step("see the captured SMS and email", async () => {
      await page.getByRole("link", { name: "Sandbox inbox" }).first().press("Enter");
      await page.locator(".inbox a", { hasText: "233241234567" }).waitFor();
      await page.locator(".inbox a", { hasText: "Welcome" }).press("Enter"); // it shows by itself
      await page.frameLocator("iframe").getByRole("heading", { name: "Hello from CommServer" }).waitFor();
    })) &&
    out({ page: "first run", setting: "desktop-light", check: "within a minute", ok: Date.now() - began < 60_000, detail: `${((Date.now() - began) / 1000).toFixed(1)} s` });
  await context.close();
}
