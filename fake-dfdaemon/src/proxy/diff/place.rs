//! The files that recorded calls name, made anew in a directory of our own: what was imported is
//! there again, and outputs overwrite nothing of anybody's.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::{DynamicMessage, Value as Reflected};
use serde_json::Value;
use tempfile::TempDir;

use super::ids::Ids;
use crate::proxy::cassette::content::ContentStore;
use crate::proxy::cassette::read::Cassette;
use crate::proxy::cassette::{Call, ContentMode, End, FileKind, Message};
use crate::proxy::compare::Tolerance;
use crate::proxy::messages::{Side, from_json, message_type};
use crate::proxy::paths::{is_export, is_import};
use crate::proxy::record::Before;
use crate::proxy::replay::{Expected, Script};

/// What a daemon says of an output that is there, and of one in no directory.
const EXISTS: [&str; 2] = ["already exists", "File exists"];
const NOWHERE: &str = "No such file or directory";

/// The fields of requests that name a file.
const SOURCE: &str = "path";
const OUTPUT: &str = "output_path";

/// A directory for the files.
pub(super) struct Stage(TempDir);

/// The paths of a call that were replaced, recorded and made.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) replaced: Vec<(String, String)>,
    pub(super) output: Option<PathBuf>,
    /// What was there before: an empty file, where the recorded daemon found one.
    pub(super) before: Before,
}

/// The requests of a call, and what was replaced in them.
pub(super) type Prepared = (Vec<Vec<u8>>, Placed);

impl Stage {
    pub(super) fn new() -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("fake-dfdaemon-diff-")
            .tempdir()?;
        // The daemon may be another user.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self(directory))
    }

    /// Where nothing is kept but hashes.
    pub(super) fn content(&self) -> ContentStore {
        ContentStore::new(self.0.path(), ContentMode::Hash)
    }

    /// The requests of a call as they are sent here, each without gRPC's prefix. `None` if a daemon
    /// could read paths in them that are not replaced.
    pub(super) fn prepare(
        &self,
        script: &Script,
        cassette: &Cassette,
        tolerance: &Tolerance,
        ids: &Ids,
    ) -> io::Result<Option<Prepared>> {
        let mut placed = Placed::default();
        let call = &script.call;
        let mut requests = Vec::new();
        for (expected, message) in script.requests.iter().zip(&call.requests) {
            let bytes = match expected {
                Expected::Bytes(bytes) => bytes.clone(),
                Expected::Content(_) => self.whole(message, cassette)?,
                Expected::Json(json) => encoded(call, json)?,
            };
            let name = path_field(&call.method);
            let descriptor = message_type(&call.method, Side::Request);
            let descriptor = descriptor.filter(|_| !message.compressed);
            let request = descriptor
                .and_then(|descriptor| DynamicMessage::decode(descriptor, bytes.as_slice()).ok());
            let Some(mut request) = request else {
                if name.is_some() {
                    return Ok(None);
                }
                requests.push(bytes);
                continue;
            };
            let mut is_other = ids.put(&mut request);
            if let Some(name) = name.filter(|name| request.has_field_by_name(name)) {
                self.replace_path(call, (&mut request, name), cassette, tolerance, &mut placed)?;
                is_other = true;
            }
            requests.push(match is_other {
                true => request.encode_to_vec(),
                false => bytes,
            });
        }
        Ok(Some((requests, placed)))
    }

    fn whole(&self, message: &Message, cassette: &Cassette) -> io::Result<Vec<u8>> {
        let content = message.content.as_ref();
        let file = content.and_then(|content| cassette.content(content).ok().flatten());
        let mut file = file.ok_or_else(|| io::Error::other("a request was not kept"))?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes)?;
        Ok(bytes)
    }

    fn replace_path(
        &self,
        call: &Call,
        (request, name): (&mut DynamicMessage, &str),
        cassette: &Cassette,
        tolerance: &Tolerance,
        placed: &mut Placed,
    ) -> io::Result<()> {
        let path = request.get_field_by_name(name);
        let path = path.as_deref().and_then(Reflected::as_str);
        let path = path.unwrap_or_default().to_owned();
        let here = if name == SOURCE {
            self.source(call, &path, cassette, tolerance)?
        } else {
            let output = self.output(call)?;
            placed.output = Some(output.clone());
            placed.before = Before::look(&output);
            output
        };
        let here = here.display().to_string();
        request.set_field_by_name(name, Reflected::String(here.clone()));
        placed.replaced.push((path, here));
        Ok(())
    }

    /// The file to import: as it was recorded, if it was, and otherwise the one that is there.
    fn source(
        &self,
        call: &Call,
        path: &str,
        cassette: &Cassette,
        tolerance: &Tolerance,
    ) -> io::Result<PathBuf> {
        let seen = call.source.as_ref();
        let directory = self.0.path().join(format!("call-{}", call.call));
        let named = directory.join(Path::new(path).file_name().unwrap_or_default());
        if seen.is_some_and(|seen| seen.kind == FileKind::Absent) {
            return Ok(named);
        }
        let content = seen.and_then(|seen| seen.content.as_ref());
        let kept = content.and_then(|content| cassette.content(content).ok().flatten());
        let Some(mut kept) = kept else {
            return Ok(PathBuf::from(tolerance.mapped(path)));
        };
        fs::create_dir_all(&directory)?;
        // A daemon may hard-link it: never the cassette's own.
        io::copy(&mut kept, &mut File::create(&named)?)?;
        Ok(named)
    }

    /// Where an output goes. If the recorded daemon answered that the file exists, or that its directory
    /// is missing, to such a place.
    fn output(&self, call: &Call) -> io::Result<PathBuf> {
        let said = match &call.answer.end {
            End::Status(status) => status.message.as_str(),
            _ => "",
        };
        let directory = self.0.path().join(format!("call-{}", call.call));
        let output = directory.join("output");
        if said.contains(NOWHERE) {
            return Ok(output);
        }
        fs::create_dir_all(&directory)?;
        if EXISTS.iter().any(|exists| said.contains(exists)) {
            fs::write(&output, "")?;
        }
        Ok(output)
    }
}

/// The field of a method's requests that names a file.
fn path_field(method: &str) -> Option<&'static str> {
    if is_import(method) {
        return Some(SOURCE);
    }
    is_export(method).then_some(OUTPUT)
}

fn encoded(call: &Call, json: &Value) -> io::Result<Vec<u8>> {
    let descriptor = message_type(&call.method, Side::Request);
    let descriptor = descriptor.ok_or_else(|| io::Error::other("the method is unknown"))?;
    from_json(&descriptor, json).map_err(io::Error::other)
}
