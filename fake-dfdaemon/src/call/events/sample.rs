//! A few of many events, for a reader that shows them to a person: as many of each kind as can be looked
//! at, and the number of those that were left out.

use std::collections::BTreeMap;

use serde_json::json;

use super::Event;

/// The kind of the event that says how many others were left out.
pub(super) const LEFT_OUT: &str = "left-out";

/// The events of one kind.
#[derive(Debug, Default)]
struct OfKind {
    count: usize,
    /// Calls that failed.
    failed: Vec<usize>,
    others: Vec<usize>,
}

/// At most `most` events of each kind, oldest first: calls that failed before others, and newer before
/// older ones. The last line has `last` for its id, so that a reader that comes back goes on after all of
/// them, and not after the last one that it got.
pub(super) fn sample<'a>(
    events: impl DoubleEndedIterator<Item = &'a Event> + ExactSizeIterator + Clone,
    most: usize,
    is_wanted: impl Fn(&str) -> bool,
    last: &str,
) -> String {
    let mut kinds: BTreeMap<&str, OfKind> = BTreeMap::new();
    let newest_first = events.clone().enumerate().rev();
    for (place, event) in newest_first.filter(|(_, event)| is_wanted(event.kind)) {
        let of = kinds.entry(event.kind).or_default();
        of.count += 1;
        let list = match event.is_failure {
            true => &mut of.failed,
            false => &mut of.others,
        };
        if list.len() < most {
            list.push(place);
        }
    }
    let mut chosen = Vec::new();
    let mut left_out = BTreeMap::new();
    for (kind, of) in kinds {
        let before = chosen.len();
        chosen.extend(of.failed.into_iter().chain(of.others).take(most));
        let missing = of.count - (chosen.len() - before);
        if missing > 0 {
            left_out.insert(kind, missing);
        }
    }
    chosen.sort_unstable();
    let mut chosen = chosen.into_iter().peekable();
    let mut text = String::new();
    for (place, event) in events.enumerate() {
        if chosen.next_if_eq(&place).is_some() {
            text += &event.text;
        }
    }
    if !left_out.is_empty() {
        let left_out = json!(left_out);
        text += &format!("id: {last}\nevent: {LEFT_OUT}\ndata: {left_out}\n\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::call::events::{Events, Next};

    fn end(events: &Events, call: usize, code: &str) {
        let seen = || json!({"call": call, "status": {"code": code}});
        events.tell("call-ended", seen);
    }

    /// The numbers of the calls in the sample, and the last event.
    fn calls(next: Next) -> (Vec<u64>, String) {
        let Next::Events(text) = next else {
            panic!("{next:?}");
        };
        let text = String::from_utf8(text.into()).unwrap();
        let last = text.trim_end().rsplit("\n\n").next().unwrap().to_owned();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let data = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
        (
            data.filter_map(|data| data["call"].as_u64()).collect(),
            last,
        )
    }

    #[test]
    fn of_many_calls_those_that_failed_and_the_newest_are_told() {
        let events = Events::default();
        let mut follower = events.follow(None);
        for call in 0..100 {
            let code = if call == 7 { "NOT_FOUND" } else { "OK" };
            end(&events, call, code);
        }
        events.tell("clock", || json!({}));
        let (seen, last) = calls(follower.sample(&[], 3));
        assert_eq!(seen, [7, 98, 99]);
        let id = events.id(101);
        let left_out = format!("id: {id}\nevent: left-out\ndata: {{\"call-ended\":97}}");
        assert_eq!(last, left_out);
        // A reader that comes back does not count them again.
        assert!(matches!(
            events.follow(events.read_id(&id)).sample(&[], 3),
            Next::Nothing
        ));
    }

    #[test]
    fn of_many_calls_that_failed_the_newest_are_told() {
        let events = Events::default();
        let mut follower = events.follow(None);
        for call in 0..10 {
            end(&events, call, "ABORTED");
        }
        end(&events, 10, "OK");
        assert_eq!(calls(follower.sample(&[], 2)).0, [8, 9]);
    }

    #[test]
    fn what_is_not_wanted_or_not_much_is_not_counted() {
        let events = Events::default();
        let mut follower = events.follow(None);
        for _ in 0..10 {
            events.tell("clock", || json!({}));
        }
        end(&events, 1, "OK");
        let (seen, last) = calls(follower.sample(&["call-ended".to_owned()], 1));
        assert_eq!(seen, [1]);
        assert!(!last.contains("left-out"), "{last}");
        assert!(matches!(follower.sample(&[], 1), Next::Nothing));
    }
}
