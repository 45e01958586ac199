use proptest::prelude::*;

use super::checks::{MAX_NAME, MAX_PATH};
use super::*;

fn directory(path: &str) -> Entry {
    let kind = Kind::Directory { mode: 0o755 };
    let path = path.to_owned();
    Entry { path, kind }
}

fn file(path: &str) -> Entry {
    let kind = Kind::File {
        mode: 0o644,
        length: 7,
        task_id: "1".to_owned(),
        sha256: Sha256Digest([7; 32]),
    };
    let path = path.to_owned();
    Entry { path, kind }
}

fn link(path: &str, target: &str) -> Entry {
    let target = target.to_owned();
    let path = path.to_owned();
    Entry {
        path,
        kind: Kind::Link { target },
    }
}

fn written(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(entries, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let entries = [
        link("a", "sub/file"),
        directory("empty"),
        directory("sub"),
        file("sub/file"),
        link("sub/up", "../a"),
        link("sub/root", ".."),
        link("z", "not/there"),
    ];
    let mut entries = entries.to_vec();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let bytes = written(&entries);
    assert!(bytes.starts_with(PREFIX));
    assert!(!bytes.contains(&b' ') && !bytes.contains(&b'\n'));
    assert_eq!(read(&*bytes).unwrap(), entries);
    assert_eq!(read(&*written(&[])).unwrap(), []);
}

#[test]
fn the_manifest_of_a_file_is_as_documented() {
    let text = String::from_utf8(written(&[file("model.bin")])).unwrap();
    let sha256 = "07".repeat(32);
    assert_eq!(
        text,
        format!(
            "{{\"format\":\"dfcache.manifest/1\",\"entries\":[{{\"path\":\"model.bin\",\"kind\":\"file\",\
             \"mode\":420,\"length\":7,\"task_id\":\"1\",\"sha256\":\"{sha256}\"}}]}}"
        )
    );
}

#[test]
fn a_hostile_manifest_is_refused_by_name() {
    let long = "x".repeat(MAX_NAME + 1);
    let deep = format!("{}x", "x/".repeat(MAX_PATH));
    for (entries, named) in [
        (vec![file("/etc/passwd")], "/etc/passwd"),
        (vec![file("../out")], "../out"),
        (vec![file("a/../../out")], "a/../../out"),
        (vec![file("a/./b")], "a/./b"),
        (vec![file("a//b")], "a//b"),
        (vec![file("a/")], "a/"),
        (vec![file("")], "\"\""),
        (vec![file(".")], "."),
        (vec![file("nul\0")], "nul"),
        (vec![file(&long)], "xxx"),
        (vec![file(&deep)], "x/x"),
        (vec![file("a"), file("a")], "twice"),
        (vec![directory("a"), file("a")], "twice"),
        (vec![file("b"), file("a")], "sorted order"),
        (vec![file("a"), file("a/b")], "below \"a\""),
        (vec![file("a"), file("a/b/c/d")], "below \"a\""),
        (vec![file("a"), file("a-"), directory("a/b")], "below \"a\""),
        (
            vec![link("a", "b"), file("a/x"), directory("b")],
            "below \"a\"",
        ),
        (vec![link("a", "/etc")], "leads out"),
        (vec![link("a", "..")], "leads out"),
        (vec![link("a", "b/../../c")], "leads out"),
        (vec![link("a", "")], "invalid target"),
        (vec![link("a", "b\0")], "invalid target"),
        (vec![link("a", "a")], "a loop of links"),
        (vec![link("a", "b"), link("b", "a")], "a loop of links"),
        // Each stays inside by its letters, and both together lead out.
        (
            vec![directory("s"), link("s/d", ".."), link("s/l", "d/../x")],
            "\"s/l\" leads out",
        ),
        (
            vec![
                link("d", "s/t"),
                link("l", "d/../../../x"),
                directory("s"),
                directory("s/t"),
            ],
            "\"l\" leads out",
        ),
    ] {
        let error = read(&*written(&entries)).unwrap_err();
        assert_eq!(error.kind(), crate::types::error::ErrorKind::Integrity);
        let why = error.causes().join(" ");
        assert!(why.contains(named), "{entries:?}: {why}");
    }
}

#[test]
fn what_is_no_manifest_is_refused() {
    let good = String::from_utf8(written(&[file("a")])).unwrap();
    read(good.as_bytes()).unwrap();
    for (from, to) in [
        ("\"mode\":420", "\"mode\":512"),
        ("\"mode\":420", "\"mode\":-1"),
        ("\"mode\":420,", ""),
        ("\"length\":7", "\"length\":9223372036854775808"),
        ("\"length\":7", "\"length\":18446744073709551616"),
        ("\"length\":7", "\"length\":7.5"),
        ("\"length\":7", "\"length\":7,\"target\":\"b\""),
        ("\"task_id\":\"1\"", "\"task_id\":\"\""),
        ("0707\"", "07\""),
        ("0707\"", "070G\""),
        ("\"file\"", "\"device\""),
        ("\"kind\"", "\"kinds\""),
        ("]}", "]"),
        ("]}", "]}]"),
        ("]}", "],\"more\":1}"),
        ("\"path\":\"a\"", "\"path\":\"a\",\"path\":\"b\""),
        ("\"a\"", "\"\\ud800\""),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        assert!(read(bad.as_bytes()).is_err(), "{bad}");
    }
    // Together they are longer than a number is.
    let long = good.replace("\"length\":7", "\"length\":9223372036854775807");
    let entry = &long[PREFIX.len()..long.len() - 2];
    let entries: Vec<_> = ["a", "b", "c"]
        .map(|path| entry.replace("\"path\":\"a\"", &format!("\"path\":\"{path}\"")))
        .to_vec();
    let sum = format!(
        "{}{}]}}",
        std::str::from_utf8(PREFIX).unwrap(),
        entries.join(",")
    );
    assert!(read(sum.as_bytes()).unwrap_err().causes()[0].contains("\"c\""));
}

fn entry() -> impl Strategy<Value = Entry> {
    let path = prop::collection::vec("[ab.]{1,2}", 1..4).prop_map(|names| names.join("/"));
    let target = prop::collection::vec("[ab]|\\.\\.|\\.", 1..5).prop_map(|names| names.join("/"));
    prop_oneof![
        path.clone().prop_map(|path| directory(&path)),
        path.clone().prop_map(|path| file(&path)),
        (path, target).prop_map(|(path, target)| link(&path, &target)),
    ]
}

proptest! {
    /// The file system is the judge: in a tree that passed, no link leads out.
    #[test]
    fn no_link_of_a_tree_that_passed_leads_out(entries in prop::collection::vec(entry(), 1..20)) {
        // Those that make up a tree with the ones before them.
        let mut tree = Vec::new();
        for entry in entries {
            let mut more: Vec<Entry> = tree.clone();
            more.push(entry);
            more.sort_by(|a, b| a.path.cmp(&b.path));
            if check_paths(&more).is_ok() {
                tree = more;
            }
        }
        let entries = tree;
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().canonicalize().unwrap().join("root");
        std::fs::create_dir(&root).unwrap();
        for entry in &entries {
            let path = root.join(&entry.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match &entry.kind {
                Kind::Directory { .. } => std::fs::create_dir(&path).unwrap(),
                Kind::File { .. } => std::fs::write(&path, "").unwrap(),
                Kind::Link { .. } => {}
            }
        }
        for entry in &entries {
            if let Kind::Link { target } = &entry.kind {
                std::os::unix::fs::symlink(target, root.join(&entry.path)).unwrap();
            }
        }
        for entry in &entries {
            if let Ok(real) = root.join(&entry.path).canonicalize() {
                prop_assert!(real.starts_with(&root), "{:?} in {:?}", entry, entries);
            }
        }
    }
}
