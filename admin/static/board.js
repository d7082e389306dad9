// Moving cards: by mouse, by finger (the grip), by key. What may be moved where is the server's to say;
// a card leaves its place only when the board is drawn anew.
"use strict";

(() => {
  const board = document.querySelector("[data-board]");
  if (!board || !window.PointerEvent || !window.fetch) return;

  const table = document.querySelector("[data-table]");
  const said = document.querySelector("[data-said]");
  const refused = document.querySelector("[data-refused]");
  const veil = document.querySelector("[data-veil]");
  const mover = document.querySelector("[data-mover]");
  const talks = board.dataset.talks.split(" ");
  const byLanes = board.classList.contains("by-lanes");
  const FAR_PX = 6;
  const EDGE_PX = 56;
  const STEP_PX = 14;
  document.body.classList.add("is-alive");

  const cardOf = (node) => (node && node.closest ? node.closest("[data-card]") : null);
  const cardNumbered = (number) => board.querySelector(`[data-card="${number}"]`);

  function show(text, isBad) {
    for (const [line, wanted] of [[said, !isBad], [refused, isBad]]) {
      line.hidden = !(wanted && text);
      line.textContent = wanted ? text : "";
    }
    if (text && (isBad ? refused : said).getBoundingClientRect().top < 0) window.scrollTo(0, 0);
  }

  // --- What is sent ------------------------------------------------------------------------------------

  // While anything is under way the board must not be drawn anew under the hand.
  function hold(why, on) {
    const held = new Set((board.dataset.busy || "").split(" ").filter(Boolean));
    if (on) held.add(why);
    else held.delete(why);
    if (held.size) board.dataset.busy = [...held].join(" ");
    else delete board.dataset.busy;
  }

  async function send(number, form) {
    let answer = null;
    let text = board.dataset.lost;
    try {
      answer = await fetch(`${board.dataset.live.split("cards")[0]}${number}/move`, {
        method: "POST",
        body: form,
        headers: { Accept: "application/json" },
        credentials: "same-origin",
        redirect: "manual",
      });
      text = await wordsOf(answer);
    } catch (error) {
      answer = null;
    }
    return { ok: Boolean(answer && answer.ok), status: answer ? answer.status : 0, text };
  }

  async function wordsOf(answer) {
    if (answer.status === 404) return board.dataset.gone;
    const kind = answer.headers.get("Content-Type") || "";
    return kind.startsWith("application/json") ? (await answer.json()).text : board.dataset.lost;
  }

  async function moveTo(card, target) {
    const form = new FormData(document.querySelector("[data-token]"));
    form.set("version", card.dataset.version);
    form.set("target", target);
    card.setAttribute("aria-busy", "true");
    const told = await send(card.dataset.card, form);
    card.removeAttribute("aria-busy");
    show(told.text, !told.ok);
    await look();
  }

  async function look() {
    if (window.priemLive) await window.priemLive.refresh();
  }

  // --- Dragging ----------------------------------------------------------------------------------------

  let drag = null;

  board.addEventListener("pointerdown", (event) => {
    const card = cardOf(event.target);
    const byMouse = event.pointerType === "mouse" && event.button === 0 && !event.target.closest("[data-move]");
    if (drag || !card || !event.isPrimary || !(byMouse || event.target.closest("[data-grip]"))) return;
    drag = { card, id: event.pointerId, x: event.clientX, y: event.clientY, atX: event.clientX, atY: event.clientY };
    hold("drag", true);
  });

  document.addEventListener("pointermove", (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    drag.atX = event.clientX;
    drag.atY = event.clientY;
    if (!drag.ghost && Math.hypot(drag.atX - drag.x, drag.atY - drag.y) >= FAR_PX) lift();
    if (drag.ghost) follow();
  });
  document.addEventListener("pointerup", (event) => {
    if (drag && event.pointerId === drag.id) drop();
  });
  document.addEventListener("pointercancel", (event) => {
    if (drag && event.pointerId === drag.id) letGo();
  });
  board.addEventListener("dragstart", (event) => event.preventDefault());
  // The press that ends a drag over a link is no press of the link.
  document.addEventListener(
    "click",
    (event) => {
      if (!dropped) return;
      event.preventDefault();
      event.stopPropagation();
    },
    true,
  );
  let dropped = false;

  function lift() {
    const box = drag.card.getBoundingClientRect();
    const ghost = drag.card.cloneNode(true);
    for (const name of ["data-key", "data-card", "tabindex"]) ghost.removeAttribute(name);
    ghost.setAttribute("aria-hidden", "true");
    ghost.classList.add("flying");
    ghost.style.width = `${box.width}px`;
    drag.dx = drag.x - box.left;
    drag.dy = drag.y - box.top;
    drag.ghost = ghost;
    drag.card.classList.add("is-lifted");
    document.body.classList.add("is-dragging");
    document.body.append(ghost);
    show("", false);
    window.getSelection().removeAllRanges();
    drag.frame = requestAnimationFrame(pull);
  }

  function follow() {
    drag.ghost.style.transform = `translate(${drag.atX - drag.dx}px, ${drag.atY - drag.dy}px)`;
    const below = document.elementFromPoint(drag.atX, drag.atY);
    const stack = below && below.closest ? below.closest(".stack") : null;
    const cell = stack && "cell" in stack.dataset ? stack : null;
    if (drag.cell && drag.cell !== cell) drag.cell.classList.remove("is-target");
    if (cell) cell.classList.add("is-target");
    drag.cell = cell;
    drag.closed = Boolean(stack && !cell);
  }

  // Near an edge the board comes along.
  function pull() {
    if (!drag || !drag.ghost) return;
    const box = table.getBoundingClientRect();
    const left = Math.max(box.left, 0);
    const right = Math.min(box.right, window.innerWidth);
    if (drag.atX < left + EDGE_PX) table.scrollLeft -= STEP_PX;
    else if (drag.atX > right - EDGE_PX) table.scrollLeft += STEP_PX;
    // "instant", or the page's own smooth scrolling would start anew at every frame.
    if (drag.atY < EDGE_PX) window.scrollBy({ top: -STEP_PX, behavior: "instant" });
    else if (drag.atY > window.innerHeight - EDGE_PX) window.scrollBy({ top: STEP_PX, behavior: "instant" });
    follow();
    drag.frame = requestAnimationFrame(pull);
  }

  function letGo() {
    const was = drag;
    drag = null;
    hold("drag", false);
    if (!was || !was.ghost) return null;
    cancelAnimationFrame(was.frame);
    was.ghost.remove();
    was.card.classList.remove("is-lifted");
    document.body.classList.remove("is-dragging");
    if (was.cell) was.cell.classList.remove("is-target");
    dropped = true;
    setTimeout(() => {
      dropped = false;
    }, 0);
    return was;
  }

  function drop() {
    const was = letGo();
    if (!was) return;
    if (was.closed) show(board.dataset.place, true);
    const from = was.card.closest("[data-cell]");
    if (!was.cell || was.cell === from) return;
    const { column, lane } = was.cell.dataset;
    const otherLane = byLanes && lane !== from.dataset.lane;
    if (otherLane && lane !== "0") {
      // Whoever does not direct says why: the form asks.
      moveOrAsk(was.card, `to:${lane}`, !talks.includes("new"));
    } else {
      // Without lanes «Назначены» belongs to nobody yet: the form asks to whom.
      const unnamed = column === "assigned" && !byLanes && from.dataset.column === "new";
      moveOrAsk(was.card, unnamed ? "" : `column:${column}`, !unnamed && !talks.includes(column));
    }
  }

  function moveOrAsk(card, target, atOnce) {
    if (atOnce) moveTo(card, target);
    else ask(card, target);
  }

  // --- «Перенести» -------------------------------------------------------------------------------------

  let opener = null;

  async function ask(card, target) {
    hold("form", true);
    opener = card.dataset.card;
    const address = `${board.dataset.live.split("cards")[0]}${opener}/move`;
    const query = new URLSearchParams({ part: "1", version: card.dataset.version, target });
    let html = null;
    let text = board.dataset.lost;
    try {
      const answer = await fetch(`${address}?${query}`, {
        headers: { Accept: "application/json" },
        credentials: "same-origin",
        redirect: "manual",
      });
      if (answer.ok) html = await answer.text();
      else text = await wordsOf(answer);
    } catch (error) {
      html = null;
    }
    if (html === null) {
      hold("form", false);
      show(text, true);
      await look();
      return;
    }
    show("", false);
    mover.innerHTML = html;
    veil.hidden = false;
    const form = mover.querySelector("[data-moving]");
    const select = form.querySelector("#target");
    if (!select) {
      form.querySelector("[data-close]").focus();
      return;
    }
    // What was refused from the start is not on the list: the server says why when it is tried.
    if (target && select.value !== target) {
      close();
      moveTo(card, target);
      return;
    }
    select.addEventListener("change", () => suit(form));
    suit(form);
    const words = form.querySelector("#words");
    (target && !words.closest(".field").hidden ? words : select).focus();
  }

  // Only what the chosen place needs is asked.
  function suit(form) {
    const chosen = form.querySelector("#target").selectedOptions[0];
    const words = form.querySelector("[data-words-field]");
    words.hidden = !chosen || !chosen.dataset.words;
    if (!words.hidden) words.querySelector("label").textContent = chosen.dataset.words;
    form.querySelector("[data-field]").hidden = !chosen || !chosen.dataset.asks;
  }

  mover.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector("button");
    if (button.disabled) return;
    button.disabled = true;
    const told = await send(opener, new FormData(form));
    button.disabled = false;
    if (!told.ok && told.status !== 409 && told.status !== 404) {
      const why = form.querySelector("[data-why]");
      why.textContent = told.text;
      why.hidden = false;
      return;
    }
    close();
    show(told.text, !told.ok);
    await look();
    back();
  });

  function close() {
    veil.hidden = true;
    mover.textContent = "";
    hold("form", false);
  }

  function back() {
    const card = opener && cardNumbered(opener);
    if (card) card.focus();
    else table.focus();
  }

  veil.addEventListener("click", (event) => {
    if (!event.target.closest("[data-close]")) return;
    event.preventDefault();
    close();
    back();
  });

  // --- By key ------------------------------------------------------------------------------------------

  document.addEventListener("keydown", (event) => {
    if (drag && drag.ghost && event.key === "Escape") {
      letGo();
    } else if (!veil.hidden && event.key === "Escape") {
      close();
      back();
    } else if (!veil.hidden && event.key === "Tab") {
      stay(event);
    }
  });

  function stay(event) {
    const stops = [...mover.querySelectorAll("select, textarea, button, a")].filter((node) => node.offsetParent);
    const first = stops[0];
    const last = stops[stops.length - 1];
    const here = document.activeElement;
    if (event.shiftKey ? here === first : here === last) {
      event.preventDefault();
      (event.shiftKey ? last : first).focus();
    }
  }

  board.addEventListener("keydown", (event) => {
    const card = cardOf(event.target);
    if (!card || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === card && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      ask(card, "");
    } else if (event.key.startsWith("Arrow")) {
      const next = neighbour(card, event.key);
      if (!next) return;
      event.preventDefault();
      next.focus();
    }
  });

  // Up and down within a column, left and right to the card at the same height.
  function neighbour(card, key) {
    if (key === "ArrowUp" || key === "ArrowDown") {
      const column = card.closest(".stack").dataset.column;
      const all = [...board.querySelectorAll(`[data-column="${column}"] [data-card]`)];
      return all[all.indexOf(card) + (key === "ArrowUp" ? -1 : 1)];
    }
    const stacks = [...card.closest(".stacks").children];
    const step = key === "ArrowLeft" ? -1 : 1;
    const top = card.getBoundingClientRect().top;
    for (let at = stacks.indexOf(card.closest(".stack")) + step; stacks[at]; at += step) {
      const cards = [...stacks[at].querySelectorAll("[data-card]")];
      if (cards.length) {
        const far = (one) => Math.abs(one.getBoundingClientRect().top - top);
        return cards.reduce((best, one) => (far(one) < far(best) ? one : best));
      }
    }
    return null;
  }

  board.addEventListener("click", (event) => {
    const link = event.target.closest("[data-move]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    ask(cardOf(link), "");
  });
})();
