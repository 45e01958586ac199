//! A row of the contract: a claim, how it is tried, and what it needs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use fake_dfdaemon::{Builder, Release};

use crate::tested_daemon::TestedDaemon;
use testkit::wait::HANGS;

/// What a machine has to have, and how to see whether it does.
type Machine = (&'static str, fn() -> bool);

type Tried = Pin<Box<dyn Future<Output = ()> + Send>>;
type Try = dyn Fn(TestedDaemon) -> Tried + Send + Sync;

/// A claim and how it is tried.
#[derive(Clone)]
pub(crate) struct Row {
    /// What is claimed.
    pub(crate) claim: &'static str,
    pub(crate) runs: Runs,
    /// Why the real one differs, where it is known to.
    pub(crate) ours: Option<&'static str>,
    /// What a real dfdaemon may suffer from it.
    pub(crate) hurts: Option<&'static str>,
    only: Option<Release>,
    machine: Option<Machine>,
    attempt: Arc<Try>,
}

/// What a row needs.
#[derive(Clone, Copy)]
pub(crate) enum Runs {
    /// gRPC on one endpoint.
    Anywhere,
    /// A fake that is set up like this, and what that gives.
    OnFake(&'static str, fn(Builder) -> Builder),
}

/// A row whose claim is the name of the function that tries it.
macro_rules! row {
    ($attempt:ident) => {
        $crate::row::Row::new(stringify!($attempt), $attempt)
    };
}
pub(crate) use row;

impl Row {
    pub(crate) fn new<F>(
        claim: &'static str,
        attempt: impl Fn(TestedDaemon) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            claim,
            runs: Runs::Anywhere,
            ours: None,
            hurts: None,
            only: None,
            machine: None,
            attempt: Arc::new(move |daemon| Box::pin(attempt(daemon))),
        }
    }

    /// A row that needs more than gRPC on one endpoint.
    pub(crate) fn needs(self, what: &'static str, setup: fn(Builder) -> Builder) -> Self {
        let runs = Runs::OnFake(what, setup);
        Self { runs, ..self }
    }

    /// A row that the real dfdaemon does not hold, and why.
    pub(crate) fn ours(self, why: &'static str) -> Self {
        let ours = Some(why);
        Self { ours, ..self }
    }

    /// A row that a real dfdaemon may not survive, and why: tried last, and only when it is wanted.
    pub(crate) fn hurts(self, how: &'static str) -> Self {
        let hurts = Some(how);
        Self { hurts, ..self }
    }

    /// A row of one release.
    pub(crate) fn only(self, release: Release) -> Self {
        let only = Some(release);
        Self { only, ..self }
    }

    /// A row that this machine has to have something for.
    pub(crate) fn on_a_machine_with(self, what: &'static str, has: fn() -> bool) -> Self {
        let machine = Some((what, has));
        Self { machine, ..self }
    }

    /// What the machine lacks for this row.
    pub(crate) fn impossible(&self) -> Option<&'static str> {
        self.machine.filter(|(_, has)| !has()).map(|(what, _)| what)
    }

    pub(crate) fn is_of(&self, release: Release) -> bool {
        self.only.is_none_or(|only| only == release)
    }

    /// Tries the row with a daemon and files of its own. Panics if it does not hold.
    pub(crate) fn run<F: Future<Output = TestedDaemon>>(&self, daemon: impl FnOnce() -> F) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let tried = async { (self.attempt)(daemon().await).await };
            let tried = tokio::time::timeout(HANGS, tried).await;
            tried.unwrap_or_else(|_| panic!("it hangs"));
        });
    }
}
