//! Exports: what they ask, what has to come, how they have to end, and what they leave.

use std::time::Duration;

use dfdaemon_api::common::v2::TrafficType;
use tokio::task::JoinHandle;
use tonic::Code;

use super::files::Node;
use super::model::Transfer;
use super::ops::{Export, HOSTS};
use super::outputs::{Link, Place};
use super::quirk_walk::QuirkWalk;
use super::task::Replica;
use super::texts::{self, Refusal, by_scheduler, internal};
use crate::support::client::{Export as Request, Exported};

/// How long an export is given that has to wait, before it is looked at.
const LOOKS_AFTER: Duration = Duration::from_millis(30);

/// That an export waits for a host.
async fn waits(exporting: &JoinHandle<Exported>, parent: usize) {
    testkit::wait::real_time(LOOKS_AFTER).await;
    assert!(!exporting.is_finished(), "host-{parent} sends nothing");
}

impl QuirkWalk {
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
        let digest = self.digest(export, &id);
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
        if let Some(parent) = stalls {
            waits(&exporting, parent).await;
            // Nothing that becomes of the record ends it.
            self.peer(parent).await.delete(&id).await.unwrap();
            self.model.delete(&id, parent);
            waits(&exporting, parent).await;
            self.stop_host(parent).await;
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
                let left = Replica::unfinished(false, export.persistent);
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
        let replica = self.model.tasks[id].whole(host).unwrap().clone();
        let link = self.link(place, replica.content);
        if export.force_hard_link && matches!(link, Some(Link::Refused(_))) {
            self.refused(link, &exported);
            let task = self.model.tasks.get_mut(id).unwrap();
            task.flag(host, export.persistent);
            self.model.cure(id, host);
            return;
        }
        let bytes = self.model.served(&self.files, id, host);
        self.check_pieces(export, id, &exported, &bytes, Some(&replica));
        if export.with_content {
            self.model.read(&self.files, id, host);
            self.count_uploads(id, host);
        }
        let task = self.model.tasks.get_mut(id).unwrap();
        task.flag(host, export.persistent);
        let ended = self.finish(export, id, place, link, digest);
        self.model.cure(id, host);
        Self::check_end(&exported, ended);
    }

    fn count_uploads(&mut self, id: &str, host: usize) {
        let task = self.model.tasks.get_mut(id).unwrap();
        task.count_uploads(host, task.piece_count());
    }

    pub(super) fn content(&self, host: usize, id: &str) -> Option<Node> {
        let task = self.model.live(id)?;
        task.whole(host)?.content
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

    /// That all pieces came, each as it has to be.
    fn check_pieces(
        &self,
        export: &Export,
        id: &str,
        exported: &Exported,
        bytes: &[u8],
        held: Option<&Replica>,
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
                Some(replica) => replica.crc32.as_ref().map(|crc32| crc32[number]),
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
