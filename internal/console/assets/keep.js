// What somebody writes outlasts a session that ends meanwhile: this tab keeps it, and offers it to the same person again. Forms say
// by data-keep that they have long texts, and nothing secret; pages say by data-kept that what was sent was not taken.
(function () {
  "use strict";
  const place = "commserver-kept", most = 5, who = document.body.dataset.who;
  const forms = Array.from(document.querySelectorAll("form[data-keep]"));
  let leaving = false;

  // Each is {form, who, at, lost, fields}. A browser may refuse to keep anything, or so much.
  function read() {
    try { return JSON.parse(sessionStorage.getItem(place)) || []; } catch { return []; }
  }
  function write(all) {
    try {
      sessionStorage.removeItem(place);
      if (all.length) { sessionStorage.setItem(place, JSON.stringify(all.slice(-most))); }
    } catch { /* then it is lost as it was before */ }
  }

  const kinds = ["textarea", "text", "email", "url", "number", "select-one"];
  // What a form showed, and which showing of it that was, goes along (stale.go, once.go): bringing it back undoes no change of somebody else.
  const written = (one) => kinds.includes(one.type), shown = (one) => one.type === "hidden" && (one.name === "press" || one.name.startsWith("was-"));
  const inputs = (form) => Array.from(form.elements).filter((one) => one.name && (written(one) || shown(one)));
  const pathOf = (form) => { const to = new URL(form.getAttribute("action"), location.href); return to.pathname + to.search; };
  const now = (form) => Object.fromEntries(inputs(form).map((one) => [one.name, one.value]));
  const same = (form, fields) => inputs(form).every((one) => shown(one) || !(one.name in fields) || one.value === fields[one.name]);

  // On the page that follows what was sent was taken, was shown again, or was left, unless that page says otherwise.
  if (document.querySelector("[data-kept]")) {
    write(read().map((one) => ({ ...one, lost: true })));
  } else {
    write(read().filter((one) => one.lost && one.who === who));
  }

  const edited = new Set();
  document.addEventListener("submit", (event) => {
    if (event.target.matches("form[action$='/sign-out']")) {
      leaving = true;
      write([]);
    } else if (forms.includes(event.target) && !(event.submitter && event.submitter.formTarget)) {
      edited.add(event.target); // what was refused is shown as it was sent, and edited by nobody
    }
  }, true);
  window.addEventListener("pagehide", () => {
    if (leaving) { return; }
    edited.forEach((form) => {
      const path = pathOf(form);
      write(read().filter((one) => one.form !== path).concat({ form: path, who, at: Date.now(), lost: false, fields: now(form) }));
    });
  });

  function button(words, primary, does) {
    const one = document.createElement("button");
    one.type = "button";
    one.className = primary ? "small primary" : "small";
    one.textContent = words;
    one.addEventListener("click", does);
    return one;
  }
  function offer(form, kept) {
    const note = document.createElement("div"), words = document.createElement("p"), acts = document.createElement("div");
    note.className = "note tone-info kept";
    note.setAttribute("role", "status");
    const at = new Date(kept.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    words.textContent = "What you wrote here until " + at + " was not saved.";
    acts.className = "acts";
    const end = () => {
      write(read().filter((one) => one.form !== kept.form));
      note.remove();
    };
    acts.append(button("Bring it back", true, () => {
      inputs(form).forEach((one) => { if (one.name in kept.fields) { one.value = kept.fields[one.name]; } });
      edited.add(form);
      end();
      const first = form.querySelector("textarea") || form;
      first.focus();
      first.dispatchEvent(new Event("input", { bubbles: true }));
    }), button("Forget it", false, () => {
      end();
      document.getElementById("main").focus();
    }));
    note.append(words, acts);
    form.before(note);
  }
  forms.forEach((form) => {
    form.addEventListener("input", () => edited.add(form));
    const kept = read().find((one) => one.form === pathOf(form));
    if (!kept) { return; }
    if (same(form, kept.fields)) {
      write(read().filter((one) => one !== kept && one.form !== kept.form));
    } else {
      offer(form, kept);
    }
  });
}());
