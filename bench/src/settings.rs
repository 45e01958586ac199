//! What the environment says of a run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Result;

/// What to measure, how often and where.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where dfcache, fake-dfdaemon and the suite's own bare programs are.
    pub(crate) programs: PathBuf,
    /// Where files, states and outputs lie.
    pub(crate) directory: PathBuf,
    /// A directory on another file system, for copies from one to the other.
    pub(crate) other_directory: PathBuf,
    pub(crate) rounds: usize,
    /// Parts of the names of the jobs to do; all if there is none.
    pub(crate) jobs: Vec<String>,
    pub(crate) sizes: Sizes,
    pub(crate) peer: Peer,
    pub(crate) redis_server: PathBuf,
}

/// How much of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// The file that is imported and exported, in bytes.
    pub(crate) large: u64,
    /// The file of nothing but a hole, in bytes.
    pub(crate) sparse: u64,
    /// The file of the memory jobs, in bytes.
    pub(crate) memory: u64,
    /// How long exports are watched that would take too long to be waited for.
    pub(crate) watch: Duration,
    /// Processes of milliseconds are run so many times a round.
    pub(crate) repeats: usize,
    pub(crate) stat_calls: usize,
    pub(crate) imports: usize,
    /// The files of a tree.
    pub(crate) tree: usize,
    pub(crate) tasks: usize,
}

impl Sizes {
    fn full() -> Self {
        Self {
            large: 1 << 30,
            sparse: 16 << 30,
            memory: 8 << 30,
            watch: Duration::from_secs(20),
            repeats: 15,
            stat_calls: 20_000,
            imports: 10_000,
            tree: 1_000,
            tasks: 100_000,
        }
    }

    /// Measures nothing; shows that everything still runs.
    fn tiny() -> Self {
        Self {
            large: 1 << 20,
            sparse: 1 << 24,
            memory: 9 << 20,
            watch: Duration::from_millis(200),
            repeats: 1,
            stat_calls: 100,
            imports: 20,
            tree: 10,
            tasks: 50,
        }
    }
}

/// A released reference client or daemon to stand beside ours.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) dfcache: Option<PathBuf>,
    pub(crate) endpoint: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn from_environment(programs: PathBuf) -> Result<Self> {
        Self::from_variables(programs, |name| {
            std::env::var_os(name).filter(|value| !value.is_empty())
        })
    }

    fn from_variables(
        programs: PathBuf,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self> {
        let path = |name: &str| variable(name).map(PathBuf::from);
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let number = |name: &str| -> Result<Option<u64>> {
            let parse = |value: String| {
                let number = value.parse();
                number.map_err(|error| format!("{name}={value}: {error}"))
            };
            Ok(text(name).map(parse).transpose()?)
        };
        let mut sizes = match text("BENCH_SIZE").as_deref() {
            None | Some("full") => Sizes::full(),
            Some("tiny") => Sizes::tiny(),
            Some(other) => return Err(format!("BENCH_SIZE={other}: it is full or tiny").into()),
        };
        if let Some(mebibytes) = number("BENCH_MIB")? {
            sizes.large = mebibytes.max(1) << 20;
        }
        if let Some(tasks) = number("BENCH_TASKS")? {
            sizes.tasks = usize::try_from(tasks.max(1))?;
        }
        let rounds = number("BENCH_ROUNDS")?.unwrap_or(7).max(1);
        let jobs = text("BENCH_JOBS").unwrap_or_default();
        let jobs = jobs.split(',').map(|job| job.trim().to_owned());
        Ok(Self {
            programs,
            directory: path("BENCH_DIR").unwrap_or_else(shared_memory),
            other_directory: path("BENCH_OTHER_DIR").unwrap_or_else(std::env::temp_dir),
            rounds: usize::try_from(rounds)?,
            jobs: jobs.filter(|job| !job.is_empty()).collect(),
            sizes,
            peer: Peer {
                dfcache: path("PEER_DFCACHE"),
                endpoint: path("PEER_DFDAEMON_ENDPOINT"),
            },
            redis_server: path("REDIS_SERVER").unwrap_or_else(|| "redis-server".into()),
        })
    }

    /// Whether a job is to be done. No job's name has a comma, which stands between the parts.
    pub(crate) fn wants(&self, job: &str) -> bool {
        self.jobs.is_empty() || self.jobs.iter().any(|part| job.contains(part.as_str()))
    }
}

/// The tmpfs that every Linux has.
fn shared_memory() -> PathBuf {
    let shared_memory = Path::new("/dev/shm");
    match shared_memory.is_dir() {
        true => shared_memory.to_owned(),
        false => std::env::temp_dir(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::from_variables("bin".into(), |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn jobs_are_chosen_by_a_part_of_their_name() {
        let all = settings(&[]).unwrap();
        assert!(all.wants("import") && all.wants("stat"));
        let some = settings(&[("BENCH_JOBS", "export, stat")]).unwrap();
        assert!(some.wants("stat calls") && some.wants("transfer export"));
        assert!(!some.wants("import"));
    }

    #[test]
    fn sizes_are_full_unless_they_are_to_be_tiny() {
        assert_eq!(settings(&[]).unwrap().sizes, Sizes::full());
        let tiny = settings(&[("BENCH_SIZE", "tiny"), ("BENCH_MIB", "3")]).unwrap();
        assert_eq!(tiny.sizes.large, 3 << 20);
        assert_eq!(tiny.sizes.tasks, Sizes::tiny().tasks);
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (variable, value) in [
            ("BENCH_SIZE", "huge"),
            ("BENCH_MIB", "1g"),
            ("BENCH_ROUNDS", "-1"),
            ("BENCH_TASKS", "many"),
        ] {
            let error = settings(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable) && error.contains(value), "{error}");
        }
    }
}
