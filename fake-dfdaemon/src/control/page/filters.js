
// Filters live in the URL, so that a view can be sent to somebody.
const RPCS = ["import", "export", "stat", "stat-local", "list", "update", "delete", "replicate", "transfer", "connect", "health"];
const filters = $("filters");
for (const rpc of RPCS) filters.rpc.append(el("option", rpc));
const query = new URLSearchParams(location.search);
const filtered = () => ({ text: filters.text.value.trim(), host: filters.host.value, rpc: filters.rpc.value, ended: filters.ended.value });

function keepFilters() {
  const kept = new URLSearchParams(Object.entries(filtered()).filter(([, value]) => value));
  history.replaceState(null, "", location.pathname + (kept.size ? "?" + kept : ""));
  showTasks();
  showCalls();
  if (!isProxy && tasksQuery() !== tasksAsked) refresh();
}
filters.addEventListener("input", keepFilters);
filters.addEventListener("reset", () => setTimeout(keepFilters));
filters.addEventListener("submit", (event) => event.preventDefault());

let clock = { mode: "system", now: new Date().toISOString() }, clockAt = performance.now();
const now = () => Date.parse(clock.now) + (clock.mode === "system" ? performance.now() - clockAt : 0);
function showClock() {
  const isManual = clock.mode === "manual";
  $("now").textContent = new Date(now()).toISOString().replace(/\.\d+Z/, "Z");
  $("mode").textContent = isManual ? "(frozen: moves only when it is advanced)" : "(the system's)";
  for (const field of $("clock").elements) field.disabled = !isManual;
  $("clock-why").textContent = isManual ? "" : "The system's clock cannot be moved: start with --clock manual.";
}
