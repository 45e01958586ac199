//! Imports: what they ask, how they have to end, and what they leave.

use std::collections::BTreeMap;
use std::fs;

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::task_id::{Parameters, TaskIdHasher};
use fake_dfdaemon::Release;
use prost_types::Duration;
use tonic::Code;

use super::files::{NAMES, Node};
use super::model::piece_length;
use super::ops::{Import, Source, Ttl};
use super::quirk_walk::QuirkWalk;
use super::task::{Replica, Task};
use super::texts::{self, IS_DIRECTORY, NO_FILE, Refusal, by_scheduler, internal};
use crate::support::client::Import as Request;

/// What the scheduler does with what it is asked to begin.
pub(super) struct Asked {
    pub(super) id: String,
    length: u64,
    ttl: (i64, i32),
}

impl QuirkWalk {
    pub(super) async fn import(&mut self, import: &Import) {
        let request = self.import_request(import);
        let expected = self.expected_import(import);
        let answer = self.client(import.host).await.import(request).await;
        match expected {
            Err(refusal) => texts::assert_refused(&answer.unwrap_err(), &refusal),
            Ok(asked) => match import.path {
                Source::Directory => {
                    let refusal = internal(IS_DIRECTORY);
                    texts::assert_refused(&answer.unwrap_err(), &refusal);
                    // It is Succeeded all the same, the scheduler counts it, and no host has anything of it.
                    let mut task = self.new_task(import, &asked);
                    task.counted[import.host].add(true);
                    // It asks for replicas of what has succeeded alone.
                    self.model.tasks.insert(asked.id, task);
                }
                _ => {
                    let answer = answer.unwrap_or_else(|status| panic!("{status:?}"));
                    self.check_answer(import, &asked, answer);
                    let replica = self.imported_replica(import, &asked);
                    self.imported(import, asked, replica);
                }
            },
        }
    }

    pub(super) fn import_request(&self, import: &Import) -> Request {
        let path = match import.path {
            Source::File(source) => self.files.source(source),
            Source::Absolute(source) => self.files.absolute(source),
            Source::Relative(source) => self.files.relative(source),
            Source::Directory => self.files.dir.join("directory"),
            Source::Missing => self.files.dir.join("missing"),
        };
        let ttl = match import.ttl {
            Ttl::Absent => None,
            Ttl::Negative(seconds) => Some((-seconds, 0)),
            Ttl::Given { seconds, nanos } => Some((seconds, nanos)),
        };
        Request {
            content_for_calculating_task_id: import.name.map(|name| NAMES[name].to_owned()),
            path: path.to_str().unwrap().to_owned(),
            persistent_replica_count: import.replicas,
            tag: import.tag.map(ToOwned::to_owned),
            application: import.application.map(ToOwned::to_owned),
            piece_length: import.piece_length,
            ttl: ttl.map(|(seconds, nanos)| Duration { seconds, nanos }),
            ..Request::default()
        }
    }

    /// The refusal, in the order in which a dfdaemon and its scheduler look at things.
    pub(super) fn expected_import(&self, import: &Import) -> Result<Asked, Refusal> {
        let release = self.model.release;
        let invalid = |text: &str| Err((Code::InvalidArgument, text.to_owned()));
        let id = match (import.name, import.path) {
            (Some(name), _) => crate::support::content::scheme(release).of_content(NAMES[name]),
            (None, Source::Missing) => return invalid(NO_FILE),
            (None, Source::Directory) => return invalid(IS_DIRECTORY),
            (None, Source::File(source) | Source::Absolute(source) | Source::Relative(source)) => {
                let parameters = Parameters {
                    tag: import.tag,
                    application: import.application,
                    piece_length: import.piece_length,
                };
                self.id_of_source(source, parameters)
            }
        };
        if let Ttl::Negative(seconds) = import.ttl {
            let text = format!("ParseError cause: failed to convert negative duration: {seconds}s");
            return Err(internal(text));
        }
        let length = match import.path {
            Source::Missing => return Err(internal(NO_FILE)),
            Source::Directory => fs::metadata(self.files.dir.join("directory"))
                .unwrap()
                .len(),
            Source::File(source) | Source::Absolute(source) | Source::Relative(source) => {
                super::files::LENGTHS[source] as u64
            }
        };
        let ttl = match (import.ttl, release) {
            (Ttl::Given { seconds, nanos }, _) => (seconds, nanos),
            (_, Release::V0_2) => return Err(internal("unexpected response")),
            _ => (24 * 60 * 60, 0),
        };
        let refuse = |field: &str, constraint: &str| {
            let text = format!(
                "invalid UploadPersistentCacheTaskStartedRequest.{field}: value must be {constraint}"
            );
            Err(by_scheduler(release, Code::InvalidArgument, &text))
        };
        if import.replicas == 0 {
            return refuse("PersistentReplicaCount", "greater than or equal to 1");
        }
        if piece_length(import.piece_length) < 4 << 20 {
            return refuse("PieceLength", "greater than or equal to 4194304");
        }
        if !((300, 0)..=(604_800, 0)).contains(&ttl) {
            return refuse("Ttl", "inside range [5m0s, 168h0m0s]");
        }
        if self.model.live(&id).is_some() {
            let state = self.model.tasks[&id].state();
            let text = format!("persistent cache task {id} is {state} cannot upload");
            return Err(by_scheduler(release, Code::AlreadyExists, &text));
        }
        Ok(Asked { id, length, ttl })
    }

    fn check_answer(&self, import: &Import, asked: &Asked, answer: PersistentCacheTask) {
        let pieces = asked.length.div_ceil(piece_length(import.piece_length));
        let updated = answer.updated_at.unwrap();
        assert_eq!(updated.seconds, self.model.now);
        let expected = PersistentCacheTask {
            id: asked.id.clone(),
            persistent_replica_count: import.replicas,
            current_persistent_replica_count: 1,
            current_replica_count: 1,
            tag: import.tag.map(ToOwned::to_owned),
            application: import.application.map(ToOwned::to_owned),
            piece_length: piece_length(import.piece_length),
            content_length: asked.length,
            piece_count: pieces as u32,
            state: "Succeeded".to_owned(),
            ttl: Some(Duration {
                seconds: asked.ttl.0,
                nanos: asked.ttl.1,
            }),
            created_at: Some(prost_types::Timestamp {
                seconds: self.model.now,
                nanos: 0,
            }),
            updated_at: Some(updated),
        };
        assert_eq!(answer, expected);
    }

    /// What an import leaves on its host: 1.5 links the source, 0.2 copies it.
    pub(super) fn imported_replica(&mut self, import: &Import, asked: &Asked) -> Replica {
        let (source, link) = match import.path {
            Source::Absolute(source) => (source, Some(Node::Absolute(source))),
            Source::Relative(source) => (source, Some(Node::Relative(source))),
            Source::File(source) => (source, None),
            Source::Directory | Source::Missing => unreachable!("not imported"),
        };
        let file = self.files.sources[source];
        match self.model.release {
            Release::V0_2 => {
                let bytes = self.files.there(Node::File(file), 0);
                let task = self.new_task(import, asked);
                let crc32 = task.crc32(&bytes);
                Replica::whole(Node::File(self.files.add(bytes)), Some(crc32), true)
            }
            _ => Replica::whole(link.unwrap_or(Node::File(file)), None, true),
        }
    }

    fn new_task(&self, import: &Import, asked: &Asked) -> Task {
        Task {
            wanted: import.replicas,
            tag: import.tag.map(ToOwned::to_owned),
            application: import.application.map(ToOwned::to_owned),
            length: asked.length,
            piece_length: piece_length(import.piece_length),
            ttl: asked.ttl,
            created: self.model.now,
            uploading: false,
            counted: Default::default(),
            replicas: BTreeMap::new(),
        }
    }

    /// The task of an import that found no room for so much: it stays Uploading.
    pub(super) fn filled(&mut self, import: &Import, asked: Asked, length: u64) {
        let asked = Asked { length, ..asked };
        let mut task = self.new_task(import, &asked);
        task.uploading = true;
        self.model.tasks.insert(asked.id, task);
    }

    pub(super) fn imported(&mut self, import: &Import, asked: Asked, replica: Replica) {
        let mut task = self.new_task(import, &asked);
        task.replicas.insert(import.host, replica);
        self.model.insert(&asked.id, task);
    }

    /// The id of what a source holds now.
    pub(super) fn id_of_source(&self, source: usize, parameters: Parameters<'_>) -> String {
        let mut hasher = TaskIdHasher::new(crate::support::content::scheme(self.model.release));
        hasher.update(self.files.bytes(self.files.sources[source]));
        hasher.finish(parameters)
    }
}
