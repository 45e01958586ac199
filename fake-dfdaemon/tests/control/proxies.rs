//! The API of a proxy: that of a fake, without what a proxy cannot know.

use std::collections::BTreeSet;
use std::process::Command;

use http_body_util::BodyExt as _;
use serde_json::json;

use crate::control::controlled::{Api, Controlled, column};
use crate::control::events::Reader;
use crate::support::client::Client;
use crate::support::control::Address;
use crate::support::process::Process;

/// A proxy in front of the first host, with its API.
async fn proxy(w: &Controlled, options: &[&str]) -> (Process, Api) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-dfdaemon"));
    command
        .arg("proxy")
        .arg("--upstream")
        .arg(w.daemon.endpoint());
    command.arg("--socket").arg(w.path("in"));
    command
        .arg("--control")
        .arg(w.path("control"))
        .args(options);
    let process = Process::start(&mut command);
    assert_eq!(process.path("control"), w.path("control"));
    let api = Api::at(Address::socket(&w.path("control"))).await;
    (process, api)
}

#[tokio::test]
async fn a_proxy_has_faults_journal_events_metrics_and_the_page() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    let (_proxy, api) = proxy(&w, &["--fault", "list:error=ABORTED", "--fault-seed", "7"]).await;
    let health = api.get("/health").await;
    assert_eq!(health["role"], "proxy");
    assert_eq!(health["fault_seed"], 7);
    assert_eq!(health["upstream"], json!(w.daemon.endpoint()));
    assert_eq!(api.get("/clock").await["mode"], "system");

    let mut events = api
        .address()
        .begin("GET", "/events?kinds=call-ended,fault-fired", "")
        .await;
    let client = Client::connect(&w.path("in")).await;
    let added =
        json!({"on": "stat", "times": 1, "do": {"error": {"code": "DATA_LOSS", "message": "m"}}});
    let added = api.post("/faults", added).await;
    assert_eq!(client.stat(&id).await.unwrap_err().message(), "m");
    client.stat(&id).await.unwrap();
    client.list().await.unwrap_err();
    let faults = api.get("/faults").await;
    assert_eq!(faults["faults"][1]["id"], added["id"]);
    assert_eq!(faults["faults"][1]["fired"], 1);
    let waited = api
        .post(
            "/journal/wait",
            json!({"rpc": "stat", "count": 2, "host": "upstream"}),
        )
        .await;
    assert_eq!(waited["calls"].as_array().unwrap().len(), 2);
    let journal = api
        .get(&format!("/journal?task={id}&status=DATA_LOSS"))
        .await;
    assert_eq!(journal["calls"][0]["fault"]["id"], added["id"]);
    assert_eq!(journal["calls"][0]["host"], "upstream");
    assert_eq!(api.get("/journal/count").await["count"], 3);

    let mut stream_text = String::new();
    while stream_text.matches("event: call-ended").count() < 3
        || stream_text.matches("event: fault-fired").count() < 2
    {
        let frame = events.body_mut().frame().await.unwrap().unwrap();
        stream_text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    for (path, says) in [
        (
            "/metrics",
            "fake_dfdaemon_calls_total{rpc=\"stat\",status=\"DATA_LOSS\"} 1\n",
        ),
        ("/metrics", "fake_dfdaemon_build_info{version=\""),
        ("/", "<h1>fake-dfdaemon</h1>"),
    ] {
        let answer = api.address().begin("GET", path, "").await;
        assert_eq!(answer.status(), 200);
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains(says), "{path}: {text}");
        assert!(
            path == "/" || !text.contains("fake_dfdaemon_hosts"),
            "{text}"
        );
    }

    // As at the start: the fault of the command line, and no call.
    api.delete("/faults").await;
    client.list().await.unwrap();
    api.ask("/reset").await;
    client.list().await.unwrap_err();
    assert_eq!(api.get("/journal/count").await["count"], 1);
    let faults = api.get("/faults").await;
    assert_eq!(faults["faults"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_proxy_cannot_know_is_refused_by_name_and_not_in_the_document() {
    let w = Controlled::new().await;
    let (_proxy, api) = proxy(&w, &[]).await;
    let paths: BTreeSet<_> = api.document()["paths"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    for (method, path) in [
        ("GET", "/hosts"),
        ("POST", "/hosts/host-0/stop"),
        ("GET", "/tasks"),
        ("DELETE", "/tasks/7"),
        ("POST", "/settle"),
        ("POST", "/gc"),
        ("GET", "/snapshots"),
        ("POST", "/snapshots/a/restore"),
        ("GET", "/settings"),
        ("PATCH", "/settings"),
    ] {
        assert!(!paths.contains(&path.to_owned()), "{path}");
        let says = ["a proxy does not know", path];
        api.refuses(404, (method, path, ""), &says).await;
    }
    api.refuses(405, ("POST", "/clock", ""), &["/clock does not take POST"])
        .await;
    let fault = r#"{"on":"import","do":{"no_space":true}}"#;
    let why = ["no_space: a proxy has no store"];
    api.refuses(400, ("POST", "/faults", fault), &why).await;
    api.refuses(
        400,
        ("GET", "/journal?host=host-0", ""),
        &["there is no host host-0"],
    )
    .await;
    assert_eq!(api.get("/faults").await, json!({"faults": []}));
}

/// A fault that stalls a call can be removed, and the call goes on to the daemon.
#[tokio::test]
async fn a_call_that_is_stalled_before_a_daemon_goes_on_when_its_fault_is_removed() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    let (process, api) = proxy(&w, &["--fault", "stat:stall"]).await;
    let client = Client::connect(&w.path("in")).await;
    let mut begins = Reader::of_kind(&api, "call-begun").await;
    let asked = tokio::spawn({
        let (client, id) = (client.clone(), id.clone());
        async move { client.stat(&id).await }
    });
    begins.until("call", vec![1]).await;
    let running = api.get("/journal?running=true").await;
    assert_eq!(column(&running["calls"], "call"), [1]);
    assert_eq!(w.daemon.journal().calls(fake_dfdaemon::Rpc::Stat).len(), 0);
    api.delete("/faults/1").await;
    assert_eq!(asked.await.unwrap().unwrap().id, id);
    // And one that is stalled does not keep the proxy from its end.
    api.post("/faults", json!({"on": "stat", "do": {"stall": true}}))
        .await;
    let asked = tokio::spawn(async move { client.stat(&id).await });
    begins.until("call", vec![2]).await;
    assert!(process.end(rustix::process::Signal::TERM).success());
    assert_eq!(
        asked.await.unwrap().unwrap_err().code(),
        tonic::Code::Unavailable
    );
}

/// The words of `ctl` are those of a fake's.
#[tokio::test]
async fn ctl_speaks_to_a_proxy_too() {
    let w = Controlled::new().await;
    let (_proxy, api) = proxy(&w, &[]).await;
    let ctl = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fake-dfdaemon"));
        command
            .arg("ctl")
            .arg("--control")
            .arg(w.path("control"))
            .args(words);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    assert_eq!(ctl(&["faults", "add", "stat:stall"]).0, Some(0));
    assert_eq!(api.get("/faults").await["faults"][0]["on"], "stat");
    let (code, text) = ctl(&["hosts"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("a proxy does not know"), "{text}");
    assert_eq!(ctl(&["reset"]).0, Some(0));
}
