//! Statuses that are wrapped into the text of another one.

use super::super::grpc::Code;

/// Statuses are wrapped once, seldom twice; a text that goes on for longer is not honest.
const MAX_WRAPPINGS: usize = 8;

/// Code and text of the status that is wrapped innermost.
pub(super) fn unwrap(code: Code, text: &str) -> (Code, String) {
    let mut inner = (code, text.to_owned());
    for _ in 0..MAX_WRAPPINGS {
        match wrapped(&inner.1) {
            Some(wrapped) => inner = wrapped,
            None => break,
        }
    }
    inner
}

/// The status in `status: NotFound, message: "…", …` (release 0.2) or in
/// `code: '…', message: "…"` (release 1.5, which leaves out an empty message).
fn wrapped(text: &str) -> Option<(Code, String)> {
    let old = after(text, "status: ").and_then(|rest| {
        let (name, rest) = rest.split_once(", ")?;
        let message = quoted(rest.strip_prefix("message: ")?)?;
        Some((code_where(|code| format!("{code:?}") == name)?, message))
    });
    old.or_else(|| {
        // Descriptions may hold an apostrophe themselves.
        let rest = after(text, "code: '")?;
        let behind = |code: Code| rest.strip_prefix(code.description())?.strip_prefix('\'');
        let code = code_where(|code| behind(code).is_some())?;
        let message = behind(code)?.strip_prefix(", message: ").and_then(quoted);
        Some((code, message.unwrap_or_default()))
    })
}

fn after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.split_once(marker).map(|(_, rest)| rest)
}

fn code_where(is: impl Fn(Code) -> bool) -> Option<Code> {
    Code::all().find(|code| is(*code))
}

/// The string that starts with a quotation mark, as Rust's `{:?}` escaped it.
fn quoted(text: &str) -> Option<String> {
    let mut unescaped = String::new();
    let mut characters = text.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return Some(unescaped),
            '\\' => unescaped.push(match characters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                'u' => unicode_escape(&mut characters)?,
                other => other,
            }),
            other => unescaped.push(other),
        }
    }
}

/// The rest of `\u{1b}`, behind the `u`.
fn unicode_escape(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let digits: String = characters.by_ref().take_while(|c| *c != '}').collect();
    char::from_u32(u32::from_str_radix(digits.strip_prefix('{')?, 16).ok()?)
}
