// A chain of providers is moved by dragging, too. Its buttons do the same without it.
(function () {
  "use strict";
  document.querySelectorAll("form[data-order]").forEach((form) => {
    const list = form.querySelector(".chain"), save = form.querySelector(".chain-save"), order = form.elements.order;
    if (!list || !save) { return; }
    let dragged = null;
    const ids = () => Array.from(list.children, (one) => one.dataset.id).join(" ");
    const before = ids();
    Array.from(list.children).forEach((one) => {
      one.draggable = true;
      one.addEventListener("dragstart", (event) => {
        dragged = one;
        one.classList.add("dragged");
        event.dataTransfer.effectAllowed = "move";
        event.dataTransfer.setData("text/plain", one.dataset.id);
      });
      one.addEventListener("dragend", () => {
        one.classList.remove("dragged");
        dragged = null;
        Array.from(list.children).forEach((each, i) => { each.querySelector(".place").textContent = i + 1; });
        order.value = ids();
        save.hidden = order.value === before;
      });
      one.addEventListener("dragover", (event) => {
        if (!dragged || dragged === one) { return; }
        event.preventDefault();
        const box = one.getBoundingClientRect();
        list.insertBefore(dragged, event.clientY > box.top + box.height / 2 ? one.nextSibling : one);
      });
      one.addEventListener("drop", (event) => event.preventDefault());
    });
  });
}());
