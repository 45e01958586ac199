
// Faults: the form knows the grammar, and shows what to paste into a test.
const fault = $("fault");
// What each action happens to (its scope, and also to what), what it does, its argument and an example of it.
const ACTIONS = Object.fromEntries(@ACTIONS@);
const OF_TASKS = ["task", "tag", "application"];
const KEYS = ["host", "task", "tag", "application", "call", "times", "probability", "phase", "piece", "bytes"];
const NUMBERS = ["call", "times", "probability", "piece", "bytes"];
for (const on of [...RPCS, "*"]) fault.on.append(el("option", on));
for (const [action, { does }] of Object.entries(ACTIONS)) fault.do.append(el("option", action, { title: does }));

/** Whether an action can happen in a call. */
function goesWith(on, action) {
  const { scope, also } = ACTIONS[action];
  if (on === "transfer") return also.includes("transfer");
  if (on === "connect") return [scope, ...also].includes("connection");
  if (scope === "connection") return false;
  if (scope === "call" || on === "*") return true;
  return scope === "store" ? ["import", "export", "replicate"].includes(on) : on === "export";
}
/** Whether a field narrows such a fault. */
function narrows(key, on, action) {
  const { scope } = ACTIONS[action];
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
    fault.argument.value = ACTIONS[fault.do.value].example || "";
  }
  const { example, argument } = ACTIONS[fault.do.value];
  fault.argument.disabled = !example;
  $("argument-label").textContent = argument ? `Argument (${argument})` : "No argument";
  for (const key of KEYS) fault[key].disabled = !narrows(key, on, fault.do.value);
  $("spec").textContent = specOf(faultJson());
}
fault.do.addEventListener("change", () => {
  fault.argument.value = ACTIONS[fault.do.value].example || "";
  showForm();
});
fault.addEventListener("input", showForm);
fault.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(fault, "add " + $("spec").textContent, "POST", "/faults", faultJson());
});
fault.argument.value = ACTIONS[fault.do.value].example;
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
