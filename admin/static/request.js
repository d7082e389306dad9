// A kept answer goes into the words at once; without this the page comes back with it.
"use strict";

(() => {
  const form = document.querySelector("[data-canned]");
  if (!form) return;
  const choice = form.querySelector("select[name=canned]");
  const words = form.querySelector("textarea[name=text]");
  form.querySelector("button[name=insert]").addEventListener("click", (event) => {
    event.preventDefault();
    const option = choice.selectedOptions[0];
    if (!option || !option.dataset.text) return;
    const before = words.value.trim();
    words.value = before ? `${before}\n${option.dataset.text}` : option.dataset.text;
    choice.value = "";
    words.focus();
  });
})();
