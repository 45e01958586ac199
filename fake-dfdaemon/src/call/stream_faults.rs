//! The faults that act on the stream of an export, from a fake or a proxy.

use std::time::Duration;

use jiff::Timestamp;
use tonic::Status;

use super::RunningCall;
use super::clock::later;
use super::faults::effect::Effect;
use super::faults::piece::{Outgoing, PieceFate, applies, damage};
use super::faults::registry::Armed;

/// The faults of one stream, and how far it has come.
#[derive(Debug)]
pub(crate) struct StreamFaults {
    /// Faults that have not acted yet.
    waiting: Vec<Armed>,
    /// Once a fault has limited the bandwidth.
    pace: Option<Pace>,
    /// Content that the pieces sent so far stand for, in bytes.
    sent: u64,
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

/// Whether a fault acts on the stream, or at a place in it.
fn is_of_the_stream(armed: &Armed) -> bool {
    armed.is_placed() || armed.action().hits_streams()
}

impl StreamFaults {
    /// Those of a call.
    pub(crate) fn of(call: &RunningCall) -> Self {
        let armed = call.armed.iter();
        Self {
            waiting: armed.filter(|a| is_of_the_stream(a)).cloned().collect(),
            pace: None,
            sent: 0,
        }
    }

    /// Whether a fault has not acted yet.
    pub(crate) fn lie_in_wait(&self) -> bool {
        !self.waiting.is_empty()
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
        let is_due =
            |armed: &Armed| armed.is_placed() && !armed.action().hits_pieces() && is_here(armed);
        let due: Vec<_> = self.waiting.extract_if(.., |armed| is_due(armed)).collect();
        for armed in due {
            let since = call.clock().now();
            if let Effect::Bandwidth(rate) = armed.action().effect()
                && call.fire(&armed)
            {
                self.limit(rate, since);
            }
            call.apply(&armed).await?;
        }
        Ok(())
    }

    /// Applies the faults that hit single pieces.
    pub(crate) fn damage(&mut self, call: &mut RunningCall, outgoing: &mut Outgoing) -> PieceFate {
        let (number, sent) = (outgoing.piece.number, self.sent);
        let mut fate = PieceFate::Sent;
        let mut kept = Vec::new();
        for armed in std::mem::take(&mut self.waiting) {
            let due = match armed.action().effect() {
                Effect::Piece(damage) if armed.is_at_piece(number, sent) => Some(damage),
                _ => None,
            };
            let Some(due) = due.filter(|damage| applies(*damage, outgoing)) else {
                kept.push(armed);
                continue;
            };
            if call.fire(&armed) {
                let damaged = damage(due, outgoing);
                fate = if damaged == PieceFate::Sent {
                    fate
                } else {
                    damaged
                };
            }
        }
        self.waiting = kept;
        fate
    }

    /// Holds content back for as long as it takes at the bandwidth that a fault allows.
    pub(crate) async fn throttle(
        &mut self,
        call: &mut RunningCall,
        length: u64,
    ) -> Result<(), Status> {
        let since = call.clock().now();
        let is_it = |armed: &Armed| matches!(armed.action().effect(), Effect::Bandwidth(_));
        let limited = self.take(call, |armed| is_it(armed) && !armed.is_placed());
        if let Some(Effect::Bandwidth(rate)) = limited.as_ref().map(|a| a.action().effect()) {
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

    /// The content length that the stream begins with.
    pub(crate) fn announced_length(&mut self, call: &mut RunningCall, length: u64) -> u64 {
        let is_it = |armed: &Armed| matches!(armed.action().effect(), Effect::ContentLength(_));
        let taken = self.take(call, is_it);
        match taken.as_ref().map(|armed| armed.action().effect()) {
            Some(Effect::ContentLength(by)) => length.saturating_add_signed(by),
            _ => length,
        }
    }

    /// The fault that puts the pieces into another order.
    pub(crate) fn shuffles(&mut self, call: &mut RunningCall) -> Option<Armed> {
        self.take(call, |armed| armed.action().effect() == Effect::Shuffle)
    }

    /// Takes a waiting fault out, if it may still fire.
    fn take(&mut self, call: &mut RunningCall, is_it: impl Fn(&Armed) -> bool) -> Option<Armed> {
        let position = self.waiting.iter().position(is_it)?;
        let armed = self.waiting.remove(position);
        call.fire(&armed).then_some(armed)
    }
}

/// Puts pieces into another order than that of their numbers.
pub(crate) fn shuffle<T>(armed: &mut Armed, pieces: &mut [T], number: impl Fn(&T) -> u32) {
    armed.random.shuffle(pieces);
    if pieces.is_sorted_by_key(number) && pieces.len() > 1 {
        // Chance may bring the order about that every client copes with.
        pieces.rotate_left(1);
    }
}
