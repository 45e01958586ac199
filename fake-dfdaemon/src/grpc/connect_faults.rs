//! Faults on connections that are made to a host.

use serde_json::json;

use super::service::ServedHost;
use crate::call::clock::later;
use crate::call::faults::effect::ConnectionEffect;
use crate::call::faults::registry::Armed;
use crate::call::record::Call;
use crate::call::rpc::Rpc;

/// The faults for a connection that was made just now.
pub(super) fn arm(host: Option<&ServedHost>) -> Vec<Armed> {
    let Some(host) = host else {
        return Vec::new();
    };
    let faults = &host.calls.faults;
    faults.arm_connection(&host.number.name())
}

/// Applies them. Whether the connection is served then.
pub(super) async fn apply(host: Option<&ServedHost>, faults: Vec<Armed>) -> bool {
    let Some(host) = host else {
        return true;
    };
    let (calls, name) = (&host.calls, host.number.name());
    for armed in faults {
        let Some(effect) = armed.action().on_connection() else {
            continue;
        };
        let now = calls.clock.now();
        // Noted before it fires: a test that sees the firing, and settles, finds it.
        let due = armed.delay().map(|delay| later(now, delay));
        let _noted = due.map(|due| {
            let what = format!("serve a connection to {name}");
            calls.waits.note_other(what, due)
        });
        if !armed.fire() {
            continue;
        }
        calls.note_firing(&armed, Call::arriving(Rpc::Connect, &name, json!({})));
        match effect {
            ConnectionEffect::Wait => calls.clock.sleep_until(due.unwrap_or(now)).await,
            ConnectionEffect::Stall => armed.removed().cancelled().await,
            ConnectionEffect::Refuse | ConnectionEffect::CloseSockets => return false,
        }
    }
    true
}
