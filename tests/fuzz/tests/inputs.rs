//! Every target with every input that is kept in `fixtures/fuzz`, and with random ones: bytes as they
//! come, and what is kept with something changed in it, which gets farther.
//!
//! `make fuzz` looks for more, and is guided by what the code does with them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod changes;

use std::fs;
use std::path::{Path, PathBuf};

use dfcache_fuzz::{
    Cassettes, ClientBytes, ClientMessages, ControlBodies, FakeRequests, FaultSpecs, Manifests,
    Options, ProxiedStreams, Records, Target,
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

/// What is kept for a target.
fn read_kept(target: &str) -> Vec<Vec<u8>> {
    let directory = kept().join(target);
    let names = names_in(&directory);
    let read = |name| fs::read(directory.join(name)).unwrap();
    names.into_iter().map(read).collect()
}

/// Checks so many random inputs, of which so many hundredths have to get far, at least; one that fails is made as short as can be, and shown.
fn check_random<T: Target>(cases: u32, far: u32) {
    let target = std::cell::RefCell::new(T::default());
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let bytes = |length| prop::collection::vec(any::<u8>(), 0..length);
    // Short ones are wrong in few ways.
    let inputs = prop_oneof![
        1 => bytes(40),
        1 => bytes(600),
        4 => changes::changed(read_kept(T::NAME)),
    ];
    let got_far = std::cell::Cell::new(0);
    let checked = TestRunner::new(config).run(&inputs, |input| {
        let gets_far = target.borrow_mut().gets_far(&input);
        got_far.set(got_far.get() + u32::from(gets_far));
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
    let got_far = got_far.get();
    println!("{}: {got_far} of {cases} got far", T::NAME);
    // Else it would be shown for what reads the first byte alone.
    assert!(got_far * 100 >= cases * far, "{got_far} of {cases} got far");
}

macro_rules! targets {
    ($($name:ident: $target:ty, $cases:literal cases, $far:literal % get far;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn what_was_found_before_is_found_no_more() {
                assert_eq!(<$target>::NAME, stringify!($name));
                check_kept::<$target>();
            }

            #[test]
            fn random_input_finds_nothing() {
                check_random::<$target>($cases, $far);
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
    cassettes: Cassettes, 150 cases, 2 % get far;
    client_bytes: ClientBytes, 400 cases, 12 % get far;
    client_messages: ClientMessages, 300 cases, 10 % get far;
    control_bodies: ControlBodies, 60 cases, 40 % get far;
    fake_requests: FakeRequests, 80 cases, 30 % get far;
    fault_specs: FaultSpecs, 2000 cases, 8 % get far;
    manifests: Manifests, 2000 cases, 8 % get far;
    options: Options, 500 cases, 10 % get far;
    proxied_streams: ProxiedStreams, 100 cases, 10 % get far;
    records: Records, 100 cases, 50 % get far;
}
