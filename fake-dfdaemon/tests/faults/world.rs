//! A fake whose time stands still, its clients, and the table of faults that can be.

use std::path::{Path, PathBuf};

use dfdaemon_api::task_id::{Parameters, TaskIdHasher, TaskIdScheme};
use fake_dfdaemon::{Action, Builder, FakeDfdaemon, Fault, Rpc};
use serde_json::{Value, json};

use crate::support::client::{Client, Import};
use crate::support::requests;
pub(crate) use crate::support::requests::{export_to, transfer};
pub(crate) use crate::support::world::World;
use crate::support::world::{ended, fired};

/// The length of a piece that nobody asked to be another.
pub(crate) const PIECE: usize = 4 << 20;

/// A file and the task that an import of it makes.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) path: PathBuf,
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = FakeDfdaemon::builder().hosts(2).manual_clock();
        Self::start(configure(builder)).await
    }

    pub(crate) async fn client(&self) -> Client {
        self.on_host(0).await
    }

    /// A new file, not imported yet.
    pub(crate) fn file(&self, length: usize) -> Subject {
        let (path, bytes) = self.new_file(length);
        let mut hasher = TaskIdHasher::new(TaskIdScheme::Crc32);
        hasher.update(&bytes);
        let id = hasher.finish(Parameters::default());
        Subject { path, id, bytes }
    }

    /// A new file, imported on the first host.
    pub(crate) async fn imported(&self, length: usize) -> Subject {
        let subject = self.file(length);
        let task = self.client().await.import(import(&subject.path)).await;
        assert_eq!(task.unwrap().id, subject.id);
        subject
    }

    /// The whole replicas of a task, by the hosts' names, and whether they are persistent.
    pub(crate) async fn replicas(&self, id: &str) -> Vec<(String, bool)> {
        let mut replicas = Vec::new();
        for host in self.daemon.hosts() {
            let client = Client::connect(host.endpoint()).await;
            if let Ok(local) = client.stat_local(id).await
                && local.finished_at.is_some()
            {
                replicas.push((host.name(), local.persistent));
            }
        }
        replicas
    }

    /// Has other calls answered, which what does not wait would be before.
    pub(crate) async fn turns(&self) {
        let client = self.client().await;
        for _ in 0..3 {
            client.health("").await.unwrap();
        }
    }

    /// Waits until a fault has fired so often, and no more.
    pub(crate) async fn fired(&self, guard: &fake_dfdaemon::FaultGuard, times: u64) {
        fired(guard, times).await;
        assert_eq!(guard.fired(), times);
    }

    /// The last call of a kind in the journal, once there are so many.
    pub(crate) async fn journaled(&self, rpc: Rpc, count: usize) -> fake_dfdaemon::Call {
        let mut calls = ended(&self.daemon, rpc, count).await;
        assert_eq!(calls.len(), count, "{calls:?}");
        calls.pop().unwrap()
    }
}

/// One replica, a day.
pub(crate) fn import(path: &Path) -> Import {
    requests::import(path, 1, 86_400)
}

/// Where in a call a fault is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Unsaid,
    Before,
    After,
    Piece,
    Bytes,
}

impl Place {
    pub(crate) const ALL: [Self; 5] = [
        Self::Unsaid,
        Self::Before,
        Self::After,
        Self::Piece,
        Self::Bytes,
    ];
}

/// What an action needs to be in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Hits a call as such.
    Call,
    /// Hits the pieces of an export, one of which can be named.
    Piece,
    /// Hits the stream of an export as a whole.
    Stream,
    /// Hits what is written to a host's store.
    Store,
}

/// The kind of an action, by the calls that it can be in.
fn kind_of(name: &str) -> Kind {
    let is_in = |on, place| fault(name, on, place).is_ok();
    match () {
        () if is_in(Rpc::Stat, Place::Unsaid) => Kind::Call,
        () if is_in(Rpc::Import, Place::Unsaid) => Kind::Store,
        () if is_in(Rpc::Export, Place::Piece) => Kind::Piece,
        () => Kind::Stream,
    }
}

/// The argument of an action, chosen where a test looks at what it comes to.
fn argument(name: &str) -> Value {
    match name {
        "error" => json!({"code": "DATA_LOSS", "message": "odd", "details": "/wCA"}),
        "delay" => json!("10s"),
        "bandwidth" => json!("4MiB"),
        "wrong_length" => json!(-3),
        "wrong_content_length" => json!(7),
        _ => {
            let mut examples = Action::examples();
            let example = examples.find(|action| action.name() == name).unwrap();
            let fault = Fault::on_any().action(example).to_json();
            serde_json::from_str::<Value>(&fault).unwrap()["do"][name].clone()
        }
    }
}

/// The fault of an action at a place of a call, or why it is refused.
pub(crate) fn fault(name: &str, on: Rpc, place: Place) -> Result<Fault, String> {
    let mut fault = json!({"on": on.as_str(), "do": {name: argument(name)}});
    match place {
        Place::Unsaid => {}
        Place::Before => fault["phase"] = json!("before"),
        Place::After => fault["phase"] = json!("after"),
        Place::Piece => fault["piece"] = json!(1),
        Place::Bytes => fault["bytes"] = json!(PIECE),
    }
    let fault = fault.to_string().parse();
    fault.map_err(|error: fake_dfdaemon::FaultError| error.to_string())
}

/// Whether there is such a fault.
fn can_be(kind: Kind, on: Rpc, place: Place) -> bool {
    let writes = matches!(on, Rpc::Import | Rpc::Export | Rpc::Replicate);
    match (kind, place) {
        (Kind::Call, Place::Piece | Place::Bytes) => on == Rpc::Export,
        (Kind::Call, _) => true,
        (_, Place::Before | Place::After) => false,
        (Kind::Piece, _) => on == Rpc::Export,
        (Kind::Stream, _) => on == Rpc::Export && place == Place::Unsaid,
        (Kind::Store, _) => writes && place == Place::Unsaid,
    }
}

/// Every fault of a kind in a call that there is.
pub(crate) fn faults(kind: Kind, on: Rpc) -> Vec<(&'static str, Place, Fault)> {
    let of_kind = Action::names().filter(|name| kind_of(name) == kind);
    let mut faults = Vec::new();
    for name in of_kind {
        for place in Place::ALL {
            faults.extend(
                fault(name, on, place)
                    .ok()
                    .map(|fault| (name, place, fault)),
            );
        }
    }
    faults
}

#[test]
fn an_action_is_refused_by_name_where_it_makes_no_sense() {
    for name in Action::names() {
        for on in Rpc::ALL {
            for place in Place::ALL {
                let made = fault(name, on, place);
                let case = format!("{name} on {on} at {place:?}: {made:?}");
                assert_eq!(made.is_ok(), can_be(kind_of(name), on, place), "{case}");
                let Err(said) = made else { continue };
                let names = [name, "piece, bytes", "phase"];
                assert!(names.iter().any(|name| said.starts_with(name)), "{case}");
            }
        }
    }
}
