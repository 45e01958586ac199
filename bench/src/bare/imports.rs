//! What many imports do to the file system, and nothing else of what they are: the file operations
//! of the fake's store for a small file and one replica, in its order.
//!
//! Held against the fake by `strace`.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Result;

/// About as long as a scheduler's record, a host's, and a line of the journal, in bytes.
const TASK_RECORD: [u8; 232] = [b'x'; 232];
const REPLICA_RECORD: [u8; 293] = [b'x'; 293];
const JOURNAL_LINE: [u8; 422] = [b'x'; 422];

/// Imports every file of a directory into `store`, which is made, on so many threads.
pub(crate) fn imports(sources: &Path, store: &Path, threads: &OsStr) -> Result<()> {
    let threads: usize = threads.to_string_lossy().parse()?;
    let sources: Vec<PathBuf> = fs::read_dir(sources)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    let store = Store::create(store)?;
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            store.import(source)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

struct Store {
    content: PathBuf,
    tasks: PathBuf,
    /// Where both write what is not in place yet.
    host_scratch: PathBuf,
    scheduler_scratch: PathBuf,
    next: AtomicUsize,
    journal: Mutex<File>,
}

impl Store {
    fn create(directory: &Path) -> io::Result<Self> {
        let store = Self {
            content: directory.join("hosts/host-0/content/persistent-cache-tasks"),
            tasks: directory.join("scheduler/tasks"),
            host_scratch: directory.join("hosts/host-0/tmp"),
            scheduler_scratch: directory.join("scheduler/tmp"),
            next: AtomicUsize::new(0),
            journal: {
                fs::create_dir_all(directory)?;
                Mutex::new(File::create_new(directory.join("journal.jsonl"))?)
            },
        };
        for made in [
            &store.content,
            &store.tasks,
            &store.host_scratch,
            &store.scheduler_scratch,
        ] {
            fs::create_dir_all(made)?;
        }
        Ok(store)
    }

    fn import(&self, path: &Path) -> io::Result<()> {
        fs::metadata(path)?;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let source = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let length = usize::try_from(source.metadata()?.len()).unwrap_or_default();
        rustix::fs::statvfs(&self.content)?;

        let scratch = self.scratch(&self.host_scratch);
        let content = create(&scratch)?;
        let mut bytes = vec![0; length];
        source.read_exact_at(&mut bytes, 0)?;
        content.write_all_at(&bytes, 0)?;
        let id = crc32fast::hash(&bytes).to_string();
        source.metadata()?;

        let prefix = id.get(..3).unwrap_or(&id);
        let task_record = self.tasks.join(prefix).join(format!("{id}.json"));
        let in_place = self.content.join(prefix);
        self.record(&self.scheduler_scratch, &TASK_RECORD, &task_record)?;
        rename(&scratch, &in_place.join(&id))?;
        let replica_record = in_place.join(format!("{id}.json"));
        self.record(&self.host_scratch, &REPLICA_RECORD, &replica_record)?;
        self.record(&self.scheduler_scratch, &TASK_RECORD, &task_record)?;
        let mut journal = self.journal.lock().map_err(|_| io::ErrorKind::BrokenPipe)?;
        journal.write_all(&JOURNAL_LINE)
    }

    fn record(&self, scratch: &Path, bytes: &[u8], path: &Path) -> io::Result<()> {
        let written = self.scratch(scratch);
        create(&written)?.write_all_at(bytes, 0)?;
        rename(&written, path)
    }

    fn scratch(&self, directory: &Path) -> PathBuf {
        directory.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
}

/// Into a directory that is made if it is not there.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::rename(from, to)
        }
        renamed => renamed,
    }
}
