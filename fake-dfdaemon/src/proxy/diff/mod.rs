//! Sends the recorded requests to another daemon, and lists how its answers differ.

mod ask;
mod found;
mod ids;
mod place;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use self::ask::{Asking, ask};
use self::found::{Report, compare};
use self::ids::Ids;
use self::place::Stage;
use super::cassette::read::Cassette;
use super::cassette::{CassetteError, End};
use super::compare::{PathMapping, Tolerance};
use super::replay::Script;
use super::upstream;

/// What is compared, and with what.
#[derive(Clone, Debug)]
pub(crate) struct DiffSettings {
    pub(crate) against: PathBuf,
    pub(crate) ignored: Vec<String>,
    pub(crate) paths: Vec<PathMapping>,
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiffError {
    #[error(transparent)]
    Cassette(#[from] CassetteError),
    #[error("cannot reach a dfdaemon at {}", path.display())]
    Unreachable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot make the files that recorded calls name")]
    Stage { source: std::io::Error },
}

/// Puts the recorded requests to another daemon, in their order.
pub(crate) async fn diff(path: &Path, settings: DiffSettings) -> Result<Report, DiffError> {
    let loading = path.to_owned();
    let (cassette, scripts) = beside(move || load(&loading)).await??;
    let cassette = Arc::new(cassette);
    let tolerance = Tolerance {
        varies: cassette.head.varies.clone(),
        ignored: settings.ignored,
        paths: settings.paths,
    };
    let failed = |source| DiffError::Stage { source };
    let stage = beside(Stage::new).await?;
    let stage = Arc::new(stage.map_err(failed)?);
    let (mut report, mut ids) = (Report::default(), Ids::default());
    for script in scripts {
        report.calls += 1;
        if script.call.answer.end == End::ClientGone || script.requests.is_empty() {
            // Nobody can tell what the daemon would have said.
            continue;
        }
        let (at, from, like) = (Arc::clone(&stage), Arc::clone(&cassette), tolerance.clone());
        let known = ids.clone();
        let preparing = beside(move || (at.prepare(&script, &from, &like, &known), script));
        let (prepared, script) = preparing.await?;
        let Some((requests, placed)) = prepared.map_err(failed)? else {
            let (path, number) = (path.display(), script.call.call);
            tracing::warn!(
                "{path}: call {number} is left out: it names paths that cannot be replaced"
            );
            continue;
        };
        // On a connection of its own: one that broke is not the next call's.
        let unreachable = |source| DiffError::Unreachable {
            path: settings.against.clone(),
            source,
        };
        let (sender, connection) = upstream::connect(&settings.against)
            .await
            .map_err(unreachable)?;
        let running = tokio::spawn(connection);
        let asking = Asking {
            recorded: &script.call,
            requests,
            output: placed.output.clone(),
            before: placed.before,
            content: stage.content(),
        };
        let observed = ids.as_recorded(ask(asking, sender).await);
        running.abort();
        report.compared += 1;
        report
            .differences
            .extend(compare(&script.call, &observed, &placed, &tolerance));
        ids.learn(&script.call, &observed);
    }
    // It may be large.
    beside(move || drop(stage)).await?;
    Ok(report)
}

/// Reads a cassette, and checks all of it.
fn load(path: &Path) -> Result<(Cassette, Vec<Script>), CassetteError> {
    let mut cassette = Cassette::open(path)?;
    let calls = std::mem::take(&mut cassette.calls).into_iter();
    let scripts = calls.map(|call| Script::of(call, &cassette));
    let scripts = scripts.collect::<Result<_, _>>()?;
    Ok((cassette, scripts))
}

/// Work on the disk, which may hang.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DiffError> {
    let died = |error: tokio::task::JoinError| DiffError::Stage {
        source: error.into(),
    };
    spawn_blocking(work).await.map_err(died)
}
