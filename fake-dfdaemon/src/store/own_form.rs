//! Reads JSON in the very form that this program writes it, without looking for fields: quicker than a parser of
//! any JSON.
//!
//! All else (other spaces, another order, an escaped text, damage) is `None` here, and serde's to read or to
//! refuse. What is read here serde would read alike.

use std::str;

use jiff::Timestamp;

/// What every record, and every line, ends with.
const END: &[u8] = b"\n";

/// How deep values may lie in each other.
const MAX_DEPTH: u32 = 16;

/// What is left to read.
pub(crate) struct Rest<'a> {
    bytes: &'a [u8],
    /// The time that was read last: most of a record's are the same.
    last_time: Option<(&'a str, Timestamp)>,
}

impl<'a> Rest<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            last_time: None,
        }
    }

    /// Reads this text, and goes on after it.
    pub(crate) fn after(&mut self, text: &str) -> Option<&mut Self> {
        self.bytes = self.bytes.strip_prefix(text.as_bytes())?;
        Some(self)
    }

    /// Whether the last object ends here, and all with it.
    pub(crate) fn ends(&mut self) -> bool {
        self.after("}").is_some() && self.bytes == END
    }

    pub(crate) fn unless_null<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.after("null").is_some() {
            return Some(None);
        }
        read(self).map(Some)
    }

    /// A text of printable ASCII without escapes.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let bytes = self.bytes.strip_prefix(b"\"")?;
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let length = bytes.iter().take_while(|byte| is_plain(byte)).count();
        let (text, rest) = bytes.split_at_checked(length)?;
        self.bytes = rest.strip_prefix(b"\"")?;
        str::from_utf8(text).ok()
    }

    pub(crate) fn boolean(&mut self) -> Option<bool> {
        let is_true = self.after("true").is_some();
        (is_true || self.after("false").is_some()).then_some(is_true)
    }

    pub(crate) fn time(&mut self) -> Option<Timestamp> {
        let text = self.text()?;
        if let Some((last, time)) = self.last_time
            && last == text
        {
            return Some(time);
        }
        let time = text.parse().ok()?;
        self.last_time = Some((text, time));
        Some(time)
    }

    /// A number without a sign, as JSON writes it: no zero before other digits.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let is_digit = |byte: &&u8| byte.is_ascii_digit();
        let length = self.bytes.iter().take_while(is_digit).count();
        let (digits, rest) = self.bytes.split_at_checked(length)?;
        if digits.is_empty() || length > 1 && digits.starts_with(b"0") {
            return None;
        }
        self.bytes = rest;
        digits.iter().try_fold(0u64, |number, digit| {
            let number = number.checked_mul(10)?;
            number.checked_add(u64::from(digit - b'0'))
        })
    }

    /// A list, each element of which is read by `read`.
    pub(crate) fn elements(&mut self, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.after("[")?;
        if self.after("]").is_some() {
            return Some(());
        }
        loop {
            read(self)?;
            if self.after("]").is_some() {
                return Some(());
            }
            self.after(",")?;
        }
    }

    /// An object, the value of each field of which is read by `read`.
    pub(crate) fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, &'a str) -> Option<()>,
    ) -> Option<()> {
        self.after("{")?;
        if self.after("}").is_some() {
            return Some(());
        }
        loop {
            let name = self.text()?;
            read(self.after(":")?, name)?;
            if self.after("}").is_some() {
                return Some(());
            }
            self.after(",")?;
        }
    }

    /// A value that nobody asks for.
    pub(crate) fn skip(&mut self) -> Option<()> {
        self.skip_within(MAX_DEPTH)
    }

    fn skip_within(&mut self, depth: u32) -> Option<()> {
        let deeper = depth.checked_sub(1)?;
        match self.bytes.first()? {
            b'"' => self.text().map(drop),
            b'{' => self.fields(|rest, _| rest.skip_within(deeper)),
            b'[' => self.elements(|rest| rest.skip_within(deeper)),
            b'n' => self.after("null").map(drop),
            b't' | b'f' => self.boolean().map(drop),
            _ => self.skip_number(),
        }
    }

    /// Also one with digits behind a point.
    fn skip_number(&mut self) -> Option<()> {
        self.number()?;
        if self.after(".").is_none() {
            return Some(());
        }
        let is_digit = |byte: &&u8| byte.is_ascii_digit();
        let length = self.bytes.iter().take_while(is_digit).count();
        self.bytes = self.bytes.get(length..)?;
        (length > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_of_json() {
        let number = |text: &str| Rest::new(text.as_bytes()).number();
        assert_eq!(number("0,"), Some(0));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in ["", "-1", "01", "00", "18446744073709551616", "x"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_value_that_is_skipped_is_one_of_json() {
        let skipped = |text: &str| {
            let mut rest = Rest::new(text.as_bytes());
            rest.skip().map(|()| rest.bytes.len())
        };
        for value in [
            "null",
            "true",
            "false",
            "7",
            "3600.05",
            r#""""#,
            r#""a text""#,
            "[]",
            "{}",
            "[1,[],{}]",
            r#"{"a":null,"b":{"c":["d",true]}}"#,
        ] {
            assert!(serde_json::from_str::<serde_json::Value>(value).is_ok());
            assert_eq!(skipped(&format!("{value},")), Some(1), "{value}");
        }
        // Also what is JSON, and not as this program writes it.
        for value in [
            "",
            "nul",
            "-1",
            "1.",
            "1.e1",
            "[1.5e1]",
            "[1,]",
            "[,1]",
            "[1",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{1:1}",
            "\"a\\n\"",
            "\"a\n\"",
            "\"\u{e9}\"",
            "\"a",
            "[ 1]",
            "{ \"a\":1}",
        ] {
            assert_eq!(skipped(value), None, "{value}");
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(skipped(&nested(MAX_DEPTH as usize)), Some(0));
        assert_eq!(skipped(&nested(MAX_DEPTH as usize + 1)), None);
    }
}
