// Keeps one part of a page up to date: asks while the page is in sight, draws anew only what has changed.
"use strict";

(() => {
  const region = document.querySelector("[data-live]");
  if (!region || !window.fetch || !window.AbortController) return;

  const EVERY_MS = 30 * 1000;
  const LONGEST_MS = 5 * 60 * 1000;
  const PATIENCE_MS = 15 * 1000;
  const BUSY_MS = 1000;
  const state = document.querySelector("[data-live-state]");
  let tag = region.dataset.liveTag || "";
  let pause = EVERY_MS;
  let asked = Date.now();
  let timer = 0;
  let asking = null;
  let ended = false;

  function plan(ms) {
    clearTimeout(timer);
    // Pages that were opened together must not ask together.
    if (!ended && !document.hidden) timer = setTimeout(ask, ms * (1 + Math.random() / 10));
  }

  // At most one question at a time: whoever wants the news meanwhile waits for the same answer and asks again.
  function ask() {
    clearTimeout(timer);
    if (ended) return Promise.resolve();
    if (asking) return asking;
    if (region.dataset.busy) {
      plan(BUSY_MS);
      return Promise.resolve();
    }
    asked = Date.now();
    asking = question().finally(() => {
      asking = null;
      plan(pause);
    });
    return asking;
  }

  async function question() {
    const control = new AbortController();
    const patience = setTimeout(() => control.abort(), PATIENCE_MS);
    try {
      const answer = await fetch(region.dataset.live, {
        headers: { "Priem-Live": "1", ...(tag ? { "If-None-Match": `"${tag}"` } : {}) },
        cache: "no-store",
        credentials: "same-origin",
        redirect: "manual",
        signal: control.signal,
      });
      if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
        ended = true;
        tell(state && state.dataset.out);
        return;
      }
      if (answer.status !== 304 && !answer.ok) throw new Error(String(answer.status));
      const html = answer.status === 304 ? null : await answer.text();
      pause = EVERY_MS;
      tell(state && state.dataset.shown, answer.headers.get("Priem-At"));
      // Somebody may have begun to drag while the answer was on its way: the next one will be drawn.
      if (html === null || region.dataset.busy) return;
      tag = (answer.headers.get("ETag") || "").replace(/^(W\/)?"|"$/g, "");
      draw(html);
    } catch (error) {
      pause = Math.min(pause * 2, LONGEST_MS);
      if (state && state.dataset.lost !== state.dataset.words) tell(state.dataset.lost, state.dataset.at);
    } finally {
      clearTimeout(patience);
    }
  }

  function tell(words, at) {
    if (!state || !words) return;
    if (at) state.dataset.at = at;
    state.dataset.words = words;
    const text = at ? `${words} ${at}` : words;
    if (state.textContent !== text) state.textContent = text;
  }

  function keyed(root) {
    return [...root.querySelectorAll("[data-key]")];
  }

  function draw(html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const was = keyed(region);
    const is = keyed(fresh.content);
    const back = focused();
    if (was.length === is.length && was.every((node, at) => node.dataset.key === is[at].dataset.key)) {
      was.forEach((node, at) => {
        if (node.outerHTML !== is[at].outerHTML) node.replaceWith(is[at]);
      });
    } else {
      region.replaceChildren ? region.replaceChildren(fresh.content) : (region.innerHTML = html);
    }
    back();
    region.dispatchEvent(new CustomEvent("live:drawn", { bubbles: true }));
  }

  // Whoever stands on something by keyboard stands there afterwards too.
  function focused() {
    const within = "a, button, select, summary, [tabindex]";
    const place = document.activeElement;
    const owner = place && region.contains(place) ? place.closest("[data-key]") : null;
    if (!owner) return () => {};
    const key = owner.dataset.key;
    const at = [...owner.querySelectorAll(within)].indexOf(place);
    return () => {
      if (document.contains(place)) return;
      const again = keyed(region).find((node) => node.dataset.key === key);
      if (again) (at < 0 ? again : [...again.querySelectorAll(within)][at] || again).focus();
    };
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) return;
    const left = asked + pause - Date.now();
    if (left <= 0) ask();
    else plan(left);
  });
  if (state) state.dataset.at = state.dataset.at || (state.textContent.match(/\d\d:\d\d/) || [""])[0];

  window.priemLive = {
    // Ask now, and be sure that what is drawn is not older than this call.
    refresh: async () => {
      if (asking) await asking;
      await ask();
    },
  };
  plan(EVERY_MS);
})();
