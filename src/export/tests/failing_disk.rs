//! A disk that fills up, or breaks, at each step of an export in turn.

use rustix::io::Errno;

use super::*;
use crate::output::disk::Disk;

const ERRORS: [Errno; 4] = [Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::IO];

const DIGEST: &str = "sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";

/// An export onto a disk of its own, and the steps that it takes there when all goes well.
#[derive(Clone, Copy, Debug)]
struct Case {
    mode: ExportMode,
    old: bool,
    overwrite: bool,
    /// Whether the file system has a rename that does not replace.
    atomic: bool,
    steps: &'static [&'static str],
}

const CASES: [Case; 8] = [
    Case {
        mode: ExportMode::ByTransfer,
        old: false,
        overwrite: false,
        atomic: true,
        steps: &["create", "set length", "write", "write", "write", "rename"],
    },
    Case {
        mode: ExportMode::ByTransfer,
        old: false,
        overwrite: false,
        atomic: false,
        steps: &[
            "create",
            "set length",
            "write",
            "write",
            "write",
            "rename",
            "link",
        ],
    },
    Case {
        mode: ExportMode::ByTransfer,
        old: false,
        overwrite: true,
        atomic: true,
        steps: &["create", "set length", "write", "write", "write", "rename"],
    },
    Case {
        mode: ExportMode::ByTransfer,
        old: true,
        overwrite: true,
        atomic: true,
        steps: &[
            "create",
            "set length",
            "write",
            "write",
            "write",
            "sync",
            "set permissions",
            "rename",
            "sync directory",
        ],
    },
    Case {
        mode: ExportMode::ByPath,
        old: false,
        overwrite: false,
        atomic: true,
        steps: &["create directory", "set permissions", "rename"],
    },
    Case {
        mode: ExportMode::ByPath,
        old: false,
        overwrite: false,
        atomic: false,
        steps: &["create directory", "set permissions", "rename", "link"],
    },
    Case {
        mode: ExportMode::ByPath,
        old: false,
        overwrite: true,
        atomic: true,
        steps: &["create directory", "set permissions", "rename"],
    },
    Case {
        mode: ExportMode::ByPath,
        old: true,
        overwrite: true,
        atomic: true,
        steps: &[
            "create directory",
            "set permissions",
            "sync",
            "set permissions",
            "rename",
            "sync directory",
        ],
    },
];

impl Case {
    fn daemon(self) -> ScriptedDaemon {
        match self.mode {
            ExportMode::ByTransfer => ScriptedDaemon::exporting(started_with(pieces())),
            _ => writing_daemon(),
        }
    }

    /// Exports onto a disk with one broken step; returns what it came to and the steps taken.
    async fn run(
        self,
        client: &Client,
        broken: Option<(usize, Errno)>,
    ) -> (Result<Exported>, Vec<&'static str>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        if self.old {
            fs::write(&path, "old").unwrap();
            // Not those of a new file: they have to be set.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let (disk, failure) = Disk::failing(move |step, name| match broken {
            Some((at, errno)) if at == step => Some(errno),
            _ if name == "rename" && !self.atomic => Some(Errno::INVAL),
            _ => None,
        });
        let target = Target::check(&path, self.overwrite).unwrap().on(disk);
        let request = request().digest(DIGEST.parse().unwrap()).mode(self.mode);
        let exported = client.export(&request, target).await;
        let expected = match &exported {
            Ok(_) => Some(CONTENT.to_vec()),
            Err(_) => self.old.then(|| b"old".to_vec()),
        };
        assert_eq!(fs::read(&path).ok(), expected, "{self:?} {broken:?}");
        let left = names(directory.path());
        assert!(left.iter().all(|name| name == "out"), "{left:?} {self:?}");
        let steps = failure.steps().clone();
        (exported, steps)
    }
}

#[tokio::test]
async fn a_disk_that_fails_at_any_step_of_an_export_leaves_what_was_there() {
    for case in CASES {
        let daemon = case.daemon();
        let on_thread = connected(&daemon).await;
        let inline = on_thread.clone().writing_inline();
        for client in [&on_thread, &inline] {
            let (exported, steps) = case.run(client, None).await;
            exported.unwrap();
            assert_eq!(steps, case.steps, "{case:?}");
        }
        for (step, name) in case.steps.iter().enumerate() {
            let each = ERRORS
                .iter()
                .flat_map(|errno| [(*errno, &on_thread), (*errno, &inline)]);
            for (errno, client) in each {
                let (exported, taken) = case.run(client, Some((step, errno))).await;
                let what = format!("{case:?}: {errno} at {step}");
                let harmless = match *name {
                    // A file system without holes is written to all the same.
                    "set length" => errno == Errno::IO,
                    // The new name is whole with or without it.
                    "sync directory" => true,
                    _ => false,
                };
                if harmless {
                    exported.unwrap();
                    assert_eq!(taken, case.steps, "{what}");
                    continue;
                }
                let error = exported.expect_err(&what);
                assert_eq!(error.kind(), ErrorKind::LocalFile, "{what}: {error:?}");
                assert_eq!(taken, case.steps[..=step], "{what}");
                let full = [Errno::NOSPC, Errno::DQUOT].contains(&errno);
                let advice = error.remedy().map(ToString::to_string).unwrap_or_default();
                assert_eq!(
                    advice.contains("free some space"),
                    full,
                    "{what}: {error:?}"
                );
            }
        }
    }
}

/// A file system may hang where a file is created, and the thread of a runtime has others to serve.
#[tokio::test]
async fn nothing_is_created_on_the_thread_of_the_runtime_unless_it_is_the_programs_own() {
    for (mode, name) in [
        (ExportMode::ByTransfer, "create"),
        (ExportMode::ByPath, "create directory"),
    ] {
        let daemon = CASES
            .iter()
            .find(|case| case.mode == mode)
            .unwrap()
            .daemon();
        let client = connected(&daemon).await;
        for (client, is_here) in [(client.clone(), false), (client.writing_inline(), true)] {
            let here = std::thread::current().id();
            let (sender, threads) = std::sync::mpsc::channel();
            let (disk, _) = Disk::failing(move |_, step| {
                if step == name {
                    sender.send(std::thread::current().id()).unwrap();
                }
                None
            });
            let directory = tempfile::tempdir().unwrap();
            let target = Target::check(&directory.path().join("out"), false).unwrap();
            let exported = client.export(&request().mode(mode), target.on(disk)).await;
            exported.unwrap();
            assert_eq!(threads.recv().unwrap() == here, is_here, "{mode:?}");
        }
    }
}

/// Takes some bytes, then fails.
struct Full {
    room: usize,
    errno: Errno,
    written: Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.written.lock().unwrap();
        let room = self.room - written.len();
        if room == 0 {
            return Err(self.errno.into());
        }
        let length = bytes.len().min(room);
        written.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_output_that_is_full_at_any_byte_has_a_prefix_and_fails_the_export() {
    for order in [pieces(), pieces().into_iter().rev().collect()] {
        let daemon = ScriptedDaemon::exporting(started_with(order));
        let client = connected(&daemon).await;
        for room in 0..CONTENT.len() {
            for errno in ERRORS {
                let written = Arc::default();
                let writer = Full {
                    room,
                    errno,
                    written: Arc::clone(&written),
                };
                let exported = client.export_to_blocking_writer(&request(), writer).await;
                assert_eq!(exported.unwrap_err().kind(), ErrorKind::LocalFile);
                assert_eq!(*written.lock().unwrap(), CONTENT[..room]);
            }
        }
    }
}
