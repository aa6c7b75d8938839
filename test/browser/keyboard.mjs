// Whether everything on a page can be reached with the Tab key, and seen where one is.

const limit = 600;

// keyboard answers what is wrong: one line for each element. cdp is a session of the page.
export async function keyboard(page, cdp) {
  // The focus moves when the key goes down; a message for each is what this costs.
  const tab = () => cdp.send("Input.dispatchKeyEvent", { type: "rawKeyDown", key: "Tab", code: "Tab", windowsVirtualKeyCode: 9 });
  const total = await page.evaluate(begin);
  if (total > limit) return [`${total} elements take the focus; nobody walks past more than ${limit}`];
  // Around once, and a few steps more: a field may have had the focus at first, and frames have stops of their own.
  const step = 25;
  let left = total;
  for (let pressed = 0; pressed < 2 * total + 2 * step && left > 0; pressed += step) {
    await Promise.all(Array.from({ length: Math.min(step, left + 3) }, tab));
    left = await page.evaluate(() => window.__stops.filter((s) => !s.reached && s.elements.some((e) => e.isConnected)).length);
  }
  return page.evaluate(end);
}

// Runs in the page.
function begin() {
  const native = "a[href], area[href], button, input:not([type=hidden]), select, textarea, summary, audio[controls], video[controls], [contenteditable=true]";
  const roles = ["button", "link", "checkbox", "switch", "tab", "menuitem", "option", "radio", "slider", "textbox", "combobox"];
  const selector = [native, "[tabindex]", "[onclick]", ...roles.map((r) => `[role=${r}]`)].join(", ");
  // One of a set takes the focus, the arrow keys lead to the others.
  const roving = (e) => e.tabIndex < 0 && ["tab", "menuitem", "option", "radio", "treeitem", "gridcell"].includes(e.getAttribute("role"));
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) && e.getClientRects().length > 0;
  const idle = (e) => e.matches(":disabled") || e.closest("[inert]") || (e.tabIndex < 0 && e.hasAttribute("tabindex") && !e.matches(native) && !e.hasAttribute("onclick") && !roles.includes(e.getAttribute("role")));
  // A modal dialog holds the focus.
  const modal = document.querySelector("dialog:modal");
  const all = [...(modal ?? document).querySelectorAll(selector)].filter((e) => shown(e) && !idle(e) && !roving(e));
  const say = (e) => `<${e.localName}${e.id ? " #" + e.id : ""}${e.name ? ` name=${e.name}` : ""}> "${(e.getAttribute("aria-label") ?? e.innerText ?? e.value ?? "").trim().slice(0, 40)}"`;
  document.activeElement?.blur?.(); // as a walk by Tab begins
  const radios = new Map(); // one of a group is enough
  window.__stops = [];
  for (const e of all) {
    const group = e.type === "radio" && e.name ? `${e.form?.id}/${e.name}` : null;
    if (group && radios.has(group)) {
      radios.get(group).elements.push(e);
      continue;
    }
    const stop = { elements: [e], what: say(e), reached: false, unseen: null, wrong: "" };
    if (group) radios.set(group, stop);
    window.__stops.push(stop);
  }
  window.__saw = () => {
    const e = document.activeElement;
    const stop = window.__stops.find((s) => s.elements.includes(e));
    if (!stop) return;
    stop.reached = true;
    const style = getComputedStyle(e);
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) === 0) stop.unseen = e; // something else may show it
    const box = e.getBoundingClientRect();
    const inside = (b) => ({ left: Math.max(b.left, 0), top: Math.max(b.top, 0), right: Math.min(b.right, innerWidth), bottom: Math.min(b.bottom, innerHeight) });
    const points = [box, e.labels?.[0]?.getBoundingClientRect()]
      .filter(Boolean)
      .map(inside)
      .flatMap((b) => [[(b.left + b.right) / 2, (b.top + b.bottom) / 2], [b.left + 2, b.top + 2], [b.right - 2, b.bottom - 2]]);
    const over = points.map(([x, y]) => document.elementFromPoint(x, y));
    if (!over.some((o) => o && (e.contains(o) || o.contains(e) || [...(e.labels ?? [])].some((l) => l.contains(o))))) {
      stop.wrong = `hidden where it has the focus, at ${Math.round(box.left)},${Math.round(box.top)}${over[0] ? " behind " + say(over[0]) : " outside the window"}`;
    }
  };
  document.addEventListener("focusin", window.__saw, true);
  return window.__stops.length;
}

// Runs in the page.
function end() {
  document.removeEventListener("focusin", window.__saw, true);
  // What was replaced meanwhile by what the server sent anew is gone.
  const there = window.__stops.filter((s) => s.elements.some((e) => e.isConnected));
  const looks = (e) => {
    const of = (x) => {
      const s = getComputedStyle(x);
      const outline = s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 ? `${s.outlineStyle} ${s.outlineWidth} ${s.outlineColor}` : "none";
      return [outline, s.boxShadow, s.borderColor, s.borderWidth, s.backgroundColor, s.textDecorationLine].join(";");
    };
    return [e, e.labels?.[0], e.parentElement].filter(Boolean).map(of).join("|");
  };
  for (const stop of there.filter((s) => s.unseen?.isConnected)) {
    stop.unseen.focus({ preventScroll: true }); // seen as by Tab, which was the last key
    const focused = looks(stop.unseen);
    stop.unseen.blur();
    if (looks(stop.unseen) === focused) stop.wrong = "nothing shows that it has the focus";
  }
  return there.filter((s) => !s.reached || s.wrong).map((s) => `${s.what}: ${s.reached ? s.wrong : "Tab does not lead there"}`);
}
