//! Faults as a test arms them.

use std::time::Duration;

use fake_dfdaemon::{Code, FakeDfdaemon, Fault, FaultBuilder, Rpc, block_on};
use serde_json::{Value, json};

use crate::support::client::Client;

/// A method of the builder that takes no argument.
type Plain = fn(FaultBuilder) -> Fault;

#[test]
fn each_action_of_the_grammar_has_a_method() {
    let on = || Fault::on(Rpc::Export);
    let plain: [(&str, Plain); 16] = [
        ("stall", FaultBuilder::stall),
        ("reset", FaultBuilder::reset),
        ("no_host", FaultBuilder::no_host),
        ("no_scheduler", FaultBuilder::no_scheduler),
        ("overloaded", FaultBuilder::overloaded),
        ("end", FaultBuilder::end),
        ("skip_piece", FaultBuilder::skip_piece),
        ("repeat_piece", FaultBuilder::repeat_piece),
        ("shuffle_pieces", FaultBuilder::shuffle_pieces),
        ("corrupt_piece", FaultBuilder::corrupt_piece),
        ("corrupt_digest", FaultBuilder::corrupt_digest),
        ("empty_digest", FaultBuilder::empty_digest),
        ("no_content", FaultBuilder::no_content),
        ("no_space", FaultBuilder::no_space),
        ("disk_error", FaultBuilder::disk_error),
        ("torn_write", FaultBuilder::torn_write),
    ];
    for (name, method) in plain {
        let json: Value = serde_json::from_str(&method(on()).to_json()).unwrap();
        assert_eq!(json["do"], json!({name: true}));
        assert_eq!(format!("export:{name}").parse(), Ok(method(on())));
    }
    for (written, fault) in [
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
