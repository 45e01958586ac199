//! Clients in this process.

use std::collections::VecDeque;
use std::fs;
use std::sync::Arc;

use dfcache::Endpoint;
use dfcache::{Client, Error, ErrorKind, ExportMode, ExportRequest, ImportRequest, TaskState};
use dfdaemon_api::digest::crc32;

use super::disturbances::DISTURBED;
use super::{Content, Draw, Ended, Field, HANGS, HOSTS, Known};
use crate::support::files::{compare, compare_file};

/// Tasks of its own that a client keeps.
const KEPT: usize = 3;

/// What a client has to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// On the first host, which stays: nothing goes wrong.
    Steady,
    /// On any host: it, or whoever has the content, may be away.
    Roaming,
    /// On the first host, and hit by faults.
    Disturbed,
}

impl Role {
    fn of(number: usize) -> Self {
        [Self::Steady, Self::Roaming, Self::Disturbed][number % 3]
    }

    fn expects(self, kind: ErrorKind) -> bool {
        match self {
            Self::Steady => false,
            Self::Roaming => kind == ErrorKind::Unavailable,
            Self::Disturbed => matches!(
                kind,
                ErrorKind::Unavailable
                    | ErrorKind::Integrity
                    | ErrorKind::Refused
                    | ErrorKind::LocalFile
                    | ErrorKind::Failure
            ),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Import,
    ExportToPath(bool),
    ExportToWriter,
    ExportOverFile,
    ExportWithDigest,
    Stat,
    StatUnknown,
    Delete,
}

const OPS: [Op; 13] = [
    Op::Import,
    Op::Import,
    Op::Import,
    Op::ExportToPath(true),
    Op::ExportToPath(false),
    Op::ExportToPath(true),
    Op::ExportToPath(false),
    Op::ExportToWriter,
    Op::ExportOverFile,
    Op::ExportWithDigest,
    Op::Stat,
    Op::StatUnknown,
    Op::Delete,
];

/// A client until the end.
pub(super) async fn run(field: Arc<Field>, number: usize) {
    let role = Role::of(number);
    let mut customer = Customer {
        field: &field,
        role,
        draw: Draw(number as u64 + 100),
        own: VecDeque::new(),
        client: None,
    };
    while field.goes_on() {
        let op = OPS[customer.draw.below(OPS.len())];
        let host = if role == Role::Roaming {
            customer.draw.below(HOSTS)
        } else {
            0
        };
        let doing = || format!("client {number}, {role:?}, on host-{host}: {op:?}");
        match tokio::time::timeout(HANGS, customer.take_step(op, host)).await {
            Err(_) => field.fail(format!("{} hangs", doing())),
            Ok(Ok(())) => field.count(format!("{}: done", named(op))),
            Ok(Err((Some(kind), _))) if role.expects(kind) => {
                // The connection may be gone.
                customer.client = None;
                field.count(format!("{}: {role:?}, {}", named(op), kind.name()));
            }
            Ok(Err((_, why))) => field.fail(format!("{}: {why}", doing())),
        }
    }
}

fn named(op: Op) -> String {
    match op {
        Op::Import => "import".to_owned(),
        Op::Stat => "stat".to_owned(),
        Op::ExportToPath(true) => "export by path".to_owned(),
        Op::ExportToPath(false) => "export by transfer".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

struct Customer<'a> {
    field: &'a Field,
    role: Role,
    draw: Draw,
    own: VecDeque<Known>,
    /// With the host that it is connected to.
    client: Option<(usize, Client)>,
}

fn wrong(what: impl Into<String>) -> (Option<ErrorKind>, String) {
    (None, what.into())
}

fn failure(error: Error) -> (Option<ErrorKind>, String) {
    let causes = error.causes().join(": ");
    (Some(error.kind()), format!("{error}: {causes}"))
}

impl Customer<'_> {
    async fn take_step(&mut self, op: Op, host: usize) -> Ended {
        // Now and then a new connection.
        let known = self.client.as_ref().map(|(host, _)| *host);
        if known != Some(host) || self.draw.below(8) == 0 {
            let endpoint = Endpoint::new(self.field.endpoint(host)).unwrap();
            let client = Client::connect(&endpoint).await.map_err(failure)?;
            self.client = Some((host, client));
        }
        let (_, client) = self.client.clone().unwrap();
        match op {
            Op::Import => self.import(&client).await,
            Op::ExportToPath(by_path) => {
                let mode = if by_path {
                    ExportMode::ByPath
                } else {
                    ExportMode::ByTransfer
                };
                let known = self.any_task();
                self.export(&client, &known, mode, None).await
            }
            Op::ExportWithDigest => {
                let known = self.any_task();
                let digest = crc32(self.field.contents.of(known.content));
                let digest = Some(format!("crc32:{digest}"));
                self.export(&client, &known, ExportMode::ByTransfer, digest)
                    .await
            }
            Op::ExportToWriter => self.export_to_writer(&client).await,
            Op::ExportOverFile => self.export_over_file(&client).await,
            Op::Stat => self.stat(&client).await,
            Op::StatUnknown => match client.stat("404").await {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(failure(error)),
                Ok(task) => Err(wrong(format!("there is a task 404: {task:?}"))),
            },
            Op::Delete => self.delete().await,
        }
    }

    fn application(&self) -> Option<String> {
        (self.role == Role::Disturbed).then(|| DISTURBED.to_owned())
    }

    /// One of its own, or one that all share.
    fn any_task(&mut self) -> Known {
        let number = self.draw.below(self.own.len() + 2);
        let shared = &self.field.shared;
        match self.own.get(number) {
            Some(own) => own.clone(),
            None => shared[self.draw.below(shared.len())].clone(),
        }
    }

    fn request(&self, known: &Known) -> ExportRequest {
        let request = ExportRequest::new(&*known.id);
        match self.application() {
            Some(application) => request.application(application),
            None => request,
        }
    }

    async fn import(&mut self, client: &Client) -> Ended {
        if self.own.len() >= KEPT {
            self.delete().await?;
        }
        let content = self.draw.content();
        let source = self.field.make_source(content);
        // An id of its own, whatever is in it.
        let mut request = ImportRequest::new(&source).tag(source.to_str().unwrap());
        if let Some(application) = self.application() {
            request = request.application(application);
        }
        let imported = client.import(request).await;
        fs::remove_file(source).unwrap();
        let task = imported.map_err(failure)?.task;
        let id = task.task_id.to_string();
        self.own.push_back(Known { id, content });
        if task.content_length != content.length as u64 || task.state != TaskState::Succeeded {
            return Err(wrong(format!("imported as {} of {content:?}", task.state)));
        }
        Ok(())
    }

    async fn export(
        &self,
        client: &Client,
        known: &Known,
        mode: ExportMode,
        digest: Option<String>,
    ) -> Ended {
        let output = self.field.path(&format!("out-{}", self.field.number()));
        let mut request = self.request(known).mode(mode);
        if let Some(digest) = digest {
            request = request.digest(digest.parse().unwrap());
        }
        let exported = client.export_to_path(request, &output).await;
        if let Err(error) = exported {
            if output.exists() {
                return Err(wrong(format!("a failed export left its output: {error}")));
            }
            return Err(failure(error));
        }
        let same = compare_file(&output, self.field.contents.of(known.content));
        fs::remove_file(&output).unwrap();
        same.map_err(|difference| wrong(format!("{known:?} differs: {difference}")))
    }

    async fn export_to_writer(&mut self, client: &Client) -> Ended {
        let known = self.any_task();
        let mut got = Vec::new();
        let request = self.request(&known);
        let exported = client.export_to_writer(&request, &mut got).await;
        exported.map_err(failure)?;
        let same = compare(&got, self.field.contents.of(known.content));
        same.map_err(|difference| wrong(format!("{known:?} differs: {difference}")))
    }

    async fn export_over_file(&mut self, client: &Client) -> Ended {
        let known = self.any_task();
        let output = self.field.path(&format!("out-{}", self.field.number()));
        fs::write(&output, "mine").unwrap();
        let request = self.request(&known).mode(ExportMode::ByTransfer);
        let exported = client.export_to_path(request, &output).await;
        let kept = fs::read(&output).unwrap();
        fs::remove_file(&output).unwrap();
        match exported {
            _ if kept != b"mine" => Err(wrong("a file was replaced that was there")),
            Err(error) if error.kind() == ErrorKind::LocalFile => Ok(()),
            Err(error) => Err(failure(error)),
            Ok(_) => Err(wrong("it replaced a file")),
        }
    }

    async fn stat(&mut self, client: &Client) -> Ended {
        let known = self.any_task();
        let task = client.stat(&*known.id).await;
        let task = task.map_err(failure)?;
        let length = known.content.length as u64;
        if task.content_length == length && task.state == TaskState::Succeeded {
            return Ok(());
        }
        Err(wrong(format!("{known:?} is {task:?}")))
    }

    async fn delete(&mut self) -> Ended {
        let Some(known) = self.own.pop_front() else {
            return Ok(());
        };
        let path = format!("/tasks/{}", known.id);
        match self.field.control.ask("DELETE", &path, "").await {
            (200, _) => Ok(()),
            (status, body) => Err(wrong(format!("{path}: {status} {body}"))),
        }
    }
}

/// Imports something on the first host.
pub(super) async fn share(field: &Field, content: Content) -> Known {
    let endpoint = Endpoint::new(field.endpoint(0)).unwrap();
    let client = Client::connect(&endpoint).await.unwrap();
    let source = field.make_source(content);
    let request = ImportRequest::new(&source).tag(source.to_str().unwrap());
    let imported = client.import(request).await.unwrap();
    fs::remove_file(source).unwrap();
    Known {
        id: imported.task.task_id.to_string(),
        content,
    }
}
