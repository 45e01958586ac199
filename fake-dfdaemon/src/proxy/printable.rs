//! Text from elsewhere, made safe to show.

/// Text from elsewhere on one line, and without what a terminal would take for a command.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c| if needs_escape(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// The same JSON, with escapes in place of what a terminal would take for a command. JSON has such
/// characters in its texts alone.
#[cfg(feature = "program")]
pub(crate) fn printable_json(json: &serde_json::Value) -> String {
    let mut printable = String::new();
    for c in json.to_string().chars() {
        if needs_escape(c) {
            printable.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Whether a terminal would do something with it rather than show it: control characters, what
/// breaks a line, and what turns the direction of the text around.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[31m\n\u{7f}\u{9b}2J\u{61c}\u{202e}b\u{2066}\u{2028}é";

    #[test]
    fn what_moves_a_cursor_or_turns_text_around_is_replaced() {
        let shown = "a�[31m���2J��b��é";
        assert_eq!(printable(HOSTILE), shown);
    }

    #[cfg(feature = "program")]
    #[test]
    fn json_stays_what_it_is() {
        let value = serde_json::json!({"text": HOSTILE, "number": 1});
        let shown = printable_json(&value);
        assert!(!shown.chars().any(needs_escape), "{shown}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }
}
