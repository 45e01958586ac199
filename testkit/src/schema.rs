//! JSON Schema, as far as the schemas of this repository go. A keyword that is not here is an error, where
//! validators that know all of it ignore a misspelt one.

#![expect(
    clippy::panic,
    reason = "it is a part of tests: what is no schema ends the test"
)]

use std::cmp::Ordering;

use regex::Regex;
use serde_json::{Map, Number, Value};

/// What of `value` is not as `schema` says, which lies in `document`; each with where it is.
///
/// # Panics
///
/// Where a schema is not one: see [`assert_is_schema`].
#[must_use]
pub fn errors(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    Place { document, at: "" }.check(schema, value, &mut errors);
    errors
}

/// Holds a schema, and all that it has in it, to what it may say.
///
/// # Panics
///
/// At a keyword that is not known, one whose argument it cannot have, and a reference to nothing.
pub fn assert_is_schema(document: &Value, schema: &Value) {
    let Some(keywords) = schema.as_object() else {
        assert!(schema.is_boolean(), "no schema: {schema}");
        return;
    };
    let empty = Value::Array(Vec::new());
    for (keyword, argument) in keywords {
        let is = match keyword.as_str() {
            "properties" | "$defs" => argument.is_object(),
            "items" | "not" | "additionalProperties" => true,
            "anyOf" | "oneOf" => is_list(argument, |_| true),
            "$ref" => argument.is_string() && !referred(document, argument).is_null(),
            "type" => is_list(argument, is_type) || is_type(argument),
            "required" => *argument == empty || is_list(argument, Value::is_string),
            "enum" => is_list(argument, |_| true),
            "pattern" => argument.as_str().is_some_and(|it| Regex::new(it).is_ok()),
            "format" => argument == "date-time",
            "minimum" | "maximum" => argument.is_number(),
            "minLength" | "maxLength" | "minProperties" | "maxProperties" => argument.is_u64(),
            "title" | "description" | "$schema" => argument.is_string(),
            "const" | "default" => true,
            _ => panic!("no keyword that is known: {keyword}"),
        };
        assert!(is, "{keyword} cannot be {argument}");
        match keyword.as_str() {
            "properties" | "$defs" => {
                for schema in argument.as_object().unwrap().values() {
                    assert_is_schema(document, schema);
                }
            }
            "anyOf" | "oneOf" => {
                for schema in argument.as_array().unwrap() {
                    assert_is_schema(document, schema);
                }
            }
            "items" | "not" | "additionalProperties" => assert_is_schema(document, argument),
            _ => (),
        }
    }
}

/// Of one at least.
fn is_list(argument: &Value, of: fn(&Value) -> bool) -> bool {
    let list = argument.as_array();
    list.is_some_and(|list| !list.is_empty() && list.iter().all(of))
}

const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];

fn is_type(argument: &Value) -> bool {
    argument.as_str().is_some_and(|it| TYPES.contains(&it))
}

fn referred<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let pointer = reference.as_str().and_then(|it| it.strip_prefix('#'));
    let found = pointer.and_then(|pointer| document.pointer(pointer));
    found.unwrap_or(&Value::Null)
}

/// Where in the value it is looked.
struct Place<'a> {
    document: &'a Value,
    at: &'a str,
}

impl Place<'_> {
    fn check(&self, schema: &Value, value: &Value, errors: &mut Vec<String>) {
        let none = Map::new();
        let keywords = match schema {
            Value::Object(keywords) => keywords,
            Value::Bool(true) => &none,
            Value::Bool(false) => {
                errors.push(format!("{}: nothing may be here", self.at));
                &none
            }
            _ => panic!("no schema: {schema}"),
        };
        for (keyword, argument) in keywords {
            let holds = match keyword.as_str() {
                // Those say more than that it does not hold.
                "properties" | "items" | "additionalProperties" | "$ref" => {
                    self.descend(keyword, argument, keywords, value, errors);
                    true
                }
                "anyOf" => self.matching(argument, value) > 0,
                "oneOf" => self.matching(argument, value) == 1,
                "not" => !self.is_valid(argument, value),
                _ => holds(keyword, argument, value),
            };
            if !holds {
                errors.push(format!("{}: {keyword} {argument}: {value}", self.at));
            }
        }
    }

    /// What keywords say of what the value has in it, or leave to another schema.
    fn descend(
        &self,
        keyword: &str,
        argument: &Value,
        keywords: &Map<String, Value>,
        value: &Value,
        errors: &mut Vec<String>,
    ) {
        let below = |name: &str, schema: &Value, value: &Value, errors: &mut Vec<String>| {
            let at = format!("{}/{name}", self.at);
            let place = Place {
                document: self.document,
                at: &at,
            };
            place.check(schema, value, errors);
        };
        match (keyword, value) {
            ("$ref", _) => self.check(referred(self.document, argument), value, errors),
            ("items", Value::Array(items)) => {
                for (number, item) in items.iter().enumerate() {
                    below(&number.to_string(), argument, item, errors);
                }
            }
            ("properties", Value::Object(fields)) => {
                for (name, schema) in argument.as_object().unwrap() {
                    if let Some(field) = fields.get(name) {
                        below(name, schema, field, errors);
                    }
                }
            }
            ("additionalProperties", Value::Object(fields)) => {
                let known = keywords.get("properties").and_then(Value::as_object);
                for (name, field) in fields {
                    if known.is_none_or(|known| !known.contains_key(name)) {
                        below(name, argument, field, errors);
                    }
                }
            }
            _ => (),
        }
    }

    fn is_valid(&self, schema: &Value, value: &Value) -> bool {
        let mut errors = Vec::new();
        self.check(schema, value, &mut errors);
        errors.is_empty()
    }

    fn matching(&self, schemas: &Value, value: &Value) -> usize {
        let schemas = schemas.as_array().unwrap().iter();
        schemas
            .filter(|schema| self.is_valid(schema, value))
            .count()
    }
}

/// Whether a value is as a keyword says that has no schema in it. What the keyword is not about, is.
fn holds(keyword: &str, argument: &Value, value: &Value) -> bool {
    let argument_size = || argument.as_u64().unwrap();
    let text = value.as_str();
    let length = text.map(|text| text.chars().count() as u64);
    let fields = value.as_object();
    let size = fields.map(|fields| fields.len() as u64);
    let order = || Some(compare(value.as_number()?, argument.as_number().unwrap()));
    match keyword {
        "type" => match argument {
            Value::Array(types) => types.iter().any(|one| is_of_type(one, value)),
            one => is_of_type(one, value),
        },
        "const" => value == argument,
        "enum" => argument.as_array().unwrap().contains(value),
        "required" => fields.is_none_or(|fields| {
            let mut names = argument.as_array().unwrap().iter();
            names.all(|name| fields.contains_key(name.as_str().unwrap()))
        }),
        "minProperties" => size.is_none_or(|size| size >= argument_size()),
        "maxProperties" => size.is_none_or(|size| size <= argument_size()),
        "minLength" => length.is_none_or(|length| length >= argument_size()),
        "maxLength" => length.is_none_or(|length| length <= argument_size()),
        "minimum" => order().is_none_or(Ordering::is_ge),
        "maximum" => order().is_none_or(Ordering::is_le),
        "pattern" => text.is_none_or(|text| is_like(argument.as_str().unwrap(), text)),
        "format" if argument == "date-time" => text.is_none_or(is_date_time),
        "title" | "description" | "default" | "$schema" | "$defs" => true,
        _ => panic!("no keyword that is known: {keyword}: {argument}"),
    }
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        name => panic!("no type: {name}"),
    }
}

fn compare(one: &Number, other: &Number) -> Ordering {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.as_f64().unwrap().total_cmp(&other.as_f64().unwrap()),
    }
}

fn is_like(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap().is_match(text)
}

/// RFC 3339, whose times jiff reads, besides others.
fn is_date_time(text: &str) -> bool {
    let form = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";
    is_like(form, text) && text.parse::<jiff::Timestamp>().is_ok()
}
