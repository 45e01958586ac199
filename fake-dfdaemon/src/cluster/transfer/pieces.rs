//! The pieces of a transfer: each is copied from the first host that has it undamaged.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::parents::{Parent, Parents};
use super::{Arrival, Fetch};
use crate::call::random::Random;
use crate::cluster::replica_ops::read_error;
use crate::cluster::{Cluster, Error};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::store::crc32_of;

impl Fetch {
    /// Copies every piece, and returns their CRC-32, by number.
    pub(super) fn copy_pieces(
        &self,
        cluster: &Arc<Cluster>,
        mut parents: Parents,
    ) -> Result<Vec<u32>, Error> {
        self.disk.check_writable()?;
        if self.layout.count() == 0 {
            self.disk.check_sound()?;
        }
        let mut crc32 = vec![0; self.layout.count() as usize];
        let count = self.layout.count();
        let numbers = match cluster.has_quirk(Quirk::FailedExportsCount) {
            // What came before a failure is seen in the file that is left.
            true => (0..count).collect(),
            false => shuffled(count, &self.task.task_id, self.key.host),
        };
        for number in numbers {
            let Some(range) = self.layout.range(number) else {
                continue;
            };
            self.progress.send_if_modified(|progress| {
                progress.in_flight = Some(number);
                // Nobody waits for it.
                false
            });
            let (arrival, crc) = self.copy_piece(cluster, &mut parents, number, range)?;
            if let Some(slot) = crc32.get_mut(number as usize) {
                *slot = crc;
            }
            self.progress
                .send_modify(|progress| progress.arrived.push(Arc::new(arrival)));
        }
        self.progress.send_if_modified(|progress| {
            progress.in_flight = None;
            false
        });
        Ok(crc32)
    }

    /// Takes a piece from the first host that has it as it should be.
    fn copy_piece(
        &self,
        cluster: &Arc<Cluster>,
        parents: &mut Parents,
        number: u32,
        range: Range<u64>,
    ) -> Result<(Arrival, u32), Error> {
        let started = Instant::now();
        let mut failed = None;
        for host in parents.hosts() {
            self.check_wanted(cluster)?;
            let faults = self.faults(host, number);
            let applied = self.apply(cluster, &faults, (host, number));
            let copied = applied
                .and_then(|()| parents.parent(host))
                .and_then(|parent| {
                    let copied = self.copy_from(parent, range.clone());
                    let (id, length) = (&self.task.task_id, self.task.content_length);
                    let crc = copied.map_err(|error| read_error(error, &parent.file, id, length));
                    // The disk of this host may have failed. What else fails is the parent's fault:
                    // a dfdaemon asks its scheduler for other parents, and tells no reason.
                    failed = crc
                        .as_ref()
                        .err()
                        .filter(|error| !is_damage(error))
                        .cloned();
                    let crc = crc?;
                    Ok((parent.peer_id.clone(), parent.crc32.clone(), crc))
                });
            let copied = copied.and_then(|(peer_id, expected, crc)| {
                parents.count_piece(host);
                let crc = self.damage(cluster, &faults, (host, number), (&range, crc))?;
                check_digest(expected.as_deref(), number, crc)?;
                Ok((peer_id, crc))
            });
            match copied {
                Ok((peer_id, crc)) => {
                    let created_at = cluster.scheduler().now();
                    let cost = Some(started.elapsed());
                    let parent_id = Some(peer_id);
                    let arrival = Arrival {
                        number,
                        range,
                        crc32: Some(crc),
                        parent_id,
                        cost,
                        created_at,
                    };
                    return Ok((arrival, crc));
                }
                // Broken off, which is no fault of the parent's.
                Err(error @ (Error::Cancelled | Error::Stopping | Error::HostGone { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(task = %self.task.task_id, number, %host, %error, "a parent failed");
                    parents.forget(host);
                    if is_damage(&error) && !cluster.has_quirk(Quirk::UnnoticedCuts) {
                        // A replica that differs counts as none.
                        cluster.drop_damaged(host, &self.key.id, self.key.generation)?;
                    }
                }
            }
        }
        self.check_wanted(cluster)?;
        if let Some(taken) = self.take_remote_piece(cluster, parents, number, &range)? {
            return Ok(taken);
        }
        Err(failed.unwrap_or_else(|| parents.none_left()))
    }

    fn copy_from(&self, parent: &Parent, range: Range<u64>) -> Result<u32, Error> {
        let go_on = || !self.cancel.is_cancelled();
        let length = range.end - range.start;
        self.disk.copy_range(
            (&parent.file, &parent.found),
            &self.file,
            range.start,
            length,
            &go_on,
        )?;
        Ok(crc32_of(&self.disk, &self.file, range)?)
    }
}

/// Whether the content of a parent has another length than its record says.
fn is_damage(error: &Error) -> bool {
    matches!(error, Error::ContentLength { .. })
}

fn check_digest(expected: Option<&[u32]>, number: u32, actual: u32) -> Result<(), Error> {
    let expected = expected.and_then(|crc32| crc32.get(number as usize));
    match expected {
        Some(expected) if *expected != actual => {
            let digest = dfdaemon_api::digest::piece_digest;
            let (expected, actual) = (digest(*expected), digest(actual));
            Err(Error::DigestMismatch { expected, actual })
        }
        _ => Ok(()),
    }
}

/// The numbers below `count` in an order that depends on the task and the host alone, so that a
/// failing test fails again.
fn shuffled(count: u32, id: &str, host: HostNumber) -> Vec<u32> {
    let mut numbers: Vec<_> = (0..count).collect();
    let parts: Vec<_> = id
        .bytes()
        .map(u64::from)
        .chain([host.index() as u64])
        .collect();
    Random::of(&parts).shuffle(&mut numbers);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_has_every_number_once_and_repeats_itself() {
        for count in [0, 1, 2, 25] {
            let numbers = shuffled(count, "12345", HostNumber::of(1));
            assert_eq!(numbers, shuffled(count, "12345", HostNumber::of(1)));
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
        }
        assert_ne!(
            shuffled(25, "12345", HostNumber::of(1)),
            (0..25).collect::<Vec<_>>()
        );
        assert_ne!(
            shuffled(25, "12345", HostNumber::of(1)),
            shuffled(25, "12345", HostNumber::of(2))
        );
    }
}
