//! The contract against an endpoint that is not ours: a table of what held.

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::PathBuf;
use std::process::ExitCode;

use fake_dfdaemon::Release;

use crate::row::{Row, Runs};
use crate::world::World;

/// An endpoint, and the release that it is held to.
pub(crate) struct Endpoint {
    path: PathBuf,
    release: Release,
}

/// How a row came out.
enum Outcome {
    Held,
    /// Another answer, for a reason that is known.
    Differs(&'static str),
    Broken,
    /// Not tried: it needs this.
    Skipped(&'static str),
}

/// The endpoint of the environment, if there is one.
pub(crate) fn asked_for() -> Option<Endpoint> {
    let path = env::var_os("CONTRACT_ENDPOINT").filter(|path| !path.is_empty())?;
    let version = env::var("CONTRACT_VERSION").unwrap_or_default();
    let release = version.parse();
    let release = release.unwrap_or_else(|error| panic!("VERSION: {error}"));
    let path = PathBuf::from(path);
    Some(Endpoint { path, release })
}

impl Endpoint {
    /// Tries the rows and prints the table. Only what broke is a failure.
    pub(crate) fn run(&self, rows: Vec<(&str, Row)>) -> ExitCode {
        // What a row says is part of the table.
        set_hook(Box::new(|_| {}));
        let (path, release) = (self.path.display(), self.release);
        println!("contract of release {release} at {path}\n");
        let mut counts = [0; 4];
        for (table, row) in rows.iter().filter(|(_, row)| row.is_of(release)) {
            let (outcome, said) = self.try_row(row);
            let (column, word, why) = match outcome {
                Outcome::Held => (0, "held", ""),
                Outcome::Differs(why) => (1, "differs", why),
                Outcome::Broken => (2, "BROKEN", ""),
                Outcome::Skipped(what) => (3, "skipped", what),
            };
            if let Some(count) = counts.get_mut(column) {
                *count += 1;
            }
            let claim = row.claim.replace('_', " ");
            let why = if why.is_empty() {
                String::new()
            } else {
                format!("  ({why})")
            };
            println!("{word:8} {table:9} {claim}{why}");
            for line in said.lines() {
                println!("         {line}");
            }
        }
        let [held, differing, broken, skipped] = counts;
        println!(
            "\n{held} held, {differing} differing (known), {broken} broken, {skipped} skipped"
        );
        ExitCode::from(u8::from(broken > 0))
    }

    fn try_row(&self, row: &Row) -> (Outcome, String) {
        if let Runs::OnFake(what, _) = row.runs {
            return (Outcome::Skipped(what), String::new());
        }
        if let Some(what) = row.impossible() {
            return (Outcome::Skipped(what), String::new());
        }
        let world = || World::of_endpoint(self.release, &self.path);
        match (catch_unwind(AssertUnwindSafe(|| row.run(world))), row.ours) {
            (Ok(()), _) => (Outcome::Held, String::new()),
            (Err(panic), Some(why)) => (Outcome::Differs(why), text(&*panic)),
            (Err(panic), None) => (Outcome::Broken, text(&*panic)),
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
