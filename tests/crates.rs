//! How many crates a program takes that has one of the libraries as a dependency, and none of its
//! default features.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

/// The library's package and the most crates that it may come to, itself among them.
const LIBRARIES: [(&str, usize); 2] = [("dfcache", 73), ("fake-dfdaemon", 90)];

fn crates(package: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal"])
        .args(["--prefix", "none", "--no-dedupe", "--no-default-features"])
        .args(["--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{error}");
    let tree = String::from_utf8(tree.stdout).unwrap();
    tree.lines().map(str::to_owned).collect()
}

#[test]
fn the_libraries_alone_take_few_crates() {
    for (package, most) in LIBRARIES {
        let crates = crates(package);
        assert!(crates.iter().any(|name| name.starts_with(package)));
        let count = crates.len();
        assert!(count <= most, "{package} takes {count} crates: {crates:#?}");
    }
}
