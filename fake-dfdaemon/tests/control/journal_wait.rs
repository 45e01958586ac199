//! Waiting for calls instead of sleeping until they have been made.

use std::pin::{Pin, pin};

use fake_dfdaemon::{Fault, Rpc};
use serde_json::{Value, json};

use crate::control::controlled::{Api, Controlled, column, import};
use crate::support::world::fired;

/// What a request is answered, unless it waits. Others that came after it are answered meanwhile: the daemon takes
/// requests in turn.
async fn unless_it_waits<T>(
    api: &Api,
    waiting: &mut Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let others = async {
        for _ in 0..3 {
            api.get("/health").await;
        }
    };
    tokio::select! {
        biased;
        answer = waiting => Some(answer),
        () = others => None,
    }
}

/// An import that hangs has an end in view: who waits for it waits no longer than it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_when_the_calls_have() {
    let w = Controlled::new().await;
    let stall = w.daemon.fault(Fault::on(Rpc::Stat).stall());
    let clients = [w.on_host(0).await, w.on_host(1).await];
    let calls = clients.map(|client| tokio::spawn(async move { client.stat("7").await }));
    fired(&stall, 2).await;
    let wait = json!({"rpc": "stat", "task": "7", "count": 2, "timeout": "5m"});
    let mut waiting = pin!(w.api.post("/journal/wait", wait));
    let early = unless_it_waits(&w.api, &mut waiting).await;
    assert_eq!(early, None, "nothing has ended");
    drop(stall);
    let came = waiting.await;
    assert_eq!(column(&came["calls"], "call"), [1, 2]);
    for call in calls {
        call.await.unwrap().unwrap_err();
    }
    // What has ended is not waited for.
    let again = w.api.post("/journal/wait", json!({"timeout": "5m"})).await;
    assert_eq!(again, came);
}

#[tokio::test]
async fn what_does_not_come_is_told_with_what_came_nearest() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    w.api.ask("/settle").await;
    w.on_host(0).await.stat(&id).await.unwrap();
    w.on_host(1).await.stat("7").await.unwrap_err();
    let wait = json!({"rpc": "stat", "host": "host-0", "count": 2, "timeout": "20ms"});
    let answer = w.api.send("POST", "/journal/wait", &wait.to_string()).await;
    assert_eq!(answer.status, 409);
    let error = &answer.body["error"];
    let message = "1 of 2 calls ended within 20ms; near misses: \
        call 4 (stat on host-1): host is host-1, not host-0";
    assert_eq!(error["message"], message);
    let near = &error["near_misses"];
    assert_eq!(near[0]["call"], 4);
    assert_eq!(near[0]["status"], "INTERNAL");
    let host = json!([{"field": "host", "wanted": "host-0", "got": "host-1"}]);
    assert_eq!(near[0]["differs"], host);
    // A task that no call was for: the nearest say which one they were for.
    let wait = json!({"task": "9", "rpc": "stat", "timeout": "0s"});
    let answer = w.api.send("POST", "/journal/wait", &wait.to_string()).await;
    let near = &answer.body["error"]["near_misses"];
    assert_eq!(column(near, "call"), [4, 3]);
    assert_eq!(near[1]["differs"][0]["got"], id);
    for _ in 0..6 {
        w.on_host(1).await.stat("7").await.unwrap_err();
    }
    let answer = w.api.send("POST", "/journal/wait", &wait.to_string()).await;
    let near = &answer.body["error"]["near_misses"];
    assert_eq!(column(near, "call").len(), 5, "the nearest few are enough");
}

/// A call that still runs is the likeliest reason why a wait is in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_still_runs_is_a_near_miss() {
    let w = Controlled::new().await;
    let stall = w.daemon.fault(Fault::on(Rpc::Import).stall());
    let (path, _) = w.new_file(10);
    let importing = w.on_host(0).await.begin_import(import(&path));
    fired(&stall, 1).await;
    let wait = json!({"rpc": "import", "timeout": "1ms"}).to_string();
    let answer = w.api.send("POST", "/journal/wait", &wait).await;
    let near = &answer.body["error"]["near_misses"][0];
    assert_eq!((&near["call"], &near["status"]), (&json!(1), &Value::Null));
    let reason = answer.body["error"]["message"].as_str().unwrap();
    assert!(
        reason.ends_with("call 1 (import on host-0) has not ended"),
        "{reason}"
    );
    drop(stall);
    importing.await.unwrap().unwrap();
}

/// The clock of the fake stands still meanwhile.
#[tokio::test]
async fn a_cleared_journal_lets_a_wait_begin_again() {
    let w = Controlled::new().await;
    let client = w.on_host(0).await;
    client.list().await.unwrap();
    let wait = json!({"rpc": "list", "count": 2, "timeout": "5m"});
    let mut waiting = pin!(w.api.post("/journal/wait", wait));
    let early = unless_it_waits(&w.api, &mut waiting).await;
    assert_eq!(early, None, "one has ended");
    w.api.delete("/journal").await;
    client.list().await.unwrap();
    let early = unless_it_waits(&w.api, &mut waiting).await;
    assert_eq!(early, None, "one has ended since");
    client.list().await.unwrap();
    assert_eq!(column(&waiting.await["calls"], "call"), [2, 3]);
}

#[tokio::test]
async fn a_wait_that_cannot_be_is_refused() {
    let w = Controlled::new().await;
    for (body, says) in [
        (
            "{\"rpc\":\"upload\"}",
            "rpc: no such call: upload; there are import,",
        ),
        ("{\"status\":\"BROKEN\"}", "BROKEN"),
        ("{\"host\":\"host-9\"}", "host-9"),
        ("{\"count\":0}", "count"),
        (
            "{\"timeout\":\"soon\"}",
            "timeout: \"soon\" is not a duration; write",
        ),
        (
            "{\"count\":-1}",
            "count: -1 is not a whole number such as 2",
        ),
        (
            "{\"after\":\"x\"}",
            "after: \"x\" is not a whole number such as 2",
        ),
        ("{\"patience\":\"1s\"}", "patience"),
        // A test that has lost the id of its task does not wait for any call.
        ("{\"rpc\":null}", "rpc"),
        ("{\"status\":null}", "status"),
        ("{\"task\":null}", "task"),
        ("{\"host\":null}", "host"),
        ("{\"after\":null}", "after"),
        ("{\"count\":null}", "count"),
        ("{\"timeout\":null}", "timeout"),
    ] {
        let request = ("POST", "/journal/wait", body);
        w.api.refuses(400, request, &[says]).await;
    }
}

/// Who waits does not keep the daemon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_stops_ends_a_wait() {
    let Controlled { world, api } = Controlled::new().await;
    let wait = ("POST", "/journal/wait", "{\"timeout\":\"5m\"}");
    let mut refused = pin!(api.refuses(409, wait, &["stopping"]));
    assert_eq!(unless_it_waits(&api, &mut refused).await, None);
    // Before its connection would be cut off, since an answer comes.
    tokio::join!(refused, world.stop());
}
