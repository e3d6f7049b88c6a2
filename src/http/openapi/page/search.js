"use strict";
// Shows only what has every word that is typed. Without a script the page is whole.
const box = document.getElementById("search");
const entries = [...document.querySelectorAll("article, tr[id]")].map((element) => ({
  element,
  link: document.querySelector(`nav a[href="#${element.id}"]`)?.parentElement,
  text: element.textContent.toLowerCase(),
}));
const show = () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const isSearch = words.length > 0;
  let count = 0;
  for (const { element, link, text } of entries) {
    const fits = words.every((word) => text.includes(word));
    element.hidden = !fits;
    if (link) link.hidden = !fits;
    count += fits;
  }
  for (const part of document.querySelectorAll("main > section, nav > ul > li")) {
    part.hidden = isSearch && !part.querySelector("article:not([hidden]), tr[id]:not([hidden]), li:not([hidden])");
  }
  document.getElementById("found").textContent = isSearch ? `${count} found` : "";
};
box.parentElement.hidden = false;
box.addEventListener("input", show);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== box) {
    event.preventDefault();
    box.focus();
  }
});
// A link to what is hidden shows it.
window.addEventListener("hashchange", () => {
  if (document.querySelector(`[id="${location.hash.slice(1)}"]`)?.closest("[hidden]")) {
    box.value = "";
    show();
    document.getElementById(location.hash.slice(1)).scrollIntoView();
  }
});
