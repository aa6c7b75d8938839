// Everything here is a comfort: the pages can be read, searched and copied from without it.
"use strict";

// A button on each sample that copies it.
const said = document.createElement("p");
said.className = "unseen";
said.setAttribute("role", "status");
document.body.append(said);

for (const figure of document.querySelectorAll("figure.code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const text = figure.querySelector("code").textContent;
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch { // no permission, or a page without https
      const range = document.createRange();
      range.selectNodeContents(figure.querySelector("code"));
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    said.textContent = done ? "Copied" : "Selected: press Ctrl+C to copy";
    setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 2000);
  });
  figure.querySelector("figcaption").append(button);
}

// Where there is room the list of headings stands open beside the text, and shows where the reader is.
const toc = document.querySelector("details.toc");
if (toc) {
  const wide = matchMedia("(min-width: 75rem)");
  const follow = () => { toc.open = wide.matches; };
  wide.addEventListener("change", follow);
  follow();
  const links = new Map([...toc.querySelectorAll("a")].map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
  const headings = [...document.querySelectorAll("article h2[id]")];
  let waiting = false;
  const mark = () => {
    waiting = false;
    let here = headings[0];
    for (const h of headings) if (h.getBoundingClientRect().top < 120) here = h;
    for (const a of links.values()) a.removeAttribute("aria-current");
    links.get(here?.id)?.setAttribute("aria-current", "true");
  };
  addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(mark); } }, { passive: true });
  mark();
}

// "/" goes to the search, as people are used to.
addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return;
  e.preventDefault();
  document.getElementById("q").focus();
});
