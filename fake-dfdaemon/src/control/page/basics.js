"use strict";
// What every part of the page uses. Every text that comes from a client becomes textContent: nothing
// is ever parsed as markup.
const $ = (id) => document.getElementById(id);
const part = encodeURIComponent;
/** Whether the page is that of a proxy, a recorder or a replay. */
let isProxy = false;

/** A text without characters that turn the direction of what stands around it, or break its line. */
const plain = (text) => String(text).replace(/[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
const el = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = plain(text);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, plain(value));
  return made;
};
const button = (text, label, act) => {
  const made = el("button", text, { type: "button", "aria-label": label });
  made.addEventListener("click", act);
  return made;
};

const say = (text, kind = "dim") => {
  $("said").textContent = plain(text);
  $("said").className = kind;
};

async function ask(method, path, body) {
  const options = { method, headers: { "content-type": "application/json" } };
  if (body !== undefined) options.body = JSON.stringify(body);
  const answer = await fetch(path, options);
  const reply = await answer.json();
  if (!answer.ok) throw new Error(reply.error ? reply.error.message : answer.statusText);
  return reply;
}

async function act(what, method, path, body) {
  say(what + " …");
  try {
    const reply = await ask(method, path, body);
    say(what + ": done", "good");
    refresh();
    return reply;
  } catch (error) {
    say(what + ": " + error.message, "bad");
    return undefined;
  }
}

/** The place of a form for what the API refuses, made with the form. */
const errorOf = (form) => form.querySelector(".error");

/** Sends what a form says. An error is shown in the form, at the field that it names, until the next try. */
async function submit(form, what, method, path, body) {
  const output = errorOf(form);
  output.textContent = "";
  for (const field of form.elements) field.removeAttribute("aria-invalid");
  say(what + " …");
  try {
    const reply = await ask(method, path, body);
    say(what + ": done", "good");
    refresh();
    return reply;
  } catch (error) {
    say("");
    output.textContent = plain(error.message);
    const names = error.message.split(":")[0].split(/[ ,]+/);
    const fields = [...form.elements].filter((field) => field.matches("input, select, textarea"));
    const wrong = fields.filter((field) => names.includes(field.name));
    for (const field of wrong.length ? wrong : fields.slice(0, fields.length === 1 ? 1 : 0)) {
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", output.id);
    }
    return undefined;
  }
}

/** A number if the text is one; else the text, so that the API refuses it and names the field. */
const number = (text) => (text !== "" && Number.isFinite(Number(text)) ? Number(text) : text);

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const bytes = (count) => {
  let unit = 0, value = count;
  while (value >= 1024 && unit < 4) { value /= 1024; unit += 1; }
  return (unit ? value.toFixed(1) : value) + " " + UNITS[unit];
};
/** The same without rounding, as the API reads it. */
const exactBytes = (count) => {
  let unit = 0, value = count;
  while (value >= 1024 && value % 1024 === 0 && unit < 4) { value /= 1024; unit += 1; }
  return value + UNITS[unit].toLowerCase();
};

const span = (ms) => {
  if (ms <= 0) return "expired";
  const s = Math.floor(ms / 1000), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? `${d}d ${h}h` : h ? `${h}h ${m}m` : m ? `${m}m ${s % 60}s` : `${s}s`;
};

/** Makes these the items of a list. Those that are there already stay where they are. */
function arrange(list, items) {
  const stay = new Set(items);
  for (const item of [...list.children]) if (!stay.has(item)) item.remove();
  let next = list.firstElementChild;
  for (const item of items) {
    if (item === next) next = next.nextElementSibling;
    else list.insertBefore(item, next);
  }
}
/** Shows these in a list. What has the focus keeps it, or what was drawn in its place has it. */
function redraw(list, items) {
  const focused = list.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
  arrange(list, items);
  if (focused && !list.contains(document.activeElement)) list.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

/** Draws what is new or has changed, and takes the rest as it was drawn before. */
function drawer(draw) {
  let before = new Map();
  return (things) => {
    const after = new Map();
    const items = things.map(({ key, ...thing }) => {
      const text = JSON.stringify(thing), last = before.get(key);
      const item = last && last.text === text ? last.item : draw(thing);
      after.set(key, { text, item });
      return item;
    });
    before = after;
    return items;
  };
}
