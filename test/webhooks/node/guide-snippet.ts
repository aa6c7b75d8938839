import { createHmac, timingSafeEqual } from "node:crypto";
const rawBody = await request.text();
const received = request.headers.get("x-comms-signature") ?? "";
const timestamp = request.headers.get("x-comms-timestamp") ?? "";
const expected = createHmac("sha256", process.env.COMMS_WEBHOOK_SECRET!)
.update(timestamp + "." + rawBody)
.digest("hex");
const valid = received.length === expected.length && timingSafeEqual(
Buffer.from(received),
Buffer.from(expected),
);
