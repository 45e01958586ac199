use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;
use crate::types::error::ErrorKind;

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
        assert_eq!(error.remedy(), Some(&Remedy::Overwrite));
        assert!(Target::check(&path, true).unwrap().exists());
    }
}

fn set_age(path: &Path, days: u64) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 24 * 60 * 60);
    File::open(path).unwrap().set_modified(then).unwrap();
}

/// A directory as a killed export by path leaves it, with the file `inner` in it.
fn killed_directory(path: &Path, inner: &str) {
    fs::create_dir(path).unwrap();
    fs::write(path.join(inner), "").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn leftovers_of_killed_processes_are_swept_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let target = || Target::check(&directory.path().join("out"), false).unwrap();
    let running = TemporaryFile::create(target()).unwrap();
    let used = PrivateDirectory::create(target(), None).unwrap();
    fs::write(used.inner(), "").unwrap();
    let place = || directory.path().join(name::temporary_name().unwrap());
    let killed = place();
    fs::write(&killed, "").unwrap();
    let killed_by_path = place();
    killed_directory(&killed_by_path, &name::inner_name().unwrap());
    let alike = directory.path().join(".dfcache-not-random");
    fs::write(&alike, "").unwrap();

    let next = TemporaryFile::create(target()).unwrap();
    assert!(!killed.exists() && !killed_by_path.exists());
    assert!(alike.exists() && used.inner().exists());
    assert_eq!(names(directory.path()).len(), 4);
    drop((running, used, next));
    assert_eq!(names(directory.path()), [".dfcache-not-random"]);
}

/// Another user who may write in the directory can give any directory of ours such a name.
#[test]
fn a_directory_that_was_given_the_name_of_a_temporary_one_keeps_what_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let contents: [&[&str]; 3] = [
        &["results"],
        &["dfcache-0123456789abcdef", "results"],
        &["dfcache-0123456789abcdef", "dfcache-0123456789abcde0"],
    ];
    let earlier = format!(".out.dfcache-{}", "1".repeat(32));
    let mut places = vec![];
    for content in contents {
        for name in [name::temporary_name().unwrap(), earlier.clone()] {
            let parent = directory.path().join(places.len().to_string());
            let place = parent.join(name);
            fs::create_dir_all(&place).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
            for file in content {
                fs::write(place.join(file), "").unwrap();
            }
            set_age(&place, 100);
            let target = Target::check(&parent.join("out"), false).unwrap();
            drop(TemporaryFile::create(target.clone()).unwrap());
            drop(PrivateDirectory::create(target, None).unwrap());
            assert_eq!(names(&place).len(), content.len(), "{content:?}");
            places.push(place);
        }
    }
    // A directory that others may look into was never a private one.
    let open = directory.path().join(name::temporary_name().unwrap());
    killed_directory(&open, "dfcache-0123456789abcdef");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let target = Target::check(&directory.path().join("out"), false).unwrap();
    drop(TemporaryFile::create(target).unwrap());
    assert_eq!(names(&open), ["dfcache-0123456789abcdef"]);
}

/// Their locks are not seen here: they may be at work.
#[test]
fn temporaries_of_other_machines_and_earlier_builds_are_swept_when_they_are_old() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::check(&directory.path().join("out"), false).unwrap();
    let elsewhere = format!(".dfcache-{}-{}", "0".repeat(16), "1".repeat(32));
    let earlier = format!(".out.dfcache-{}", "1".repeat(32));
    for name in [elsewhere, earlier] {
        let place = directory.path().join(name);
        for (age, stays) in [(0, true), (5, true), (30, false)] {
            fs::write(&place, "").unwrap();
            set_age(&place, age);
            drop(TemporaryFile::create(target.clone()).unwrap());
            assert_eq!(place.exists(), stays, "{} days", age);
        }
    }
}

#[test]
fn a_swapped_private_directory_is_neither_used_nor_removed() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::check(&directory.path().join("out"), false).unwrap();
    let private = PrivateDirectory::create(target, None).unwrap();
    let path = private.inner().parent().unwrap().to_owned();
    let inner = private.inner().to_owned();
    let aside = directory.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(&inner, "of somebody else").unwrap();
    assert!(!private.is_in_place());
    assert_eq!(
        private.open_inner().unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    private.commit().unwrap_err();
    assert_eq!(fs::read(&inner).unwrap(), b"of somebody else");
    assert!(!directory.path().join("out").exists() && aside.exists());
}

#[test]
fn a_swapped_temporary_file_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::check(&directory.path().join("out"), false).unwrap();
    let temporary = TemporaryFile::create(target).unwrap();
    let [name] = &names(directory.path())[..] else {
        panic!("one file");
    };
    let path = directory.path().join(name);
    fs::rename(&path, directory.path().join("aside")).unwrap();
    fs::write(&path, "of somebody else").unwrap();
    drop(temporary);
    assert_eq!(fs::read(&path).unwrap(), b"of somebody else");
}

#[test]
fn a_link_to_what_is_no_file_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    fs::create_dir(place("directory")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, place("fifo"), fifo, mode, 0).unwrap();
    for (number, (to, why)) in [
        ("/dev/null", "it is a link to a device"),
        ("directory", "it is a link to a directory"),
        ("fifo", "it is a link to a FIFO"),
        ("/proc/self/fd/1", "it is a link to an open file"),
    ]
    .into_iter()
    .enumerate()
    {
        let link = place(&number.to_string());
        symlink(to, &link).unwrap();
        for overwrite in [false, true] {
            let error = Target::check(&link, overwrite).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LocalFile);
            assert!(error.causes()[0].starts_with(why), "{error:?}");
            assert_eq!(error.remedy(), Some(&Remedy::WriteToStream), "{error:?}");
        }
    }
    for link in ["/dev/stdout", "/dev/fd/1"] {
        Target::check(Path::new(link), true).unwrap_err();
    }
}

#[test]
fn a_file_is_not_opened_to_more_users_when_its_group_cannot_be_kept() {
    for (old, expected) in [
        (0o640, 0o600),
        (0o604, 0o600),
        (0o664, 0o604),
        (0o600, 0o600),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(old)).unwrap();
        let cannot = |_, name| (name == "set group").then_some(rustix::io::Errno::PERM);
        let (disk, _) = Disk::failing(cannot);
        let mut target = Target::check(&path, true).unwrap().on(disk);
        target.replaced.as_mut().unwrap().group += 1;
        TemporaryFile::create(target).unwrap().commit().unwrap();
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, expected, "{old:o}");
    }
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

/// NFS and FUSE keep a name for an open file that is removed, and its directory cannot be removed then.
#[test]
fn a_copy_that_is_still_open_leaves_its_directory_before_it_is_removed() {
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

    let directory = tempfile::tempdir().unwrap();
    let copy = PrivateFile::create(directory.path(), None).unwrap();
    let _open = copy.file().try_clone().unwrap();
    let watch = init(CreateFlags::NONBLOCK).unwrap();
    let private = copy.path().parent().unwrap();
    add_watch(&watch, private, WatchFlags::MOVED_FROM | WatchFlags::DELETE).unwrap();
    drop(copy);
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(&watch, &mut buffer);
    let event = events.next().unwrap();
    assert_eq!(event.events(), ReadFlags::MOVED_FROM);
    assert!(names(directory.path()).is_empty());
}

/// A daemon whose call was broken off may still be writing, under a name of its own.
#[test]
fn a_private_directory_goes_with_what_the_daemon_left_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::check(&directory.path().join("out"), false).unwrap();
    let private = PrivateDirectory::create(target, None).unwrap();
    let mut writing = File::create(private.inner().with_file_name("partial")).unwrap();
    fs::write(private.inner(), "content").unwrap();
    symlink("/", private.inner().with_file_name("link")).unwrap();
    drop(private);
    std::io::Write::write_all(&mut writing, b"more").unwrap();
    assert!(names(directory.path()).is_empty());
}

#[test]
fn a_directory_is_new_if_it_is_empty_and_private_and_ours() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::check(&directory.path().join("out"), false).unwrap();
    let place = directory.path().join("new");
    fs::create_dir(&place).unwrap();
    let is_new = |mode| {
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        let new = new_directory::open(&target, "new");
        new.map(|new| new.keeps_permissions)
            .map_err(|error| error.to_string())
    };
    assert_eq!(is_new(0o700), Ok(true));
    assert_eq!(is_new(0o2700), Ok(true));
    // A directory of ours that another user gave this name. This file system keeps permissions.
    for mode in [0o777, 0o755, 0o701, 0o1700] {
        assert!(is_new(mode).unwrap_err().contains("replaced"), "{mode:o}");
        assert!(names(&place).is_empty());
    }
    fs::write(place.join("file"), "").unwrap();
    assert!(is_new(0o700).unwrap_err().contains("replaced"));
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

#[test]
fn a_tree_is_removed_however_deep_it_is_and_nothing_beside_it() {
    use crate::output::PrivateTree;

    let directory = tempfile::tempdir().unwrap();
    let outside = directory.path().join("outside");
    fs::create_dir_all(outside.join("kept")).unwrap();
    let target = PrivateTree::check(&directory.path().join("out/")).unwrap();
    let tree = PrivateTree::create(target, None).unwrap();
    let mut path = "d".to_owned();
    // Deeper than there may be open files.
    while path.len() < 2500 {
        tree.create_directories([path.as_str()]).unwrap();
        path += "/d";
    }
    tree.create_directories(["closed", "closed/in"]).unwrap();
    tree.create_link("closed/link", outside.to_str().unwrap())
        .unwrap();
    tree.set_directory_mode("closed", 0).unwrap();
    drop(tree);
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(outside.join("kept").is_dir());
}

#[test]
fn a_tree_that_a_killed_process_left_is_swept_with_all_that_is_in_it() {
    use crate::output::PrivateTree;

    let directory = tempfile::tempdir().unwrap();
    let target = PrivateTree::check(&directory.path().join("out")).unwrap();
    let tree = PrivateTree::create(target.clone(), Some(0)).unwrap();
    tree.create_directories(["a", "a/b"]).unwrap();
    fs::write(directory.path().join("mine"), "").unwrap();
    let only = || {
        let entries = fs::read_dir(directory.path()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        entries.map(name).collect::<Vec<_>>()
    };
    // While it is locked, it stays.
    super::sweep::sweep(&target.directory);
    assert_eq!(only().len(), 2);
    tree.forget();
    super::sweep::sweep(&target.directory);
    assert_eq!(only(), ["mine"]);
}

#[test]
fn a_tree_replaces_nothing() {
    use crate::output::PrivateTree;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let target = PrivateTree::check(&path).unwrap();
    let tree = PrivateTree::create(target, Some(0)).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(PrivateTree::check(&path).is_err());
    let error = tree.commit().unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
