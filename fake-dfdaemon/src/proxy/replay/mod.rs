//! Answers from a cassette: no daemon, no network.

mod connection;
mod matching;
mod play;
mod script;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::matching::Calls;
pub(crate) use self::matching::Order;
pub(crate) use self::play::Speed;
pub(super) use self::script::{Expected, Script};
use super::calls::ProxiedCalls;
use super::cassette::CassetteError;
use super::cassette::read::Cassette;
use super::compare::{PathMapping, Tolerance};
use super::printable::printable;
use super::server::Serve;

/// How a cassette is replayed.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplaySettings {
    pub(crate) order: Order,
    pub(crate) speed: Speed,
    /// The daemon that answers what is not recorded.
    pub(crate) on_miss: Option<PathBuf>,
    pub(crate) paths: Vec<PathMapping>,
}

/// A cassette that can be played.
#[derive(Debug)]
pub(crate) struct Replayer {
    calls: Calls,
    settings: ReplaySettings,
    misses: AtomicU64,
}

impl Replayer {
    /// Reads a cassette, and checks all of it.
    pub(crate) fn load(
        path: &std::path::Path,
        settings: ReplaySettings,
    ) -> Result<Arc<Self>, CassetteError> {
        let mut cassette = Cassette::open(path)?;
        if cassette.is_cut {
            let path = path.display();
            tracing::warn!("{path}: the last call was cut, and is left out");
        }
        let calls = std::mem::take(&mut cassette.calls);
        let scripts = calls.into_iter().map(|call| Script::of(call, &cassette));
        let scripts = scripts.collect::<Result<Vec<_>, _>>()?;
        let tolerance = Tolerance {
            varies: cassette.head.varies,
            paths: settings.paths.clone(),
            ..Tolerance::default()
        };
        let calls = Calls::new(scripts, settings.order, tolerance);
        for call in calls.scripts().map(|script| &script.call) {
            let (path, number, count) = (path.display(), call.call, call.answer.left_out);
            if count > 0 {
                tracing::warn!("{path}: call {number} stops early: {count} messages were left out");
            }
        }
        if calls.scripts().any(Script::is_made) {
            let path = path.display();
            tracing::warn!("{path} holds hashes alone: content is made up, of the recorded length");
        }
        Ok(Arc::new(Self {
            calls,
            settings,
            misses: AtomicU64::new(0),
        }))
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Calls that were not in the cassette.
    pub(crate) fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    fn missed(&self, why: &str) {
        self.misses.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("not in the cassette: {}", printable(why));
    }
}

/// Answers clients from a cassette.
#[derive(Debug)]
pub(crate) struct ReplayClients {
    pub(crate) replayer: Arc<Replayer>,
    /// What faults and a journal need; nothing else looks into calls without.
    pub(crate) calls: Option<ProxiedCalls>,
}

impl Serve for Arc<ReplayClients> {
    fn serve(
        &self,
        stream: tokio::net::UnixStream,
        graceful: tokio_util::sync::CancellationToken,
        abrupt: tokio_util::sync::CancellationToken,
    ) -> super::tap::Waiting {
        Box::pin(connection::serve(
            stream,
            Arc::clone(self),
            graceful,
            abrupt,
        ))
    }
}
