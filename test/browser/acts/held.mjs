// The acts of a server that was restored from a backup. Each is done to a server of its own: it is released once.

import { ask } from "../api.mjs";
import { asked } from "./making.mjs";

const released = async (world) => (await ask(world, "/api/admin/hold")).state !== "HELD";

export const held = () => [{ name: "restored server released", at: "/hold", does: asked("Fail them", { button: "Release it" }), says: "The server is being released.", then: released }];
