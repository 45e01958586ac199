
// Calls: the newest first. Of more than a screen can show, the daemon sends a sample, and how many it left out.
const MOST_CALLS = 200, SAMPLE = 40, LONGEST = 200;
// How many of the calls that are shown may have gone well, if there are others to show.
const MOST_WELL = 100;
// How long calls gather before they are drawn, in milliseconds.
const GATHER = 100;
const calls = new Map();
// What was drawn of a call, which stays until there is more to say of it.
const drawn = new WeakMap();
let seen = 0, skipped = 0, waiting = [], isPaused = false, isScheduled = false;
// The last call that failed, and whether calls that may have failed were never here.
let failure, isPartial = false;
const short = (text) => (text.length > LONGEST ? text.slice(0, LONGEST) + "…" : text);
const hasFailed = (call) => Boolean(call.status) && call.status.code !== "OK";

/** Takes an event's text: what is not drawn is not even parsed. */
function noteCall(text, hasEnded) {
  seen += hasEnded ? 1 : 0;
  // While nothing is drawn, the newest stay.
  if (waiting.length >= MOST_CALLS) skipped += waiting.shift().hasEnded ? 1 : 0;
  waiting.push({ text, hasEnded });
  if (!isScheduled && !isPaused) {
    isScheduled = true;
    setTimeout(() => requestAnimationFrame(drawCalls), GATHER);
  }
}
function noteLeftOut(text) {
  const count = JSON.parse(text)["call-ended"] || 0;
  seen += count;
  skipped += count;
  if (count) lookAtRunning();
}
function keepCall(call) {
  calls.set(call.call, call);
  if (hasFailed(call) && (!failure || call.call >= failure.call)) failure = call;
}
function forgetCalls() {
  calls.clear();
  failure = undefined;
  seen = skipped = 0;
  waiting = [];
  isPartial = false;
  drawCalls();
}
function drawCalls() {
  isScheduled = false;
  for (const { text } of waiting) keepCall(JSON.parse(text));
  waiting = [];
  // One that is open is being read.
  const open = new Set([...$("calls").querySelectorAll("details[open]")].map((details) => Number(details.dataset.call)));
  const oldest = [...calls.keys()].filter((number) => !open.has(number)).sort((a, b) => a - b);
  const well = oldest.filter((number) => calls.get(number).status && !hasFailed(calls.get(number)));
  const goFirst = new Set(well.slice(0, Math.max(0, well.length - MOST_WELL)));
  const order = [...goFirst, ...oldest.filter((number) => !goFirst.has(number))];
  for (const number of order.slice(0, Math.max(0, calls.size - MOST_CALLS))) calls.delete(number);
  showCalls();
  showGlance();
}

// The beginning or the end of a call may have been left out: the journal knows what runs.
let isLooking = false, isToLook = false;
async function lookAtRunning() {
  if (isLooking) { isToLook = true; return; }
  isLooking = true;
  try {
    const running = (await ask("GET", `/journal?running=true&limit=${MOST_CALLS}`)).calls;
    const numbers = new Set(running.map((call) => call.call));
    for (const [number, call] of calls) if (!call.status && !numbers.has(number)) calls.delete(number);
    for (const call of running) if (!calls.has(call.call)) calls.set(call.call, call);
    if (!isPaused) drawCalls();
  } catch (error) { say(error.message, "bad"); }
  setTimeout(() => {
    isLooking = false;
    if (isToLook) { isToLook = false; lookAtRunning(); }
  }, 1000);
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
