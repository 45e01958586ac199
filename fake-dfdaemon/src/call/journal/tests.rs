//! What the journal keeps, counts and tells.

use serde_json::json;

use super::file::JournalFile;
use super::*;

const LIMIT: usize = 1000;

fn call(journal: &Journal, rpc: Rpc, host: &str, code: &str, task: &str) -> Call {
    let mut call = Call::arriving(rpc, host, json!({"task_id": task}));
    call.call = journal.number();
    code.clone_into(&mut call.status.code);
    call
}

/// A journal whose lines are written by `put`.
fn open_with(path: &Path, put: Put) -> Journal {
    Claimed::new(path, LIMIT, put).unwrap().read().unwrap()
}

/// Notes a call, and waits until it is written.
fn append(journal: &Journal, call: &Call) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.build().unwrap();
    runtime.block_on(journal.append(call).dealt_with());
}

#[test]
fn calls_are_found_by_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("journal.jsonl"), LIMIT).unwrap();
    let stat = call(&journal, Rpc::Stat, "host-0", "OK", "1");
    let export = call(&journal, Rpc::Export, "host-1", "INTERNAL", "2");
    append(&journal, &export);
    append(&journal, &stat);
    assert_eq!(
        journal.query(&Query::default()).unwrap(),
        [stat.clone(), export.clone()]
    );
    assert_eq!(journal.calls(Rpc::Stat), std::slice::from_ref(&stat));
    let text = |text: &str| Some(text.to_owned());
    for query in [
        Query {
            status: text("INTERNAL"),
            ..Query::default()
        },
        Query {
            task: text("2"),
            ..Query::default()
        },
        Query {
            host: text("host-1"),
            ..Query::default()
        },
    ] {
        assert_eq!(
            journal.query(&query).unwrap(),
            std::slice::from_ref(&export),
            "{query:?}"
        );
    }
    journal.clear().unwrap();
    assert_eq!(journal.query(&Query::default()).unwrap(), []);
}

#[test]
fn numbers_go_on_after_the_highest_wherever_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path, LIMIT).unwrap();
    let calls: Vec<_> = (0..4)
        .map(|_| call(&journal, Rpc::Stat, "host-0", "OK", "1"))
        .collect();
    // As they end, which is not as they arrive.
    for index in [1, 3, 0, 2] {
        append(&journal, &calls[index]);
    }
    drop(journal);
    assert_eq!(Journal::open(&path, LIMIT).unwrap().number(), 5);
}

#[test]
fn the_last_number_there_is_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    std::fs::write(&path, format!("{{\"call\":{}}}\n", u64::MAX)).unwrap();
    assert_eq!(Journal::open(&path, LIMIT).unwrap().number(), 0);
}

#[test]
fn a_journal_that_was_cut_short_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path, LIMIT).unwrap();
    let first = call(&journal, Rpc::Stat, "host-0", "OK", "1");
    append(&journal, &first);
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"{\"call\":2,\"at")
        .unwrap();
    drop(journal);
    let journal = Journal::open(&path, LIMIT).unwrap();
    let second = call(&journal, Rpc::Stat, "host-0", "OK", "1");
    assert_eq!(second.call, 2);
    append(&journal, &second);
    assert_eq!(journal.query(&Query::default()).unwrap(), [first, second]);
}

#[test]
fn calls_are_told_by_number_in_whichever_order_they_ended() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("journal.jsonl"), LIMIT).unwrap();
    let calls: Vec<_> = (0..8)
        .map(|number| {
            let rpc = if number % 2 == 0 {
                Rpc::Stat
            } else {
                Rpc::List
            };
            call(&journal, rpc, "host-0", "OK", "1")
        })
        .collect();
    for index in [2, 7, 0, 1, 4, 6, 5, 3] {
        append(&journal, &calls[index]);
    }
    assert_eq!(journal.query(&Query::default()).unwrap(), calls);
    let of = |rpc| calls.iter().filter(move |call| call.rpc == rpc).cloned();
    for rpc in [Rpc::Stat, Rpc::List] {
        assert_eq!(journal.calls(rpc), of(rpc).collect::<Vec<_>>());
    }
}

/// Of what is written later, and of a file that is cleared meanwhile, nothing is made up.
#[test]
fn what_changes_while_calls_are_read_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("journal.jsonl"), LIMIT).unwrap();
    let calls: Vec<_> = (0..3)
        .map(|_| call(&journal, Rpc::Stat, "host-0", "OK", "1"))
        .collect();
    for index in [1, 0] {
        append(&journal, &calls[index]);
    }
    let found = journal.find(Query::default(), 0);
    append(&journal, &calls[2]);
    let found: Vec<_> = found.map(Result::unwrap).collect();
    assert_eq!(found, calls[..2]);
    let found = journal.find(Query::default(), 0);
    journal.clear().unwrap();
    assert_eq!(found.map(Result::unwrap).collect::<Vec<_>>(), []);
}

/// As on a disk that has no room for calls to `host`.
fn full_for(host: &str) -> Put {
    let host = format!("\"{host}\"");
    Box::new(move |mut file, lines| {
        if !String::from_utf8_lossy(lines).contains(&host) {
            return file.write_all(lines);
        }
        file.write_all(&lines[..lines.len() / 2])?;
        Err(io::ErrorKind::StorageFull.into())
    })
}

#[test]
fn a_call_that_is_lost_is_counted_and_spoils_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = open_with(&path, full_for("full"));
    let stat = |host| call(&journal, Rpc::Stat, host, "OK", "1");
    let calls = ["h", "full", "h"].map(stat);
    let [first, _, second] = &calls;
    // Together, so that they are written at once if that goes.
    let written: Vec<_> = calls.iter().map(|call| journal.append(call)).collect();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.build().unwrap();
    for written in written {
        runtime.block_on(written.dealt_with());
    }
    assert_eq!(journal.lost(), 1);
    let on_disk = std::fs::read_to_string(&path).unwrap();
    assert_eq!(on_disk.lines().count(), 2, "{on_disk}");
    let found = journal.query(&Query::default()).unwrap();
    assert_eq!(found, [first.clone(), second.clone()]);
    journal.clear().unwrap();
    assert_eq!(journal.lost(), 0);
}

/// Where what was written cannot be taken back.
#[test]
fn half_a_line_spoils_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    std::fs::write(&path, "{\"call\":7,\"at").unwrap();
    let journal = Journal::open(&path, LIMIT).unwrap();
    let second = call(&journal, Rpc::Stat, "host-0", "OK", "1");
    append(&journal, &second);
    assert_eq!(journal.query(&Query::default()).unwrap(), [second]);
}

#[test]
#[should_panic(expected = "cannot read the journal")]
fn a_journal_that_cannot_be_read_is_not_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path, LIMIT).unwrap();
    append(&journal, &call(&journal, Rpc::Stat, "host-0", "OK", "1"));
    let unreadable = File::options().append(true).open(&path).unwrap();
    let unreadable = JournalFile {
        file: unreadable,
        begins: 0,
    };
    journal.shared.held().file = Some(Arc::new(unreadable));
    let _ = journal.calls(Rpc::Stat);
}

#[test]
#[should_panic(expected = "1 calls are missing")]
fn a_journal_that_lacks_calls_does_not_count_them_as_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = open_with(&path, full_for("h"));
    append(&journal, &call(&journal, Rpc::Stat, "h", "OK", "1"));
    let _ = journal.calls(Rpc::Stat);
}

/// A journal whose writes end only when the test lets them.
fn hanging(path: &Path) -> (Journal, std::sync::mpsc::Sender<()>) {
    let (goes_on, go_on) = std::sync::mpsc::channel::<()>();
    let put: Put = Box::new(move |mut file, lines| {
        let _ = go_on.recv();
        file.write_all(lines)
    });
    (open_with(path, put), goes_on)
}

#[tokio::test(start_paused = true)]
async fn a_file_system_that_hangs_makes_nobody_wait_and_what_is_lost_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let (journal, goes_on) = hanging(&path);
    let stat = |task: &str| call(&journal, Rpc::Stat, "host-0", "OK", task);
    let before = tokio::time::Instant::now();
    let first = stat("1");
    journal.append(&first).wait().await;
    let waited = before.elapsed();
    assert!(waited < std::time::Duration::from_secs(1), "{waited:?}");
    // Found, though no line is written; and nobody waits any more.
    assert_eq!(
        journal.query(&Query::default()).unwrap(),
        std::slice::from_ref(&first)
    );
    let second = stat("2");
    journal.append(&second).wait().await;
    assert_eq!(before.elapsed(), waited);
    assert_eq!(journal.count(&Query::default(), 0), 2);
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    // What the queue does not hold is lost.
    let long = "x".repeat(1 << 20);
    let mut kept = vec![first, second];
    while journal.lost() == 0 {
        assert!(kept.len() < 20);
        let long = stat(&long);
        journal.append(&long).wait().await;
        kept.push(long);
    }
    kept.pop();
    assert_eq!(journal.query(&Query::default()).unwrap(), kept);

    // It answers again.
    tokio::time::resume();
    drop(goes_on);
    let last = stat("3");
    journal.append(&last).dealt_with().await;
    kept.push(last.clone());
    assert_eq!(journal.query(&Query::default()).unwrap(), kept);
    assert_eq!(journal.lost(), 1);
    journal.finish().await;
    drop(journal);
    let again = Journal::open(&path, LIMIT).unwrap();
    assert_eq!(again.query(&Query::default()).unwrap(), kept);
    assert_eq!(again.number(), last.call + 1);
}

#[tokio::test]
async fn a_stop_waits_for_lines_but_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path, LIMIT).unwrap();
    let calls: Vec<_> = (0..100)
        .map(|_| call(&journal, Rpc::Stat, "host-0", "OK", "1"))
        .collect();
    for call in &calls {
        let _ = journal.append(call);
    }
    journal.finish().await;
    drop(journal);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 100);

    let (journal, goes_on) = hanging(&dir.path().join("hangs.jsonl"));
    let _ = journal.append(&call(&journal, Rpc::Stat, "host-0", "OK", "1"));
    tokio::time::pause();
    journal.finish().await;
    // The file is left to the writer: a drop has nothing to wait for.
    assert!(journal.shared.held().file.is_none());
    drop(journal);
    drop(goes_on);
}

/// The oldest are forgotten, also by the file, and those who read it meanwhile miss nothing.
#[test]
fn a_journal_keeps_its_last_calls_and_its_file_stays_short() {
    const KEPT: usize = 50;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path, KEPT).unwrap();
    let long = "x".repeat(2 << 10);
    let mut calls = Vec::new();
    let mut reading = None;
    for number in 1..=1000 {
        let ended = call(&journal, Rpc::Stat, "host-0", "OK", &long);
        append(&journal, &ended);
        calls.push(ended);
        if number == 300 {
            reading = Some(journal.find(Query::default(), 0));
        }
    }
    let found = reading.unwrap().map(Result::unwrap);
    assert_eq!(found.collect::<Vec<_>>(), calls[300 - KEPT..300]);
    let kept = &calls[1000 - KEPT..];
    assert_eq!(journal.query(&Query::default()).unwrap(), kept);
    assert_eq!(journal.count(&Query::default(), 0), KEPT as u64);
    assert_eq!(journal.lost(), 950);
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(length < 400_000, "{length}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let other = Journal::open(&path, KEPT).unwrap_err().to_string();
    assert!(other.contains("running"), "{other}");
    drop(journal);

    let journal = Journal::open(&path, 10).unwrap();
    assert_eq!(journal.query(&Query::default()).unwrap(), kept[KEPT - 10..]);
    assert_eq!(journal.number(), 1001);
    journal.clear().unwrap();
    assert_eq!(journal.lost(), 0);
}
