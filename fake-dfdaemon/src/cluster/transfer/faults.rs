//! Faults on a piece that is on its way between hosts.

use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Fetch;
use crate::call::clock::later;
use crate::call::faults::effect::{CallEffect, TransferDamage, TransferEffect};
use crate::call::faults::registry::{Armed, TagAndApplication};
use crate::call::record::Call;
use crate::call::rpc::Rpc;
use crate::cluster::{Cluster, Error};
use crate::dfdaemon::HostNumber;
use crate::store::crc32_of;

/// How long to wait before looking again whether a transfer that is held up goes on.
const POLL: Duration = Duration::from_millis(5);

impl Fetch {
    /// The faults for a piece from that host.
    pub(super) fn faults(&self, parent: HostNumber, number: u32) -> Vec<Armed> {
        self.faults.arm(number, || {
            let of_task = TagAndApplication {
                tag: self.task.tag.as_deref().map(Into::into),
                application: self.task.application.as_deref().map(Into::into),
            };
            (self.call(parent, number), of_task)
        })
    }

    /// What faults and the journal know of a piece from that host.
    fn call(&self, parent: HostNumber, number: u32) -> Call {
        let to = self.key.host.name();
        let fields = json!({"task_id": self.task.task_id, "piece": number, "to": to});
        Call::arriving(Rpc::Transfer, parent.name(), fields)
    }

    /// Whether a fault hits a piece from that host, which is noted then.
    fn fires(&self, armed: &Armed, (parent, number): (HostNumber, u32)) -> bool {
        self.faults.fires(armed, || self.call(parent, number))
    }

    /// Applies the faults that hit a piece before it comes. After an error it does not come from
    /// this parent. Blocks.
    pub(super) fn apply(
        &self,
        cluster: &Cluster,
        faults: &[Armed],
        from: (HostNumber, u32),
    ) -> Result<(), Error> {
        for armed in faults {
            let Some(TransferEffect::Before(effect)) = armed.action().on_transfer() else {
                continue;
            };
            let now = cluster.scheduler().now();
            match effect {
                CallEffect::Wait(..) => {
                    // Noted before it fires: a test that sees the firing, and settles, finds it.
                    let due = later(now, armed.delay().unwrap_or_default());
                    let _noted = self.note_wait(due);
                    if self.fires(armed, from) {
                        self.wait_until(cluster, due)?;
                    }
                }
                CallEffect::Stall => {
                    let fires = self.fires(armed, from);
                    while fires && !armed.removed().is_cancelled() {
                        self.check_wanted(cluster)?;
                        std::thread::sleep(POLL);
                    }
                }
                CallEffect::Answer(_) => {
                    if self.fires(armed, from) {
                        return Err(Error::TransferFault("an injected error"));
                    }
                }
                CallEffect::Reset => {
                    if self.fires(armed, from) {
                        return Err(Error::TransferFault("the connection was reset"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Applies the faults that damage a piece that has come or slow it down, and returns its
    /// checksum. Blocks.
    pub(super) fn damage(
        &self,
        cluster: &Cluster,
        faults: &[Armed],
        from: (HostNumber, u32),
        (range, crc): (&Range<u64>, u32),
    ) -> Result<u32, Error> {
        let length = range.end - range.start;
        let mut crc = crc;
        for armed in faults {
            let Some(TransferEffect::Damage(damage)) = armed.action().on_transfer() else {
                continue;
            };
            match damage {
                TransferDamage::Bandwidth(rate) => {
                    let takes = length as f64 / rate as f64;
                    let takes = Duration::try_from_secs_f64(takes).unwrap_or(Duration::MAX);
                    let due = later(cluster.scheduler().now(), takes);
                    let _noted = self.note_wait(due);
                    if self.fires(armed, from) {
                        self.wait_until(cluster, due)?;
                    }
                }
                TransferDamage::FlipBit if length > 0 && self.fires(armed, from) => {
                    let middle = range.start + length / 2;
                    let mut byte = [0];
                    self.file.read_exact_at(&mut byte, middle)?;
                    byte[0] ^= 1;
                    self.file.write_all_at(&byte, middle)?;
                    crc = crc32_of(&self.disk, &self.file, range.clone())?;
                }
                TransferDamage::FlipBit => {}
            }
        }
        Ok(crc)
    }

    /// Notes for `settle` that the transfer waits.
    fn note_wait(&self, due: Timestamp) -> Option<crate::call::Waiting> {
        let host = self.key.host.name();
        let what = format!("transfer task {} to {host}", self.task.task_id);
        self.faults.note_wait(what, due)
    }

    fn wait_until(&self, cluster: &Cluster, due: Timestamp) -> Result<(), Error> {
        while cluster.scheduler().now() < due {
            self.check_wanted(cluster)?;
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}
