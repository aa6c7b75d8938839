// Security keys: what the server asks goes to the browser, and the answer of the key into the form, which is then sent.
(function () {
  "use strict";
  const can = Boolean(window.PublicKeyCredential && navigator.credentials);
  document.querySelectorAll("[data-key-cannot]").forEach((one) => { one.hidden = can; });
  if (!can) { return; }

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(Array.from(new Uint8Array(buffer), (b) => String.fromCharCode(b)).join("")).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (list) => (list || []).map((one) => Object.assign({}, one, { id: bytes(one.id) }));

  // What the server wrote, with bytes where the browser wants them, and the other way round.
  function asked(options) {
    options.challenge = bytes(options.challenge);
    if (options.user) { options.user.id = bytes(options.user.id); }
    if (options.allowCredentials) { options.allowCredentials = named(options.allowCredentials); }
    if (options.excludeCredentials) { options.excludeCredentials = named(options.excludeCredentials); }
    return options;
  }
  function told(key) {
    const response = {};
    ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"].forEach((name) => {
      if (key.response[name]) { response[name] = text(key.response[name]); }
    });
    return JSON.stringify({ id: key.id, rawId: text(key.rawId), type: key.type, clientExtensionResults: {}, response });
  }

  const why = {
    NotAllowedError: "No key was used: it was cancelled, it took too long, or there is none of yours. Try again.",
    InvalidStateError: "This key is registered already.",
    SecurityError: "Security keys do not work at this address of the server: it needs https, and the host that the server is known by.",
  };
  document.querySelectorAll("form[data-key]").forEach((form) => {
    const answer = form.elements.securityKey, button = form.querySelector("button");
    const said = document.querySelector("[data-key-said]");
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      if (answer.value) { return; } // it goes
      event.preventDefault();
      if (button.getAttribute("aria-disabled") === "true") { return; }
      button.setAttribute("aria-disabled", "true");
      said.hidden = true;
      Promise.resolve().then(() => navigator.credentials[form.dataset.key]({ publicKey: asked(JSON.parse(form.dataset.options)) })).then((key) => {
        answer.value = told(key);
        form.requestSubmit();
      }).catch((error) => {
        said.querySelector("p").textContent = why[error.name] || "The browser says: " + error.message;
        said.hidden = false;
        said.focus();
      }).finally(() => button.removeAttribute("aria-disabled"));
    });
  });
}());
