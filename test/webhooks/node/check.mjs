// Reads posts as JSON from the standard input, {headers, body} each, and writes what two receivers make of each: the
// guide's snippet, word for word, and the package of Standard Webhooks, if it is installed.
import { readFileSync } from "node:fs";

const posts = JSON.parse(readFileSync(0, "utf8"));
const text = readFileSync(new URL("guide-snippet.ts", import.meta.url), "utf8");
const [imports, ...lines] = text.split("\n");
// The one character that is TypeScript's says that a value is there.
const body = imports + "\nexport default async function (request) {\n" + lines.join("\n").replace("COMMS_WEBHOOK_SECRET!", "COMMS_WEBHOOK_SECRET") + "\nreturn valid;\n}\n";
const { default: guide } = await import("data:text/javascript," + encodeURIComponent(body));

let standard = null;
try {
  const { Webhook } = await import("standardwebhooks");
  const webhook = new Webhook(process.env.COMMS_WEBHOOK_SECRET);
  standard = (post) => {
    try {
      webhook.verify(post.body, post.headers);
      return true;
    } catch (e) {
      return false;
    }
  };
} catch (e) {
  if (e.code !== "ERR_MODULE_NOT_FOUND") throw e;
}

const out = [];
for (const post of posts) {
  const request = new Request("https://hooks.example.com/", { method: "POST", headers: post.headers, body: post.body });
  out.push({ guide: await guide(request), standard: standard && standard(post) });
}
console.log(JSON.stringify(out));
