//! Reading JSON: an error says where the text is wrong.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Error, Value};

/// Reads a value. An error names the field that it is about.
pub(crate) fn named<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(with_integers(value)).map_err(|error| {
        let (path, why) = (error.path().to_string(), error.inner().to_string());
        let field = path.rsplit('.').next().unwrap_or_default();
        if why.contains(&format!("`{field}`")) || path == "." {
            return error.into_inner();
        }
        Error::custom(format!("{path}: {why}"))
    })
}

/// A field that may be left out, and is not null.
pub(crate) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// A field that is a whole number. Serde's own error names a type of Rust.
pub(crate) fn whole_number<'de, T: TryFrom<u64>, D: Deserializer<'de>>(
    field: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(field)?;
    let number = value.as_u64();
    let why = match number {
        Some(_) => "too large",
        None => "not a whole number such as 2",
    };
    let number = number.and_then(|number| T::try_from(number).ok());
    let number = number.ok_or_else(|| D::Error::custom(format!("{value} is {why}")));
    number.map(Some)
}

/// The same value; numbers that are whole are integers, also if they are written as `3.0`. To JSON
/// they are the same.
fn with_integers(value: Value) -> Value {
    const EXACT: f64 = (1_u64 << 53) as f64;
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            let whole = float.filter(|it| it.fract() == 0.0 && it.abs() <= EXACT);
            whole.map_or(Value::Number(number), |whole| (whole as i64).into())
        }
        Value::Array(values) => values.into_iter().map(with_integers).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.map(|(name, value)| (name, with_integers(value)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Colors {
        #[allow(dead_code)]
        red: u8,
    }

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_written() {
        for (text, red) in [
            ("3.0", Some(3)),
            ("3", Some(3)),
            ("2.5e1", Some(25)),
            ("2.5", None),
        ] {
            let value = serde_json::from_str(&format!("{{\"red\":{text}}}")).unwrap();
            let read = named::<Colors>(value).ok().map(|colors| colors.red);
            assert_eq!(read, red, "{text}");
        }
    }

    #[test]
    fn errors_name_the_field_once() {
        for (value, said) in [
            (json!({"red": "much"}), "red: invalid type: string"),
            (json!({"red": -1}), "red: invalid value"),
            (json!({"red": 1, "blue": 2}), "unknown field `blue`"),
            (json!({}), "missing field `red`"),
            (
                json!("red"),
                "invalid type: string \"red\", expected struct Colors",
            ),
        ] {
            let error = named::<Colors>(value).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
