use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;

fn names(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn places_that_cannot_be_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    fs::create_dir(place("directory")).unwrap();
    fs::write(place("file"), "").unwrap();
    let _socket = UnixListener::bind(place("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let refused = [
        ("directory", "directory"),
        ("new/", "directory"),
        (".", "directory"),
        ("..", "directory"),
        ("socket", "socket"),
        ("fifo", "FIFO"),
        ("missing/out", "No such file"),
        ("file/out", "not a directory"),
    ];
    for (name, why) in refused {
        for overwrite in [false, true] {
            let path = format!("{}/{name}", directory.path().display());
            let error = Target::check(Path::new(&path), overwrite).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LocalFile);
            let text = format!("{error}: {}", error.causes().join(": "));
            assert!(text.contains(why) && text.contains(&path), "{text}");
        }
    }
    let device = Target::check(Path::new("/dev/null"), true).unwrap_err();
    assert_eq!(device.causes(), ["it is a device"]);
}

#[test]
fn whatever_exists_is_replaced_only_if_asked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let dangling = directory.path().join("dangling");
    fs::write(&file, "").unwrap();
    symlink("nowhere", &dangling).unwrap();
    for path in [file, dangling] {
        let error = Target::check(&path, false).unwrap_err();
        assert_eq!(error.advice(), Some("--overwrite replaces it"));
        assert!(Target::check(&path, true).unwrap().exists());
    }
}

#[test]
fn leftovers_of_killed_processes_are_swept_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let target = || Target::check(&directory.path().join("out"), false).unwrap();
    let running = TemporaryFile::create(target()).unwrap();
    let used = PrivateDirectory::create(target(), None).unwrap();
    fs::write(used.inner(), "").unwrap();
    let killed = directory
        .path()
        .join(temporary_name(OsStr::new("other")).unwrap());
    fs::write(&killed, "").unwrap();
    let killed_directory = directory
        .path()
        .join(temporary_name(OsStr::new("out")).unwrap());
    fs::create_dir(&killed_directory).unwrap();
    fs::write(killed_directory.join("content"), "").unwrap();
    let alike = directory.path().join(".out.dfcache-not-random");
    fs::write(&alike, "").unwrap();

    let next = TemporaryFile::create(target()).unwrap();
    assert!(!killed.exists() && !killed_directory.exists());
    assert!(alike.exists() && used.inner().exists());
    assert_eq!(names(directory.path()).len(), 4);
    drop((running, used, next));
    assert_eq!(names(directory.path()), [".out.dfcache-not-random"]);
}

/// Each sweeps what it finds unlocked, and what was just made is unlocked for a moment.
#[test]
fn those_who_sweep_at_once_take_nothing_from_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::check(&directory.path().join("out"), true).unwrap();
    let make = || {
        for _ in 0..100 {
            let private = PrivateDirectory::create(target.clone(), None).unwrap();
            assert!(private.inner().parent().unwrap().exists());
            let temporary = TemporaryFile::create(target.clone()).unwrap();
            drop(private);
            temporary.commit().unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(make);
        }
    });
    assert_eq!(names(directory.path()), ["out"]);
}

#[test]
fn the_private_directory_lets_in_whom_it_must() {
    let directory = tempfile::tempdir().unwrap();
    let target = || Target::check(&directory.path().join("out"), false).unwrap();
    let own = rustix::process::geteuid().as_raw();
    for (user, expected) in [
        (Some(own), 0o700),
        (Some(0), 0o700),
        (Some(own + 4242), 0o1733),
        (None, 0o1733),
    ] {
        let private = PrivateDirectory::create(target(), user).unwrap();
        let parent = private.inner().parent().unwrap();
        let mode = fs::metadata(parent).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, expected, "{user:?}");
    }
}

#[test]
fn a_name_is_taken_once() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::check(&directory.path().join("out"), false).unwrap();
    let first = TemporaryFile::create(target.clone()).unwrap();
    let second = TemporaryFile::create(target).unwrap();
    first.commit().unwrap();
    let error = second.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalFile);
    assert_eq!(names(directory.path()), ["out"]);
}

proptest! {
    #[test]
    fn temporary_names_fit_and_are_known_again(
        name in prop::collection::vec(1u8..=255, 1..300),
    ) {
        let temporary = temporary_name(OsStr::from_bytes(&name)).unwrap();
        prop_assert!(temporary.len() <= MAX_NAME_LENGTH);
        prop_assert!(is_temporary(&temporary));
        prop_assert!(!is_temporary(OsStr::from_bytes(&temporary.as_bytes()[1..])) || name[0] == b'.');
    }
}
