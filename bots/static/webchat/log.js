// The messages on the screen. A message is known by its key: it is shown once, however often it comes.

import { byId, data, icon, invite, make, say, showSize } from "./page.js";

const SHEET = "M6 3h8l5 5v13H6zM14 3v5h5";
const LINK = /https?:\/\/[^\s<>"«»]+/gi;
const NEAR_END_PX = 120;

const clock = new Intl.DateTimeFormat(data.language, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(data.language, { weekday: "long", day: "numeric", month: "long" });

// `on` has press(press, label), discard(key).
export function log(on) {
  const list = byId("log");
  const talk = byId("talk");
  const newer = byId("newer");
  const shown = new Map();
  let before = null;
  let anything = false;

  function build(message) {
    const words = message.text ? make("p", { className: "words" }, ...linked(message.text)) : null;
    const files = message.files.length ? make("ul", { className: "files" }, ...message.files.map(file)) : null;
    const mark = make("span", { className: "mark" });
    const who = message.mine ? make("span", { className: "unseen" }, `${say("you")}: `) : null;
    const element = make(
      "li",
      { className: message.mine ? "message message-mine" : "message message-theirs" },
      make("div", { className: "bubble" }, who, words, files, mark),
    );
    const buttons = message.rows.map((row) =>
      row.map((button) => {
        const element = make("button", { type: "button", className: "choice" }, button.label);
        element.addEventListener("click", () => {
          element.classList.add("choice-pressed");
          on.press(button.press, button.label);
        });
        return element;
      }),
    );
    let rows = null;
    if (buttons.length) {
      rows = make("div", { className: "rows" }, ...buttons.map((row) => make("div", { className: "row" }, ...row)));
      element.append(rows);
    }
    const item = { message, element, mark, rows, buttons: buttons.flat(), at: new Date(message.sent_at ?? Date.now()), trouble: false };
    stamp(item);
    return item;
  }

  function stamp(item) {
    item.mark.className = "mark";
    item.mark.replaceChildren(clock.format(item.at));
  }

  function visible(message) {
    return Boolean(message.text || message.files.length || message.rows.length);
  }

  // Puts it where it belongs; `place(element)` inserts it.
  function insert(message, place) {
    anything = true;
    const item = build(message);
    shown.set(message.key, item);
    if (visible(message)) {
      place(item.element);
    }
    return item;
  }

  function settle() {
    const items = inOrder();
    // A label that is right stays: a screen reader would read a new one aloud.
    const right = new Set();
    let last = "";
    for (const item of items) {
      const name = day.format(item.at);
      if (name !== last) {
        let label = item.element.previousElementSibling;
        if (!label || !label.classList.contains("day") || label.textContent !== name) {
          label = make("li", { className: "day" }, name);
          item.element.before(label);
        }
        right.add(label);
        last = name;
      }
    }
    for (const label of list.querySelectorAll(".day")) {
      if (!right.has(label)) {
        label.remove();
      }
    }
    enliven(items);
    byId("earlier").hidden = before === null;
  }

  function inOrder() {
    const items = new Map([...shown.values()].map((item) => [item.element, item]));
    return [...list.children].map((element) => items.get(element)).filter(Boolean);
  }

  // The dialogue (an empty thread) has one current screen, until the visitor says something; cards of
  // other threads live until a newer card of the same thread.
  function enliven(items) {
    const replaced = new Set();
    for (const item of [...items].reverse()) {
      if (item.message.mine && !item.trouble) {
        replaced.add("");
      }
      const live = item.buttons.length > 0 && !replaced.has(item.message.thread);
      const hadFocus = item.buttons.includes(document.activeElement);
      for (const button of item.buttons) {
        button.disabled = !live;
        if (live) {
          button.classList.remove("choice-pressed");
        }
      }
      item.rows?.classList.toggle("rows-over", !live);
      if (hadFocus && !live) {
        invite();
      }
      if (item.buttons.length) {
        replaced.add(item.message.thread);
      }
    }
  }

  function nearEnd() {
    return talk.scrollHeight - talk.scrollTop - talk.clientHeight < NEAR_END_PX;
  }

  function toEnd() {
    talk.scrollTop = talk.scrollHeight;
    newer.hidden = true;
  }

  // The latest messages, after every (re)connection.
  function history(frame) {
    const first = !anything;
    const follow = first || nearEnd();
    list.setAttribute("aria-busy", "true");
    const overlap = frame.messages.some((message) => shown.has(message.key));
    if (!overlap && frame.before !== null) {
      forget();
    }
    if (!overlap) {
      before = frame.before;
    }
    const known = frame.messages.find((message) => shown.has(message.key) && shown.get(message.key).element.isConnected);
    let previous = null;
    for (const message of frame.messages) {
      const item = shown.get(message.key);
      if (item) {
        confirmed(message.key, message.sent_at);
        previous = item.element.isConnected ? item.element : previous;
        continue;
      }
      const added = insert(message, (element) => {
        if (previous) {
          previous.after(element);
        } else if (known) {
          shown.get(known.key).element.before(element);
        } else {
          beforeUnsent(element);
        }
      });
      if (!first && added.element.isConnected) {
        added.element.classList.add("message-new");
      }
      previous = added.element.isConnected ? added.element : previous;
    }
    settle();
    if (follow) {
      toEnd();
    } else {
      newer.hidden = false;
    }
    list.removeAttribute("aria-busy");
  }

  // What was waited for is still to be sent; all the rest is too old to join what has come.
  function forget() {
    for (const [key, item] of shown) {
      if (!item.unsent) {
        item.element.remove();
        shown.delete(key);
      }
    }
  }

  function beforeUnsent(element) {
    const unsent = inOrder().find((item) => item.unsent);
    if (unsent) {
      unsent.element.before(element);
    } else {
      list.append(element);
    }
  }

  function earlier(frame) {
    const height = talk.scrollHeight;
    const place = talk.scrollTop;
    list.setAttribute("aria-busy", "true");
    before = frame.before;
    for (const message of [...frame.messages].reverse()) {
      if (!shown.has(message.key)) {
        insert(message, (element) => list.prepend(element));
      }
    }
    settle();
    talk.scrollTop = place + talk.scrollHeight - height;
    list.removeAttribute("aria-busy");
  }

  function add(message) {
    if (shown.has(message.key)) {
      return false;
    }
    const follow = message.mine || nearEnd();
    const item = insert(message, (element) => list.append(element));
    item.element.classList.add("message-new");
    settle();
    if (follow) {
      toEnd();
    } else {
      newer.hidden = false;
    }
    return true;
  }

  function unsent(message, at) {
    add({ ...message, mine: true, rows: [], thread: "", sent_at: new Date(at).toISOString() });
    shown.get(message.key).unsent = true;
    note(message.key, say("sending"));
  }

  function note(key, text) {
    const item = shown.get(key);
    if (item && item.unsent && !item.trouble) {
      item.mark.replaceChildren(text);
    }
  }

  function confirmed(key, sentAt) {
    const item = shown.get(key);
    if (!item || !item.unsent) {
      return;
    }
    item.unsent = false;
    item.at = new Date(sentAt ?? Date.now());
    stamp(item);
    settle();
  }

  function refused(key, text) {
    const item = shown.get(key);
    if (!item) {
      return;
    }
    item.trouble = true;
    item.mark.className = "mark mark-trouble";
    const remove = make("button", { type: "button" }, say("remove"));
    remove.addEventListener("click", () => {
      item.element.remove();
      shown.delete(key);
      settle();
    });
    item.mark.replaceChildren(`${say("not_sent")} ${text} `, remove);
    settle();
    toEnd();
  }

  talk.addEventListener("scroll", () => {
    if (nearEnd()) {
      newer.hidden = true;
    }
  });
  newer.addEventListener("click", toEnd);

  return {
    history,
    earlier,
    add,
    unsent,
    note,
    confirmed,
    refused,
    toEnd,
    nearEnd,
    before: () => before,
    isEmpty: () => !anything,
  };
}

function file(item) {
  const url = safeUrl(item.url);
  const name = url
    ? make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, item.name)
    : make("span", {}, item.name);
  const size = Number.isFinite(item.size_bytes) ? make("span", { className: "file-size" }, ` ${showSize(item.size_bytes)}`) : null;
  return make("li", { className: "file" }, icon(SHEET), make("span", {}, name, size));
}

function safeUrl(text) {
  try {
    const url = text ? new URL(text, location.href) : null;
    return url && (url.protocol === "https:" || url.protocol === "http:") ? url.href : null;
  } catch {
    return null;
  }
}

// Text with its web addresses as links; the stop after an address is not part of it.
function linked(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const address = match[0].replace(/[.,;:!?)\]}'…]+$/, "");
    const url = safeUrl(address);
    if (url) {
      parts.push(text.slice(end, match.index), make("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, address));
      end = match.index + address.length;
    }
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== "");
}
