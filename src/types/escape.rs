//! Text from elsewhere, made safe to show.

/// Text from elsewhere on one line, and without what a terminal would take for a command.
#[cfg(feature = "cli")]
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .fold(String::new(), |mut printable, character| {
            if needs_escape(character) {
                printable.extend(character.escape_default());
            } else {
                printable.push(character);
            }
            printable
        })
}

/// Whether a terminal would do something with it rather than show it: control characters, what
/// breaks a line, and what turns the direction of the text around.
pub(crate) fn needs_escape(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}
