//! Progress on stderr, for people at a terminal: a spinner while a daemon says nothing, a bar
//! while content comes, and a line of summary that stays.

mod layout;
mod terminal;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike as _};
use tokio::sync::watch;

use crate::export::Progress;
use crate::output::leftovers::Leftover;
use crate::tree::TreeProgress;
use crate::types::escape::printable;
use terminal::Terminal;

const SPINNER: &str = "{spinner} importing {wide_msg} ({elapsed})";
const TICK: Duration = Duration::from_millis(100);

/// Whether progress can be shown, if it may.
pub(crate) fn wanted(allowed: bool) -> bool {
    let dumb = || std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    let is_ci = || std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    allowed && io::stderr().is_terminal() && !dumb() && !is_ci()
}

/// Removes what is shown when dropped.
#[derive(Debug)]
pub(crate) struct Shown {
    bar: ProgressBar,
    began: Instant,
    _leftover: Leftover,
}

impl Shown {
    fn new(bar: ProgressBar) -> Self {
        let shown = bar.clone();
        Self {
            bar,
            began: Instant::now(),
            _leftover: Leftover::new(move || shown.finish_and_clear()),
        }
    }

    /// Leaves a line that says what was done, and of how many bytes; and how fast, unless files were only
    /// linked.
    pub(crate) fn done(self, what: &str, length: u64, has_rate: bool) {
        self.bar.finish_and_clear();
        let summary = layout::summary(length, self.began.elapsed(), has_rate);
        let line = format!("{}: {summary}\n", printable(what));
        // Nowhere is left to report a closed stderr.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The name of a file, as progress calls it.
pub(crate) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    printable(&name.to_string_lossy())
}

/// How many files, as progress says it.
pub(crate) fn files(count: usize) -> String {
    match count {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    }
}

/// A spinner for the import of `path`.
pub(crate) fn spinner(allowed: bool, path: &Path) -> Option<Shown> {
    if !wanted(allowed) {
        return None;
    }
    let path = printable(&path.display().to_string());
    // Beside the name: the spinner, two words and the time.
    let width = width().saturating_sub(24).max(8);
    let bar = spinning().with_message(layout::shortened(&path, width));
    if let Ok(style) = ProgressStyle::with_template(SPINNER) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    Some(Shown::new(bar))
}

fn width() -> usize {
    Terminal::default().width().into()
}

fn spinning() -> ProgressBar {
    let target = ProgressDrawTarget::term_like(Box::new(Terminal::default()));
    let bar = ProgressBar::new_spinner();
    bar.set_draw_target(target);
    bar
}

/// A bar that is as long as there is room for, also after a change of the terminal's size.
struct FittedBar {
    bar: ProgressBar,
    template: &'static str,
}

impl FittedBar {
    fn show(&mut self, message: impl FnOnce(usize) -> String, done: u64, length: u64) {
        let width = width();
        self.bar.set_length(length);
        self.bar.set_message(message(width));
        let template = layout::bar(width);
        if template != self.template
            && let Ok(style) = ProgressStyle::with_template(template)
        {
            self.template = template;
            self.bar.set_style(style);
        }
        self.bar.set_position(done);
    }
}

fn fitted() -> FittedBar {
    let bar = spinning();
    bar.enable_steady_tick(TICK);
    FittedBar { bar, template: "" }
}

/// A bar that follows a tree, and what its progress is reported to.
pub(crate) fn tree(
    allowed: bool,
) -> Option<(Shown, impl Fn(TreeProgress) + Send + Sync + 'static)> {
    if !wanted(allowed) {
        return None;
    }
    let (sender, mut progress) = watch::channel(TreeProgress::default());
    let mut fitted = fitted();
    let shown = Shown::new(fitted.bar.clone());
    tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let now = progress.borrow_and_update().clone();
            let Some(count) = now.file_count else {
                continue;
            };
            let file = now.current_file.as_deref().map(printable);
            let message = |width| layout::of_tree(now.files_done, count, file.as_deref(), width);
            fitted.show(message, now.bytes_done, now.content_length);
        }
    });
    let report = move |progress| {
        sender.send_replace(progress);
    };
    Some((shown, report))
}

/// A bar that follows the content of what is called `name`.
pub(crate) fn bar(name: String, mut progress: watch::Receiver<Progress>) -> Shown {
    let mut fitted = fitted();
    let shown = Shown::new(fitted.bar.clone());
    tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let now = *progress.borrow_and_update();
            if let Some(length) = now.content_length {
                let message = |width| layout::shortened(&name, layout::of_name(width));
                fitted.show(message, now.received, length);
            }
        }
    });
    shown
}
