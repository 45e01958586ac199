//! The recorded requests put to another daemon, and what differs in its answers.

mod ask;
mod found;
mod place;

use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use self::ask::{Asking, ask};
use self::found::{Report, compare};
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
    let mut cassette = Cassette::open(path)?;
    let calls = std::mem::take(&mut cassette.calls);
    let malformed = |why| CassetteError::Malformed {
        path: path.to_owned(),
        why,
    };
    let scripts = calls.into_iter().map(|call| Script::of(call, &cassette));
    let scripts = scripts.collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    let tolerance = Tolerance {
        varies: cassette.head.varies.clone(),
        ignored: settings.ignored,
        paths: settings.paths,
    };
    let failed = |source| DiffError::Stage { source };
    let stage = Stage::new().map_err(failed)?;
    let mut report = Report::default();
    for script in scripts {
        report.calls += 1;
        let recorded = &script.call;
        if recorded.answer.end == End::ClientGone || recorded.requests.is_empty() {
            // Nobody can tell what the daemon would have said.
            continue;
        }
        // On a connection of its own: one that broke is not the next call's.
        let unreachable = |source| DiffError::Unreachable {
            path: settings.against.clone(),
            source,
        };
        let (sender, connection) = upstream::connect(&settings.against)
            .await
            .map_err(unreachable)?;
        let running = tokio::spawn(connection);
        let prepared = stage.prepare(&script, &cassette, &tolerance);
        let (requests, placed) = prepared.map_err(failed)?;
        let asking = Asking {
            recorded,
            requests,
            output: placed.output.clone(),
            occupied_by: placed.occupied_by,
            content: stage.content(),
        };
        let observed = ask(asking, sender).await;
        running.abort();
        report.compared += 1;
        report
            .differences
            .extend(compare(recorded, &observed, &placed, &tolerance));
    }
    // It may be large.
    let _ = spawn_blocking(move || drop(stage)).await;
    Ok(report)
}
