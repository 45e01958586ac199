
// Settings: a form for each, so that what the API refuses stands where it was typed.
const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const SETTINGS = {
  capacity: { title: "Capacity of a host", hint: "such as 64mib; empty for none", shown: (bytes) => (bytes === null ? "" : exactBytes(bytes)), sent: (text) => text || null },
  max_requests: { title: "Most requests at once", hint: "of a host; empty for any number", shown: (count) => (count === null ? "" : String(count)), sent: (text) => (text ? number(text) : null) },
  replication_delay: { title: "Delay of replication", hint: "such as 10s", shown: (text) => text, sent: (text) => text },
  gc_interval: { title: "Time between collections", hint: "such as 15m", shown: (text) => text, sent: (text) => text },
  block: { title: "Blocked", hint: "one a line, such as import:tag=x", isLong: true, shown: (rows) => rows.join("\n"), sent: lines },
};
let settings = null;

function settingForm(name, title, field, hint) {
  const form = el("form", null, { id: `setting-${name}`, class: "setting" });
  const row = el("div", null, { class: "row" });
  row.append(field, el("button", "Change", { type: "submit", "aria-label": `Change ${title}` }));
  const present = el("p", null, { class: "dim present" });
  form.append(row, present, el("p", null, { class: "bad error", id: `setting-${name}-error`, role: "alert" }));
  if (hint) present.dataset.hint = hint;
  $("settings").append(form);
  return form;
}
const send = async (form, title, name, wanted) => {
  const reply = await submit(form, `change ${title}`, "PATCH", "/settings", { [name]: wanted });
  if (reply) showSettings(reply, name);
};

for (const [name, setting] of Object.entries(SETTINGS)) {
  const label = el("label", setting.title), field = el(setting.isLong ? "textarea" : "input", null, { name, autocomplete: "off", spellcheck: "false" });
  if (setting.isLong) field.rows = 3;
  label.append(field);
  const form = settingForm(name, setting.title, label, setting.hint);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, setting.title, name, setting.sent(field.value.trim()));
  });
}

const quirks = el("fieldset");
quirks.append(el("legend", "Quirks of a real dfdaemon"));
const quirkForm = settingForm("quirks", "quirks", quirks);
const chosenQuirks = () => [...quirks.querySelectorAll("input:checked")].map((box) => box.value).sort();
quirkForm.addEventListener("submit", (event) => {
  event.preventDefault();
  send(quirkForm, "quirks", "quirks", chosenQuirks());
});

/** The names that there are, from the document of the API. */
async function nameQuirks() {
  const { components } = await ask("GET", "/openapi.json");
  for (const name of components.schemas.Settings.properties.quirks.items.enum) {
    const label = el("label", null, { class: "box" });
    label.append(el("input", null, { type: "checkbox", name: "quirks", value: name }), name);
    quirks.append(label);
  }
}

/** Shows how they are now. What a person has typed and not yet sent stays, but in the one just sent. */
function showSettings(reply, sent) {
  for (const [name, setting] of Object.entries(SETTINGS)) {
    const form = $(`setting-${name}`), field = form.elements[name];
    const shown = setting.shown(reply[name]);
    const isTouched = settings && field.value !== setting.shown(settings[name]);
    if (!isTouched || name === sent) field.value = shown;
    form.querySelector(".present").textContent = plain(`Now: ${shown.replaceAll("\n", ", ") || "none"} (${setting.hint})`);
  }
  const isTouched = settings && chosenQuirks().join() !== [...settings.quirks].sort().join();
  if (!isTouched || sent === "quirks") for (const box of quirks.querySelectorAll("input")) box.checked = reply.quirks.includes(box.value);
  quirkForm.querySelector(".present").textContent = `Now: ${reply.quirks.join(", ") || "none"}`;
  settings = reply;
}
