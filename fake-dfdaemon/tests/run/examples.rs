//! The worked examples for other languages, as far as this machine has the tools. Those that need
//! dfcache are run with it, in the end-to-end tests.

use std::path::Path;
use std::process::Command;

use testkit::program::skipped;

use crate::run::sandbox::Sandbox;

#[test]
fn the_control_api_is_asked_with_curl_alone() {
    let curl = Command::new("curl").arg("--version").output();
    if !curl.is_ok_and(|curl| curl.status.success()) {
        skipped("there is no curl");
        return;
    }
    let w = Sandbox::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/examples");
    let script = examples.join("control.sh");
    let options = [
        "--clock",
        "manual=2026-01-02T03:04:05Z",
        "--fault-seed",
        "7",
    ];
    let ended = w
        .run(&options, &["sh", script.to_str().unwrap()])
        .exits_with(0);
    let mut filters = insta::Settings::clone_current();
    filters.add_filter(r#"/[^ "]*/fake-dfdaemon-[A-Za-z0-9]+"#, "[STATE]");
    filters.bind(|| {
        insta::assert_snapshot!(ended.stdout, @r#"
        {"version":"0.1.0","dfdaemon_version":"0.2","hosts":3,"fault_seed":7}
        {"mode":"manual","now":"2026-01-02T05:04:05Z"}
        {"on":"stat","call":1,"do":{"error":{"code":"UNAVAILABLE","message":"an injected fault"}},"id":1,"fired":0}
        {"name":"host-1","endpoint":"[STATE]/host-1.sock","upload_endpoint":"[STATE]/host-1.upload.sock","state":"stopped","tasks":0,"used_bytes":0,"capacity_bytes":null}
        {"calls":[]}
        "#);
    });
    w.leaves_nothing();
}
