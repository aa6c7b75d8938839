// The driver of the TypeScript client in an edge runtime, which has no stdin: takes a step as the body of a request. workerd.mjs
// hands it over.
import * as sdk from "comms-client.js";

import driver from "calls.mjs";

const answer = driver(sdk);

export default { fetch: async (request) => Response.json(await answer(await request.json())) };
