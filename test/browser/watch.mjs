// What a page does besides showing itself: its requests and their size, what it says in the console, and what its
// content security policy refuses.

// watch begins before anything is loaded. What it answers is filled as things happen; forget() begins anew.
export async function watch(page, base) {
  const seen = {
    forget() {
      Object.assign(seen, { console: [], policy: [], hosts: new Set(), requests: new Map(), open: new Set(), last: Date.now() });
    },
  };
  seen.forget();
  const home = new URL(base).host;
  page.on("console", (m) => {
    const text = `${m.text()} (${m.location().url})`;
    if (/content.security.policy/i.test(text)) seen.policy.push(text);
    else if (m.type() === "error" || m.type() === "warning") seen.console.push(`${m.type()}: ${text}`);
  });
  page.on("pageerror", (e) => seen.console.push(`exception: ${e.message}`));
  await page.addInitScript(() => {
    window.__policy = [];
    addEventListener("securitypolicyviolation", (e) => window.__policy.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`), true);
  });
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Network.enable");
  await cdp.send("Network.setCacheDisabled", { cacheDisabled: true });
  cdp.on("Network.requestWillBeSent", ({ requestId, request, type }) => {
    const url = new URL(request.url);
    if (/^(https?|wss?):$/.test(url.protocol) && url.host !== home) seen.hosts.add(request.url);
    seen.last = Date.now();
    if (type !== "EventSource") seen.open.add(requestId);
  });
  cdp.on("Network.dataReceived", ({ requestId, encodedDataLength }) => {
    seen.requests.set(requestId, (seen.requests.get(requestId) ?? 0) + encodedDataLength);
  });
  cdp.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    seen.requests.set(requestId, encodedDataLength);
    seen.open.delete(requestId);
    seen.last = Date.now();
  });
  cdp.on("Network.loadingFailed", ({ requestId }) => {
    seen.open.delete(requestId);
    seen.last = Date.now();
  });
  return seen;
}

// settle waits until nothing has been loaded for a moment; streams may go on.
export async function settle(page, seen) {
  await page.evaluate(() => document.fonts.ready.then(() => new Promise((ok) => requestAnimationFrame(() => requestAnimationFrame(ok)))));
  for (const end = Date.now() + 20_000; Date.now() < end; ) {
    if (seen.open.size === 0 && Date.now() - seen.last >= 40) return;
    await new Promise((ok) => setTimeout(ok, 10));
  }
  throw new Error(`${seen.open.size} requests do not end`);
}

// policyOf are the refusals of the page and of its frames.
export async function policyOf(page, seen) {
  const all = [...seen.policy];
  for (const frame of page.frames()) {
    all.push(...(await frame.evaluate(() => window.__policy ?? []).catch(() => [])));
  }
  return all;
}

export const bytesOf = (seen) => [...seen.requests.values()].reduce((sum, n) => sum + n, 0);
