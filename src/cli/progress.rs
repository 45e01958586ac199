//! Progress on stderr, for people at a terminal: a spinner while a daemon says nothing, a bar
//! while content comes.

mod terminal;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use crate::export::Progress;
use crate::output::leftovers::Leftover;
use crate::tree::TreeProgress;
use crate::types::escape::printable;
use terminal::Terminal;

const SPINNER: &str = "{spinner} importing {msg} ({elapsed})";
const BAR: &str =
    "{spinner} [{wide_bar}] {binary_bytes}/{binary_total_bytes} ({binary_bytes_per_sec}, {eta})";
const TREE: &str = "{spinner} {msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes} ({binary_bytes_per_sec}, {eta})";
const TICK: Duration = Duration::from_millis(100);

/// Whether progress can be shown, if it may.
pub(crate) fn wanted(allowed: bool) -> bool {
    let dumb = || std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    allowed && io::stderr().is_terminal() && !dumb()
}

/// Removes what is shown when dropped.
#[derive(Debug)]
pub(crate) struct Shown {
    bar: ProgressBar,
    _leftover: Leftover,
}

impl Shown {
    fn new(bar: ProgressBar) -> Self {
        let shown = bar.clone();
        Self {
            bar,
            _leftover: Leftover::new(move || shown.finish_and_clear()),
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A spinner for the import of `path`.
pub(crate) fn spinner(allowed: bool, path: &Path) -> Option<Shown> {
    if !wanted(allowed) {
        return None;
    }
    let bar = spinning().with_message(printable(&path.display().to_string()));
    if let Ok(style) = ProgressStyle::with_template(SPINNER) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    Some(Shown::new(bar))
}

fn spinning() -> ProgressBar {
    let target = ProgressDrawTarget::term_like(Box::new(Terminal::default()));
    let bar = ProgressBar::new_spinner();
    bar.set_draw_target(target);
    bar
}

/// A bar that follows a tree, and where its progress is reported.
pub(crate) fn tree(allowed: bool) -> (Option<Shown>, Option<watch::Sender<TreeProgress>>) {
    if !wanted(allowed) {
        return (None, None);
    }
    let (sender, mut progress) = watch::channel(TreeProgress::default());
    let bar = spinning();
    bar.enable_steady_tick(TICK);
    let shown = bar.clone();
    tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let now = *progress.borrow_and_update();
            let Some(file_count) = now.file_count else {
                continue;
            };
            if shown.length().is_none()
                && let Ok(style) = ProgressStyle::with_template(TREE)
            {
                shown.set_style(style);
                shown.set_length(now.content_length);
            }
            shown.set_message(format!("{} of {file_count} files", now.files_done));
            shown.set_position(now.bytes_done);
        }
    });
    (Some(Shown::new(bar)), Some(sender))
}

/// A bar that follows an export.
pub(crate) fn bar(mut progress: watch::Receiver<Progress>) -> Shown {
    let bar = spinning();
    bar.enable_steady_tick(TICK);
    let shown = bar.clone();
    tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let now = *progress.borrow_and_update();
            if shown.length().is_none()
                && let Some(length) = now.content_length
                && let Ok(style) = ProgressStyle::with_template(BAR)
            {
                shown.set_style(style);
                shown.set_length(length);
            }
            shown.set_position(now.received);
        }
    });
    Shown::new(bar)
}
