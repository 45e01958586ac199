//! What the journal keeps, counts and tells.

use serde_json::json;

use super::*;

fn call(journal: &Journal, rpc: Rpc, host: &str, code: &str, task: &str) -> Call {
    Call {
        call: journal.number(),
        at: Timestamp::UNIX_EPOCH,
        rpc,
        host: host.to_owned(),
        request: json!({"task_id": task}),
        metadata: Map::new(),
        pieces: 0,
        bytes: 0,
        status: CallStatus {
            code: code.to_owned(),
            message: String::new(),
        },
        fault: None,
        client_gone: false,
        duration_ms: 0,
    }
}

#[test]
fn calls_are_found_by_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
    let stat = call(&journal, Rpc::Stat, "host-0", "OK", "1");
    let export = call(&journal, Rpc::Export, "host-1", "INTERNAL", "2");
    journal.append(&export);
    journal.append(&stat);
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
    let journal = Journal::open(&path).unwrap();
    let calls: Vec<_> = (0..4)
        .map(|_| call(&journal, Rpc::Stat, "host-0", "OK", "1"))
        .collect();
    // As they end, which is not as they arrive.
    for index in [1, 3, 0, 2] {
        journal.append(&calls[index]);
    }
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().number(), 5);
}

#[test]
fn the_last_number_there_is_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    std::fs::write(&path, format!("{{\"call\":{}}}\n", u64::MAX)).unwrap();
    assert_eq!(Journal::open(&path).unwrap().number(), 0);
}

#[test]
fn a_journal_that_was_cut_short_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path).unwrap();
    let first = call(&journal, Rpc::Stat, "host-0", "OK", "1");
    journal.append(&first);
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"{\"call\":2,\"at")
        .unwrap();
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    let second = call(&journal, Rpc::Stat, "host-0", "OK", "1");
    assert_eq!(second.call, 2);
    journal.append(&second);
    assert_eq!(journal.query(&Query::default()).unwrap(), [first, second]);
}

#[test]
fn calls_are_told_by_number_in_whichever_order_they_ended() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
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
        journal.append(&calls[index]);
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
    let journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
    let calls: Vec<_> = (0..3)
        .map(|_| call(&journal, Rpc::Stat, "host-0", "OK", "1"))
        .collect();
    for index in [1, 0] {
        journal.append(&calls[index]);
    }
    let found = journal.find(Query::default(), 0);
    journal.append(&calls[2]);
    let found: Vec<_> = found.map(Result::unwrap).collect();
    assert_eq!(found, calls[..2]);
    let found = journal.find(Query::default(), 0);
    journal.clear().unwrap();
    assert_eq!(found.map(Result::unwrap).collect::<Vec<_>>(), []);
}

fn disk_full(mut file: &File, line: &[u8]) -> io::Result<()> {
    file.write_all(&line[..line.len() / 2])?;
    Err(io::ErrorKind::StorageFull.into())
}

#[test]
fn a_call_that_is_lost_is_counted_and_spoils_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path).unwrap();
    let stat = |journal: &Journal| call(journal, Rpc::Stat, "host-0", "OK", "1");
    let [first, lost, second] = [(); 3].map(|()| stat(&journal));
    journal.append(&first);
    journal.append_by(&lost, disk_full);
    assert_eq!(journal.lost(), 1);
    journal.append(&second);
    let told = std::fs::read_to_string(&path).unwrap();
    assert_eq!(told.lines().count(), 2, "{told}");
    let found = journal.query(&Query::default()).unwrap();
    assert_eq!(found, [first, second.clone()]);
    journal.clear().unwrap();
    assert_eq!(journal.lost(), 0);

    // Where what was written cannot be taken back either.
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"{\"call\":7,\"at")
        .unwrap();
    journal.writing().is_cut = true;
    journal.append(&second);
    assert_eq!(journal.query(&Query::default()).unwrap(), [second]);
}

#[test]
#[should_panic(expected = "cannot read the journal")]
fn a_journal_that_cannot_be_read_is_not_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let mut journal = Journal::open(&path).unwrap();
    journal.append(&call(&journal, Rpc::Stat, "host-0", "OK", "1"));
    let unreadable = File::options().append(true).open(&path).unwrap();
    journal.file = Arc::new(unreadable);
    let _ = journal.calls(Rpc::Stat);
}

#[test]
#[should_panic(expected = "1 calls are missing")]
fn a_journal_that_lacks_calls_does_not_count_them_as_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
    journal.append_by(&call(&journal, Rpc::Stat, "h", "OK", "1"), disk_full);
    let _ = journal.calls(Rpc::Stat);
}
