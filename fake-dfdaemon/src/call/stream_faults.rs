//! The faults that act on the stream of an export, from a fake or a proxy.

use std::time::Duration;

use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskStartedResponse;
use jiff::Timestamp;
use tonic::Status;

use super::RunningCall;
use super::clock::later;
use super::faults::effect::{Effect, PieceEffect, StartDamage, StreamEffect};
use super::faults::piece::{Outgoing, PieceDamage, PieceFate, applies, damage};
use super::faults::registry::Armed;

/// The faults of one stream, and how far it has come. Each list has the faults that have not acted yet.
#[derive(Debug, Default)]
pub(crate) struct StreamFaults {
    /// Those with a place in the stream that do not act on a piece.
    placed: Vec<(Armed, Placed)>,
    damages: Vec<(Armed, PieceDamage)>,
    /// In bytes a second, from the first content on.
    bandwidths: Vec<(Armed, u64)>,
    /// What is wrong with the message that the stream starts with.
    starts: Vec<(Armed, StartDamage)>,
    shuffles: Vec<(Armed, ())>,
    /// Once a fault has limited the bandwidth.
    pace: Option<Pace>,
    /// Content that the pieces sent so far stand for, in bytes.
    sent: u64,
}

/// What a fault with a place in the stream does there.
#[derive(Clone, Copy, Debug)]
enum Placed {
    /// Acts on the call.
    OnCall,
    /// Limits the bandwidth, in bytes a second.
    Bandwidth(u64),
}

/// How fast content may go out, from a time on.
#[derive(Clone, Copy, Debug)]
struct Pace {
    bytes_per_second: u64,
    since: Timestamp,
    sent: u64,
}

impl Pace {
    /// When so much more content may be sent. The schedule is kept whatever each part took.
    fn due(&mut self, length: u64) -> Timestamp {
        self.sent = self.sent.saturating_add(length);
        let seconds = self.sent as f64 / self.bytes_per_second as f64;
        let takes = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        later(self.since, takes)
    }
}

impl StreamFaults {
    /// Those of a call.
    pub(crate) fn of(call: &RunningCall) -> Self {
        let mut faults = Self::default();
        for armed in &call.armed {
            faults.add(armed.clone());
        }
        faults
    }

    fn add(&mut self, armed: Armed) {
        for effect in armed.action().effects() {
            let armed = armed.clone();
            match effect {
                Effect::Call(_) => {
                    if armed.is_placed() {
                        self.placed.push((armed, Placed::OnCall));
                    }
                }
                Effect::Piece(PieceEffect::Bandwidth(rate)) if armed.is_placed() => {
                    self.placed.push((armed, Placed::Bandwidth(rate)));
                }
                Effect::Piece(PieceEffect::Bandwidth(rate)) => self.bandwidths.push((armed, rate)),
                Effect::Piece(PieceEffect::Damage(damage)) => self.damages.push((armed, damage)),
                Effect::Stream(StreamEffect::Shuffle) => self.shuffles.push((armed, ())),
                Effect::Stream(StreamEffect::Start(damage)) => self.starts.push((armed, damage)),
                Effect::Store(_) | Effect::Transfer(_) | Effect::Connection(_) => {}
            }
        }
    }

    /// Whether a fault has not acted yet.
    pub(crate) fn are_waiting(&self) -> bool {
        let Self {
            placed,
            damages,
            bandwidths,
            starts,
            shuffles,
            pace: _,
            sent: _,
        } = self;
        !(placed.is_empty()
            && damages.is_empty()
            && bandwidths.is_empty()
            && starts.is_empty()
            && shuffles.is_empty())
    }

    /// Counts the content that a piece stands for, whether it was sent or not.
    pub(crate) fn count(&mut self, length: u64) {
        self.sent += length;
    }

    /// Applies the faults that hit the call itself at this place: before a piece, or at the end.
    pub(crate) async fn apply_at(
        &mut self,
        call: &mut RunningCall,
        piece: Option<u32>,
    ) -> Result<(), Status> {
        let sent = self.sent;
        let is_here = |armed: &Armed| match piece {
            Some(number) => armed.is_at_piece(number, sent),
            None => armed.fault.piece.is_none() && armed.is_at_piece(0, sent),
        };
        let due: Vec<_> = self
            .placed
            .extract_if(.., |(armed, _)| is_here(armed))
            .collect();
        for (armed, does) in due {
            match does {
                Placed::OnCall => call.apply(&armed).await?,
                Placed::Bandwidth(rate) => {
                    let since = call.clock().now();
                    if call.fire(&armed) {
                        self.limit(rate, since);
                    }
                }
            }
        }
        Ok(())
    }

    /// Applies the faults that hit single pieces.
    pub(crate) fn damage(&mut self, call: &mut RunningCall, outgoing: &mut Outgoing) -> PieceFate {
        let (number, sent) = (outgoing.piece.number, self.sent);
        let mut fate = PieceFate::Sent;
        self.damages.retain(|(armed, due)| {
            if !armed.is_at_piece(number, sent) || !applies(*due, outgoing) {
                return true;
            }
            if call.fire(armed) {
                match damage(*due, outgoing) {
                    PieceFate::Sent => {}
                    other => fate = other,
                }
            }
            false
        });
        fate
    }

    /// Holds content back for as long as it takes at the bandwidth that a fault allows.
    pub(crate) async fn throttle(
        &mut self,
        call: &mut RunningCall,
        length: u64,
    ) -> Result<(), Status> {
        let since = call.clock().now();
        if let Some((_, rate)) = take_first(&mut self.bandwidths, call) {
            self.limit(rate, since);
        }
        let Some(pace) = &mut self.pace else {
            return Ok(());
        };
        let due = pace.due(length);
        call.wait_until(due).await
    }

    /// `since` is when the fault fired: a test that has seen that may move the time.
    fn limit(&mut self, bytes_per_second: u64, since: Timestamp) {
        self.pace = Some(Pace {
            bytes_per_second,
            since,
            sent: 0,
        });
    }

    /// Applies the faults that hit the message that the stream starts with.
    pub(crate) fn start(
        &mut self,
        call: &mut RunningCall,
        started: &mut DownloadPersistentCacheTaskStartedResponse,
    ) {
        for (armed, damage) in self.starts.drain(..) {
            if call.fire(&armed) {
                damage.apply(started);
            }
        }
    }

    /// The fault that puts the pieces into another order.
    pub(crate) fn shuffles(&mut self, call: &mut RunningCall) -> Option<Armed> {
        take_first(&mut self.shuffles, call).map(|(armed, ())| armed)
    }
}

/// Takes the first fault, if it may still fire.
fn take_first<T>(waiting: &mut Vec<(Armed, T)>, call: &mut RunningCall) -> Option<(Armed, T)> {
    if waiting.is_empty() {
        return None;
    }
    let (armed, does) = waiting.remove(0);
    call.fire(&armed).then_some((armed, does))
}

/// Puts pieces into another order than that of their numbers.
pub(crate) fn shuffle<T>(armed: &mut Armed, pieces: &mut [T], number: impl Fn(&T) -> u32) {
    armed.random.shuffle(pieces);
    if pieces.is_sorted_by_key(number) && pieces.len() > 1 {
        // Chance may bring the order about that every client copes with.
        pieces.rotate_left(1);
    }
}
