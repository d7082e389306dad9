// What every part of the page needs: the data the server wrote into it, elements, sentences, storage.

export const data = JSON.parse(document.getElementById("data").textContent);

export const byId = (id) => document.getElementById(id);

// Where a keyboard is at hand the visitor may type at once; on a phone it would cover the message.
export function invite() {
  byId(window.matchMedia("(hover: hover)").matches ? "text" : "talk").focus({ preventScroll: true });
}

// A sentence of the page; {names} are filled in.
export function say(name, values = {}) {
  return data.texts[name].replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

// An element with properties and children; strings become text, never markup.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) {
      element.setAttribute(name, value);
    } else {
      element[name] = value;
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export function showSize(bytes) {
  const [value, unit] =
    bytes < 1024 ? [bytes, "bytes"] : bytes < 1024 * 1024 ? [bytes / 1024, "kilobytes"] : [bytes / 1024 / 1024, "megabytes"];
  const digits = unit === "megabytes" && value < 10 ? 1 : 0;
  const number = new Intl.NumberFormat(data.language, { maximumFractionDigits: digits }).format(value);
  return `${number}\u00a0${data.texts[unit]}`;
}

// crypto.randomUUID needs https and Firefox 95.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

// A browser that forbids storage still gets a chat; it only forgets when the page is closed.
function keeper(open) {
  const memory = new Map();
  let real = null;
  try {
    real = open();
    real.setItem(`${data.storage}probe`, "1");
    real.removeItem(`${data.storage}probe`);
  } catch {
    real = null;
  }
  const attempt = (action, fallback) => {
    try {
      return real ? action() : fallback();
    } catch {
      return fallback(); // The storage is full.
    }
  };
  return {
    get: (name) => memory.get(name) ?? attempt(() => real.getItem(data.storage + name), () => null),
    set(name, value) {
      attempt(() => real.setItem(data.storage + name, value), () => memory.set(name, value));
    },
    remove(name) {
      memory.delete(name);
      attempt(() => real.removeItem(data.storage + name), () => null);
    },
    names(prefix) {
      const stored = attempt(
        () => Object.keys(real).filter((name) => name.startsWith(data.storage)).map((name) => name.slice(data.storage.length)),
        () => [],
      );
      return [...new Set([...stored, ...memory.keys()])].filter((name) => name.startsWith(prefix));
    },
  };
}

export const lasting = keeper(() => window.localStorage);
export const ofThisTab = keeper(() => window.sessionStorage);
