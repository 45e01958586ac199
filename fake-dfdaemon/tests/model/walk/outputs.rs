//! Outputs by path: where they go, what is there before, what they have to be after, and their digests.

use std::fs;
use std::path::PathBuf;

use dfdaemon_api::digest::crc32;
use fake_dfdaemon::Release;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use super::files::Node;
use super::model::Transfer;
use super::ops::{Digest, Export, Output};
use super::quirk_walk::QuirkWalk;
use super::task::Replica;
use super::texts::{EXISTS, IS_DIRECTORY, NO_FILE, Refusal, by_dfdaemon, internal};

/// Where an output goes.
pub(super) enum Place {
    None,
    /// By its place among the outputs.
    At(usize),
    NoParent(PathBuf),
}

/// What happens when an output is linked, before any piece.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Made,
    AlreadyThere,
    Refused(&'static str),
}

impl QuirkWalk {
    /// Where the output goes. `None` where behaviour does not say what comes of it.
    pub(super) fn place(&mut self, export: &Export, id: &str) -> Option<Place> {
        let place = match export.output {
            Output::None => Place::None,
            Output::New => Place::At(self.files.new_output()),
            Output::Earlier(at) => {
                let made = self.files.outputs.iter().enumerate();
                let made: Vec<_> = made.filter(|(_, (_, node))| node.is_some()).collect();
                let (output, _) = made.get(at % made.len().max(1))?;
                if let Some(file) = self.files.reached(*output)
                    && export.overwrite
                    && self.content(export.host, id) != Some(Node::File(file))
                {
                    self.may_be_overwritten(file, id)?;
                }
                Place::At(*output)
            }
            Output::Directory => {
                let output = self.files.new_output();
                fs::create_dir(&self.files.outputs[output].0).unwrap();
                self.files.outputs[output].1 = Some(Node::Directory);
                Place::At(output)
            }
            Output::Dangling | Output::LinkToFile => {
                let (target, link) = (self.files.new_output(), self.files.new_output());
                let [(at, there), (path, node)] = &mut self.files.outputs[target..=link] else {
                    unreachable!()
                };
                std::os::unix::fs::symlink(&at, path).unwrap();
                *node = Some(Node::Link(target));
                if export.output == Output::LinkToFile {
                    fs::write(&at, "other").unwrap();
                    *there = Some(Node::File(usize::MAX));
                    let file = self.files.add(b"other".to_vec().into());
                    self.files.outputs[target].1 = Some(Node::File(file));
                }
                Place::At(link)
            }
            Output::NoParent => Place::NoParent(self.files.dir.join("no-parent/output")),
        };
        Some(place)
    }

    /// A file that is written into must not be the content of a task with another length: what
    /// comes of that task then is not known.
    fn may_be_overwritten(&self, file: usize, id: &str) -> Option<()> {
        let length = self.model.tasks.get(id).map(|task| task.length);
        let is_content = |replica: &Replica| replica.content == Some(Node::File(file));
        let mut others = self.model.tasks.values();
        let cut = others
            .any(|task| Some(task.length) != length && task.replicas.values().any(is_content));
        (!cut && !self.files.sources.contains(&file)).then_some(())
    }

    pub(super) fn link(&self, place: &Place, content: Option<Node>) -> Option<Link> {
        match place {
            Place::None => None,
            Place::NoParent(_) => Some(Link::Refused(NO_FILE)),
            Place::At(output) => Some(match self.files.outputs[*output].1 {
                None => Link::Made,
                Some(_) if self.is_content(*output, content) => Link::AlreadyThere,
                Some(_) => Link::Refused(EXISTS),
            }),
        }
    }

    /// Whether an output leads to the content. What a relative link leads to from where a host keeps it,
    /// no output leads to.
    fn is_content(&self, output: usize, content: Option<Node>) -> bool {
        let content = match content {
            Some(Node::File(file)) => Some(file),
            Some(Node::Absolute(source)) => Some(self.files.sources[source]),
            _ => None,
        };
        content.is_some() && self.files.reached(output) == content
    }

    /// Makes the output, as it has to be after the pieces, and tells how the export ends.
    pub(super) fn finish(
        &mut self,
        export: &Export,
        id: &str,
        place: &Place,
        link: Option<Link>,
        digest: Option<String>,
    ) -> Result<(), Refusal> {
        let newer = self.model.release != Release::V0_2;
        let task = &self.model.tasks[id];
        let content = task.replicas[&export.host].content.unwrap();
        let bytes = self.files.there(content, task.length as usize);
        let output = match (place, link) {
            (Place::None, _) | (_, None) => return Ok(()),
            (Place::NoParent(_), _) => return Err(internal(NO_FILE)),
            (Place::At(output), _) => *output,
        };
        if link == Some(Link::Made) {
            self.files.outputs[output].1 = Some(content);
        }
        if !export.force_hard_link && !self.is_content(output, Some(content)) {
            let is_directory = self.files.outputs[output].1 == Some(Node::Directory);
            let overwrites = export.overwrite && newer;
            match self.files.reached(output) {
                // Without a look at the digest.
                Some(file) if overwrites => {
                    self.files.set(file, bytes);
                    return Ok(());
                }
                None if is_directory && overwrites => return Err(internal(IS_DIRECTORY)),
                None if !is_directory => self.files.write_through(output, bytes),
                _ => {
                    let path = self.files.outputs[output].0.display();
                    let text = format!("output path {path} is already exists");
                    return Err(by_dfdaemon(self.model.release, Code::Internal, &text));
                }
            }
        }
        // Peers have none checked.
        let Some(digest) = digest.filter(|_| newer && !export.by_peer) else {
            return Ok(());
        };
        if digest.starts_with("md5:") {
            let text = format!("invalid digest({digest}): invalid digest algorithm: md5");
            return Err(by_dfdaemon(
                self.model.release,
                Code::InvalidArgument,
                &text,
            ));
        }
        match self.files.reached(output) {
            Some(file) => check_digest(&digest, self.files.bytes(file)),
            None => Err(internal(NO_FILE)),
        }
    }

    /// The digest that is asked for, of what has to come.
    pub(super) fn digest(&self, export: &Export, id: &str) -> Option<String> {
        let bytes = self.model.live(id).and_then(|task| {
            let held = task.whole(export.host).and_then(|replica| replica.content);
            match held {
                Some(content) => Some(self.files.there(content, task.length as usize)),
                None => match self.model.transfer(&self.files, id, export.host) {
                    Transfer::Whole(bytes) => Some(bytes),
                    Transfer::Bad | Transfer::Gone | Transfer::Nowhere => None,
                },
            }
        });
        let bytes = bytes.unwrap_or_default();
        let hex = || {
            let hex = format!("{:08x}", crc32(&bytes));
            // One without a letter would be a decimal one.
            hex.bytes()
                .any(|digit| !digit.is_ascii_digit())
                .then(|| format!("crc32:{hex}"))
        };
        match export.digest {
            Digest::None => None,
            Digest::Sha256 => Some(sha256(&bytes)),
            Digest::Crc32 => Some(format!("crc32:{}", crc32(&bytes))),
            Digest::Crc32InHex => Some(hex().unwrap_or_else(|| "crc32:0000000a".to_owned())),
            Digest::Wrong => Some(format!("crc32:{}", !crc32(&bytes))),
            Digest::Malformed => Some("md5:1".to_owned()),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Of CRC-32, a dfdaemon takes decimal ones only.
fn check_digest(expected: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let actual = match expected.starts_with("sha256:") {
        true => sha256(bytes),
        false => format!("crc32:{}", crc32(bytes)),
    };
    if expected == actual {
        return Ok(());
    }
    let text = format!("digest mismatch expected: {expected}, actual: {actual}");
    Err(internal(text))
}
