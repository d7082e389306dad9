// Files that are chosen and not sent yet: each is uploaded at once, two at a time.

import { byId, data, invite, make, say, showSize } from "./page.js";

const AT_ONCE = 2;

// `on` has changed() and problem(text).
export function uploads(on) {
  const list = byId("picked");
  let picked = [];

  function add(files) {
    for (const file of files) {
      if (picked.length >= data.limits.files) {
        on.problem(say("too_many_files"));
        break;
      }
      const name = file.name || say("file");
      if (file.size === 0) {
        on.problem(say("file_empty", { name }));
      } else if (file.size > data.limits.file_bytes) {
        on.problem(say("file_too_big", { name }));
      } else {
        picked.push(chip(file, name));
      }
    }
    advance();
  }

  function chip(file, name) {
    const item = { file, name, state: "waiting", reference: null, request: null, cutOff: false };
    item.bar = make("progress", { max: 1, value: 0, "aria-label": say("uploading", { name }) });
    item.status = make("span", { className: "chip-state" }, showSize(file.size));
    item.again = make("button", { type: "button", hidden: true, "aria-label": say("retry_file", { name }) }, say("retry"));
    item.again.addEventListener("click", () => {
      item.state = "waiting";
      advance();
    });
    const cross = make("button", { type: "button", className: "cross", "aria-label": say("remove_file", { name }) }, "×");
    cross.addEventListener("click", () => {
      remove(item);
      invite();
    });
    const label = make("span", { className: "chip-name" }, `${name} `, item.status, item.bar);
    item.element = make("li", { className: "chip" }, label, item.again, cross);
    list.append(item.element);
    return item;
  }

  function remove(item) {
    picked = picked.filter((other) => other !== item);
    item.element.remove();
    if (item.request) {
      item.request.abort();
    }
    advance();
  }

  function advance() {
    const busy = picked.filter((item) => item.state === "loading").length;
    for (const item of picked.filter((item) => item.state === "waiting").slice(0, AT_ONCE - busy)) {
      load(item);
    }
    list.hidden = picked.length === 0;
    for (const item of picked) {
      item.element.classList.toggle("chip-failed", item.state === "failed");
      item.again.hidden = item.state !== "failed";
      item.bar.hidden = item.state === "failed" || item.state === "ready";
    }
    on.changed();
  }

  function load(item) {
    const request = new XMLHttpRequest(); // fetch cannot tell the progress of an upload
    item.request = request;
    item.state = "loading";
    item.cutOff = false;
    item.bar.value = 0;
    item.status.textContent = showSize(item.file.size);
    request.open("POST", `${data.base}/upload`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      item.bar.value = event.total ? event.loaded / event.total : 0;
    };
    request.onload = () => {
      const answer = request.response;
      if (request.status === 200 && answer) {
        item.state = "ready";
        item.reference = answer.reference;
        item.status.textContent = `${showSize(item.file.size)}, ${say("uploaded")}`;
      } else {
        failed(item, answer && answer.text);
      }
      advance();
    };
    request.onerror = () => {
      failed(item, null);
      item.cutOff = true;
      advance();
    };
    request.send(item.file);
  }

  function failed(item, text) {
    item.state = "failed";
    item.status.textContent = `${showSize(item.file.size)}, ${say("upload_failed")}`;
    if (text) {
      on.problem(text);
    }
  }

  return {
    add,
    isEmpty: () => picked.length === 0,
    isReady: () => picked.every((item) => item.state === "ready"),
    hasFailed: () => picked.some((item) => item.state === "failed"),
    // The connection is back: what it cut off is uploaded again.
    resume() {
      for (const item of picked.filter((item) => item.state === "failed" && item.cutOff)) {
        item.state = "waiting";
      }
      advance();
    },
    // Hands over what is uploaded and starts anew.
    take() {
      const files = picked.map((item) => ({ reference: item.reference, name: item.name, size_bytes: item.file.size }));
      picked = [];
      list.replaceChildren();
      advance();
      return files;
    },
  };
}
