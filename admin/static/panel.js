// Small conveniences; every page works without them.
"use strict";

const all = document.querySelector("[data-pick-all]");
const picks = [...document.querySelectorAll("input[name=pick]")];
const count = document.querySelector("[data-picked-count]");

function showCount() {
  if (!count) return;
  const picked = picks.filter((box) => box.checked).length;
  count.dataset.words ??= count.textContent;
  count.textContent = picked ? `${count.dataset.words} ${picked}` : count.dataset.words;
  if (all) {
    all.checked = picked > 0 && picked === picks.length;
    all.indeterminate = picked > 0 && picked < picks.length;
  }
}

if (all) {
  all.addEventListener("change", () => {
    for (const box of picks) box.checked = all.checked;
    showCount();
  });
}
for (const box of picks) box.addEventListener("change", showCount);
// Boxes may be ticked before this ran: by a quick hand, or by the browser that remembers the page.
showCount();

for (const field of document.querySelectorAll("[data-copy]")) {
  field.addEventListener("focus", () => field.select());
}

// Nobody sends the same form twice by an impatient second press.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
}
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
  showCount();
});

// The groups of the menu: one open at a time, gone with Escape, a press beside it, or when the focus has left.
(() => {
  const groups = [...document.querySelectorAll("details.group")];
  const isPhone = window.matchMedia("(max-width: 68rem)");

  function closeOthers(kept) {
    for (const group of groups) if (group !== kept) group.open = false;
  }

  for (const group of groups) {
    group.addEventListener("toggle", () => {
      if (group.open) closeOthers(group);
    });
    group.addEventListener("focusout", (event) => {
      if (!isPhone.matches && event.relatedTarget && !group.contains(event.relatedTarget)) group.open = false;
    });
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !group.open) return;
      group.open = false;
      group.querySelector("summary").focus();
    });
  }
  document.addEventListener("click", (event) => {
    if (!isPhone.matches && !event.target.closest("details.group")) closeOthers(null);
  });
  // A phone's menu shows at once where one is.
  const here = document.querySelector(".group > summary[aria-current]");
  if (here && isPhone.matches) here.parentNode.open = true;
})();

// Whatever is wider than its window is scrolled with the arrows too; newer browsers do it by themselves.
(() => {
  const windows = [...document.querySelectorAll(".scroll, .chart-frame, .picture, .heat-scroll")];

  function showStops() {
    for (const one of windows) {
      if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
      else one.removeAttribute("tabindex");
    }
  }

  showStops();
  window.addEventListener("resize", showStops);
})();
