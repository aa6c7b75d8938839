// Starts workerd with the driver of the TypeScript client in it, and hands over the steps that come as JSON lines on stdin.
// COMMS_SDK_WORKERD is workerd's program, COMMS_SDK_CLIENT the module to test. It runs under Node; the client does not.
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { copyFile, mkdtemp, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

// The servers of the vectors are on this machine, to which workers may connect only where it is said. The compatibility date is an
// old one, as that of a worker that was deployed long ago.
const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "driver", worker = (
      compatibilityDate = "2023-01-01",
      modules = [
        (name = "worker.mjs", esModule = embed "worker.mjs"),
        (name = "calls.mjs", esModule = embed "calls.mjs"),
        (name = "comms-client.js", esModule = embed "comms-client.js"),
      ],
    )),
    (name = "internet", network = (allow = ["private"])),
  ],
  sockets = [(name = "steps", address = "127.0.0.1:0", http = (), service = "driver")],
);
`;

const folder = await mkdtemp(join(tmpdir(), "commserver-workerd-"));
process.once("exit", () => rmSync(folder, { recursive: true }));
await Promise.all([
  writeFile(join(folder, "config.capnp"), config),
  copyFile(new URL("worker.mjs", import.meta.url), join(folder, "worker.mjs")),
  copyFile(new URL("calls.mjs", import.meta.url), join(folder, "calls.mjs")),
  copyFile(new URL(process.env.COMMS_SDK_CLIENT), join(folder, "comms-client.js")),
]);
const workerd = spawn(process.env.COMMS_SDK_WORKERD, ["serve", "--control-fd=3", join(folder, "config.capnp")], { stdio: ["ignore", "inherit", "inherit", "pipe"] });
const ended = new Promise((resolve) => workerd.once("exit", resolve));
const port = await new Promise((resolve, reject) => {
  workerd.once("error", reject);
  workerd.once("exit", (code) => reject(new Error(`workerd ended: ${code}`)));
  createInterface({ input: workerd.stdio[3] }).on("line", (line) => {
    const told = JSON.parse(line);
    if (told.event === "listen") resolve(told.port);
  });
});

// A step may take as long as who gives it waits: Node's fetch would set an end of its own.
const answered = (line) =>
  new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, method: "POST" }, (response) => text(response).then(resolve, reject)).on("error", reject).end(line);
  });

try {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const { id } = JSON.parse(line);
    process.stdout.write(JSON.stringify({ id, ...JSON.parse(await answered(line)) }) + "\n");
  }
} finally {
  workerd.kill();
  await ended;
}
