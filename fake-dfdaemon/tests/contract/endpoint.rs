//! The contract against an endpoint that is not ours: a table of what held.

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use fake_dfdaemon::{FakeDfdaemon, Release};
use libtest_mimic::Trial;
use testkit::wait::HANGS;
use tonic::Code;

use crate::row::{Row, Runs};
use crate::support::client::Client;
use crate::tested_daemon::TestedDaemon;

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
        let only = env::var("ONLY").unwrap_or_default();
        let is_wanted =
            |row: &Row| row.is_of(release) && row.claim.replace('_', " ").contains(&only);
        let mut rows: Vec<_> = rows.iter().filter(|(_, row)| is_wanted(row)).collect();
        // What may hurt comes last: what it breaks, no other row needs.
        rows.sort_by_key(|(_, row)| row.hurts.is_some());
        let mut gone = None;
        for (number, (table, row)) in rows.iter().enumerate() {
            if !self.answers() {
                gone = Some(rows.len() - number);
                break;
            }
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
        if let Some(left) = gone {
            println!("\nthe endpoint no longer answers: {left} rows were not tried");
        }
        println!(
            "\n{held} held, {differing} differing (known), {broken} broken, {skipped} skipped"
        );
        ExitCode::from(u8::from(broken > 0 || gone.is_some()))
    }

    /// Whether a daemon at the endpoint answers anything at all.
    fn answers(&self) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let asked = async {
            let client = Client::try_connect(&self.path).await.ok()?;
            match client.stat("a task that no host has").await {
                // The connection broke.
                Err(status) if status.code() == Code::Unavailable => None,
                _ => Some(()),
            }
        };
        runtime
            .block_on(async { tokio::time::timeout(HANGS, asked).await })
            .is_ok_and(|answer| answer.is_some())
    }

    fn try_row(&self, row: &Row) -> (Outcome, String) {
        if let Runs::OnFake(what, _) = row.runs {
            return (Outcome::Skipped(what), String::new());
        }
        if let Some(how) = row
            .hurts
            .filter(|_| env::var_os("HURT").is_none_or(|hurt| hurt != "1"))
        {
            return (Outcome::Skipped(how), "HURT=1 tries it".to_owned());
        }
        if let Some(what) = row.impossible() {
            return (Outcome::Skipped(what), String::new());
        }
        let daemon = || TestedDaemon::of_endpoint(self.release, &self.path);
        match (catch_unwind(AssertUnwindSafe(|| row.run(daemon))), row.ours) {
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

/// How the suite itself treats an endpoint.
pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, attempt: fn()| {
        Trial::test(format!("endpoint::{name}"), move || {
            attempt();
            Ok(())
        })
    };
    vec![
        trial("a_run_ends_when_nobody_answers", ends_when_nobody_answers),
        trial("what_may_hurt_is_not_tried_unasked", spares_what_may_hurt),
    ]
}

/// Runs the suite against an endpoint, and returns whether it succeeded and what it printed.
fn run_at(path: &std::path::Path, filter: &[(&str, &str)]) -> (bool, String) {
    let mut suite = Command::new(env::current_exe().unwrap());
    suite.env("CONTRACT_ENDPOINT", path);
    suite.env("CONTRACT_VERSION", "1.5");
    suite.env_remove("HURT").env_remove("ONLY");
    suite.envs(filter.iter().copied());
    let ended = suite.output().unwrap();
    (
        ended.status.success(),
        String::from_utf8(ended.stdout).unwrap(),
    )
}

fn ends_when_nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("silent.sock");
    // A socket file without a listener.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (succeeded, printed) = run_at(&path, &[]);
    assert!(!succeeded);
    assert!(
        printed.contains("the endpoint no longer answers"),
        "{printed}"
    );
    assert!(
        printed.ends_with("\n0 held, 0 differing (known), 0 broken, 0 skipped\n"),
        "{printed}"
    );
}

fn spares_what_may_hurt() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let daemon = FakeDfdaemon::builder().release(Release::V1_5);
    let daemon = runtime.block_on(daemon.start()).unwrap();
    for (hurt, word) in [("0", "skipped"), ("1", "held")] {
        let claim = "what is not a regular file is refused at once";
        let asked = [("HURT", hurt), ("ONLY", claim)];
        let (succeeded, printed) = run_at(daemon.endpoint(), &asked);
        assert!(succeeded, "{printed}");
        let line = printed.lines().find(|line| line.contains(claim)).unwrap();
        assert!(line.starts_with(word), "{line}");
        let last = printed.lines().last().unwrap();
        let counts = match word {
            "held" => "1 held, 0 differing (known), 0 broken, 0 skipped",
            _ => "0 held, 0 differing (known), 0 broken, 1 skipped",
        };
        assert_eq!(last, counts);
    }
    runtime.block_on(daemon.stop());
}
