//! Reading JSON so that whoever wrote it is told where it is wrong.

use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Error, Value};

/// Reads a value. An error names the field that it is about.
pub(crate) fn named<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, why) = (error.path().to_string(), error.inner().to_string());
        let field = path.rsplit('.').next().unwrap_or_default();
        if why.contains(&format!("`{field}`")) || path == "." {
            return error.into_inner();
        }
        Error::custom(format!("{path}: {why}"))
    })
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
