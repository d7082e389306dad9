// The page as a whole: who tells whom.

import { log } from "./log.js";
import { outbox } from "./outbox.js";
import { byId, data, invite, ofThisTab, say } from "./page.js";
import { uploads } from "./uploads.js";
import { connect } from "./wire.js";

const text = byId("text");
const notice = byId("notice");
const hello = byId("hello");
const title = document.title;
let unread = 0;
let sendWhenLoaded = false;
let historyShown = false;

const screen = log({ press: (press, label) => submit({ type: "press", press, label }) });
const files = uploads({ changed: filesChanged, problem: warn });
const unsent = outbox((frame) => wire.send(frame), {
  sent: () => {},
  waiting: (entry) => screen.note(entry.frame.id, say("retrying")),
  refused: (entry, why) => (entry.frame.type === "start" ? warn(why) : screen.refused(entry.frame.id, why)),
});

function submit(frame) {
  const entry = unsent.add(frame);
  show(entry);
  if (!wire.isOpen()) {
    screen.note(entry.frame.id, say("retrying"));
  }
  greet();
}

function show({ frame, at }) {
  if (frame.type !== "start") {
    screen.unsent({ key: frame.id, text: frame.text ?? frame.label, files: frame.files ?? [] }, at);
  }
}

// What is kept of a file is what the page shows; the server takes the reference and the name.
function onTheWire(frame) {
  if (frame.type !== "files") {
    return frame;
  }
  return { ...frame, files: frame.files.map(({ reference, name }) => ({ reference, name })) };
}

const receive = {
  history(frame) {
    for (const message of frame.messages.filter((message) => message.mine)) {
      unsent.confirmed(message.key);
    }
    screen.history(frame);
    historyShown = true;
    greet();
    unsent.open();
    files.resume();
  },
  earlier: (frame) => screen.earlier(frame),
  message(frame) {
    if (frame.mine) {
      unsent.confirmed(frame.key);
      screen.confirmed(frame.key, frame.sent_at);
    }
    if (screen.add(frame) && !frame.mine && document.hidden) {
      unread += 1;
      document.title = `(${unread}) ${title}`;
    }
    greet();
  },
  ack(frame) {
    screen.confirmed(frame.id, frame.sent_at);
    unsent.confirmed(frame.id);
    hideNotice();
  },
  slow_down(frame) {
    warn(frame.text);
    unsent.postponed(frame.after_seconds);
  },
  refused(frame) {
    if (frame.id) {
      unsent.refused(frame.id, frame.text);
    } else {
      warn(frame.text);
    }
  },
  pong() {},
};

const wire = (() => {
  const address = new URL(`${data.base}/socket`, location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const real = connect(address.href, {
    opened: () => state("online"),
    frame: (frame) => receive[frame.type]?.(frame),
    closed() {
      state("offline");
      unsent.close();
    },
    noSession() {
      // A cookie that has gone comes back with a fresh page; one that never stuck would not.
      if (historyShown) {
        location.reload();
      } else {
        warn(say("refused_session"));
      }
    },
    tooMany: () => warn(say("too_many")),
  });
  return { ...real, send: (frame) => real.send(onTheWire(frame)) };
})();

function state(name) {
  byId("state").dataset.state = name;
  byId("state").textContent = say(name);
}

function warn(sentence) {
  notice.textContent = sentence;
  notice.hidden = false;
}

function hideNotice() {
  notice.hidden = true;
  notice.textContent = "";
}

// «Начать» stands on the empty page only.
function greet() {
  hello.hidden = !historyShown || !screen.isEmpty() || unsent.entries.length > 0;
}

function send() {
  const words = text.value.trim();
  const count = Array.from(words).length;
  hideNotice();
  if (count > data.limits.text_length) {
    warn(say("text_too_long", { count }));
    return;
  }
  if (!files.isEmpty()) {
    if (files.hasFailed()) {
      warn(say("upload_failed_notice"));
      return;
    }
    if (!files.isReady()) {
      sendWhenLoaded = true;
      warn(say("wait_upload"));
      return;
    }
    submit({ type: "files", text: words, files: files.take() });
  } else if (words) {
    submit({ type: "text", text: words });
  }
  sendWhenLoaded = false;
  text.value = "";
  typed();
  text.focus();
}

function filesChanged() {
  if (files.isEmpty() || files.hasFailed()) {
    sendWhenLoaded = false;
  }
  if (sendWhenLoaded && files.isReady()) {
    send();
  }
}

function typed() {
  ofThisTab.set("draft", text.value);
  text.style.height = "auto";
  text.style.height = `${Math.max(44, text.scrollHeight + 2)}px`;
}

function pick(list) {
  hideNotice();
  files.add([...list]);
  invite();
}

text.addEventListener("input", () => {
  hideNotice();
  typed();
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
byId("send").addEventListener("click", send);
byId("start").addEventListener("click", () => {
  submit({ type: "start", code: "" });
  invite();
});
byId("earlier").addEventListener("click", () => wire.send({ type: "earlier", before: screen.before() }));
byId("attach").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", (event) => {
  pick(event.target.files);
  event.target.value = "";
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) {
    event.preventDefault();
    pick(event.clipboardData.files);
  }
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    unread = 0;
    document.title = title;
  }
});

const carriesFiles = (event) => Boolean(event.dataTransfer?.types.includes("Files"));
let dragDepth = 0;
document.addEventListener("dragenter", (event) => {
  if (carriesFiles(event)) {
    dragDepth += 1;
    byId("drop").hidden = false;
  }
});
document.addEventListener("dragleave", (event) => {
  if (carriesFiles(event)) {
    dragDepth = Math.max(0, dragDepth - 1);
    byId("drop").hidden = dragDepth === 0;
  }
});
document.addEventListener("dragover", (event) => {
  if (carriesFiles(event)) {
    event.preventDefault();
  }
});
document.addEventListener("drop", (event) => {
  dragDepth = 0;
  byId("drop").hidden = true;
  if (carriesFiles(event)) {
    event.preventDefault();
    pick(event.dataTransfer.files);
  }
});

// A growing text box or a phone's keyboard must not cover the last message.
let following = true;
byId("talk").addEventListener("scroll", () => {
  following = screen.nearEnd();
});
new ResizeObserver(() => {
  const height = document.querySelector(".compose").offsetHeight;
  document.documentElement.style.setProperty("--compose-height", `${height}px`);
  if (following) {
    screen.toEnd();
  }
}).observe(byId("talk"));

for (const entry of unsent.entries) {
  show(entry);
  screen.note(entry.frame.id, say("retrying"));
}
text.value = ofThisTab.get("draft") ?? "";
typed();

// A link of an invitation (?code=… or #code=…, which servers never see): its code works once and does
// not stay in the address.
const address = new URL(location.href);
const inFragment = new URLSearchParams(address.hash.slice(1));
const code = (address.searchParams.get("code") ?? inFragment.get("code") ?? "").trim();
if (code) {
  address.searchParams.delete("code");
  address.hash = "";
  window.history.replaceState(null, "", address);
  submit({ type: "start", code: code.slice(0, 100) });
}
invite();
