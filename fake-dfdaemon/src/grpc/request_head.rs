//! What the head of a request says: the time that the client gives it, and its metadata.

use std::time::Duration;

use serde_json::{Map, Value};

/// The header with the time that a client gives a call.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// How long a client gives a call, if it gives a time.
pub(super) fn time_limit(headers: &http::HeaderMap) -> Option<Duration> {
    headers.get(GRPC_TIMEOUT).and_then(duration)
}

/// A time as gRPC writes it: up to eight digits and a unit. Anything else is no limit, as with tonic.
fn duration(value: &http::HeaderValue) -> Option<Duration> {
    let value = value.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Headers that belong to HTTP and to the framing of messages: every call has the same.
const NO_METADATA: [&str; 4] = [
    "te",
    "content-type",
    "grpc-encoding",
    "grpc-accept-encoding",
];

/// What a client sent with a call, by key: a text, or a list of them where a key comes more than
/// once. Binary values are base64, as they came.
pub(crate) fn metadata(headers: &http::HeaderMap) -> Map<String, Value> {
    let keys = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|key| !NO_METADATA.contains(key));
    let shown = keys.map(|key| {
        let values = headers.get_all(key).into_iter();
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        let mut texts: Vec<Value> = texts.collect();
        let shown = match texts.len() {
            1 => texts.remove(0),
            _ => Value::Array(texts),
        };
        (key.to_owned(), shown)
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_grpc_writes_them() {
        let read = |text: &'static str| duration(&http::HeaderValue::from_static(text));
        for (text, limit) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("0m", Duration::ZERO),
            ("5u", Duration::from_micros(5)),
            ("7n", Duration::from_nanos(7)),
        ] {
            assert_eq!(read(text), Some(limit), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "+1S", "123456789S", "1 S"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
