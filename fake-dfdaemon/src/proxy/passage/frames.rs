//! Where the frames of HTTP/2 begin and end in the bytes of a connection, and which calls are open.
//!
//! Nothing else is read of them: what a frame holds is between the client and the daemon.

use std::collections::HashSet;

use tokio::sync::Notify;

use crate::dfdaemon::mutex::Mutex;

/// What a client sends before its first frame.
const PREFACE: usize = 24;

/// The length, kind, flags and stream before what a frame holds.
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame that holds so much is long: the next one probably is, too.
pub(super) const LONG: usize = 64 << 10;

/// The side that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Daemon,
}

/// What a frame does to the calls of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Begins(u32),
    Ends(u32),
}

/// Follows the frames that one side sends.
#[derive(Debug)]
pub(super) struct Frames {
    sender: Sender,
    header: [u8; HEADER],
    /// How much of the next header has come.
    known: usize,
    /// How much of the present frame has not come.
    left: usize,
    /// What the present frame does when it has come to its end.
    change: Option<Change>,
    /// The headers of a stream go on in the next frame, and this is the call that ends with them.
    headers: Option<Option<u32>>,
    /// The last stream that the client began.
    highest: u32,
    /// The last frame with data was long.
    is_long: bool,
    has_begun: bool,
}

impl Frames {
    pub(super) fn of(sender: Sender) -> Self {
        Self {
            sender,
            header: [0; HEADER],
            known: 0,
            left: match sender {
                Sender::Client => PREFACE,
                Sender::Daemon => 0,
            },
            change: None,
            headers: None,
            highest: 0,
            is_long: false,
            has_begun: false,
        }
    }

    /// How many bytes of the present frame are to come.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Whether a long frame is likely to come next.
    pub(super) fn expects_long(&self) -> bool {
        self.is_long
    }

    /// Whether another frame may be put in here.
    pub(super) fn is_between(&self) -> bool {
        self.known == 0 && self.left == 0 && self.headers.is_none()
    }

    /// Whether the first frame has come.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8], changes: &mut Vec<Change>) {
        loop {
            let passed = bytes.len().min(self.left);
            self.skip(passed, changes);
            bytes = bytes.get(passed..).unwrap_or_default();
            let Some((&byte, rest)) = bytes.split_first() else {
                return;
            };
            bytes = rest;
            if let Some(place) = self.header.get_mut(self.known) {
                *place = byte;
                self.known += 1;
            }
            if self.known == HEADER {
                self.known = 0;
                self.begin(changes);
            }
        }
    }

    /// Takes this many bytes of the present frame, and not more than are left of it.
    pub(super) fn skip(&mut self, bytes: usize, changes: &mut Vec<Change>) {
        if bytes > 0 {
            self.left -= bytes;
            if self.left == 0 {
                changes.extend(self.change.take());
            }
        }
    }

    /// A header is there.
    fn begin(&mut self, changes: &mut Vec<Change>) {
        let [a, b, c, kind, flags, s, t, u, v] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let stream = u32::from_be_bytes([s, t, u, v]) & (u32::MAX >> 1);
        let ends = flags & END_STREAM != 0 && self.sender == Sender::Daemon;
        self.has_begun = true;
        self.left = length;
        self.change = None;
        match kind {
            DATA => {
                self.is_long = length >= LONG;
                self.change = ends.then_some(Change::Ends(stream));
            }
            RST_STREAM => self.change = Some(Change::Ends(stream)),
            HEADERS => {
                if self.sender == Sender::Client && stream > self.highest {
                    self.highest = stream;
                    changes.push(Change::Begins(stream));
                }
                self.headers(ends.then_some(stream), flags);
            }
            CONTINUATION => {
                let ends = self.headers.flatten();
                self.headers(ends, flags);
            }
            _ => {}
        }
        if length == 0 {
            changes.extend(self.change.take());
        }
    }

    fn headers(&mut self, ends: Option<u32>, flags: u8) {
        if flags & END_HEADERS == 0 {
            self.headers = Some(ends);
        } else {
            self.headers = None;
            self.change = ends.map(Change::Ends);
        }
    }
}

/// The calls that a client waits for.
#[derive(Debug, Default)]
pub(super) struct Open {
    calls: Mutex<HashSet<u32>>,
    /// Is notified when there are none.
    pub(super) emptied: Notify,
}

impl Open {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.lock().is_empty()
    }

    /// Makes the changes, in their order.
    pub(super) fn change(&self, changes: &mut Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut calls = self.calls.lock();
        for change in changes.drain(..) {
            match change {
                Change::Begins(call) => calls.insert(call),
                Change::Ends(call) => calls.remove(&call),
            };
        }
        if calls.is_empty() {
            self.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
        let length = u32::try_from(length).unwrap();
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.resize(HEADER + length as usize, 7);
        frame
    }

    /// What bytes do that come in parts of `part` bytes.
    fn changes(sender: Sender, bytes: &[u8], part: usize) -> Vec<Change> {
        let mut frames = Frames::of(sender);
        let mut changes = Vec::new();
        for part in bytes.chunks(part) {
            frames.push(part, &mut changes);
        }
        assert!(frames.is_between());
        changes
    }

    #[test]
    fn calls_begin_with_their_headers_and_end_with_their_answer() {
        let mut client = vec![b'P'; PREFACE];
        client.extend(frame(4, 0, 0, 18));
        client.extend(frame(HEADERS, 0, 1, 30));
        client.extend(frame(CONTINUATION, END_HEADERS, 1, 30));
        client.extend(frame(DATA, END_STREAM, 1, 5));
        client.extend(frame(HEADERS, END_HEADERS, 3, 9));
        // Trailers of a client begin no other call.
        client.extend(frame(HEADERS, END_HEADERS | END_STREAM, 3, 9));
        client.extend(frame(RST_STREAM, 0, 3, 4));
        let mut daemon = frame(4, 0, 0, 0);
        daemon.extend(frame(HEADERS, END_HEADERS, 1, 9));
        daemon.extend(frame(DATA, 0, 1, 100));
        // The call ends with the last of the headers, not with the first.
        daemon.extend(frame(HEADERS, END_STREAM, 1, 9));
        daemon.extend(frame(CONTINUATION, END_HEADERS, 1, 0));
        daemon.extend(frame(DATA, END_STREAM, 5, 0));
        for part in [1, 2, 9, 10, 1000] {
            let expected = [Change::Begins(1), Change::Begins(3), Change::Ends(3)];
            assert_eq!(changes(Sender::Client, &client, part), expected);
            let expected = [Change::Ends(1), Change::Ends(5)];
            assert_eq!(changes(Sender::Daemon, &daemon, part), expected);
        }
    }

    #[test]
    fn a_call_ends_behind_its_last_byte_and_frames_go_between_frames_only() {
        let mut frames = Frames::of(Sender::Daemon);
        let mut changes = Vec::new();
        assert!(frames.is_between() && !frames.has_begun());
        frames.push(
            &frame(DATA, END_STREAM, 1, LONG)[..HEADER + 1],
            &mut changes,
        );
        assert!(!frames.is_between() && frames.expects_long());
        frames.skip(frames.left() - 1, &mut changes);
        assert_eq!((frames.left(), changes.as_slice()), (1, &[][..]));
        frames.skip(1, &mut changes);
        assert_eq!(changes, [Change::Ends(1)]);
        assert!(frames.is_between());
        frames.push(&frame(HEADERS, 0, 3, 1), &mut changes);
        assert!(!frames.is_between(), "headers go on");
        frames.push(&[0], &mut changes);
        assert!(!frames.is_between());
    }

    #[test]
    fn who_waits_for_the_last_call_is_told() {
        let open = Open::default();
        open.change(&mut vec![Change::Begins(1), Change::Begins(3)]);
        open.change(&mut vec![Change::Ends(1)]);
        assert!(!open.is_empty());
        open.change(&mut vec![Change::Ends(3), Change::Ends(9)]);
        assert!(open.is_empty());
        assert!(
            tokio_test::task::spawn(open.emptied.notified())
                .poll()
                .is_ready()
        );
    }
}
