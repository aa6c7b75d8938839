// The API of the staged server, as the walks use it: to make what is looked at, and to see whether something was done.

import { createHash, createHmac, generateKeyPairSync, randomBytes } from "node:crypto";

// reply calls the API as the administrator, for an app where one is named; with a body it makes or changes something. It answers
// the status and the body, whatever they are.
export async function reply(world, path, app = "", body = undefined, method = body ? "POST" : "GET") {
  const headers = { "X-Admin-Key": world.adminKey, ...(app && { "X-App-ID": app }), ...(body && { "Content-Type": "application/json" }) };
  const answer = await fetch(world.base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text && JSON.parse(text) };
}

// ask is reply's body, of a call that is not refused.
export async function ask(world, path, app, body, method) {
  const got = await reply(world, path, app, body, method);
  if (got.status >= 300) throw new Error(`${path} is answered ${got.status} ${JSON.stringify(got.body)}`);
  return got.body;
}

// there says whether something is at a path.
export const there = async (world, path, app) => (await reply(world, path, app)).status < 300;

// until asks again and again, at most for a while, until what check answers is true; it answers whether it was.
export async function until(check, seconds = 20) {
  for (const end = Date.now() + seconds * 1000; ; ) {
    const got = await check();
    if (got || Date.now() > end) return got;
    await new Promise((ok) => setTimeout(ok, 50));
  }
}

let made = 0;
// fresh is a name that nothing else has.
export const fresh = (kind) => `${kind}-${process.pid}-${++made}`;

// session signs in by the API and answers the cookie, as name=value.
export async function session(world, as) {
  const answer = await fetch(world.base + "/api/admin/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(as) });
  if (!answer.ok) throw new Error(`signing in is answered ${answer.status} ${await answer.text()}`);
  return answer.headers.getSetCookie()[0].split(";")[0];
}

// own calls the API with a session's cookie.
export async function own(world, cookie, path, body) {
  const answer = await fetch(world.base + path, { method: "POST", headers: { Cookie: cookie, "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path} is answered ${answer.status} ${text}`);
  return text && JSON.parse(text);
}

// someone makes a user of a role who has chosen a password, and signs in.
export async function someone(world, role) {
  const user = { name: fresh("walker"), password: "seven green kettles sing", start: "six blue kettles whistle" };
  user.id = (await ask(world, "/api/admin/users", "", { name: user.name, role, password: user.start })).id;
  user.cookie = await session(world, { name: user.name, password: user.start });
  await own(world, user.cookie, "/api/admin/session/password", { current: user.start, new: user.password });
  user.cookie = await session(world, { name: user.name, password: user.password });
  return user;
}

// cookieOf is a cookie as a browser's context takes it.
export function cookieOf(world, cookie) {
  const [name, value] = cookie.split("=");
  return { name, value, url: world.base };
}

// codeOf is what an authenticator shows now (RFC 6238).
export function codeOf(secret) {
  let bits = "";
  for (const c of secret.toUpperCase().replace(/[^A-Z2-7]/g, "")) bits += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((b) => parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac("sha1", key).update(step).digest();
  return String((hash.readUInt32BE(hash[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

// protect gives a user a second factor; it answers the recovery codes.
export async function protect(world, user) {
  const { secret } = await own(world, user.cookie, "/api/admin/session/second-factor", { password: user.password });
  return (await own(world, user.cookie, "/api/admin/session/second-factor/confirm", { code: codeOf(secret) })).recoveryCodes;
}

// keyed registers a security key of a user, which is in no browser; proof is a code, where the user has a second factor. It answers what the API does.
export async function keyed(world, user, proof = {}) {
  const { options } = await own(world, user.cookie, "/api/admin/session/security-keys/options", { password: user.password, ...proof });
  const { challenge, rp } = JSON.parse(options);
  const { x, y } = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" });
  const id = randomBytes(16);
  const [head, between] = ["a5010203262001215820", "225820"].map((part) => Buffer.from(part, "hex")); // COSE, in CBOR by hand
  const key = Buffer.concat([head, Buffer.from(x, "base64url"), between, Buffer.from(y, "base64url")]);
  const data = Buffer.concat([createHash("sha256").update(rp.id).digest(), Buffer.from([0x45, 0, 0, 0, 0]), Buffer.alloc(16), Buffer.from([0, id.length]), id, key]);
  const attestationObject = Buffer.concat([Buffer.from("a363666d74646e6f6e656761747453746d74a068617574684461746158", "hex"), Buffer.from([data.length]), data]);
  const clientDataJSON = Buffer.from(JSON.stringify({ type: "webauthn.create", challenge, origin: world.base, crossOrigin: false }));
  const text = (b) => b.toString("base64url");
  const answer = { id: text(id), rawId: text(id), type: "public-key", clientExtensionResults: {}, response: { clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject) } };
  return own(world, user.cookie, "/api/admin/session/security-keys", { name: "blue", securityKey: JSON.stringify(answer) });
}
