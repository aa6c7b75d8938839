// The driver of the TypeScript client: takes steps as JSON lines on stdin and answers each on stdout, as sdk/README.md
// describes. It runs under Node, Bun and Deno; COMMS_SDK_CLIENT is the module to test.
import process from "node:process";
import { createInterface } from "node:readline";

import driver from "./calls.mjs";

const answer = driver(await import(process.env.COMMS_SDK_CLIENT));

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const step = JSON.parse(line);
  process.stdout.write(JSON.stringify({ id: step.id, ...(await answer(step)) }) + "\n");
}
