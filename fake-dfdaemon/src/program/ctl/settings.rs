//! `ctl settings KEY=VALUE…`: what was typed, as the body of a change.

use serde_json::{Map, Value};

/// The words that stand for null.
const NONE: [&str; 2] = ["none", "null"];

/// The lists that are typed one item at a time.
const LISTS: [&str; 1] = ["block"];

/// A setting and its value, as typed. Underscores or hyphens, as the API or the command line has it.
pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "it must be a setting and its value, such as capacity=1gib".to_owned())?;
    Ok((name.replace('-', "_"), value.to_owned()))
}

/// The settings that are numbers in JSON; others have a unit, or are names.
const NUMBERS: [&str; 1] = ["max_requests"];

/// The body that changes them. A list that is given twice has both; one that is empty or `none` has
/// nothing.
pub(super) fn change(settings: &[(String, String)]) -> Value {
    let mut body = Map::new();
    for (name, text) in settings {
        if LISTS.contains(&name.as_str()) {
            let list = body
                .entry(name.clone())
                .or_insert_with(|| Value::Array(Vec::new()));
            let is_item = !text.is_empty() && !NONE.contains(&text.as_str());
            if let Some(list) = list.as_array_mut().filter(|_| is_item) {
                list.push(text.clone().into());
            }
            continue;
        }
        let is_none = NONE.contains(&text.as_str());
        let number = text.parse::<u64>().ok();
        let number = number.filter(|_| NUMBERS.contains(&name.as_str()));
        let value = match number {
            _ if is_none && name == "quirks" => Value::Array(Vec::new()),
            _ if is_none => Value::Null,
            Some(number) => number.into(),
            None => text.clone().into(),
        };
        body.insert(name.clone(), value);
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_typed_becomes_a_change() {
        let typed = [
            "capacity=1gib",
            "max-requests=3",
            "block=import:tag=a=b",
            "block=export:tag=c",
            "quirks=all,-ttl-limits",
        ];
        let settings: Vec<_> = typed
            .into_iter()
            .map(|text| setting(text).unwrap())
            .collect();
        let expected = json!({
            "capacity": "1gib", "max_requests": 3, "block": ["import:tag=a=b", "export:tag=c"],
            "quirks": "all,-ttl-limits",
        });
        assert_eq!(change(&settings), expected);
        let typed = ["capacity=none", "block=", "quirks=none"];
        let settings: Vec<_> = typed
            .into_iter()
            .map(|text| setting(text).unwrap())
            .collect();
        let expected = json!({"capacity": null, "block": [], "quirks": []});
        assert_eq!(change(&settings), expected);
        assert!(setting("capacity").is_err());
    }
}
