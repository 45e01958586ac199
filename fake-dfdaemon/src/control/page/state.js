
$("clock").addEventListener("submit", (event) => {
  event.preventDefault();
  submit($("clock"), "advance", "POST", "/clock", { advance: $("clock").advance.value.trim() });
});
$("snapshot").addEventListener("submit", (event) => {
  event.preventDefault();
  submit($("snapshot"), "take a snapshot", "POST", "/snapshots/" + part($("snapshot").elements.name.value.trim()));
});
$("settle").addEventListener("click", async () => {
  const reply = await act("settle", "POST", "/settle");
  if (reply && reply.waiting.length) say(`settled; only time can bring: ${reply.waiting.map(({ what, due }) => `${what} at ${due}`).join(", ")}`);
});
$("gc").addEventListener("click", () => act("collect", "POST", "/gc"));
$("reset").addEventListener("click", () => { if (confirm("Bring everything back to how it was after the start?")) act("reset", "POST", "/reset"); });

function showSnapshots(list) {
  redraw($("snapshots"), list.map(({ name }) => {
    const item = el("li");
    item.append(el("span", name), button("bring back", `bring snapshot ${name} back`, () => act("bring back " + name, "POST", `/snapshots/${part(name)}/restore`)),
      button("delete", `delete snapshot ${name}`, () => act("delete " + name, "DELETE", "/snapshots/" + part(name))));
    return item;
  }));
}
