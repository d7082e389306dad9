// Printing and copying of invitations; the page serves without it.
"use strict";

const printing = document.querySelector("[data-print]");
if (printing) {
  printing.hidden = false;
  printing.addEventListener("click", () => window.print());
}

// A file may be saved twice: the browser stays on the page after a download.
for (const form of document.querySelectorAll("form[data-again]")) {
  form.addEventListener("submit", () => setTimeout(() => delete form.dataset.sent, 1500));
}

async function copy(field) {
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // Without TLS there is no clipboard: the old way needs a selection.
    field.select();
    document.execCommand("copy");
  }
}

for (const button of document.querySelectorAll("[data-copy-from]")) {
  const field = document.getElementById(button.dataset.copyFrom);
  const told = button.parentElement.querySelector("[data-copied]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    await copy(field);
    told.textContent = told.dataset.copied;
  });
}
