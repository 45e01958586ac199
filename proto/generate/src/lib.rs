//! Compiles the `.proto` files beside crate `dfdaemon-api` to what that crate has committed in
//! `src/generated`, so that nobody who builds the crate compiles them. The tests hold the committed
//! files to the result; the example (`make generated`) writes it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;

/// What can go wrong here ends the program or the test.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The `.proto` files of the crate.
pub const SOURCES: [&str; 3] = ["common.proto", "dfdaemon.proto", "errordetails.proto"];

/// The attribute of clients and servers: not everybody who takes the messages takes tonic too.
const SERVICES: &str = "#[cfg(feature = \"services\")]";

/// A file's name and its content.
pub type File = (String, Vec<u8>);

/// The directory of crate `dfdaemon-api`.
pub fn api() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What the `.proto` files compile to: a file of Rust a package, and the descriptors for reflection.
pub fn compile() -> Result<Vec<File>> {
    let descriptors = protox::compile(SOURCES, [api()])?;
    let directory = tempfile::tempdir()?;
    let encoded = descriptors.encode_to_vec();
    fs::write(directory.path().join("descriptors.bin"), encoded)?;
    tonic_prost_build::configure()
        .build_transport(false)
        .client_mod_attribute(".", SERVICES)
        .server_mod_attribute(".", SERVICES)
        .bytes(".common.v2.Piece.content")
        .out_dir(directory.path())
        .compile_fds(descriptors)?;
    let mut files = files(directory.path())?;
    files.push(("sums.txt".to_owned(), sums(&files)?.into_bytes()));
    Ok(files)
}

/// What the tests of crate `dfdaemon-api` hold its files to, which compile nothing: the CRC-32 of each file that was
/// compiled, and of each that came of it.
fn sums(compiled: &[File]) -> Result<String> {
    let mut sums = String::new();
    for name in SOURCES {
        let crc32 = crc32fast::hash(&fs::read(api().join(name))?);
        sums += &format!("{crc32:08x} {name}\n");
    }
    for (name, content) in compiled {
        let crc32 = crc32fast::hash(content);
        sums += &format!("{crc32:08x} src/generated/{name}\n");
    }
    Ok(sums)
}

/// The committed files.
pub fn committed() -> Result<Vec<File>> {
    files(&generated())
}

/// Writes the committed files anew.
pub fn write() -> Result<()> {
    fs::create_dir_all(generated())?;
    for (name, content) in compile()? {
        fs::write(generated().join(name), content)?;
    }
    Ok(())
}

fn generated() -> PathBuf {
    api().join("src/generated")
}

/// All files of a directory, in the order of their names.
fn files(directory: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((name, fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}
