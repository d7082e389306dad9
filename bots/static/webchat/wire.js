// The connection: opened again for ever, with growing pauses, and tested while it is silent.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const PING_EVERY_MS = 20_000;
const ANSWER_WITHIN_MS = 10_000;
const NO_SESSION = 4401;
const TOO_MANY = 4429;

// `on` has opened(), frame(object), closed(), noSession(), tooMany().
export function connect(url, on) {
  let socket = null;
  let failures = 0;
  let heardAt = 0;
  let timer = 0;
  let over = false;

  function open() {
    clearTimeout(timer);
    timer = 0;
    socket = new WebSocket(url);
    heardAt = Date.now();
    const mine = socket;
    socket.onopen = () => {
      heardAt = Date.now();
      send({ type: "hello" });
      on.opened();
    };
    socket.onmessage = (event) => {
      heardAt = Date.now();
      failures = 0;
      on.frame(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (socket === mine) {
        lost(event.code);
      }
    };
  }

  function lost(code) {
    socket = null;
    on.closed();
    if (code === NO_SESSION) {
      over = true;
      on.noSession();
      return;
    }
    if (code === TOO_MANY) {
      failures = Math.max(failures, 5);
      on.tooMany();
    }
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
    failures += 1;
    timer = setTimeout(open, pause * (0.5 + Math.random() / 2));
  }

  function abandon() {
    const dead = socket;
    socket = null;
    dead.onopen = dead.onmessage = dead.onclose = null;
    dead.close();
    lost(0);
  }

  function isOpen() {
    return socket !== null && socket.readyState === WebSocket.OPEN;
  }

  function send(frame) {
    if (!isOpen()) {
      return false;
    }
    socket.send(JSON.stringify(frame));
    return true;
  }

  function hurry() {
    if (over) {
      return;
    }
    if (timer) {
      failures = 0;
      open();
    } else {
      send({ type: "ping" });
    }
  }

  setInterval(() => {
    const silentFor = Date.now() - heardAt;
    if (socket !== null && silentFor > PING_EVERY_MS + ANSWER_WITHIN_MS) {
      abandon();
    } else if (silentFor >= PING_EVERY_MS) {
      send({ type: "ping" });
    }
  }, PING_EVERY_MS / 4);
  window.addEventListener("online", hurry);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      hurry();
    }
  });
  open();
  return { send, isOpen };
}
