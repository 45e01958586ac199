//! What differs between a recorded answer and another one.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::place::Placed;
use crate::proxy::cassette::{Call, End, FileSeen, Message};
use crate::proxy::compare::{Difference, Tolerance, difference, matches_redacted, shown};
use crate::proxy::printable::printable;

/// A peer id in a text: it ends in a UUID of its own.
static PEER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[A-Za-z0-9_.:-]*[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-seed)?").ok()
});

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Recorded calls, and those of them that were compared.
    pub(crate) calls: usize,
    pub(crate) compared: usize,
    pub(crate) differences: Vec<Found>,
}

/// A difference in a call.
#[derive(Debug)]
pub(crate) struct Found {
    call: u64,
    method: String,
    difference: Difference,
}

impl Report {
    /// One object on one line.
    pub(crate) fn json(&self) -> String {
        let differences = self.differences.iter().map(|found| {
            json!({
                "call": found.call,
                "method": found.method,
                "field": found.difference.field,
                "recorded": found.difference.recorded,
                "other": found.difference.other,
            })
        });
        let differences: Vec<_> = differences.collect();
        let report = json!({
            "calls": self.calls,
            "compared": self.compared,
            "differences": differences,
        });
        format!("{report}\n")
    }

    /// A table, and a line that sums up.
    pub(crate) fn text(&self) -> String {
        let mut rows = vec![["CALL", "METHOD", "FIELD", "RECORDED", "OTHER"].map(str::to_owned)];
        rows.extend(self.differences.iter().map(|found| {
            let difference = &found.difference;
            let method = found.method.rsplit('/').next().unwrap_or_default();
            [
                found.call.to_string(),
                method.to_owned(),
                difference.field.clone(),
                difference.recorded.clone(),
                difference.other.clone(),
            ]
            .map(|cell| printable(&cell))
        }));
        let mut text = String::new();
        if rows.len() > 1 {
            let width = |column: usize| {
                let cells = rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            };
            let widths: Vec<_> = (0..4).map(width).collect();
            for row in &rows {
                let [front @ .., last] = row;
                for (cell, width) in front.iter().zip(&widths) {
                    text.push_str(&format!("{cell:<width$}  "));
                }
                text.push_str(last);
                text.push('\n');
            }
        }
        let (differences, compared, calls) = (self.differences.len(), self.compared, self.calls);
        text.push_str(&format!(
            "{differences} differences in {compared} of {calls} calls\n"
        ));
        text
    }
}

/// Where an answer differs from the recorded one.
pub(super) fn compare(
    recorded: &Call,
    other: &Call,
    placed: &Placed,
    tolerance: &Tolerance,
) -> Vec<Found> {
    let mut found = Vec::new();
    let (was, is) = (&recorded.answer, &other.answer);
    if was.opened != is.opened {
        found.push(difference(
            "opened",
            Some(&was.opened.into()),
            Some(&is.opened.into()),
        ));
    }
    if was.http_status != is.http_status {
        let number = |status: u16| Some(Value::from(status));
        let (was, is) = (number(was.http_status.0), number(is.http_status.0));
        found.push(difference("http_status", was.as_ref(), is.as_ref()));
    }
    // Behind those that are known, others came too.
    let known = if was.left_out > 0 {
        was.messages.len()
    } else {
        usize::MAX
    };
    let others = is.messages.get(..known).unwrap_or(&is.messages);
    found.extend(messages(&was.messages, others, tolerance));
    found.extend(ends(&was.end, &is.end, placed));
    found.extend(outputs(
        recorded.output.as_ref(),
        other.output.as_ref(),
        tolerance,
    ));
    found.retain(|found| !tolerance.is_ignored(&found.field));
    let found = found.into_iter().map(|difference| Found {
        call: recorded.call,
        method: recorded.method.clone(),
        difference,
    });
    found.collect()
}

/// What a message says, with hash and length of its content.
fn said(message: &Message) -> Value {
    let mut said = serde_json::Map::new();
    if let Some(json) = &message.message {
        said.insert("message".to_owned(), json.clone());
    }
    if let Some(raw) = &message.raw {
        said.insert("raw".to_owned(), raw.as_str().into());
    }
    if let Some(content) = &message.content {
        said.insert("content".to_owned(), json!(content));
    }
    Value::Object(said)
}

fn messages(recorded: &[Message], other: &[Message], tolerance: &Tolerance) -> Vec<Difference> {
    // How much of a message comes before a stream breaks is chance.
    let is_whole = |message: &&Message| message.cut.is_none();
    let recorded: Vec<_> = recorded.iter().filter(is_whole).map(said).collect();
    let other: Vec<_> = other.iter().filter(is_whole).map(said).collect();
    let named = |index: usize, was: Option<&Value>, is: Option<&Value>| {
        let nothing = Value::Null;
        let found = tolerance.differences(was.unwrap_or(&nothing), is.unwrap_or(&nothing));
        found.into_iter().map(move |found| Difference {
            field: format!("answer[{index}].{}", found.field)
                .trim_end_matches('.')
                .to_owned(),
            ..found
        })
    };
    let pairwise = || {
        (0..recorded.len().max(other.len()))
            .flat_map(|index| named(index, recorded.get(index), other.get(index)))
            .collect::<Vec<_>>()
    };
    // The same in another order is one difference.
    let mut left: Vec<_> = other.iter().collect();
    let mut order = Vec::new();
    for was in &recorded {
        let same = left
            .iter()
            .position(|is| tolerance.differences(was, is).is_empty());
        let Some(at) = same else {
            return pairwise();
        };
        let is = left.remove(at);
        order.extend(other.iter().position(|other| std::ptr::eq(other, is)));
    }
    if !left.is_empty() {
        return pairwise();
    }
    if order.is_sorted() {
        return Vec::new();
    }
    let was: Vec<_> = (0..recorded.len()).collect();
    vec![difference("order", Some(&json!(was)), Some(&json!(order)))]
}

fn ends(recorded: &End, other: &End, placed: &Placed) -> Vec<Difference> {
    let (was, is) = match (recorded, other) {
        (End::Status(was), End::Status(is)) => (was, is),
        (was, is) if was == is => return Vec::new(),
        (was, is) => {
            let worded = |end: &End| match end {
                End::ClientGone => json!("no end in time"),
                end => json!(end),
            };
            return vec![difference("end", Some(&worded(was)), Some(&worded(is)))];
        }
    };
    let mut found = Vec::new();
    if was.code != is.code {
        found.push(difference(
            "status.code",
            Some(&json!(was.code)),
            Some(&json!(is.code)),
        ));
    }
    let here = placed
        .replaced
        .iter()
        .fold(is.message.clone(), |message, (recorded, here)| {
            message.replace(here, recorded)
        });
    let (wanted, here) = (without_peers(&was.message), without_peers(&here));
    if !matches_redacted(&wanted, &here) {
        found.push(Difference {
            field: "status.message".to_owned(),
            recorded: shown(&wanted),
            other: shown(&here),
        });
    }
    if was.details != is.details {
        found.push(difference(
            "status.details",
            Some(&json!(was.details)),
            Some(&json!(is.details)),
        ));
    }
    if was.metadata != is.metadata {
        found.push(difference(
            "status.metadata",
            Some(&json!(was.metadata)),
            Some(&json!(is.metadata)),
        ));
    }
    found
}

fn without_peers(text: &str) -> String {
    match PEER.as_ref() {
        Some(peer) => peer.replace_all(text, "<peer>").into_owned(),
        None => text.to_owned(),
    }
}

fn outputs(
    recorded: Option<&FileSeen>,
    other: Option<&FileSeen>,
    tolerance: &Tolerance,
) -> Vec<Difference> {
    let worded = |seen: Option<&FileSeen>| json!({ "output": seen });
    tolerance.differences(&worded(recorded), &worded(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64) -> Message {
        Message {
            message: Some(json!({ "number": number })),
            ..Message::default()
        }
    }

    fn fields(recorded: &[Message], other: &[Message]) -> Vec<String> {
        let found = messages(recorded, other, &Tolerance::default());
        found.into_iter().map(|found| found.field).collect()
    }

    #[test]
    fn messages_in_another_order_are_one_difference() {
        let recorded = [message(1), message(2), message(3)];
        assert!(fields(&recorded, &recorded).is_empty());
        let shuffled = [message(3), message(1), message(2)];
        assert_eq!(fields(&recorded, &shuffled), ["order"]);
        let other = [message(1), message(2), message(4)];
        assert_eq!(fields(&recorded, &other), ["answer[2].message.number"]);
        assert_eq!(fields(&recorded, &recorded[..2]).len(), 1);
    }

    #[test]
    fn peers_in_texts_do_not_count() {
        let peer = "peer 10.0.0.1-node-32591dbc-0f34-4870-b731-dd7221053b0e not found";
        assert_eq!(without_peers(peer), "peer <peer> not found");
        assert_eq!(without_peers("task 7 not found"), "task 7 not found");
    }
}
