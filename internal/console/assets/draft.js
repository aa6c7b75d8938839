// What a template would look like keeps up with what is typed. Its buttons do the same without it.
(function () {
  "use strict";
  document.querySelectorAll("form[data-draft]").forEach((form) => {
    const buttons = Array.from(form.querySelectorAll("button[data-show]"));
    if (!buttons.length) { return; }
    let shown = buttons[0], timer = 0;
    const show = (button) => {
      shown = button;
      buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
    };
    buttons.forEach((one) => one.addEventListener("click", () => show(one)));
    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => form.requestSubmit(shown), 350);
    });
    show(shown);
    form.requestSubmit(shown);
  });
}());
