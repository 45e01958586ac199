
// Calls: the newest first. More than a screen can show are sampled.
const MOST_CALLS = 200, PER_FRAME = 40, LONGEST = 200;
// How long calls gather before they are drawn, in milliseconds, and where there are too many to show.
const GATHER = 100, GATHER_MANY = 500;
const calls = new Map();
// What was drawn of a call, which stays until there is more to say of it.
const drawn = new WeakMap();
let seen = 0, skipped = 0, waiting = [], isPaused = false, isScheduled = false;
// Whether calls were left out since the last time they were drawn, and before it.
let isCrowded = false, isSampled = false;
const short = (text) => (text.length > LONGEST ? text.slice(0, LONGEST) + "…" : text);
const hasFailed = (call) => Boolean(call.status) && call.status.code !== "OK";

function lastFailed() {
  let last;
  for (const call of calls.values()) if (hasFailed(call) && (!last || call.call > last.call)) last = call;
  return last;
}

/** Takes an event's text: what is left out is not even parsed. Of many the newest stay. */
function noteCall(text, hasEnded) {
  seen += hasEnded ? 1 : 0;
  if (waiting.length >= PER_FRAME) {
    isCrowded = true;
    skipped += waiting.shift().hasEnded ? 1 : 0;
  }
  waiting.push({ text, hasEnded });
  if (!isScheduled && !isPaused) {
    isScheduled = true;
    setTimeout(() => requestAnimationFrame(drawCalls), isSampled ? GATHER_MANY : GATHER);
  }
}
function drawCalls() {
  isScheduled = false;
  for (const { text } of waiting) {
    const call = JSON.parse(text);
    calls.set(call.call, call);
  }
  // The end of a call whose beginning is shown may have been left out.
  isSampled = isCrowded;
  isCrowded = false;
  waiting = [];
  if (isSampled) for (const [number, call] of calls) if (!call.status) calls.delete(number);
  const numbers = [...calls.keys()].sort((a, b) => a - b);
  for (const number of numbers.slice(0, Math.max(0, numbers.length - MOST_CALLS))) calls.delete(number);
  showCalls();
  showGlance();
}

function callSummary(call) {
  const summary = el("summary");
  const code = call.status ? call.status.code : "running";
  const kind = code === "OK" ? "good" : call.status ? "bad" : "warn";
  summary.append(el("span", call.call, { class: "number mono" }), " ", el("span", call.rpc, { class: "rpc mono" }), " ", el("strong", code, { class: kind }));
  // A proxy has one daemon behind it.
  if (!isProxy) summary.querySelector("strong").before(el("span", call.host, { class: "host mono" }), " ");
  const word = (text, kind) => summary.append(" ", el("span", text, { class: kind }));
  if (hasFailed(call) && call.status.message) word(short(call.status.message), "bad");
  if (call.fault) word(`by fault ${call.fault.id}`, "warn");
  if (call.client_gone) word("client gone", "warn");
  if (call.request && call.request.task_id) word("task " + short(String(call.request.task_id)), "dim");
  if (call.bytes) word(bytes(call.bytes), "dim");
  if (call.status) word(call.duration_ms + " ms", "dim");
  return summary;
}
function callItem(call, isOpen) {
  if (drawn.has(call)) return drawn.get(call);
  const item = el("li"), details = el("details", null, { "data-call": call.call });
  details.append(callSummary(call));
  const fill = () => {
    if (!details.open || details.childElementCount > 1) return;
    if (hasFailed(call)) {
      const why = call.fault ? `Fault ${call.fault.id} did that: ${JSON.stringify(call.fault.do)}` : "No fault did that: it is the daemon's own answer.";
      details.append(el("p", call.status.message, { class: "bad" }), el("p", why, { class: "warn" }));
    }
    const parts = { request: call.request, metadata: call.metadata, sent: { pieces: call.pieces, bytes: call.bytes }, at: call.at };
    for (const [name, value] of Object.entries(parts)) details.append(el("div", name, { class: "dim" }), el("pre", JSON.stringify(value, null, 1)));
  };
  details.addEventListener("toggle", fill);
  if (isOpen) {
    details.open = true;
    fill();
  }
  item.append(details);
  drawn.set(call, item);
  return item;
}
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
function showCalls() {
  const { text, host, rpc, ended } = filtered();
  const open = new Set([...$("calls").querySelectorAll("details[open]")].map((details) => details.dataset.call));
  const focused = $("calls").contains(document.activeElement) && document.activeElement.closest("details")?.dataset.call;
  const wanted = [...calls.values()].filter((call) => (!host || call.host === host) && (!rpc || call.rpc === rpc)
    && (ended !== "ok" || (call.status && !hasFailed(call))) && (ended !== "failed" || hasFailed(call))
    && (!text || JSON.stringify([call.request, call.status]).includes(text)));
  wanted.sort((a, b) => b.call - a.call);
  $("calls-count").textContent = `${wanted.length} shown, ${seen} ended since this page was opened${skipped ? `, ${skipped} of them left out: too many to show` : ""}`;
  arrange($("calls"), wanted.map((call) => callItem(call, open.has(String(call.call)))));
  if (!wanted.length) $("calls").append(el("li", calls.size ? "no call matches the filters" : "no calls yet", { class: "dim" }));
  if (focused && !$("calls").contains(document.activeElement)) $("calls").querySelector(`details[data-call="${focused}"] summary`)?.focus();
}
$("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  $("pause").setAttribute("aria-pressed", String(isPaused));
  $("pause").textContent = isPaused ? "Go on" : "Pause";
  if (!isPaused) drawCalls();
});
