//! Every target with every input that is kept in `fixtures/fuzz`, and with random ones.
//!
//! `make fuzz` looks for more, and is guided by what the code does with them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::fs;
use std::path::{Path, PathBuf};

use dfcache_fuzz::{
    ClientBytes, ClientMessages, ControlBodies, FakeRequests, FaultSpecs, Options, Records, Target,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/fuzz")
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Checks what is kept for a target.
fn check_kept<T: Target>() {
    let directory = kept().join(T::NAME);
    let names = names_in(&directory);
    assert!(!names.is_empty());
    let mut target = T::default();
    for name in names {
        // Shown if it fails.
        println!("{}", directory.join(&name).display());
        target.check(&fs::read(directory.join(name)).unwrap());
    }
}

/// Checks so many random inputs; one that fails is made as short as can be, and shown.
fn check_random<T: Target>(cases: u32) {
    let target = std::cell::RefCell::new(T::default());
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let bytes = |length| prop::collection::vec(any::<u8>(), 0..length);
    // Short ones are wrong in few ways, and get farther.
    let bytes = prop_oneof![bytes(40), bytes(600)];
    let checked = TestRunner::new(config).run(&bytes, |input| {
        target.borrow_mut().check(&input);
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}

macro_rules! targets {
    ($($name:ident: $target:ty, $cases:literal;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn what_was_found_before_is_found_no_more() {
                assert_eq!(<$target>::NAME, stringify!($name));
                check_kept::<$target>();
            }

            #[test]
            fn random_input_finds_nothing() {
                check_random::<$target>($cases);
            }
        })*

        #[test]
        fn inputs_are_kept_for_targets_that_there_are() {
            assert_eq!(names_in(&kept()), [$(stringify!($name)),*]);
        }

        /// `fuzz/` is no part of the workspace: what it feeds is held to this list here.
        #[test]
        fn every_target_is_fed_by_libfuzzer() {
            let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
            assert_eq!(names_in(&fuzz), [$(concat!(stringify!($name), ".rs")),*]);
        }
    };
}

targets! {
    client_bytes: ClientBytes, 200;
    client_messages: ClientMessages, 300;
    control_bodies: ControlBodies, 30;
    fake_requests: FakeRequests, 40;
    fault_specs: FaultSpecs, 500;
    options: Options, 100;
    records: Records, 50;
}
