//! Faults as a test arms them.

use std::time::Duration;

use fake_dfdaemon::{Code, FakeDfdaemon, Fault, Rpc, block_on};
use serde_json::{Value, json};

use crate::support::client::Client;

/// They are made of the same table as the grammar.
#[test]
fn a_method_of_the_builder_is_the_action_of_its_name() {
    let on = || Fault::on(Rpc::Export);
    assert_eq!(
        serde_json::from_str::<Value>(&on().no_scheduler().to_json()).unwrap(),
        json!({"on": "export", "do": {"no_scheduler": true}})
    );
    for (written, fault) in [
        ("stall", on().stall()),
        ("corrupt_piece", on().corrupt_piece()),
        ("torn_write", on().torn_write()),
        ("delay=2s", on().delay(Duration::from_secs(2))),
        (
            "delay=2s..3s",
            on().delay_between(Duration::from_secs(2), Duration::from_secs(3)),
        ),
        ("bandwidth=7", on().bandwidth(7)),
        ("wrong_length=-3", on().wrong_length(-3)),
        ("wrong_content_length=3", on().wrong_content_length(3)),
    ] {
        assert_eq!(format!("export:{written}").parse(), Ok(fault));
    }
}

#[test]
fn a_fault_that_is_kept_outlives_its_guard() {
    let daemon = FakeDfdaemon::start_blocking().unwrap();
    let code = || {
        let endpoint = daemon.endpoint().to_owned();
        let runtime = crate::support::runtime();
        runtime.block_on(async {
            let client = Client::connect(&endpoint).await;
            client.stat("7").await.unwrap_err().code()
        })
    };
    let gone = || Fault::on(Rpc::Stat).error(Code::Aborted);
    drop(daemon.fault(gone()));
    assert_ne!(code(), Code::Aborted);
    daemon.fault(gone()).keep();
    assert_eq!(code(), Code::Aborted);
    block_on(daemon.reset()).unwrap();
    assert_ne!(code(), Code::Aborted);
}
