//! Programs that are run to their end and measured, and what the system says of those that go on.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Result;
use crate::interrupt::Process;

/// What the kernel counts CPU time of other processes in: a hundredth of a second everywhere.
const TICK: Duration = Duration::from_millis(10);

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    /// Of the process that was run, user and system.
    pub(crate) cpu: Option<Duration>,
    /// The most that the process had resident, in bytes.
    pub(crate) peak: Option<u64>,
    /// What the daemon spent on it.
    pub(crate) daemon_cpu: Option<Duration>,
}

impl Usage {
    pub(crate) fn of_wall(wall: Duration) -> Self {
        Self {
            wall,
            ..Self::default()
        }
    }
}

/// Runs a command, which must succeed, by way of the small runner among `programs`.
pub(crate) fn measure(programs: &Path, command: &Command) -> Result<Usage> {
    let mut runner = Command::new(programs.join("dfcache-bench-bare"));
    runner.arg("run").arg(command.get_program());
    runner.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => runner.env(name, value),
            None => runner.env_remove(name),
        };
    }
    let printed = output(&mut runner)?;
    let mut numbers = printed.split_whitespace().map(str::parse::<u64>);
    let mut number = || {
        let number = numbers.next().ok_or("the runner printed too little")?;
        number.map_err(|error| format!("the runner printed {printed:?}: {error}"))
    };
    Ok(Usage {
        wall: Duration::from_nanos(number()?),
        cpu: Some(Duration::from_nanos(number()?)),
        peak: Some(number()? << 10),
        daemon_cpu: None,
    })
}

/// What a command prints, which must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(command)?;
    let (mut printed, mut complaint) = (String::new(), String::new());
    // Neither is longer than a pipe.
    if let Some(stdout) = &mut process.child.stdout {
        stdout.read_to_string(&mut printed)?;
    }
    if let Some(stderr) = &mut process.child.stderr {
        stderr.read_to_string(&mut complaint)?;
    }
    let status = process.wait()?;
    if !status.success() {
        let program = command.get_program().display();
        return Err(format!("{program}: {status}: {}", complaint.trim()).into());
    }
    Ok(printed)
}

/// CPU time of a running process so far, its threads' included.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, can hold anything.
    let (_, fields) = stat
        .rsplit_once(')')
        .ok_or("/proc/PID/stat without a name")?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut ticks = || fields.next().ok_or("/proc/PID/stat is too short");
    let ticks = ticks()?? + ticks()??;
    Ok(TICK * u32::try_from(ticks)?)
}

/// The most memory that a running process had resident since [`forget_peak`] or its start, in bytes.
pub(crate) fn peak(pid: u32) -> Result<u64> {
    status_field(pid, "VmHWM:")
}

/// The memory that a running process has resident, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    status_field(pid, "VmRSS:")
}

fn status_field(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    let kibibytes = kibibytes.ok_or_else(|| format!("/proc/{pid}/status has no {name}"))?;
    Ok(kibibytes.parse::<u64>()? << 10)
}

/// Lets the peak of a running process be counted from now.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_a_running_process() {
        let pid = std::process::id();
        let (resident, most) = (resident(pid).unwrap(), peak(pid).unwrap());
        assert!(
            resident > 1 << 19 && most >= resident >> 1,
            "{resident} {most}"
        );
        let before = cpu(pid).unwrap();
        while cpu(pid).unwrap() == before {
            std::hint::black_box((0..1_000_000).sum::<u64>());
        }
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let error = output(Command::new("sh").args(["-c", "echo oh >&2; exit 3"]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("exit status: 3: oh"), "{error}");
        assert_eq!(output(Command::new("echo").arg("x")).unwrap(), "x\n");
    }
}
