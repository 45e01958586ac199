//! Cassettes in a file system that does not answer: whatever reads one can be ended.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::hung::HungFileSystem;
use crate::support::process::fake_dfdaemon;
use crate::support::world::Directory;

#[test]
fn what_reads_a_cassette_that_hangs_can_be_ended() {
    let directory = Directory::new();
    let Some(_hung) = HungFileSystem::mount(&directory) else {
        return;
    };
    for (name, option) in [
        ("replay", "--socket"),
        ("diff", "--against"),
        ("record", "--upstream"),
    ] {
        let mut command = Command::new(fake_dfdaemon());
        command
            .arg(name)
            .arg("--cassette")
            .arg(directory.beside("hung/cassette"));
        command.arg(option).arg(directory.beside("socket"));
        command
            .env("TMPDIR", directory.work())
            .stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        // Until it listens to signals it dies of one.
        let status = format!("/proc/{}/status", child.id());
        let hears = || {
            let status = std::fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() >> 14 & 1 == 1
        };
        while !hears() {
            std::thread::yield_now();
        }
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143), "{name}");
    }
}
