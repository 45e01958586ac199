//! Events are sent as they happen.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use fake_dfdaemon::{Fault, Rpc};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};
use testkit::wait::HANGS;
use tonic::Code;

use crate::control::controlled::{Api, Controlled};

/// A reader of events.
pub(super) struct Reader {
    body: Incoming,
    read: String,
}

#[derive(Debug)]
struct Event {
    id: Option<String>,
    kind: String,
    data: Value,
}

impl Reader {
    /// Of what happens from now on, or since the last one that was read.
    async fn of(w: &Controlled, path: &str, last: Option<&str>) -> Self {
        Self::at(&w.api, path, last).await
    }

    /// Of what happens of one kind from now on.
    pub(super) async fn of_kind(api: &Api, kind: &str) -> Self {
        Self::at(api, &format!("/events?kinds={kind}"), None).await
    }

    async fn at(api: &Api, path: &str, last: Option<&str>) -> Self {
        let mut headers = vec![("host", "localhost")];
        headers.extend(last.map(|id| ("last-event-id", id)));
        let address = api.address();
        let response = address.begin_with("GET", path, &headers, "").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut reader = Self {
            body: response.into_body(),
            read: String::new(),
        };
        if last.is_none() {
            // From here on it follows.
            let greeting = reader.block().await.unwrap();
            assert!(greeting.starts_with(':'), "{greeting}");
        }
        reader
    }

    /// What stands before the next empty line; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.find("\n\n") {
                let rest = self.read.split_off(end + 2);
                let block = std::mem::replace(&mut self.read, rest);
                return Some(block.trim_end().to_owned());
            }
            let frame = tokio::time::timeout(HANGS, self.body.frame());
            let frame = frame.await.expect("nothing is seen")?.ok()?;
            let data = frame.into_data().unwrap();
            self.read.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// Waits until this field has had each of these values.
    pub(super) async fn until(&mut self, field: &str, mut values: Vec<u64>) {
        while !values.is_empty() {
            let event = self.next().await;
            values.retain(|value| event.data[field] != *value);
        }
    }

    async fn next(&mut self) -> Event {
        loop {
            let block = self.block().await.expect("there is no more");
            if block.starts_with(':') {
                continue;
            }
            let field = |name: &str| {
                let lines = block.lines();
                let value = lines
                    .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                    .next();
                value.map(str::to_owned)
            };
            return Event {
                id: field("id"),
                kind: field("event").unwrap(),
                data: serde_json::from_str(&field("data").unwrap()).unwrap(),
            };
        }
    }
}

#[tokio::test]
async fn everything_that_happens_is_told() {
    let w = Controlled::new().await;
    let mut reader = Reader::of(&w, "/events", None).await;
    let id = w.imported(10).await;
    w.api.ask("/settle").await;
    let mut kinds = Vec::new();
    let mut begun = Vec::new();
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let event = reader.next().await;
        match event.kind.as_str() {
            "call-begun" => begun.push(event.data["call"].clone()),
            "call-ended" => ended.push(event.data["call"].clone()),
            _ => assert_eq!(event.data["task_id"], id, "{event:?}"),
        }
        kinds.push(event.kind);
    }
    assert_eq!(begun, [1, 2]);
    assert_eq!(kinds[0], "call-begun");
    assert!(kinds.contains(&"task".to_owned()) && kinds.contains(&"replica".to_owned()));
    // The replicas are made beside the import: either of the two calls may end first.
    ended.sort_by_key(Value::as_u64);
    assert_eq!(ended, begun);

    let of = "/events?kinds=fault-fired,host,clock,task-removed";
    let mut reader = Reader::of(&w, of, None).await;
    let guard = w.daemon.fault(Fault::on(Rpc::List).error(Code::Aborted));
    w.on_host(0).await.list().await.unwrap_err();
    let fired = reader.next().await;
    assert_eq!(fired.kind, "fault-fired");
    assert_eq!(
        (&fired.data["id"], &fired.data["call"]),
        (&json!(guard.id()), &json!(3))
    );
    w.api.ask("/hosts/host-2/stop").await;
    let host = reader.next().await;
    assert_eq!(host.data, json!({"name": "host-2", "state": "stopped"}));
    w.api.post("/clock", json!({"advance": "1h"})).await;
    let clock = reader.next().await;
    assert_eq!(clock.data["now"], w.api.get("/clock").await["now"]);
    w.api.ask("/settle").await;
    w.api.ask("/gc").await;
    let removed = reader.next().await;
    assert_eq!(removed.data, json!({ "task_id": id }));
}

const OF_OTHERS: &str = "/events?kinds=faults,settings,snapshots,journal-cleared";

/// A page that is open shows at once what other clients of the API change.
#[tokio::test]
async fn changes_by_other_clients_are_told() {
    let w = Controlled::new().await;
    let mut reader = Reader::of(&w, OF_OTHERS, None).await;
    let mut seen = async |kind: &str, data: Value| {
        let event = reader.next().await;
        assert_eq!((event.kind.as_str(), event.data), (kind, data));
    };
    let guard = w.daemon.fault(Fault::on(Rpc::List).error(Code::Aborted));
    seen("faults", json!({"armed": 1})).await;
    drop(guard);
    seen("faults", json!({"armed": 0})).await;
    let given = w.api.get("/settings").await;
    let change = json!({"capacity": 5}).to_string();
    let changed = w.api.send("PATCH", "/settings", &change).await.body;
    seen("settings", changed).await;
    w.api.ask("/snapshots/before").await;
    seen("snapshots", json!({"name": "before", "state": "taken"})).await;
    w.api.send("DELETE", "/snapshots/before", "").await;
    seen("snapshots", json!({"name": "before", "state": "removed"})).await;
    w.api.send("DELETE", "/journal", "").await;
    seen("journal-cleared", json!({})).await;
    w.api.ask("/reset").await;
    // A watcher of the list tells of faults: sooner or later.
    let mut all = Vec::new();
    for _ in 0..3 {
        let event = reader.next().await;
        all.push((event.kind, event.data));
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let expected = [
        ("faults", json!({"armed": 0})),
        ("journal-cleared", json!({})),
        ("settings", given),
    ];
    assert_eq!(all, expected.map(|(kind, data)| (kind.to_owned(), data)));
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing() {
    let w = Controlled::new().await;
    let client = w.on_host(0).await;
    let path = "/events?kinds=call-ended";
    let mut reader = Reader::of(&w, path, None).await;
    client.list().await.unwrap();
    let first = reader.next().await;
    drop(reader);
    for _ in 0..2 {
        client.list().await.unwrap();
    }
    let mut back = Reader::of(&w, path, first.id.as_deref()).await;
    for call in [2, 3] {
        assert_eq!(back.next().await.data["call"], call);
    }
    // One of another start has missed nobody knows how much.
    for other in ["other-1", "", "\u{e9}"] {
        let headers = [("host", "localhost"), ("last-event-id", other)];
        let address = w.api.address();
        let response = address.begin_with("GET", path, &headers, "").await;
        let mut reader = Reader {
            body: response.into_body(),
            read: String::new(),
        };
        let block = reader.block().await.unwrap();
        let says_so = block.ends_with("event: missed\ndata: {\"missed\":null}");
        assert_eq!(says_so, other == "other-1", "{block}");
    }
}

/// A browser reconnects with the last id that it received, also that of an event which says that it missed
/// some.
#[tokio::test]
async fn a_reader_that_comes_back_too_late_is_told_so_once() {
    let w = Controlled::new().await;
    let client = w.on_host(0).await;
    let mut reader = Reader::of(&w, "/events", None).await;
    client.list().await.unwrap();
    let first = reader.next().await;
    drop(reader);
    // Each is a long event: so many are not kept.
    let long = "x".repeat(64 << 10);
    for _ in 0..100 {
        client.stat(&long).await.unwrap_err();
    }
    let mut late = Reader::of(&w, "/events", first.id.as_deref()).await;
    let missed = late.next().await;
    assert_eq!(missed.kind, "missed");
    let count = missed.data["missed"].as_u64().unwrap();
    assert!((1..200).contains(&count), "{count}");
    assert_eq!(late.block().await, None, "it is let go");
    let mut back = Reader::of(&w, "/events", missed.id.as_deref()).await;
    let (id, next) = (missed.id.unwrap(), back.next().await);
    let number = |id: &str| id.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
    assert_eq!(
        number(&next.id.unwrap()),
        number(&id) + 1,
        "nothing between"
    );
    assert_eq!(number(&id), number(&first.id.unwrap()) + count);
}

/// A page that shows calls to a person takes some of them, and knows how many there were.
#[tokio::test]
async fn a_reader_of_a_sample_is_told_how_many_were_left_out() {
    const CALLS: u64 = 300;
    let w = Controlled::new().await;
    let client = w.on_host(0).await;
    let path = "/events?kinds=call-ended,clock&sample=2";
    let mut reader = Reader::of(&w, path, None).await;
    client.stat("no such task").await.unwrap_err();
    for _ in 1..CALLS {
        client.list().await.unwrap();
    }
    w.api.post("/clock", json!({"advance": "1h"})).await;
    let (mut seen, mut left_out, mut last) = (Vec::new(), 0, None);
    let mut is_over = false;
    while !is_over || seen.len() as u64 + left_out < CALLS {
        let event = reader.next().await;
        match event.kind.as_str() {
            "call-ended" => seen.push(event.data["call"].as_u64().unwrap()),
            "left-out" => left_out += event.data["call-ended"].as_u64().unwrap(),
            _ => is_over = true,
        }
        last = event.id;
    }
    assert_eq!((seen[0], *seen.last().unwrap()), (1, CALLS), "{seen:?}");
    assert_eq!(seen.len() as u64 + left_out, CALLS);
    assert!(left_out > 0 && seen.is_sorted());
    // It goes on after those that were left out too.
    let mut back = Reader::of(&w, path, last.as_deref()).await;
    client.list().await.unwrap();
    assert_eq!(back.next().await.data["call"], CALLS + 1);
}

#[tokio::test]
async fn events_that_there_are_none_of_are_refused() {
    let w = Controlled::new().await;
    for (query, says) in [
        ("kinds=call-ended,weather", "weather"),
        ("color=red", "color"),
        ("sample=0", "sample: must be from 1 to 1000"),
        ("sample=1001", "sample: must be from 1 to 1000"),
        (
            "sample=few",
            "sample: \"few\" is not a whole number such as 2",
        ),
    ] {
        let path = format!("/events?{query}");
        w.api.refuses(400, ("GET", &path, ""), &[says]).await;
    }
}

/// A reader that takes nothing keeps neither calls nor the daemon's end, and is let go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stall_are_let_go() {
    let w = Controlled::new().await;
    let mut stalled = Reader::of(&w, "/events", None).await;
    let mut deaf = UnixStream::connect(w.daemon.control()).unwrap();
    let asked = b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    deaf.write_all(asked).unwrap();
    // From the first byte of its answer on it follows.
    deaf.read_exact(&mut [0]).unwrap();
    let mut quick = Reader::of(&w, "/events?kinds=clock", None).await;
    let client = w.on_host(0).await;
    // Each is a long event: so many are not kept.
    let long = "x".repeat(64 << 10);
    for _ in 0..100 {
        client.stat(&long).await.unwrap_err();
    }
    w.api.post("/clock", json!({"advance": "1h"})).await;
    assert_eq!(quick.next().await.kind, "clock");
    // The connection of one that never reads again is closed.
    let closed = tokio::task::spawn_blocking(move || {
        let within = HANGS.try_into().unwrap();
        poll(&mut [PollFd::new(&deaf, PollFlags::empty())], Some(&within))
    });
    assert_eq!(closed.await.unwrap(), Ok(1), "it stays open");
    // One that reads again finds that it has been let go, and not all that happened.
    let mut seen = 0;
    while let Some(block) = stalled.block().await {
        seen += 1;
        if block.starts_with("event: missed") {
            break;
        }
    }
    assert!(
        seen < 200,
        "{seen} events were kept for a reader that stalled"
    );
    let mut more = Reader::of(&w, "/events", None).await;
    tokio::time::timeout(HANGS, w.world.stop()).await.unwrap();
    while more.block().await.is_some() {}
}
