// What a page does besides showing itself: its requests and their size, what it says in the console, and what its
// content security policy refuses.

// watch begins before anything is loaded. What it answers is filled as things happen; forget() begins anew.
export async function watch(page, base) {
  const seen = {
    forget() {
      Object.assign(seen, { console: [], policy: [], hosts: new Set(), sizes: [], posts: [], open: new Set(), last: Date.now() });
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
  page.on("request", (r) => {
    const url = new URL(r.url());
    if (/^(https?|wss?):$/.test(url.protocol) && url.host !== home) seen.hosts.add(r.url());
    seen.last = Date.now();
    if (r.resourceType() !== "eventsource") seen.open.add(r); // a stream has no end
  });
  page.on("response", (r) => {
    if (r.request().method() === "POST") seen.posts.push({ path: new URL(r.url()).pathname, status: r.status() });
  });
  const ended = (r) => {
    seen.open.delete(r);
    seen.last = Date.now();
  };
  page.on("requestfinished", (r) => {
    ended(r);
    seen.sizes.push(r.sizes().catch(() => null));
  });
  page.on("requestfailed", ended);
  const cdp = await page.context().newCDPSession(page);
  seen.cdp = cdp;
  await cdp.send("Network.enable");
  await cdp.send("Network.setCacheDisabled", { cacheDisabled: true });
  return seen;
}

// settle waits until nothing has been loaded for a moment; streams may go on.
export async function settle(page, seen) {
  await page.evaluate(() => document.fonts.ready.then(() => new Promise((ok) => requestAnimationFrame(() => requestAnimationFrame(ok)))));
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    if (seen.open.size === 0 && Date.now() - seen.last >= 40) return;
    await new Promise((ok) => setTimeout(ok, 10));
  }
  throw new Error(`not loaded to the end: ${[...seen.open].map((r) => r.url()).join(" ")}`);
}

// policyOf are the refusals of the page and of its frames.
export async function policyOf(page, seen) {
  const all = [...seen.policy];
  for (const frame of page.frames()) {
    all.push(...(await frame.evaluate(() => window.__policy ?? []).catch(() => [])));
  }
  return all;
}

// bytesOf is what was loaded so far, as it went over the wire.
export async function bytesOf(seen) {
  const sizes = await Promise.all(seen.sizes);
  return sizes.reduce((sum, s) => sum + (s ? s.responseHeadersSize + s.responseBodySize : 0), 0);
}
