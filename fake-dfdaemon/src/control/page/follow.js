
// A proxy does not know what the daemon behind it holds: what is about that is left out.
function showProxy() {
  isProxy = true;
  for (const part of document.querySelectorAll("[data-of-fakes]")) part.hidden = true;
  for (const option of [...fault.on.options, ...filters.rpc.options]) if (["replicate", "transfer", "connect"].includes(option.value)) option.remove();
  for (const option of [...fault.do.options]) if (["store", "connection"].includes(ACTIONS[option.value].scope)) option.remove();
}

// How long a change waits for others at least, in milliseconds.
const BETWEEN = 400;
let isBusy = false, isAgain = false;
async function refresh() {
  if (isBusy) { isAgain = true; return; }
  isBusy = true;
  const begun = performance.now();
  try {
    // Each is drawn as soon as it comes: of many tasks some take a while.
    const drawn = [
      ask("GET", "/faults").then((reply) => showFaults(reply.faults)),
      ask("GET", "/clock").then((reply) => {
        clock = reply;
        clockAt = performance.now();
        showClock();
      }),
    ];
    if (isProxy) showGlance();
    else {
      const withHosts = ask("GET", "/hosts").then((reply) => {
        hosts = reply.hosts;
        showHosts();
        showGlance();
      });
      // The hosts are what the filters can name.
      const listed = withHosts.then(async () => {
        const query = tasksQuery();
        return [query, await ask("GET", "/tasks?" + query)];
      });
      drawn.push(
        withHosts,
        listed.then(([query, reply]) => showTasksOf(query, reply)),
        ask("GET", `/tasks?lacking=true&limit=${MOST_LACKING}`).then((reply) => {
          shortTasks = reply.tasks;
          shortTotal = reply.total;
          showGlance();
        }),
        ask("GET", "/snapshots").then((reply) => showSnapshots(reply.snapshots)),
        ask("GET", "/settings").then((reply) => showSettings(reply)),
      );
    }
    await Promise.all(drawn);
  } catch (error) { say(error.message, "bad"); }
  setTimeout(() => {
    isBusy = false;
    if (isAgain) { isAgain = false; refresh(); }
  }, Math.max(BETWEEN, 2 * (performance.now() - begun)));
}

/** The calls before the page was opened. */
async function readJournal() {
  const { last } = await ask("GET", "/journal/count");
  const after = Math.max(0, (last || 0) - MOST_CALLS);
  const [ended, running] = await Promise.all([ask("GET", `/journal?after=${after}&limit=${MOST_CALLS}`), ask("GET", `/journal?running=true&limit=${MOST_CALLS}`)]);
  isPartial = after > 0;
  for (const call of [...ended.calls, ...running.calls]) if (!calls.has(call.call) || call.status) keepCall(call);
  drawCalls();
}

const CHANGES = ["task", "task-removed", "replica", "replica-removed", "host", "clock", "fault-fired", "faults", "settings", "snapshots"];
function follow() {
  const source = new EventSource(`/events?sample=${SAMPLE}`);
  source.addEventListener("open", () => {
    $("link").textContent = "live";
    $("link").className = "good";
    refresh();
    readJournal().catch((error) => say(error.message, "bad"));
  });
  source.addEventListener("error", () => {
    $("link").textContent = "not connected, trying again";
    $("link").className = "bad";
  });
  source.addEventListener("call-begun", (event) => noteCall(event.data, false));
  source.addEventListener("call-ended", (event) => noteCall(event.data, true));
  source.addEventListener("left-out", (event) => noteLeftOut(event.data));
  source.addEventListener("journal-cleared", forgetCalls);
  source.addEventListener("missed", (event) => {
    const { missed } = JSON.parse(event.data);
    // The events of another start: nothing that is shown here is true any more.
    if (missed === null) location.reload();
    else say(`the browser was too slow: ${missed} events are missing`, "warn");
  });
  for (const kind of CHANGES) source.addEventListener(kind, refresh);
}

(async () => {
  for (const name of ["text", "rpc", "ended"]) if (query.has(name)) filters[name].value = query.get(name);
  try {
    const health = await ask("GET", "/health");
    if (health.role) showProxy();
    else await nameQuirks();
    const what = health.role ? `${health.role} of ${health.upstream || health.cassette}` : `plays dfdaemon ${health.dfdaemon_version} on ${health.hosts} hosts`;
    $("about").textContent = `${health.version}, ${what}, fault seed ${health.fault_seed}`;
  } catch (error) { say(error.message, "bad"); }
  await refresh();
  follow();
})();
