//! The public face of the library: an example for each type, and what crosses threads.

use std::fs;
use std::path::{Path, PathBuf};

use fake_dfdaemon::clock::Clock;
use fake_dfdaemon::{
    Builder, Call, FakeDfdaemon, Fault, FaultGuard, Host, Journal, Query, Ready, StartError, Task,
    WaitFor,
};

#[test]
fn handles_can_be_sent_to_other_threads_and_shared_with_them() {
    fn check<T: Send + Sync>() {}
    check::<Builder>();
    check::<FakeDfdaemon>();
    check::<Host<'_>>();
    check::<Clock>();
    check::<Journal>();
    check::<Query>();
    check::<WaitFor<'_>>();
    check::<Call>();
    check::<Task>();
    check::<Fault>();
    check::<FaultGuard>();
    check::<Ready>();
    check::<StartError>();
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of types that a text has in capitals: `a::{B, c, D_E}` are `B`.
fn types(exports: &str) -> impl Iterator<Item = &str> {
    let words = exports.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase))
}

#[test]
fn each_public_type_has_an_example() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let front = fs::read_to_string(src.join("lib.rs")).unwrap();
    let exports: Vec<_> = front
        .split("pub use ")
        .skip(1)
        .filter_map(|rest| rest.split_once(';'))
        .map(|(export, _)| export)
        .collect();
    let ours = exports
        .iter()
        .filter(|export| !export.starts_with("jiff::") && !export.starts_with("tonic::"));
    let names = ours.flat_map(|export| types(export));
    let names: Vec<_> = names.chain(["Clock", "ClockMode", "ClockError"]).collect();
    assert!(names.len() > 35, "{names:?}");

    let mut files = Vec::new();
    sources(&src, &mut files);
    let texts: Vec<_> = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        // One that a macro makes is indented.
        .map(|text| {
            text.lines()
                .map(str::trim_start)
                .fold(String::new(), |text, line| text + line + "\n")
        })
        .collect();
    let without = names.into_iter().filter(|name| {
        let declared = [format!("\npub struct {name}"), format!("\npub enum {name}")];
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric());
        !texts.iter().any(|text| {
            declared.iter().any(|declared| {
                let mut places = text.match_indices(declared.as_str());
                places.any(|(place, _)| {
                    let rest = text.get(place + declared.len()..).unwrap();
                    let above = text.get(..place).unwrap().lines().rev();
                    let mut docs =
                        above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
                    ends(rest) && docs.any(|line| line == "/// ```")
                })
            })
        })
    });
    let without: Vec<_> = without.collect();
    assert!(without.is_empty(), "no example: {without:?}");
}
