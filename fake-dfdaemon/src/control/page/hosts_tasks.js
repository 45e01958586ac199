
const MOST_TASKS = 300, MOST_COLUMNS = 12;

let hosts = [];
function hostItem(host) {
  const item = el("li", null, { "data-state": host.state });
  const line = el("div");
  line.append(el("strong", host.name), " ", el("span", host.state, { class: host.state === "running" ? "good" : "warn" }));
  const capacity = host.capacity_bytes;
  const load = `${host.tasks} ${host.tasks === 1 ? "task" : "tasks"}, ${bytes(host.used_bytes)}${capacity ? " of " + bytes(capacity) : ""}`;
  item.append(line, el("div", load, { class: "dim" }));
  if (capacity) item.append(el("progress", null, { max: capacity, value: host.used_bytes, "aria-label": `used on ${host.name}` }));
  item.append(el("div", host.endpoint, { class: "dim mono endpoint" }));
  const row = el("div", null, { class: "row" });
  const change = (word) => button(word, `${word} ${host.name}`, async () => {
    const reply = await act(`${word} ${host.name}`, "POST", `/hosts/${part(host.name)}/${word}`);
    if (!reply) return;
    hosts = hosts.map((one) => (one.name === reply.name ? reply : one));
    showHosts();
    showGlance();
  });
  const words = { running: ["stop", "leave"], stopped: ["start", "leave"] }[host.state] || ["start"];
  row.append(...words.map(change));
  item.append(row);
  return item;
}
const drawHosts = drawer(hostItem);
function showHosts() {
  const chosen = filters.host.value || query.get("host") || "";
  if (filters.host.options.length !== hosts.length + 1) {
    filters.host.replaceChildren(el("option", "all", { value: "" }), ...hosts.map((host) => el("option", host.name)));
    filters.host.value = chosen;
  }
  redraw($("hosts"), drawHosts(hosts.map((host) => ({ key: host.name, ...host }))));
}

// Nothing is said of what has not come yet.
let tasks = [], replicasShown = null;
// How many tasks match the filters, how many there are, and what was asked for.
let taskTotal = null, taskCount = null, tasksAsked = "";
// The first of the tasks that lack replicas, and how many do.
const MOST_LACKING = 3;
let shortTasks = [], shortTotal = null;
const lacking = (task) => Math.max(0, task.persistent_replica_count - task.current_persistent_replica_count);
const SIGNS = { persistent: "●", evictable: "○", partial: "◐" }, GONE = "⊗";
const kindOf = (replica) => (!replica.complete ? "partial" : replica.persistent ? "persistent" : "evictable");
const hasLeft = (replica) => hosts.some((host) => host.name === replica.host && host.state === "left");
const named = (replica) => replica.host + (hasLeft(replica) ? " (has left)" : kindOf(replica) === "persistent" ? "" : ` (${kindOf(replica)})`);

/** What the page shows of a replica. */
const shown = (task, replica) => ({
  host: replica.host,
  name: named(replica),
  kind: kindOf(replica),
  isGone: hasLeft(replica),
  isNew: Boolean(replicasShown) && !replicasShown.has(`${task.task_id} ${replica.host}`),
});
/** The cells about replicas: a column for each host, or a list where there are too many hosts. */
function replicaCells(replicas, columns) {
  if (!columns) {
    return [el("td", replicas.map(({ name }) => name).join(", "), { class: replicas.some(({ isNew }) => isNew) ? "new" : "" })];
  }
  return columns.map((host) => {
    const cell = el("td", null, { class: "replica" });
    const replica = replicas.find((one) => one.host === host);
    if (replica) {
      const label = `${replica.kind} replica on ${host}${replica.isGone ? ", which has left: it does not count" : ""}`;
      const kind = replica.isGone ? "gone" : replica.isNew ? "new" : "";
      cell.append(el("span", replica.isGone ? GONE : SIGNS[replica.kind], { role: "img", "aria-label": label, title: label, class: kind }));
    }
    return cell;
  });
}
function taskRow({ task, replicas, columns }) {
  const row = el("tr");
  const wanted = task.persistent_replica_count, there = task.current_persistent_replica_count;
  const stateClass = { Succeeded: "good", Failed: "bad" }[task.state] || "warn";
  row.append(
    el("td", task.task_id, { class: "id mono", title: task.task_id }),
    el("td", task.state, { class: stateClass }),
    el("td", bytes(task.content_length)),
    el("td", `${there} of ${wanted}` + (lacking(task) ? `, lacks ${lacking(task)}` : ""), { class: lacking(task) ? "bad" : "" }),
    ...replicaCells(replicas, columns),
    el("td", null, { "data-expires": task.expires_at }),
    el("td", task.tag || "", { class: "id", title: task.tag || "" }),
    el("td", task.application || "", { class: "id", title: task.application || "" }),
  );
  const cell = el("td");
  cell.append(button("delete", `delete task ${task.task_id}`, () => act("delete " + task.task_id, "DELETE", "/tasks/" + part(task.task_id))));
  row.append(cell);
  return row;
}
/** The tasks that the filters ask for: there may be more than the page shows. */
function tasksQuery() {
  const { text, host } = filtered();
  return new URLSearchParams({ limit: MOST_TASKS, ...(text && { text }), ...(host && { host }) }).toString();
}
function showTasksOf(query, reply) {
  // What comes into the list by another filter is not new.
  if (query !== tasksAsked) replicasShown = null;
  [tasks, taskTotal, taskCount, tasksAsked] = [reply.tasks, reply.total, reply.all, query];
  showTasks();
}
const drawTasks = drawer(taskRow);
function showTasks() {
  const { text, host } = filtered();
  const wanted = tasks.filter((task) => (!text || [task.task_id, task.tag, task.application].some((field) => field && field.includes(text)))
    && (!host || task.replicas.some((replica) => replica.host === host)));
  const isPart = taskTotal > tasks.length, isFiltered = taskTotal !== taskCount;
  $("tasks-count").textContent = `${isPart ? "the first " : ""}${wanted.length} of ` + (isPart && isFiltered ? `${taskTotal} that match, of ${taskCount} in all` : taskCount ?? 0);
  const columns = hosts.length <= MOST_COLUMNS ? hosts : null;
  const heads = columns ? columns.map(({ name, state }) => el("th", name + (state === "running" ? "" : ` (${state})`), { scope: "col", class: state === "running" ? "" : "warn" })) : [el("th", "Replicas", { scope: "col" })];
  const head = (name) => el("th", name, { scope: "col" });
  $("tasks-head").replaceChildren(...["Task", "State", "Bytes", "Persistent"].map(head), ...heads, ...["Time left", "Tag", "Application", "Action"].map(head));
  $("legend").hidden = !columns;
  const names = columns && columns.map(({ name }) => name);
  const rows = drawTasks(wanted.map((task) => ({ key: task.task_id, task, replicas: task.replicas.map((replica) => shown(task, replica)), columns: names })));
  if (!rows.length) {
    const row = el("tr");
    const none = !taskCount ? "no tasks yet: import a file" : tasksQuery() === tasksAsked ? "no task matches the filters" : "looking for tasks …";
    row.append(el("td", none, { class: "dim", colspan: 8 + heads.length }));
    rows.push(row);
  }
  redraw($("tasks"), rows);
  showTimes();
  replicasShown = new Set(tasks.flatMap((task) => task.replicas.map((replica) => `${task.task_id} ${replica.host}`)));
  showGlance();
}

/** What a person looks for first: which tasks lack replicas, and why the last call failed. */
function showGlance() {
  const lines = [];
  const away = hosts.filter((host) => host.state !== "running").map((host) => `${host.name} ${host.state === "left" ? "has left the cluster" : "is stopped"}`);
  for (const task of shortTasks) {
    const counted = task.replicas.filter((replica) => !hasLeft(replica));
    const uncounted = task.replicas.filter(hasLeft).map((replica) => replica.host);
    const without = hosts.filter((host) => !task.replicas.some((replica) => replica.host === host.name)).map((host) => host.name);
    const few = (names, words) => (names.length && names.length <= 6 ? `; ${names.join(", ")} ${words[names.length === 1 ? 0 : 1]}` : "");
    lines.push([`Task ${task.task_id} lacks ${lacking(task)} of ${task.persistent_replica_count} persistent replicas: it is on ${counted.map(named).join(", ") || "no host"}`
      + `${few(without, ["has none", "have none"])}${few(uncounted, ["has one that does not count", "have some that do not count"])}.`, "bad"]);
  }
  const more = shortTotal - shortTasks.length;
  if (more > 0) lines.push([more === 1 ? "One more task lacks replicas." : `${more} more tasks lack replicas.`, "bad"]);
  if (away.length) lines.push([`${away.slice(0, 6).join(", ")}${away.length > 6 ? `, and ${away.length - 6} more` : ""}.`, "warn"]);
  if (taskCount === 0 && !isProxy) lines.push(["There are no tasks yet.", "dim"]);
  else if (shortTotal === 0 && taskCount) lines.push(["Every task has all its persistent replicas.", "good"]);
  const failed = failure;
  if (failed) lines.push([`The last call that failed is ${failed.call}, ${failed.rpc}${isProxy ? "" : " on " + failed.host}: ${failed.status.code}${failed.status.message ? ", " + failed.status.message : ""}${failed.fault ? `. Fault ${failed.fault.id} did that` : ""}.`, "bad"]);
  if (!failed) lines.push([isPartial ? `None of the last ${MOST_CALLS} calls and those that came since has failed.` : "No call has failed.", "good"]);
  $("glance").replaceChildren(...lines.map(([text, kind]) => el("li", text, { class: kind })));
}

function showTimes() {
  for (const cell of document.querySelectorAll("[data-expires]")) {
    const left = span(Date.parse(cell.dataset.expires) - now());
    if (cell.textContent !== left) cell.textContent = left;
  }
}
setInterval(() => {
  showClock();
  showTimes();
}, 1000);
