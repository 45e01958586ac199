//! Calls that their clients leave, imports that find no room, hosts that leave.

use fake_dfdaemon::{Fault, Release, Rpc};
use testkit::wait::opened_by_reader;

use super::files::HUGE;
use super::model::Transfer;
use super::ops::{Import, Source};
use super::quirk_walk::QuirkWalk;
use super::texts;
use crate::support::client::{Export as Request, Import as ImportRequest};
use crate::support::world::{ended, fired};

/// How many pieces of content are read ahead of a client, and also when it has gone.
const PIECES_AHEAD: usize = 12;

impl QuirkWalk {
    /// Imports a FIFO without a name for it, and leaves while it is read: nobody has heard of a task.
    pub(super) async fn leave_import(&mut self, host: usize) {
        let path = self.files.dir.join("fifo");
        let request = ImportRequest {
            path: path.to_str().unwrap().to_owned(),
            persistent_replica_count: 1,
            ttl: Some(prost_types::Duration {
                seconds: 600,
                nanos: 0,
            }),
            ..ImportRequest::default()
        };
        let before = self.calls(Rpc::Import);
        let importing = self.client(host).await.begin_import(request);
        // Open for as long as it is read: a writer that goes away ends the file.
        let _writer = opened_by_reader(&path).await;
        importing.abort();
        self.left(Rpc::Import, before).await;
    }

    /// Imports, and leaves before the answer comes: the import has happened.
    pub(super) async fn lose_import(&mut self, import: &Import) {
        let Ok(asked) = self.expected_import(import) else {
            return;
        };
        if import.path == Source::Directory {
            return;
        }
        let fault = self.daemon.fault(Fault::on(Rpc::Import).after().stall());
        let before = self.calls(Rpc::Import);
        let request = self.import_request(import);
        let importing = self.client(import.host).await.begin_import(request);
        fired(&fault, 1).await;
        importing.abort();
        self.left(Rpc::Import, before).await;
        let replica = self.imported_replica(import, &asked);
        self.imported(import, asked, replica);
    }

    /// Imports, by a name, what is larger than the host.
    pub(super) async fn fill_import(&mut self, import: &Import) {
        let is_named = import.name.is_some() && matches!(import.path, Source::File(_));
        let Some(asked) = self.expected_import(import).ok().filter(|_| is_named) else {
            return;
        };
        let path = self.files.dir.join("huge");
        let request = ImportRequest {
            path: path.to_str().unwrap().to_owned(),
            ..self.import_request(import)
        };
        let answer = self.client(import.host).await.import(request).await;
        let text = format!(
            "no space left on device: not enough space to store the persistent cache task: \
             content_length={HUGE}"
        );
        texts::assert_refused(&answer.unwrap_err(), &texts::internal(text));
        self.filled(import, asked, HUGE);
    }

    /// Begins an export without output, and leaves at its first piece. With content, and more pieces to
    /// come than are read ahead of a client, the replica of a 1.5 serves no other host from then on. All else goes
    /// on alone.
    pub(super) async fn leave_export(
        &mut self,
        host: usize,
        by_peer: bool,
        id: &str,
        with_content: bool,
    ) {
        let Some(task) = self.model.live(id).filter(|task| task.length > 0) else {
            // Without a piece there is nothing to leave at.
            return;
        };
        let (is_held, pieces) = (task.whole(host).is_some(), task.piece_count());
        let is_long = pieces > PIECES_AHEAD;
        if !is_held && (is_long || !self.comes_whole(host, id)) {
            // Of what comes from elsewhere, it is a race what is read ahead.
            return;
        }
        let request = Request {
            task_id: id.to_owned(),
            need_piece_content: with_content,
            ..Request::default()
        };
        let fault = self.daemon.fault(Fault::on(Rpc::Export).piece(0).stall());
        let before = self.calls(Rpc::Export);
        let (client, peer) = (self.client(host).await, self.peer(host).await);
        let leaving = tokio::spawn(async move {
            match by_peer {
                true => drop(peer.export(request).await),
                false => drop(client.export(request).await),
            }
        });
        fired(&fault, 1).await;
        leaving.abort();
        let _ = leaving.await;
        let fails = with_content && is_long && self.model.release != Release::V0_2;
        if !fails {
            // The export goes on without its client.
            drop(fault);
        }
        self.left(Rpc::Export, before).await;
        if !is_held {
            self.model.take(&mut self.files, id, host, false);
        }
        self.model.make_target(id, host);
        let task = self.model.tasks.get_mut(id).unwrap();
        if is_held {
            task.flag(host, false);
        }
        if is_held && with_content {
            self.model.read(&self.files, id, host);
        }
        let task = self.model.tasks.get_mut(id).unwrap();
        if fails {
            let replica = task.replicas.get_mut(&host).unwrap();
            // Whether the piece was read before its client was gone is not known.
            (replica.failed, replica.uploaded) = (true, None);
            return;
        }
        if with_content {
            task.count_uploads(host, pieces);
        }
        self.model.cure(id, host);
    }

    /// Whether a task comes to a host that lacks it, and at once.
    fn comes_whole(&self, host: usize, id: &str) -> bool {
        let transfer = self.model.transfer(&self.files, id, host);
        matches!(transfer, Transfer::Whole(_)) && self.model.stalls(id, host).is_none()
    }

    /// Whether it is known what comes of it when a host leaves.
    pub(super) fn knows_leave(&self) -> bool {
        self.model.tasks.values().all(|task| !task.uploading)
    }

    fn calls(&self, rpc: Rpc) -> usize {
        self.daemon.journal().calls(rpc).len()
    }

    /// Waits until the call has ended that a client left.
    async fn left(&self, rpc: Rpc, before: usize) {
        ended(&self.daemon, rpc, before + 1).await;
    }
}
