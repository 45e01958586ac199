//! The jobs, and for each the least that a machine has to do for it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::world::{World, check_and_remove, time};
use crate::{NOTHING, Result};

type Measure = fn(&World) -> Result<Duration>;

pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) against: &'static str,
    pub(crate) ours: Measure,
    pub(crate) limit: Measure,
}

pub(crate) fn all() -> [Job; 6] {
    let job = |name, ours: Measure, against, limit: Measure| Job {
        name,
        against,
        ours,
        limit,
    };
    [
        job(
            "export in transfer mode",
            transfer,
            "file → socket → file",
            socket_copy,
        ),
        job("import, id by CRC-32, one replica", import, "cp", copy),
        job("import, id by content given", import_by_content, "cp", copy),
        job("export by path, large", link_large, "dfcache stat", stat),
        job("export by path, 1 KiB", link_small, "dfcache stat", stat),
        job("stat, whole process", stat, "empty process", nothing),
    ]
}

/// Processes of milliseconds are timed so many at once.
const REPEATS: u32 = 20;

fn transfer(world: &World) -> Result<Duration> {
    let mut command = world.dfcache();
    command.args(["export", "--transfer-from-dfdaemon", "--no-progress", "-O"]);
    command.arg(world.output()).arg(&world.large_task);
    let taken = time(&mut command)?;
    check_and_remove(&world.large(), &world.output())?;
    Ok(taken)
}

/// Large buffers, a thread at each end, nothing looked at.
fn socket_copy(world: &World) -> Result<Duration> {
    const BUFFER: usize = 1 << 20;
    let start = Instant::now();
    let (mut here, mut there) = UnixStream::pair()?;
    let mut original = File::open(world.large())?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match original.read(&mut buffer)? {
                0 => return Ok(()),
                length => there.write_all(&buffer[..length])?,
            }
        }
    });
    let mut output = File::create_new(world.output())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match here.read(&mut buffer)? {
            0 => break,
            length => output.write_all(&buffer[..length])?,
        }
    }
    sender.join().map_err(|_| "the sender panicked")??;
    let taken = start.elapsed();
    check_and_remove(&world.large(), &world.output())?;
    Ok(taken)
}

fn import(world: &World) -> Result<Duration> {
    import_with(world, &[])
}

fn import_by_content(world: &World) -> Result<Duration> {
    import_with(world, &["--content-for-calculating-task-id", "bench"])
}

/// Into a daemon that holds nothing yet; what it then holds is exported and compared.
fn import_with(world: &World, arguments: &[&str]) -> Result<Duration> {
    let daemon = world.daemon("import")?;
    let mut command = world.dfcache_at(&daemon.socket);
    command.args(["import", "--no-progress", "--persistent-replica-count", "1"]);
    let taken = time(command.args(arguments).arg(world.large()))?;
    let mut id = world.dfcache();
    let id = id.arg("id").args(arguments).arg(world.large()).output()?;
    let id = String::from_utf8(id.stdout)?;
    let mut export = world.dfcache_at(&daemon.socket);
    time(
        export
            .args(["export", "-O"])
            .arg(world.output())
            .arg(id.trim()),
    )?;
    check_and_remove(&world.large(), &world.output())?;
    Ok(taken)
}

fn copy(world: &World) -> Result<Duration> {
    let taken = time(Command::new("cp").arg(world.large()).arg(world.output()))?;
    check_and_remove(&world.large(), &world.output())?;
    Ok(taken)
}

fn link_large(world: &World) -> Result<Duration> {
    let taken = link(world, &world.large_task)?;
    check_and_remove(&world.large(), &world.output())?;
    Ok(taken)
}

fn link_small(world: &World) -> Result<Duration> {
    let taken = link(world, &world.small_task)?;
    check_and_remove(&world.small(), &world.output())?;
    Ok(taken)
}

fn link(world: &World, task: &str) -> Result<Duration> {
    let mut command = world.dfcache();
    time(
        command
            .args(["export", "--no-progress", "-O"])
            .arg(world.output())
            .arg(task),
    )
}

fn stat(world: &World) -> Result<Duration> {
    repeated(world.dfcache().arg("stat").arg(&world.small_task))
}

fn nothing(_: &World) -> Result<Duration> {
    repeated(Command::new(std::env::current_exe()?).arg(NOTHING))
}

fn repeated(command: &mut Command) -> Result<Duration> {
    let mut taken = Duration::ZERO;
    for _ in 0..REPEATS {
        taken += time(command)?;
    }
    Ok(taken / REPEATS)
}
