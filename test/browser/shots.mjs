// Takes the pictures of docs/images (make shots), of the server that stage describes. What differs from one time to
// the next is only what must: ids and times.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ask } from "./api.mjs";
import { contextOf, launch, settings, signIn } from "./browser.mjs";
import { settle, watch } from "./watch.mjs";

const world = JSON.parse(readFileSync(process.env.STAGED_WORLD, "utf8"));
const message = (story) => "/console/messages/" + world.stories.find((s) => s.name === story).message;

// mail is what the inbox and the editor show: plain enough for every mail program, as an order's confirmation is.
const mail = (name, order) => `<div style="max-width:480px;margin:0 auto;font-family:sans-serif">
<h1 style="font-size:22px">Your order has left</h1>
<p>Dear ${name},</p>
<p>your parcel <strong>${order}</strong> is with the courier
and reaches you tomorrow between 9 and 12.</p>
<p><a href="https://market.example/orders"
 style="display:inline-block;padding:10px 16px;border-radius:6px;background:#0b6b53;color:#fff;text-decoration:none">Follow the parcel</a></p>
<p style="color:#666;font-size:13px">Market Street, 12 Harbour Road</p>
</div>`;

async function captured() {
  await ask(world, "/api/v1/messages", "workshop", { channel: "EMAIL", to: "ama@workshop.example", subject: "Your order 4711 has left", body: mail("Ama", "4711"), attachments: [{ filename: "invoice-4711.pdf", contentType: "application/pdf", content: "JVBERi0xLjQK" }] });
  await ask(world, "/api/v1/sandbox/messages/wait?timeout=40&to=ama@workshop.example", "workshop");
  const found = await ask(world, "/api/v1/sandbox/messages?channel=EMAIL", "workshop");
  return `/console/sandbox/workshop/${found.data[0].id}`;
}

// text is an SMS in one of the letters that make every character of it take two bytes.
async function text() {
  await ask(world, "/api/v1/messages", "workshop", { channel: "SMS", to: "+233241234567", body: "Akwaaba, Ama! Your order 4711 is at Harbour Road 12, “Market Street”, until 6 pm. Bring the code 8 3 1 4. Medaase ✓" });
  await ask(world, "/api/v1/sandbox/messages/wait?timeout=40&to=%2B233241234567", "workshop");
  const found = await ask(world, "/api/v1/sandbox/messages?channel=SMS", "workshop");
  return `/console/sandbox/workshop/${found.data[0].id}`;
}

let written;
async function template() {
  written ??= await ask(world, "/api/v1/templates", "market", { key: "order-shipped", channel: "EMAIL", name: "Order shipped", subject: "Your order {{reference}} has left", body: mail("{{name}}", "{{reference}}") });
  return `/console/templates/market/${written.id}`;
}

async function drafted(page) {
  await page.locator("textarea[name=values]").fill("name = Ama\nreference = 4711");
  await page.frameLocator("iframe[name=draft]").getByText("Dear Ama,").waitFor();
}

// shots are the pages, each with the settings that it is shown in, how much of it where that is more than a screen, and what is done on it first.
const shots = [
  { name: "overview", path: "/console", tall: { desktop: 1440, phone: 844 }, in: ["desktop-light", "desktop-dark", "phone-dark"] },
  { name: "messages", path: "/console/messages", in: ["phone-dark"] },
  { name: "story", path: message("failed-over"), in: ["desktop-light", "desktop-dark", "phone-light"] },
  { name: "chain", path: "/console/providers?app=clinic", in: ["desktop-light"] },
  { name: "inbox", path: captured, in: ["desktop-light", "phone-light"] },
  { name: "sms", path: text, in: ["phone-dark"] },
  { name: "editor", path: template, act: drafted, in: ["desktop-dark"] },
  { name: "docs", path: "/docs/guide/quickstart", in: ["desktop-light"], signedOut: true },
];

// The pages take the system's own letters, which on a server are whatever is there: pictures have one and the same everywhere.
function letters() {
  const family = "Inter";
  if (!execFileSync("fc-list", [family], { encoding: "utf8" }).trim()) throw new Error(`the pictures need the font ${family}; on Debian: apt-get install fonts-inter`);
  const dir = mkdtempSync(join(tmpdir(), "shots-"));
  const alias = (name) => `<match target="pattern"><test name="family"><string>${name}</string></test><edit name="family" mode="prepend" binding="strong"><string>${family}</string></edit></match>`;
  const file = join(dir, "fonts.conf");
  writeFileSync(file, `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><include>/etc/fonts/fonts.conf</include>${["system-ui", "sans-serif"].map(alias).join("")}</fontconfig>`);
  process.env.FONTCONFIG_FILE = file;
  return () => rmSync(dir, { recursive: true });
}

const words = process.argv.slice(2);
const folder = process.env.SHOTS ?? fileURLToPath(new URL("../../docs/images/", import.meta.url));
mkdirSync(folder, { recursive: true });
const done = letters();
const browser = await launch();
const state = await signIn(browser, world.base, { adminKey: world.adminKey });
let bytes = 0;
for (const setting of settings) {
  for (const shot of shots.filter((s) => s.in.includes(setting.name) && (words.length === 0 || words.includes(s.name)))) {
    const height = shot.tall?.[setting.phone ? "phone" : "desktop"] ?? setting.height;
    const context = await contextOf(browser, { ...setting, height }, shot.signedOut ? undefined : state);
    const page = await context.newPage();
    const seen = await watch(page, world.base);
    const at = typeof shot.path === "function" ? await shot.path() : shot.path;
    const answer = await page.goto(world.base + at);
    if (!answer.ok()) throw new Error(`${at} is answered ${answer.status()}`);
    await shot.act?.(page, world);
    await settle(page, seen);
    const path = `${folder}/${shot.name}-${setting.name}.png`;
    await page.screenshot({ path, animations: "disabled", caret: "hide", scale: "css" });
    bytes += statSync(path).size;
    await context.close();
  }
}
await browser.close();
done();
console.log(`${(bytes / 1000).toFixed(0)} kB of pictures in ${folder}`);
