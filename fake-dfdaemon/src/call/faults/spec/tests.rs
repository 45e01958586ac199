use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tonic::Code;

use super::*;

#[test]
fn both_forms_of_the_documented_example_are_the_same_fault() {
    let json = json!({"on":"export","call":2,"piece":3,"do":{"error":{"code":"UNAVAILABLE","message":"gone"}}});
    let written = Fault::on(Rpc::Export)
        .call(2)
        .piece(3)
        .error_with(Code::Unavailable, "gone");
    assert_eq!(Fault::from_value(&json), Ok(written.clone()));
    assert_eq!(
        "export@call=2,piece=3:error=UNAVAILABLE:gone".parse(),
        Ok(written.clone())
    );
    assert_eq!(json.to_string().parse(), Ok(written));
}

#[test]
fn every_selector_reads_as_it_is_written() {
    let call = Fault::on(Rpc::Import)
        .host("host-1")
        .task("7")
        .tag("t")
        .application("a")
        .call(2)
        .times(3)
        .probability(0.5);
    let call_text = "import@host=host-1,task=7,tag=t,application=a,call=2,times=3,probability=0.5";
    let before = Fault {
        phase: Some(Phase::Before),
        ..call.clone().reset()
    };
    for (text, fault) in [
        (call_text.to_owned(), call.clone().reset()),
        (format!("{call_text},phase=before"), before),
        (format!("{call_text},phase=after"), call.after().reset()),
        ("*@piece=4".to_owned(), Fault::on_any().piece(4).reset()),
        ("*@bytes=5".to_owned(), Fault::on_any().bytes(5).reset()),
    ] {
        assert_eq!(format!("{text}:reset").parse(), Ok(fault.clone()));
        assert_eq!(Fault::from_value(&fault.to_value()), Ok(fault));
    }
}

#[test]
fn mistakes_are_refused_by_name() {
    for (text, named) in [
        ("stat", "ON[@KEY=VALUE,…]:DO[=ARG]"),
        ("upload:stall", "no such call: upload"),
        ("stat:explode", "no such action: explode"),
        ("stat@color=red:stall", "unknown key color"),
        ("stat@call:stall", "\"call\" is not of the form"),
        ("stat@call=0:stall", "call: calls are counted from 1"),
        (
            "stat@call=x:stall",
            "call: \"x\" is not a whole number such as 2",
        ),
        (
            "export@piece=4294967296:end",
            "piece: \"4294967296\" is too large",
        ),
        ("stat@times=:stall", "times: \"\" is not a whole number"),
        ("{\"on\":stat}", "not JSON: expected value"),
        (
            "stat@probability=2:stall",
            "probability: must be from 0 to 1",
        ),
        ("stat@phase=during:stall", "phase: no such phase: during"),
        (
            "stat@piece=1:stall",
            "piece, bytes: only an export has pieces",
        ),
        ("export@piece=1,bytes=2:stall", "give only one of them"),
        ("export@piece=1,phase=after:stall", "phase: goes only with"),
        ("import@phase=after:no_space", "phase: goes only with"),
        ("export@phase=after:end", "phase: goes only with"),
        (
            "export@piece=1:shuffle_pieces",
            "shuffle_pieces: acts on no single piece",
        ),
        (
            "export@bytes=1:torn_write",
            "torn_write: acts on no single piece",
        ),
        ("stat:end", "end: only an export has a stream"),
        (
            "stat:no_space",
            "no_space: only import, export and replicate",
        ),
        ("stat:error=BROKEN", "no such status code: BROKEN"),
        ("stat:delay=soon", "delay takes a duration"),
        ("stat:delay=2s..1s", "delay takes a duration"),
        ("stat:delay=1s..", "delay takes a duration"),
        ("export:bandwidth=0", "bandwidth takes bytes"),
        (
            "export:wrong_length=many",
            "wrong_length takes a whole number",
        ),
        ("stat:stall=1", "stall takes no argument"),
        (
            "{\"on\":\"stat\",\"do\":{\"stall\":true},\"color\":1}",
            "unknown field `color`",
        ),
        (
            "{\"on\":\"stat\",\"do\":{\"stall\":true,\"reset\":true}}",
            "\"do\" holds one action",
        ),
        ("{\"on\":\"stat\"}", "missing field `do`"),
        (
            "{\"on\":\"stat\",\"call\":\"two\",\"do\":{\"stall\":true}}",
            "call: \"two\" is not a whole number such as 2",
        ),
        (
            "{\"on\":\"stat\",\"do\":{\"error\":{\"message\":\"x\"}}}",
            "the field code is missing",
        ),
        (
            "{\"on\":\"stat\",\"do\":{\"error\":{\"code\":\"ABORTED\",\"details\":\"?\"}}}",
            "details must be base64",
        ),
    ] {
        let error = text.parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
    for (fault, named) in [
        (json!({}), "missing field `on`"),
        (json!({"on": 7, "do": {"stall": true}}), "on: "),
        (json!({"on": "stat", "do": "stall"}), "\"do\""),
        (json!({"on": "stat", "do": {}}), "\"do\""),
        (json!({"on": "stat", "do": {"stall": false}}), "stall"),
        (json!({"on": "stat", "do": {"delay": 200}}), "delay"),
        (json!({"on": "stat", "do": {"error": "GONE"}}), "GONE"),
        (json!({"on": "stat", "do": {"error": {"code": 5}}}), "code"),
    ] {
        let error = Fault::from_value(&fault).unwrap_err().to_string();
        assert!(error.contains(named), "{fault}: {error}");
    }
    for (key, value) in [
        ("call", json!(0)),
        ("call", json!("2")),
        ("times", json!(-1)),
        ("probability", json!(1.5)),
        ("phase", json!("during")),
        ("piece", json!(1)),
        ("task", json!(7)),
    ] {
        let mut fault = json!({"on": "stat", "do": {"stall": true}});
        fault[key] = value;
        let error = Fault::from_value(&fault).unwrap_err().to_string();
        assert!(error.contains(key), "{fault}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_fault_or_refused(text in ".{0,60}") {
        if let Ok(fault) = text.parse::<Fault>() {
            prop_assert_eq!(Fault::from_value(&fault.to_value()), Ok(fault));
        }
    }

    #[test]
    fn selectors_read_as_they_are_written(
        host in prop::option::of("[a-z0-9-]{1,8}"), tag in prop::option::of("[a-z ]{1,8}"),
        times in prop::option::of(any::<u64>()), bytes in prop::option::of(any::<u64>()),
    ) {
        let mut selectors = Vec::new();
        selectors.extend(host.map(|host| format!("host={host}")));
        selectors.extend(tag.map(|tag| format!("tag={tag}")));
        selectors.extend(times.map(|times| format!("times={times}")));
        selectors.extend(bytes.map(|bytes| format!("bytes={bytes}")));
        let text = format!("export@{}:reset", selectors.join(","));
        let fault: Fault = text.parse().unwrap();
        prop_assert_eq!(Fault::from_value(&fault.to_value()), Ok(fault));
    }
}

#[test]
fn a_delay_between_two_durations_reads_as_it_is_written() {
    let fault: Fault = "stat:delay=200ms..2s".parse().unwrap();
    let (least, most) = (Duration::from_millis(200), Duration::from_secs(2));
    assert_eq!(fault.action, Action::DelayBetween(least, most));
    assert_eq!(fault.to_value()["do"]["delay"], "200ms..2s");
    assert_eq!(Fault::from_value(&fault.to_value()), Ok(fault));
}

/// A field that is null would let the fault hit more calls than somebody meant.
#[test]
fn null_is_refused_in_every_field() {
    let keys = "host task tag application call times probability phase piece bytes";
    for key in keys.split(' ') {
        let json = format!("{{\"on\":\"export\",\"{key}\":null,\"do\":{{\"stall\":true}}}}");
        let error = json.parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("null"), "{error}");
    }
}
