// What the console adds where there is JavaScript. Every page works without it.
(function () {
  "use strict";
  document.documentElement.classList.add("js");
  const spoken = document.getElementById("spoken");
  const say = (words) => { if (spoken) { spoken.textContent = words; } };

  // Copying: by the clipboard where the page may use it, which takes https or localhost, else by selecting.
  function copied(text) {
    if (navigator.clipboard && window.isSecureContext) {
      return navigator.clipboard.writeText(text);
    }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    area.setAttribute("aria-hidden", "true");
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("refused"));
  }
  function copy(button) {
    const words = button.querySelector("span");
    const before = words && words.textContent;
    copied(button.dataset.copy).then(() => {
      say("Copied");
      button.classList.add("copied");
      if (words) { words.textContent = "Copied"; }
    }, () => say("The browser does not allow copying")).finally(() => {
      button.focus();
      setTimeout(() => {
        button.classList.remove("copied");
        if (words) { words.textContent = before; }
      }, 1600);
    });
  }

  const dialog = document.getElementById("dialog");
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-copy], [data-close], [data-close-dialog]");
    if (!target) {
      if (event.target === dialog) { dialog.close(); }
      return;
    }
    if (target.dataset.copy !== undefined) {
      copy(target);
    } else if (target.dataset.close !== undefined) {
      target.parentElement.remove();
      document.getElementById("main").focus();
    } else if (dialog.open && dialog.contains(target)) {
      event.preventDefault();
      dialog.close();
    }
  });

  // Confirmations open in the dialog.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target !== dialog || dialog.open) { return; }
    dialog.showModal();
    const first = dialog.querySelector("input[name=confirm]") || dialog.querySelector(".danger ~ [data-close-dialog]");
    if (first) { first.focus(); } // not the button that destroys
  });
  if (dialog) { dialog.addEventListener("close", () => { dialog.textContent = ""; }); }

  // Parts that are fetched again and again rest while nobody looks: a session that nobody uses is to end.
  let touched = Date.now();
  ["pointerdown", "pointermove", "keydown", "scroll", "focus"].forEach((name) => window.addEventListener(name, () => { touched = Date.now(); }, { passive: true }));
  const restAfter = 10 * 60 * 1000;
  document.addEventListener("htmx:beforeRequest", (event) => {
    const repeats = (event.detail.elt.getAttribute("hx-trigger") || "").startsWith("every");
    // While a confirmation is open they rest, too: what it was opened from is to have the focus again.
    if (repeats && (document.hidden || Date.now() - touched > restAfter || (dialog && dialog.open))) { event.preventDefault(); }
  });

  // A list that grows at its beginning keeps to a length; the line that somebody works in stays.
  function trim(list) {
    const rows = list ? Array.from(list.querySelectorAll("tbody tr")) : [];
    rows.slice(list ? Number(list.dataset.most) : 0).filter((row) => !row.contains(document.activeElement)).forEach((row) => {
      const part = row.parentElement;
      row.remove();
      if (!part.id && !part.firstElementChild) { part.remove(); }
    });
  }

  // A part that is fetched again takes neither the focus from who works in it nor closes what was opened there.
  let kept = null;
  const like = (one) => [one.localName].concat(["href", "name", "value", "aria-label", "aria-labelledby", "data-copy"].map((name) => one.getAttribute(name))).join("\n");
  const alike = (part, one, what) => Array.from(part.querySelectorAll(one)).filter((other) => like(other) === what);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = event.detail.target, at = document.activeElement;
    kept = null;
    if (part === dialog || !part.id) { return; }
    if (dialog && dialog.open) { event.detail.shouldSwap = false; return; } // it was on its way when that opened
    kept = { id: part.id, open: Array.from(part.querySelectorAll("details"), (one) => one.open) };
    if (part.contains(at)) { Object.assign(kept, { name: at.localName, what: like(at), place: alike(part, at.localName, like(at)).indexOf(at) }); }
  });
  document.addEventListener("htmx:afterSwap", () => {
    const was = kept, part = was && document.getElementById(was.id);
    kept = null;
    if (!part) { return; }
    trim(part.closest("[data-most]"));
    if (!part.hasAttribute("hx-trigger") && !part.querySelector("[hx-trigger]")) { document.querySelectorAll("[data-live]").forEach((one) => one.remove()); } // there is nothing more to stop
    const all = part.querySelectorAll("details");
    if (all.length === was.open.length) { all.forEach((one, i) => { one.open = was.open[i]; }); }
    const again = was.name && alike(part, was.name, was.what)[was.place];
    if (again) { again.focus({ preventScroll: true }); }
  });

  // A part that is fetched again says so when the server cannot be reached.
  ["htmx:sendError", "htmx:responseError"].forEach((name) => document.addEventListener(name, () => {
    document.body.classList.add("offline");
    say("The server cannot be reached; what is shown may be old");
  }));
  document.addEventListener("htmx:afterOnLoad", (event) => {
    if (event.detail.successful !== false) { document.body.classList.remove("offline"); }
  });

  // Times in words keep up with the clock, as the server writes them.
  function words(ms) {
    const s = Math.floor(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    const two = (a, unit, b, smaller) => a + " " + unit + (a <= 9 && b > 0 ? " " + b + " " + smaller : "");
    if (s < 60) { return s + " s"; }
    if (m < 60) { return m + " min"; }
    return h < 24 ? two(h, "h", m % 60, "min") : two(d, "d", h % 24, "h");
  }
  const year = 365 * 24 * 3600 * 1000;
  function times() {
    const now = Date.now();
    document.querySelectorAll("time[data-relative]").forEach((one) => {
      const past = now - Date.parse(one.dateTime);
      if (!(Math.abs(past) < year)) { return; }
      const text = past < -1000 ? "in " + words(-past) : past < 2000 ? "just now" : words(past) + " ago";
      if (one.textContent !== text) { one.textContent = text; }
    });
  }
  setInterval(times, 15000);

  // What was wrong with a form is read first. A key that is shown once is not asked for again by loading the page.
  const focus = document.querySelector("[data-focus]");
  if (focus) { focus.focus(); }
  const replace = document.querySelector("[data-replace]");
  if (replace) { history.replaceState(null, "", replace.dataset.replace); }
}());
