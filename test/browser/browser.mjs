// The browser that all programs of this folder use: one Chromium, and the four ways in which a page is looked at.

import { chromium } from "playwright-core";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const phone = { phone: true, width: 390, height: 844 };
const desktop = { phone: false, width: 1280, height: 800 };
const setting = (device, scheme) => ({ ...device, scheme, name: `${device.phone ? "phone" : "desktop"}-${scheme}` });

// settings are the ways in which every page is looked at.
export const settings = [setting(phone, "light"), setting(phone, "dark"), setting(desktop, "light"), setting(desktop, "dark")];

// halves are two of them that everything is judged in; the colours of the others are judged on the same pages, turned over.
export const halves = [settings[0], settings[3]];
export const turned = (s) => settings.find((o) => o.phone === s.phone && o.scheme !== s.scheme);

function program() {
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    for (const dir of (process.env.PATH ?? "").split(delimiter)) {
      try {
        accessSync(join(dir, name), constants.X_OK);
        return join(dir, name);
      } catch {
        // not here
      }
    }
  }
  throw new Error("no chromium in the path; scripts/setup.sh installs it, or says how");
}

// started is how Chromium starts. It can reach this machine and nothing else, whatever a page asks for.
function started() {
  const args = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1", "--disable-gpu"];
  if (process.getuid?.() === 0) args.push("--no-sandbox"); // Chromium refuses its own sandbox to root
  return { executablePath: program(), args };
}

export const launch = () => chromium.launch(started());

// launchWhole starts another one with a profile in a folder, which does all that a browser does by itself.
export const launchWhole = (folder) => chromium.launchPersistentContext(folder, { ...started(), ignoreDefaultArgs: ["--disable-background-networking"] });

// contextOf is a browser that knows nothing yet, in one of the settings; more are further options of it.
export async function contextOf(browser, setting, storageState, more) {
  const context = await browser.newContext({
    viewport: { width: setting.width, height: setting.height },
    isMobile: setting.phone,
    hasTouch: setting.phone,
    colorScheme: setting.scheme,
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "UTC",
    storageState,
    ...more,
  });
  context.setDefaultTimeout(120_000); // a machine under load is no fault of the page
  return context;
}

// signIn signs in to the console as its form asks and answers what the browser keeps of it.
export async function signIn(browser, base, fields) {
  const context = await contextOf(browser, settings[2]); // as a desk has it
  await signInBy(await context.newPage(), base, fields);
  const state = await context.storageState();
  await context.close();
  return state;
}

// signInBy does it on a page.
export async function signInBy(page, base, fields) {
  await page.goto(base + "/console/sign-in");
  for (const [name, value] of Object.entries(fields)) {
    const field = page.locator(`[name="${name}"]`);
    await field.evaluate((e) => e.closest("details")?.setAttribute("open", ""));
    await field.fill(value);
  }
  const last = Object.keys(fields).at(-1);
  await page.locator(`[name="${last}"]`).press("Enter");
  await page.waitForURL((url) => !url.pathname.startsWith("/console/sign-in"));
}
