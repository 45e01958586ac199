
// Faults: the form knows the grammar, and shows what to paste into a test.
const fault = $("fault");
// What an action happens to, an example of its argument, and what the argument is.
const ACTIONS = {
  error: ["call", "UNAVAILABLE:gone", "CODE:message"], delay: ["call", "200ms", "time, or least..most"], stall: ["call"], reset: ["call"],
  no_host: ["call"], no_scheduler: ["call"], overloaded: ["call"],
  bandwidth: ["piece", "10MiB", "bytes a second"], end: ["piece"], skip_piece: ["piece"], repeat_piece: ["piece"],
  corrupt_piece: ["piece"], corrupt_digest: ["piece"], empty_digest: ["piece"], no_content: ["piece"], wrong_length: ["piece", "1", "added to the length"],
  shuffle_pieces: ["stream"], wrong_content_length: ["stream", "1", "added to the length"],
  refuse: ["connection"], stale: ["connection"], no_space: ["store"], disk_error: ["store"], torn_write: ["store"],
};
const OF_TRANSFERS = ["error", "delay", "stall", "reset", "bandwidth", "corrupt_piece"];
const OF_CONNECTIONS = ["refuse", "stale", "stall", "delay"];
const OF_TASKS = ["task", "tag", "application"];
const KEYS = ["host", "task", "tag", "application", "call", "times", "probability", "phase", "piece", "bytes"];
const NUMBERS = ["call", "times", "probability", "piece", "bytes"];
for (const on of [...RPCS, "*"]) fault.on.append(el("option", on));
for (const action of Object.keys(ACTIONS)) fault.do.append(el("option", action));

/** Whether an action can happen in a call. */
function goesWith(on, action) {
  const [scope] = ACTIONS[action];
  if (on === "transfer") return OF_TRANSFERS.includes(action);
  if (on === "connect") return OF_CONNECTIONS.includes(action);
  if (scope === "connection") return false;
  if (scope === "call" || on === "*") return true;
  return scope === "store" ? ["import", "export", "replicate"].includes(on) : on === "export";
}
/** Whether a field narrows such a fault. */
function narrows(key, on, action) {
  const [scope] = ACTIONS[action];
  const isPlaceable = scope === "call" || scope === "piece";
  if (action === "stale") return key === "host";
  if (on === "connect") return ![...OF_TASKS, "phase", "piece", "bytes"].includes(key);
  if (key === "piece") return on === "transfer" || (["export", "*"].includes(on) && isPlaceable);
  if (key === "bytes") return ["export", "*"].includes(on) && isPlaceable;
  if (key === "phase") return on !== "transfer" && scope === "call";
  return true;
}
const value = (key) => (fault[key].disabled ? "" : fault[key].value.trim());

/** A fault as on a command line; as JSON where that cannot say it. */
function specOf(given) {
  const { on, do: action } = given, [name] = Object.keys(action), argument = action[name];
  const keys = KEYS.filter((key) => given[key] !== undefined && given[key] !== null);
  if (keys.some((key) => /[,:]/.test(String(given[key]))) || (argument && argument.details)) return JSON.stringify(given);
  const where = keys.map((key) => `${key}=${given[key]}`).join(",");
  const text = argument === true ? "" : "=" + (argument.code ? argument.code + (argument.message === undefined ? "" : ":" + argument.message) : argument);
  return on + (where && "@" + where) + ":" + name + text;
}
function faultJson() {
  const made = { on: fault.on.value };
  for (const key of KEYS) if (value(key)) made[key] = NUMBERS.includes(key) ? number(value(key)) : value(key);
  const name = fault.do.value, argument = value("argument"), colon = argument.indexOf(":");
  if (!argument) made.do = { [name]: true };
  else if (name === "error" && colon >= 0) made.do = { error: { code: argument.slice(0, colon), message: argument.slice(colon + 1) } };
  else made.do = { [name]: name.startsWith("wrong_") ? number(argument) : argument };
  return made;
}
function showForm() {
  const on = fault.on.value;
  for (const option of fault.do.options) option.disabled = !goesWith(on, option.value);
  if (fault.do.selectedOptions[0].disabled) {
    fault.do.value = [...fault.do.options].find((option) => !option.disabled).value;
    fault.argument.value = ACTIONS[fault.do.value][1] || "";
  }
  const [, example, what] = ACTIONS[fault.do.value];
  fault.argument.disabled = !example;
  $("argument-label").textContent = what ? `Argument (${what})` : "No argument";
  for (const key of KEYS) fault[key].disabled = !narrows(key, on, fault.do.value);
  $("spec").textContent = specOf(faultJson());
}
fault.do.addEventListener("change", () => {
  fault.argument.value = ACTIONS[fault.do.value][1] || "";
  showForm();
});
fault.addEventListener("input", showForm);
fault.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(fault, "add " + $("spec").textContent, "POST", "/faults", faultJson());
});
fault.argument.value = ACTIONS[fault.do.value][1];
showForm();

function showFaults(list) {
  const items = list.map(({ id, fired, ...given }) => {
    const item = el("li");
    const count = fired === 1 ? "fired once" : fired ? `fired ${fired} times` : "has not fired";
    item.append(el("span", `Fault ${id}`), el("code", specOf(given)), el("span", count, { class: fired ? "warn" : "dim" }),
      button("remove", `remove fault ${id}`, () => act("remove fault " + id, "DELETE", "/faults/" + id)));
    return item;
  });
  redraw($("faults"), items.length ? items : [el("li", "no faults are armed", { class: "dim" })]);
}
