//! Removes text that must not be published.

use std::fmt;
use std::str::FromStr;

use regex::bytes::Regex;
use serde_json::Value;

/// What stands in its place.
const REDACTED: &str = "[redacted]";

/// A regular expression.
#[derive(Clone)]
pub(crate) struct Pattern(Regex);

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is no pattern.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ParsePatternError(String);

impl FromStr for Pattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let regex = Regex::new(text).map_err(|error| {
            // The text shows the pattern once more, with a line of marks below it.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            let why = why.strip_prefix("error: ").unwrap_or(why);
            ParsePatternError(format!(
                "it is not a regular expression: {why}; write one such as token=[^ ]+"
            ))
        })?;
        if regex.is_match(b"") {
            let why = "it matches empty text, and so would leave everything out; write one that needs a character, such as token=[^ ]+";
            return Err(ParsePatternError(why.to_owned()));
        }
        Ok(Self(regex))
    }
}

/// Whether a pattern matches bytes.
pub(super) fn matches(patterns: &[Pattern], bytes: &[u8]) -> bool {
    patterns.iter().any(|pattern| pattern.0.is_match(bytes))
}

/// A text without what the patterns match.
pub(super) fn text(patterns: &[Pattern], text: &str) -> String {
    patterns.iter().fold(text.to_owned(), |text, pattern| {
        let replaced = pattern.0.replace_all(text.as_bytes(), REDACTED.as_bytes());
        String::from_utf8_lossy(&replaced).into_owned()
    })
}

/// Every text of a value.
pub(super) fn value(patterns: &[Pattern], value: &mut Value) {
    match value {
        Value::String(string) => *string = text(patterns, string),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| self::value(patterns, item)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| self::value(patterns, field)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_patterns_match_is_nowhere() {
        let patterns: Vec<Pattern> = ["secret-\\d+", "/home/[^/]+"]
            .map(|pattern| pattern.parse().unwrap())
            .into();
        let mut json = json!({"path": "/home/me/file", "tags": ["a secret-12!", 7]});
        value(&patterns, &mut json);
        assert_eq!(
            json,
            json!({"path": "[redacted]/file", "tags": ["a [redacted]!", 7]})
        );
        assert!(matches(&patterns, b"\xffsecret-1"));
        assert!(!matches(&patterns, b"\xffsecret"));
    }

    #[test]
    fn patterns_that_are_none_or_match_everything_are_refused() {
        for text in ["(", "a*", ""] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
