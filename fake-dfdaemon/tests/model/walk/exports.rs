//! Exports: what they ask, what has to come, how they have to end, and what they leave.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dfdaemon_api::common::v2::TrafficType;
use dfdaemon_api::digest::crc32;
use fake_dfdaemon::Release;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;
use tonic::Code;

use super::files::Node;
use super::model::{Copy, Transfer};
use super::ops::{Digest, Export, HOSTS, Output};
use super::texts::{self, EXISTS, NO_FILE, Refusal, by_dfdaemon, by_scheduler, internal};
use super::world::World;
use crate::support::client::{Export as Request, Exported};

/// How long an export is given that has to wait, before it is looked at.
const LOOKS_AFTER: Duration = Duration::from_millis(30);

/// Where an output goes.
enum Place {
    None,
    /// By its place among the outputs.
    At(usize),
    NoParent(PathBuf),
}

/// What happens when an output is linked, before any piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Made,
    AlreadyThere,
    Refused(&'static str),
}

/// That an export waits for a host.
async fn waits(exporting: &JoinHandle<Exported>, parent: usize) {
    tokio::time::sleep(LOOKS_AFTER).await;
    assert!(!exporting.is_finished(), "host-{parent} serves nobody");
}

impl World {
    pub(super) async fn export(&mut self, export: &Export) {
        let id = self.id_of(export.task);
        let Some(place) = self.place(export, &id) else {
            return;
        };
        let path = match &place {
            Place::None => None,
            Place::At(output) => Some(self.files.outputs[*output].0.clone()),
            Place::NoParent(path) => Some(path.clone()),
        };
        if self.is_unknown(export.host, &id) {
            return;
        }
        let digest = self.digest(export, &id, &place);
        let request = Request {
            task_id: id.clone(),
            persistent: export.persistent,
            need_piece_content: export.with_content,
            output_path: path.map(|path| path.to_str().unwrap().to_owned()),
            force_hard_link: export.force_hard_link,
            overwrite: export.overwrite,
            digest: digest.clone(),
            ..Request::default()
        };
        let left = self
            .model
            .live(&id)
            .and_then(|task| task.preallocated(export.host));
        let link = self.link(&place, left);
        let is_refused = export.force_hard_link && matches!(link, Some(Link::Refused(_)));
        let lacks = self.content(export.host, &id).is_none();
        let waits_for = self.model.waits_for(&id, export.host);
        let waits_for = waits_for.filter(|_| lacks && !is_refused);
        let stalls = self.model.stalls(&id, export.host);
        let serves = |parent: usize| self.content(parent, &id).is_some();
        let stalls = stalls.filter(|_| lacks && !is_refused && !(0..HOSTS).any(serves));
        let (client, peer) = (self.client(export.host).await, self.peer(export.host).await);
        let by_peer = export.by_peer;
        let exporting = tokio::spawn(async move {
            match by_peer {
                true => peer.export(request).await,
                false => client.export(request).await,
            }
        });
        if let Some(parent) = waits_for {
            waits(&exporting, parent).await;
            self.cure(parent, &id).await;
        } else if let Some(parent) = stalls {
            waits(&exporting, parent).await;
            // What it waits for is taken away.
            self.peer(parent).await.delete(&id).await.unwrap();
            self.model.delete(&id, parent);
        }
        let exported = exporting.await.unwrap();
        let Some(task) = self.model.live(&id).cloned() else {
            assert!(!exported.opened);
            texts::assert_refused(&exported.status, &self.model.not_found(&id));
            return;
        };
        let host = export.host;
        if task.whole(host).is_some() {
            self.held(export, &id, &place, digest, exported);
            return;
        }
        match self.model.transfer(&self.files, &id, host) {
            _ if export.force_hard_link && matches!(link, Some(Link::Refused(_))) => {
                self.refused(link, &exported);
                let left = Copy::unfinished(false, export.persistent);
                self.model.leave(&mut self.files, &id, host, left);
            }
            Transfer::Nowhere => {
                assert_eq!(
                    (exported.started, exported.pieces.len()),
                    (Some(task.length), 0)
                );
                let text = format!("peer {} not found", exported.peer_id());
                let refusal = by_scheduler(self.model.release, Code::NotFound, &text);
                texts::assert_refused(&exported.status, &refusal);
                self.model
                    .take(&mut self.files, &id, host, export.persistent);
                self.leave_link(export.host, &id, &place, link);
            }
            Transfer::Bad | Transfer::Gone => {
                assert!(exported.opened);
                let text = "no candidate parents found";
                let refusal = by_scheduler(self.model.release, Code::FailedPrecondition, text);
                texts::assert_refused(&exported.status, &refusal);
                self.model
                    .take(&mut self.files, &id, host, export.persistent);
                self.leave_link(export.host, &id, &place, link);
            }
            Transfer::Whole(bytes) => {
                self.check_pieces(export, &id, &exported, &bytes, None);
                self.model
                    .take(&mut self.files, &id, host, export.persistent);
                if export.with_content {
                    self.count_uploads(&id, host);
                }
                let ended = self.finish(export, &id, &place, link, digest);
                Self::check_end(&exported, ended);
            }
        }
    }

    /// An export on a host that has the task.
    fn held(
        &mut self,
        export: &Export,
        id: &str,
        place: &Place,
        digest: Option<String>,
        exported: Exported,
    ) {
        let host = export.host;
        self.model.make_target(id, host);
        let copy = self.model.tasks[id].whole(host).unwrap().clone();
        let link = self.link(place, copy.content);
        if export.force_hard_link && matches!(link, Some(Link::Refused(_))) {
            self.refused(link, &exported);
            let task = self.model.tasks.get_mut(id).unwrap();
            task.flag(host, export.persistent);
            return;
        }
        let length = self.model.tasks[id].length as usize;
        let bytes = self.files.served(copy.content.unwrap(), length);
        self.check_pieces(export, id, &exported, &bytes, Some(&copy));
        if export.with_content {
            self.count_uploads(id, host);
        }
        let task = self.model.tasks.get_mut(id).unwrap();
        task.flag(host, export.persistent);
        let ended = self.finish(export, id, place, link, digest);
        if ended.is_ok() {
            self.model.cure(id, host);
        }
        Self::check_end(&exported, ended);
    }

    fn count_uploads(&mut self, id: &str, host: usize) {
        let task = self.model.tasks.get_mut(id).unwrap();
        task.count_uploads(host, task.piece_count());
    }

    /// Where the output goes. `None` where behaviour does not say what comes of it.
    fn place(&mut self, export: &Export, id: &str) -> Option<Place> {
        let wants_digest = export.digest != Digest::None;
        let place = match export.output {
            Output::None => Place::None,
            Output::New => Place::At(self.files.new_output()),
            Output::Earlier(at) => {
                let made = self.files.outputs.iter().enumerate();
                let made: Vec<_> = made.filter(|(_, (_, node))| node.is_some()).collect();
                let (output, (_, node)) = made.get(at % made.len().max(1))?;
                let is_held = self
                    .content(export.host, id)
                    .is_some_and(|held| Some(held) == *node);
                match node {
                    Some(Node::File(file)) if export.overwrite && !is_held => {
                        self.may_be_overwritten(*file, id)?;
                    }
                    // Beside outputs it leads to nothing: such links are `Output::Dangling`.
                    Some(Node::Relative(_)) if !is_held => return None,
                    // Which error comes first is not known.
                    _ if (wants_digest || export.overwrite) && !is_held => return None,
                    _ => {}
                }
                Place::At(*output)
            }
            Output::Directory | Output::Dangling | Output::LinkToFile
                if wants_digest || export.overwrite =>
            {
                return None;
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
                *node = Some(Node::Dangling);
                if export.output == Output::LinkToFile {
                    *node = Some(Node::LinkToFile);
                    fs::write(&at, "other").unwrap();
                    let file = b"other".to_vec();
                    *there = Some(Node::File(usize::MAX));
                    let file = self.files.add(file);
                    self.files.outputs[target].1 = Some(Node::File(file));
                }
                Place::At(link)
            }
            Output::NoParent if wants_digest => return None,
            Output::NoParent => Place::NoParent(self.files.dir.join("no-parent/output")),
        };
        Some(place)
    }

    /// A file that is written into must not be the content of a task with another length: what
    /// comes of that task then is not known.
    fn may_be_overwritten(&self, file: usize, id: &str) -> Option<()> {
        let length = self.model.tasks.get(id).map(|task| task.length);
        let is_content = |copy: &Copy| copy.content == Some(Node::File(file));
        let mut others = self.model.tasks.values();
        let cut =
            others.any(|task| Some(task.length) != length && task.copies.values().any(is_content));
        (!cut && !self.files.sources.contains(&file)).then_some(())
    }

    fn content(&self, host: usize, id: &str) -> Option<Node> {
        let task = self.model.live(id)?;
        task.whole(host)?.content
    }

    fn link(&self, place: &Place, content: Option<Node>) -> Option<Link> {
        match place {
            Place::None => None,
            Place::NoParent(_) => Some(Link::Refused(NO_FILE)),
            Place::At(output) => Some(match self.files.outputs[*output].1 {
                None => Link::Made,
                there if there == content => Link::AlreadyThere,
                Some(_) => Link::Refused(EXISTS),
            }),
        }
    }

    /// An export that failed leaves the link that it made at first.
    fn leave_link(&mut self, host: usize, id: &str, place: &Place, link: Option<Link>) {
        if let (Place::At(output), Some(Link::Made)) = (place, link) {
            self.files.outputs[*output].1 = self.model.tasks[id].preallocated(host);
        }
    }

    /// That a link that was forced was refused before any stream.
    fn refused(&self, link: Option<Link>, exported: &Exported) {
        if let Some(Link::Refused(text)) = link {
            assert!(!exported.opened);
            texts::assert_refused(&exported.status, &internal(text));
        }
    }

    /// Makes the output, as it has to be after the pieces, and tells how the export ends.
    fn finish(
        &mut self,
        export: &Export,
        id: &str,
        place: &Place,
        link: Option<Link>,
        digest: Option<String>,
    ) -> Result<(), Refusal> {
        let newer = self.model.release != Release::V0_2;
        let task = &self.model.tasks[id];
        let content = task.copies[&export.host].content.unwrap();
        let bytes = self.files.served(content, task.length as usize);
        let output = match (place, link) {
            (Place::None, _) | (_, None) => return Ok(()),
            (Place::NoParent(_), _) => return Err(internal(NO_FILE)),
            (Place::At(output), _) => *output,
        };
        let there = self.files.outputs[output].1;
        match (link, there) {
            (Some(Link::AlreadyThere), _) => {}
            (_, Some(Node::File(file))) if export.overwrite && newer => {
                // Without a look at the digest.
                self.files.set(file, bytes);
                return Ok(());
            }
            (Some(Link::Made), _) => self.files.outputs[output].1 = Some(content),
            (_, Some(Node::Dangling)) => {
                let file = self.files.add(bytes.clone());
                self.files.outputs[output - 1].1 = Some(Node::File(file));
                self.files.outputs[output].1 = Some(Node::LinkToFile);
            }
            _ => {
                let path = self.files.outputs[output].0.display();
                let text = format!("output path {path} is already exists");
                return Err(by_dfdaemon(self.model.release, Code::Internal, &text));
            }
        }
        // Peers have none checked.
        match digest.filter(|_| newer && !export.by_peer) {
            Some(digest) => self.check_digest(export.digest, &digest, &bytes),
            None => Ok(()),
        }
    }

    fn check_digest(&self, kind: Digest, raw: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let actual = crc32(bytes);
        match kind {
            Digest::None | Digest::Sha256 | Digest::Crc32 => Ok(()),
            Digest::Crc32InHex | Digest::Wrong => {
                let text = format!("digest mismatch expected: {raw}, actual: crc32:{actual}");
                Err(internal(text))
            }
            Digest::Malformed => {
                let text = format!("invalid digest({raw}): invalid digest algorithm: md5");
                Err(by_dfdaemon(
                    self.model.release,
                    Code::InvalidArgument,
                    &text,
                ))
            }
        }
    }

    /// The digest that is asked for, of what has to come.
    fn digest(&self, export: &Export, id: &str, place: &Place) -> Option<String> {
        let bytes = self.model.live(id).and_then(|task| {
            let held = task.whole(export.host).and_then(|copy| copy.content);
            match held {
                Some(content) => Some(self.files.served(content, task.length as usize)),
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
        if matches!(place, Place::None) && export.digest == Digest::Malformed {
            // Without an output it is not looked at.
            return Some("md5:1".to_owned());
        }
        match export.digest {
            Digest::None => None,
            Digest::Sha256 => {
                let sum = Sha256::digest(&bytes);
                let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
                Some(format!("sha256:{hex}"))
            }
            Digest::Crc32 => Some(format!("crc32:{}", crc32(&bytes))),
            Digest::Crc32InHex => Some(hex().unwrap_or_else(|| "crc32:0000000a".to_owned())),
            Digest::Wrong => Some(format!("crc32:{}", !crc32(&bytes))),
            Digest::Malformed => Some("md5:1".to_owned()),
        }
    }

    /// That all pieces came, each as it has to be.
    fn check_pieces(
        &self,
        export: &Export,
        id: &str,
        exported: &Exported,
        bytes: &[u8],
        held: Option<&Copy>,
    ) {
        let task = &self.model.tasks[id];
        assert_eq!(exported.started, Some(task.length), "{:?}", exported.status);
        let mut numbers = exported.numbers();
        if held.is_none() {
            numbers.sort_unstable();
        }
        let all: Vec<_> = (0..task.piece_count() as u32).collect();
        assert_eq!(numbers, all, "{:?}", exported.status);
        let came = task.crc32(bytes);
        for piece in &exported.pieces {
            let number = piece.number as usize;
            let range = task.range(number);
            assert_eq!(
                (piece.offset, piece.length),
                (range.start as u64, range.len() as u64)
            );
            let crc32 = match held {
                Some(copy) => copy.crc32.as_ref().map(|crc32| crc32[number]),
                None => Some(came[number]),
            };
            let digest = crc32.map_or(String::new(), |crc32| format!("crc32:{crc32}"));
            assert_eq!(piece.digest, digest);
            let content = export.with_content.then(|| &bytes[range]);
            assert!(
                piece.content.as_deref() == content,
                "content of piece {number}"
            );
            let (traffic, host) = match held {
                Some(_) => (TrafficType::LocalPeer, export.host),
                None => (TrafficType::RemotePeer, 1 - export.host),
            };
            assert_eq!(piece.traffic_type, Some(traffic.into()));
            let parent = piece.parent_id.as_deref();
            let name = format!("-host-{host}-");
            match held {
                Some(_) => assert_eq!(parent, None),
                None => assert!(parent.is_some_and(|id| id.contains(&name)), "{parent:?}"),
            }
            assert!(piece.cost.is_some() && piece.created_at.is_some());
        }
    }

    fn check_end(exported: &Exported, expected: Result<(), Refusal>) {
        match expected {
            Ok(()) => assert_eq!(exported.status.code(), Code::Ok, "{:?}", exported.status),
            Err(refusal) => texts::assert_refused(&exported.status, &refusal),
        }
    }
}
