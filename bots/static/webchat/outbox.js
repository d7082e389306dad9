// What the visitor said and the house has not confirmed: kept in the browser, sent one by one in order.

import { lasting, uuid } from "./page.js";

const ANSWER_WITHIN_MS = 15_000;
const PREFIX = "out:";

// `send(frame)` says whether the frame has left; `on` has sent(entry), waiting(entry), refused(entry, text).
export function outbox(send, on) {
  let ready = false;
  let flying = null;
  let timer = 0;
  const entries = lasting
    .names(PREFIX)
    .map((name) => JSON.parse(lasting.get(name)))
    .sort((one, other) => one.at - other.at);

  function add(frame) {
    const last = entries[entries.length - 1];
    const entry = { frame: { ...frame, id: uuid() }, at: Math.max(Date.now(), last ? last.at + 1 : 0) };
    entries.push(entry);
    lasting.set(PREFIX + entry.frame.id, JSON.stringify(entry));
    pump();
    return entry;
  }

  function pump() {
    if (!ready || flying || !entries.length) {
      return;
    }
    if (send(entries[0].frame)) {
      flying = entries[0];
      wait(ANSWER_WITHIN_MS);
    }
  }

  function wait(pauseMs) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (flying) {
        on.waiting(flying);
      }
      flying = null;
      pump();
    }, pauseMs);
  }

  // Takes it out; undefined when it is not ours to send.
  function drop(id) {
    const index = entries.findIndex((entry) => entry.frame.id === id);
    if (index < 0) {
      return undefined;
    }
    const [entry] = entries.splice(index, 1);
    lasting.remove(PREFIX + id);
    if (flying === entry) {
      flying = null;
      clearTimeout(timer);
    }
    return entry;
  }

  return {
    entries,
    add,
    has: (id) => entries.some((entry) => entry.frame.id === id),
    // The house has it.
    confirmed(id) {
      const entry = drop(id);
      if (entry) {
        on.sent(entry);
      }
      pump();
    },
    // The house will never take it.
    refused(id, text) {
      const entry = drop(id);
      if (entry) {
        on.refused(entry, text);
      }
      pump();
    },
    // The house will take it later.
    postponed(afterSeconds) {
      if (flying) {
        on.waiting(flying);
        wait(afterSeconds * 1000 + 100);
      }
    },
    open() {
      ready = true;
      pump();
    },
    close() {
      ready = false;
      flying = null;
      clearTimeout(timer);
      entries.forEach(on.waiting);
    },
  };
}
