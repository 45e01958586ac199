//! Holds what is committed to the `.proto` files.

use std::fs;

use dfdaemon_api_generate::{File, Result, SOURCES, api, committed, compile};

fn names(files: &[File]) -> Vec<&str> {
    files.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_committed_types_are_what_the_proto_files_compile_to() -> Result<()> {
    let (committed, compiled) = (committed()?, compile()?);
    assert_eq!(names(&committed), names(&compiled), "proto/src/generated");
    for ((name, committed), (_, compiled)) in committed.iter().zip(&compiled) {
        assert!(
            committed == compiled,
            "proto/src/generated/{name} is not what the .proto files compile to: `make generated` writes it"
        );
    }
    Ok(())
}

#[test]
fn every_proto_file_is_compiled() -> Result<()> {
    let mut there = Vec::new();
    for entry in fs::read_dir(api())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".proto") {
            there.push(name);
        }
    }
    there.sort();
    assert_eq!(there, SOURCES);
    Ok(())
}
