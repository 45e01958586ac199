//! What disturbs the clients: hosts that stop and leave, faults, collections.

use std::sync::Arc;
use std::time::Duration;

use super::{Draw, Field, HOSTS};

/// The application whose calls faults hit.
pub(super) const DISTURBED: &str = "disturbed";

/// By the machine's clock, whatever the clients are doing.
async fn for_a_while(milliseconds: usize) {
    testkit::wait::real_time(Duration::from_millis(milliseconds as u64)).await;
}

/// Stops and starts all hosts but the first, or has them leave.
pub(super) async fn hosts(field: Arc<Field>) {
    let mut draw = Draw(2);
    while field.goes_on() {
        let host = 1 + draw.below(HOSTS - 1);
        let away = ["stop", "leave"][draw.below(2)];
        for word in [away, "start"] {
            let path = format!("/hosts/host-{host}/{word}");
            let (status, body) = field.control.ask("POST", &path, "").await;
            if status != 200 {
                field.fail(format!("{path}: {status} {body}"));
            }
            for_a_while(50 + draw.below(250)).await;
        }
        field.count("host: away".to_owned());
    }
}

/// Arms one fault after another, each for a moment. A call that stalls goes on when its fault is removed.
pub(super) async fn faults(field: Arc<Field>) {
    const FAULTS: [&str; 20] = [
        "export:error=UNAVAILABLE",
        "export:error=INTERNAL",
        "import:error=RESOURCE_EXHAUSTED",
        "stat:error=UNAVAILABLE",
        "import:no_space",
        "import:disk_error",
        "import:torn_write",
        "export:disk_error",
        "replicate:torn_write",
        "replicate:error=UNAVAILABLE",
        "export:stall",
        "import:stall",
        "stat:delay=50ms",
        "export:reset",
        "export:corrupt_piece",
        "export:skip_piece",
        "export:shuffle_pieces",
        "export:repeat_piece",
        "export:end",
        "export:bandwidth=10MiB",
    ];
    let mut draw = Draw(3);
    while field.goes_on() {
        let fault = FAULTS[draw.below(FAULTS.len())];
        let (on, action) = fault.split_once(':').unwrap();
        let (action, argument) = action
            .split_once('=')
            .map_or((action, "true".to_owned()), |pair| {
                (pair.0, format!("\"{}\"", pair.1))
            });
        let body = format!(
            r#"{{"on":"{on}","application":"{DISTURBED}","do":{{"{action}":{argument}}}}}"#
        );
        let (status, added) = field.control.ask("POST", "/faults", &body).await;
        if status != 200 {
            field.fail(format!("{body}: {added}"));
            return;
        }
        field.count("fault: added".to_owned());
        for_a_while(100 + draw.below(200)).await;
        let path = format!("/faults/{}", added["id"]);
        field.control.ask("DELETE", &path, "").await;
    }
}

pub(super) async fn collections(field: Arc<Field>) {
    while field.goes_on() {
        field.control.ask("POST", "/gc", "").await;
        for_a_while(500).await;
    }
}
