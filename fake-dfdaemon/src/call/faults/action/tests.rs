use std::collections::HashSet;

use super::*;
use tonic::Code;

use crate::call::faults::ErrorAction;
use crate::call::faults::status::{code_name, is_code_name};

/// As the names of codes are written on the wire's side: `NotFound` is `NOT_FOUND`.
fn screaming(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[test]
fn every_code_has_its_name_and_nothing_else_is_one() {
    for code in (0..=16).map(Code::from) {
        assert_eq!(code_name(code), screaming(code));
        assert!(is_code_name(code_name(code)));
    }
    for name in ["", "BROKEN", "not_found"] {
        assert!(!is_code_name(name), "{name}");
    }
}

#[test]
fn a_status_is_what_its_action_says() {
    let action = ErrorAction {
        code: Code::DataLoss,
        message: "m".to_owned(),
        details: vec![0, 0xff],
    };
    let status = action.status();
    assert_eq!(
        (status.code(), status.message(), status.details()),
        (Code::DataLoss, "m", &[0, 0xff][..])
    );
}

#[test]
fn every_row_has_a_name_of_its_own_which_reads_as_its_action() {
    let rows: Vec<_> = Action::rows().collect();
    let names: HashSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    let examples: Vec<_> = Action::examples().collect();
    assert_eq!(examples.len(), rows.len());
    for (row, example) in rows.into_iter().zip(examples) {
        let (name, does) = (row.name, row.does);
        let text = match &row.takes {
            Takes::Nothing(_) => name.to_owned(),
            Takes::Argument(argument) => format!("{name}={}", argument.example),
        };
        let action = Action::from_text(&text).unwrap();
        assert_eq!(action, example);
        assert_eq!((action.name(), action.scope()), (name, row.scope));
        assert_eq!(action.about(), does.trim());
        assert!(row.also.iter().all(|also| action.hits(*also)), "{name}");
        let written = action.to_value();
        assert_eq!(
            Action::from_value(&written),
            Ok(action),
            "table/argument.rs writes {name} as {written}"
        );
        let has_argument = matches!(row.takes, Takes::Argument(_));
        let is_written = written[name] != true;
        assert_eq!(is_written, has_argument, "table/argument.rs writes {name}");
        assert!(
            does.starts_with(' ') && does.ends_with('.'),
            "{name}: {does}"
        );
    }
}

#[test]
fn a_length_is_changed_by_a_number_or_by_one() {
    for (argument, by) in [
        (json!(true), 1),
        (json!(5), 5),
        (json!("-3"), -3),
        (json!(i64::MIN), i64::MIN),
    ] {
        for (name, action) in [
            ("wrong_length", Action::WrongLength(by)),
            ("wrong_content_length", Action::WrongContentLength(by)),
        ] {
            assert_eq!(Action::from_value(&json!({ name: argument })), Ok(action));
        }
    }
}

#[test]
fn a_bandwidth_is_shown_in_the_unit_that_says_it_exactly() {
    for (given, shown) in [
        ("10MiB", "10MiB"),
        ("1G", "1GB"),
        ("1024", "1KiB"),
        ("1536kib", "1536KiB"),
        ("7", "7B"),
        ("18446744073709551615b", "18446744073709551615B"),
    ] {
        let action = Action::from_value(&json!({ "bandwidth": given })).unwrap();
        let value = action.to_value();
        assert_eq!(value, json!({ "bandwidth": shown }));
        assert_eq!(Action::from_value(&value), Ok(action));
    }
}
