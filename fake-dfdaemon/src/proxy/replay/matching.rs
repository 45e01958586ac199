//! Which recorded call answers a request.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::script::{Expected, Script};
use crate::dfdaemon::mutex::Mutex;
use crate::proxy::cassette::End;
use crate::proxy::cassette::content::hex;
use crate::proxy::compare::{Difference, Tolerance, difference};
use crate::proxy::messages::{Side, message_type, to_json};

/// Whether calls come in the order of the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub(crate) enum Order {
    #[default]
    Strict,
    Any,
}

/// The recorded calls, and which were played.
#[derive(Debug)]
pub(super) struct Calls {
    scripts: Vec<std::sync::Arc<Script>>,
    order: Order,
    tolerance: Tolerance,
    played: Mutex<Vec<bool>>,
}

/// How well a recorded call answers one that it matches, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Whole,
    /// Nobody knows what else was asked.
    RequestsCut,
    /// A client that leaves can leave any call; one that stays would wait for ever where the recorded
    /// one left.
    ClientLeft,
}

/// A message that a client has sent.
#[derive(Debug)]
pub(super) struct Asked {
    json: Option<Value>,
    bytes: Vec<u8>,
}

impl Asked {
    pub(super) fn new(method: &str, bytes: Vec<u8>) -> Self {
        let descriptor = message_type(method, Side::Request);
        let json = descriptor.and_then(|descriptor| to_json(&descriptor, &bytes));
        Self { json, bytes }
    }
}

impl Calls {
    pub(super) fn new(scripts: Vec<Script>, order: Order, tolerance: Tolerance) -> Self {
        Self {
            played: Mutex::new(vec![false; scripts.len()]),
            scripts: scripts.into_iter().map(std::sync::Arc::new).collect(),
            order,
            tolerance,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.scripts.len()
    }

    /// The scripts whose content is made up.
    pub(super) fn scripts(&self) -> impl Iterator<Item = &Script> {
        self.scripts.iter().map(std::convert::AsRef::as_ref)
    }

    /// The call that answers these messages, which is played with it.
    pub(super) fn take(&self, method: &str, asked: &[Asked]) -> Option<std::sync::Arc<Script>> {
        let mut played = self.played.lock();
        let matches = |index: &usize| {
            let script = self.scripts.get(*index);
            script.is_some_and(|script| {
                script.call.method == method && self.differences(script, asked).is_empty()
            })
        };
        let unplayed = |index: &usize| played.get(*index) == Some(&false);
        let all = 0..self.scripts.len();
        let index = match self.order {
            Order::Strict => all.clone().find(unplayed).filter(matches),
            Order::Any => {
                let of_fit = |fit: Fit| {
                    let is_so = |index: &usize| self.fit(*index) == Some(fit);
                    let next = all.clone().filter(is_so).filter(unplayed).find(matches);
                    // The last one again: who polls may poll more often than at the recording.
                    next.or_else(|| all.clone().rev().filter(is_so).find(matches))
                };
                [Fit::Whole, Fit::RequestsCut, Fit::ClientLeft]
                    .into_iter()
                    .find_map(of_fit)
            }
        }?;
        if let Some(played) = played.get_mut(index) {
            *played = true;
        }
        self.scripts.get(index).cloned()
    }

    fn fit(&self, index: usize) -> Option<Fit> {
        let call = &self.scripts.get(index)?.call;
        Some(match call.answer.end {
            End::ClientGone => Fit::ClientLeft,
            _ if call.requests_cut => Fit::RequestsCut,
            _ => Fit::Whole,
        })
    }

    /// Why no call matches: the nearest recorded call, and where it differs.
    pub(super) fn explain(&self, method: &str, asked: &[Asked]) -> String {
        let next = {
            let played = self.played.lock();
            played.iter().position(|played| !played)
        };
        let next = next.and_then(|index| self.scripts.get(index));
        if self.order == Order::Strict {
            let Some(next) = next else {
                return format!("{method}: the cassette has no more calls");
            };
            if next.call.method != method {
                let (number, other) = (next.call.call, &next.call.method);
                return format!("{method}: the next recorded call, {number}, is {other}");
            }
            return self.describe(method, next, asked);
        }
        let same = self.scripts().filter(|script| script.call.method == method);
        match same.min_by_key(|script| self.differences(script, asked).len()) {
            Some(nearest) => self.describe(method, nearest, asked),
            None => format!("{method}: no call of this method is recorded"),
        }
    }

    fn describe(&self, method: &str, nearest: &Script, asked: &[Asked]) -> String {
        let differences = self.differences(nearest, asked);
        let shown: Vec<_> = differences
            .iter()
            .map(|found| {
                format!(
                    "{}: recorded {}, asked {}",
                    found.field, found.recorded, found.other
                )
            })
            .collect();
        let number = nearest.call.call;
        format!(
            "{method}: the nearest recorded call, {number}, differs in {}",
            shown.join("; ")
        )
    }

    fn differences(&self, script: &Script, asked: &[Asked]) -> Vec<Difference> {
        let may_be_more = script.call.requests_cut && asked.len() > script.requests.len();
        if script.requests.len() != asked.len() && !may_be_more {
            let count = |count: usize| Some(Value::from(count));
            return vec![difference(
                "number of messages",
                count(script.requests.len()).as_ref(),
                count(asked.len()).as_ref(),
            )];
        }
        let pairs = script.requests.iter().zip(asked);
        pairs
            .flat_map(|(expected, asked)| self.compare(expected, asked))
            .collect()
    }

    fn compare(&self, expected: &Expected, asked: &Asked) -> Vec<Difference> {
        let bytes = |recorded: String| {
            let asked = format!("{} other bytes", asked.bytes.len());
            vec![difference(
                "message",
                Some(&recorded.into()),
                Some(&asked.into()),
            )]
        };
        match expected {
            Expected::Json(recorded) => match &asked.json {
                Some(asked) => self.tolerance.differences(recorded, asked),
                None => bytes(recorded.to_string()),
            },
            Expected::Bytes(recorded) if *recorded == asked.bytes => Vec::new(),
            Expected::Bytes(recorded) => bytes(format!("{} bytes", recorded.len())),
            Expected::Content(content) => {
                if hex(&Sha256::digest(&asked.bytes)) == content.sha256 {
                    return Vec::new();
                }
                bytes(format!("{} bytes", content.length))
            }
        }
    }
}
