//! What a process has: file descriptors, threads, memory.

use std::fmt;
use std::fs;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vitals {
    files: usize,
    threads: u64,
    /// In bytes.
    pub(super) memory: u64,
}

impl Vitals {
    pub(super) fn of(process: u32) -> Self {
        let files = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let field = |name: &str| {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)).unwrap();
            let number = value.trim().trim_end_matches(" kB");
            number.parse::<u64>().unwrap()
        };
        Self {
            files,
            threads: field("Threads:"),
            memory: field("VmRSS:") << 10,
        }
    }

    /// No more than there was; how much memory is another question.
    pub(super) fn is_back_at(self, before: Self) -> bool {
        self.files <= before.files && self.threads <= before.threads
    }

    /// The most of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            files: self.files.max(other.files),
            threads: self.threads.max(other.threads),
            memory: self.memory.max(other.memory),
        }
    }
}

impl fmt::Display for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            files,
            threads,
            memory,
        } = self;
        let mebibytes = memory >> 20;
        write!(
            f,
            "{files} file descriptors, {threads} threads, {mebibytes} MiB"
        )
    }
}
