use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::tasks::less_capacity;
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// 10 bytes for 60 seconds.
fn task(id: &str) -> TaskRecord {
    TaskRecord {
        task_id: TaskId::of(id),
        state: TaskState::Succeeded,
        persistent_replica_count: 1,
        tag: None,
        application: None,
        piece_length: 4 << 20,
        content_length: 10,
        ttl: Duration::from_secs(60),
        created_at: at(100),
        updated_at: at(100),
    }
}

fn whole(id: &str, persistent: bool) -> ReplicaRecord {
    let task = task(id);
    ReplicaRecord {
        task_id: task.task_id,
        task_created_at: task.created_at,
        persistent,
        ttl: task.ttl,
        piece_length: task.piece_length,
        content_length: task.content_length,
        piece_crc32: None,
        created_at: task.created_at,
        updated_at: task.updated_at,
        finished_at: Some(task.updated_at),
        failed_at: None,
    }
}

fn partial(id: &str) -> ReplicaRecord {
    ReplicaRecord {
        finished_at: None,
        ..whole(id, true)
    }
}

/// Five hosts: the task is persistent on 0, on 2, which has left, and in part on 3; it is evictable
/// on 1, which is stopped, and on 4.
fn five_hosts() -> State {
    let mut state = State::new(5);
    state.insert_task(task("7"));
    for (host, record) in [
        whole("7", true),
        whole("7", false),
        whole("7", true),
        partial("7"),
        whole("7", false),
    ]
    .into_iter()
    .enumerate()
    {
        state.insert_replica(HostNumber::of(host), record);
    }
    state.hosts[1].status = HostStatus::Stopped;
    state.hosts[2].status = HostStatus::Left;
    state
}

#[test]
fn a_task_lives_until_its_ttl_is_over() {
    let mut state = State::new(1);
    state.insert_task(task("7"));
    for (second, lives) in [(0, true), (159, true), (160, false), (161, false)] {
        assert_eq!(
            state.unexpired("7", at(second)).is_some(),
            lives,
            "{second}"
        );
    }
    assert!(state.unexpired("8", at(0)).is_none());
}

#[test]
fn a_task_that_replaces_another_is_not_the_same() {
    let mut state = State::new(1);
    let mut put_in = |id| (id, state.insert_task(task(id)));
    let [first, other, second] = ["7", "8", "7"].map(&mut put_in);
    for ((id, generation), found) in [(first, false), (other, true), (second, true)] {
        let same = state.current(id, generation);
        assert_eq!(same.is_some_and(|entry| entry.task == task(id)), found);
    }
    assert!(state.current("8", second.1).is_none());
}

#[test]
fn the_scheduler_counts_whole_replicas_of_hosts_that_have_not_left() {
    let state = five_hosts();
    let view = state.view(state.tasks.get("7").unwrap(), None);
    assert_eq!((view.persistent_replicas, view.replicas), (1, 3));
    assert_eq!(view.task, task("7"));
    assert_eq!(state.status(HostNumber::of(5)), HostStatus::Left);
}

#[test]
fn parents_are_other_hosts_that_run_and_have_all_of_it() {
    let state = five_hosts();
    let parents = |to| {
        let parents = state.parents(state.tasks.get("7").unwrap(), HostNumber::of(to), None);
        parents
            .into_iter()
            .map(HostNumber::index)
            .collect::<Vec<_>>()
    };
    assert_eq!(parents(0), [4]);
    assert_eq!(parents(1), [0, 4]);
    assert_eq!(parents(4), [0]);
}

#[test]
fn placement_is_told_what_there_is() {
    let mut state = five_hosts();
    state.hosts[4].reserved = 5;
    let candidate = |host, replica, [counts, runs, has_room]: [bool; 3], used| Candidate {
        host: HostNumber::of(host),
        replica,
        lost: 0,
        counts,
        runs,
        has_room,
        used,
    };
    let (persistent, evictable) = (Some(Retention::Persistent), Some(Retention::Evictable));
    assert_eq!(
        state.candidates(state.tasks.get("7").unwrap(), Some(24)),
        [
            candidate(0, persistent, [true, true, true], 10),
            candidate(1, evictable, [true, false, true], 10),
            candidate(2, persistent, [false, false, true], 10),
            candidate(3, None, [true, true, true], 0),
            candidate(4, evictable, [true, true, false], 15),
        ]
    );
}

/// A scheduler draws hosts for replicas from those that it counts no persistent peer of.
#[test]
fn a_host_of_a_persistent_peer_that_failed_is_asked_for_no_replica() {
    let mut state = five_hosts();
    let host = HostNumber::of(3);
    let replica = |state: &State| state.candidates(state.tasks.get("7").unwrap(), None)[3].replica;
    let counted = |state: &mut State, persistent| {
        let entry = state.tasks.get_mut("7").unwrap();
        entry.counted_peers.add_failed(host, persistent);
    };
    counted(&mut state, false);
    assert_eq!(replica(&state), None);
    counted(&mut state, true);
    assert_eq!(replica(&state), Some(Retention::Persistent));
}

#[test]
fn content_fits_up_to_the_last_byte() {
    let host = HostState {
        status: HostStatus::Running,
        tasks: 0,
        used: 3,
        reserved: 4,
    };
    for (length, capacity, fits) in [
        (3, Some(10), true),
        (4, Some(10), false),
        (u64::MAX, Some(u64::MAX - 1), false),
        (u64::MAX, None, true),
    ] {
        assert_eq!(has_room(&host, length, capacity), fits);
    }
}

#[test]
fn whole_replicas_without_persistence_or_lease_are_evictable_the_oldest_first() {
    let mut state = State::new(2);
    for (id, host, updated_at, change) in [
        ("new", 0, 9, "none"),
        ("old", 0, 1, "none"),
        ("middle", 0, 5, "none"),
        ("leased", 0, 1, "lease"),
        ("kept", 0, 1, "persistent"),
        ("partial", 0, 1, "partial"),
        ("elsewhere", 1, 1, "none"),
    ] {
        state.insert_task(task(id));
        let record = match change {
            "partial" => ReplicaRecord {
                persistent: false,
                ..partial(id)
            },
            change => whole(id, change == "persistent"),
        };
        let updated_at = at(updated_at);
        state.insert_replica(
            HostNumber::of(host),
            ReplicaRecord {
                updated_at,
                ..record
            },
        );
        state.tasks.get_mut(id).unwrap().leases = usize::from(change == "lease");
    }
    assert_eq!(
        state.evictable(HostNumber::FIRST),
        ["old", "middle", "new"].map(TaskId::of)
    );
}

#[test]
fn an_import_takes_the_place_of_a_failed_task_alone() {
    assert!(is_replaceable(TaskState::Failed));
    assert!(!is_replaceable(TaskState::Uploading) && !is_replaceable(TaskState::Succeeded));
}

proptest! {
    #[test]
    fn hosts_have_what_was_put_in_and_count_what_is_whole(
        operations in prop::collection::vec(
            (0..5u8, 0..3usize, 0..3usize, 1..100u64, any::<bool>()), 0..40),
    ) {
        let mut state = State::new(3);
        // What each replica of each task is to its host.
        let mut model: BTreeMap<&str, BTreeMap<HostNumber, (usize, u64)>> = BTreeMap::new();
        for (operation, id, host, content_length, finished) in operations {
            let (id, host) = (["a", "b", "c"][id], HostNumber::of(host));
            let finished_at = finished.then_some(at(0));
            let record = ReplicaRecord { content_length, finished_at, ..whole(id, true) };
            let load = if finished { (1, content_length) } else { (0, 0) };
            match operation {
                0 => {
                    state.insert_task(task(id));
                    model.insert(id, BTreeMap::new());
                }
                1 => {
                    let holders: Vec<_> = model.remove(id).into_iter().flatten().collect();
                    let holders: Vec<_> = holders.into_iter().map(|(host, _)| host).collect();
                    prop_assert_eq!(state.remove_task(id), holders);
                }
                2 => {
                    state.insert_replica(host, record);
                    model.entry(id).and_modify(|replicas| { replicas.insert(host, load); });
                }
                3 => {
                    let removed = state.remove_replica(id, host).map(|replica| replica.load());
                    let expected = model.get_mut(id).and_then(|replicas| replicas.remove(&host));
                    prop_assert_eq!(removed, expected);
                }
                _ => if let Some(replica) = state.remove_replica(id, host) {
                    state.put_back(id, host, replica);
                }
            }
            for (id, expected) in &model {
                let replicas = &state.tasks.get(id).unwrap().replicas;
                let there: BTreeMap<_, _> =
                    replicas.hosts().map(|host| (host, replicas.get(host).unwrap().load())).collect();
                prop_assert_eq!(&there, expected);
                prop_assert!(replicas.hosts().is_sorted());
            }
            prop_assert_eq!(state.tasks.len(), model.len());
            for (number, host) in HostNumber::all(3).zip(&state.hosts) {
                let replicas = model.values().filter_map(|replicas| replicas.get(&number));
                let load = replicas.fold((0, 0), |sum, replica| (sum.0 + replica.0, sum.1 + replica.1));
                prop_assert_eq!((host.tasks, host.used), load);
            }
        }
    }
}

#[test]
fn room_is_given_up_when_there_is_far_too_much() {
    for (capacity, tasks, less) in [
        (1024, 0, None),
        (1025, 0, Some(0)),
        (1024, 128, None),
        (1025, 128, Some(256)),
        (8000, 1000, None),
        (8001, 1000, Some(2000)),
    ] {
        assert_eq!(
            less_capacity(capacity, tasks),
            less,
            "{capacity} for {tasks}"
        );
    }
}

#[test]
fn the_room_of_tasks_that_are_gone_goes_too() {
    let mut state = State::new(1);
    for number in 0..10_000 {
        state.insert_task(task(&number.to_string()));
    }
    for number in 10..10_000 {
        state.remove_task(&number.to_string());
    }
    assert!(state.tasks.capacity() < 2000, "{}", state.tasks.capacity());
    assert!((0..10).all(|number| state.tasks.contains(number.to_string().as_str())));
    assert_eq!(state.tasks.len(), 10);
}

/// A table that grows on the way hashes what it has again, while other threads wait for it.
#[test]
fn a_table_that_is_told_of_its_tasks_does_not_grow() {
    let mut state = State::new(1);
    state.tasks.expect(10_000);
    let capacity = state.tasks.capacity();
    for number in 0..10_000 {
        state.tasks.expect(9_000);
        state.insert_task(task(&number.to_string()));
    }
    assert_eq!(state.tasks.capacity(), capacity);
    // What did not come has no room.
    state.tasks.expect(1_000_000);
    state.tasks.trim();
    assert!(state.tasks.capacity() < 100_000);
    assert!(state.tasks.contains("9999"));
}

/// What comes meanwhile makes the table grow.
#[test]
fn a_walk_comes_to_every_task_that_is_there_all_the_time() {
    let mut state = State::new(1);
    let id = |kind: &str, number: usize| format!("{kind}{number}");
    let stays = 1700;
    for number in 0..stays {
        state.insert_task(task(&id("a", number)));
    }
    let (mut walk, mut found) = (Walk::default(), Vec::new());
    let (mut comes, mut goes, mut begins) = (0, 0, 0);
    loop {
        if state.tasks.begins_again(&mut walk) {
            found.clear();
            begins += 1;
        }
        let some = std::iter::from_fn(|| state.tasks.next_of(&mut walk)).take(20);
        let before = found.len();
        found.extend(some.map(|entry| entry.task.task_id.to_string()));
        if found.len() - before < 20 {
            break;
        }
        // More come than go, for a while.
        for _ in 0..if comes < 9000 { 40 } else { 1 } {
            state.insert_task(task(&id("c", comes)));
            comes += 1;
            if comes % 5 > 1 || comes > 9000 {
                state.remove_task(&id("c", goes));
                goes += 1;
            }
        }
    }
    assert!(begins > 2, "{begins}");
    found.retain(|id| id.starts_with('a'));
    found.sort();
    assert_eq!(found.len(), stays);
    found.dedup();
    assert_eq!(found.len(), stays, "some are seen twice");
}

#[test]
fn a_walk_through_other_tasks_begins_again() {
    let (mut one, mut other) = (State::new(1), State::new(1));
    for state in [&mut one, &mut other] {
        assert!(state.tasks.next_of(&mut Walk::default()).is_none());
        state.insert_task(task("7"));
    }
    let mut walk = Walk::default();
    assert!(one.tasks.begins_again(&mut walk));
    assert!(one.tasks.next_of(&mut walk).is_some());
    assert!(!one.tasks.begins_again(&mut walk));
    assert!(other.tasks.begins_again(&mut walk));
    assert!(other.tasks.next_of(&mut walk).is_some());
}

#[test]
fn what_has_expired_is_found_whatever_was_looked_for_before() {
    let mut state = State::new(1);
    let expired = |state: &mut State, second| {
        let mut expired = state.tasks.expired(at(second), |entry| entry.leases == 0);
        expired.sort();
        expired
    };
    assert_eq!(expired(&mut state, 1000), []);
    let lives_until = |id: &str, second: u64| TaskRecord {
        ttl: Duration::from_secs(second - 100),
        ..task(id)
    };
    for (id, second) in [("7", 170), ("8", 180), ("9", 190)] {
        state.insert_task(lives_until(id, second));
    }
    assert_eq!(expired(&mut state, 169), []);
    state.tasks.get_mut("7").unwrap().leases = 1;
    assert_eq!(expired(&mut state, 170), []);
    // It is no longer held, and its removal fails; another one goes.
    state.tasks.get_mut("7").unwrap().leases = 0;
    for _ in 0..2 {
        assert_eq!(expired(&mut state, 170), ["7"].map(TaskId::of));
    }
    state.remove_task("7");
    assert_eq!(expired(&mut state, 179), []);
    assert_eq!(expired(&mut state, 185), ["8"].map(TaskId::of));
    // The new task 9 takes the place of the old one, and expires before task 8.
    state.insert_task(lives_until("9", 120));
    assert_eq!(expired(&mut state, 120), ["9"].map(TaskId::of));
    assert_eq!(expired(&mut state, 119), []);
    assert_eq!(expired(&mut state, 500), ["8", "9"].map(TaskId::of));
}

/// A replica that is not adopted counts nowhere.
#[test]
fn a_host_has_what_is_adopted_at_a_restart() {
    let mut state = State::new(2);
    state.insert_task(task("7"));
    let [first, second] = [0, 1].map(HostNumber::of);
    assert!(state.adopt(first, whole("7", true)));
    let of_an_earlier_one = ReplicaRecord {
        task_created_at: at(99),
        ..whole("7", true)
    };
    for other in [of_an_earlier_one, partial("7"), whole("8", true)] {
        assert!(!state.adopt(second, other));
    }
    let has = |host: HostNumber| {
        (
            state.hosts[host.index()].tasks,
            state.hosts[host.index()].used,
        )
    };
    assert_eq!((has(first), has(second)), ((1, 10), (0, 0)));
    assert_eq!(state.tasks.get("7").unwrap().whole_replica_count(), 1);
}

#[test]
fn it_is_told_whether_a_host_came_or_left_meanwhile() {
    let (known, mut loaded) = (five_hosts(), State::new(5));
    assert!(loaded.take_statuses(&known));
    assert!(!loaded.take_statuses(&known));
    assert_eq!(loaded.status(HostNumber::of(2)), HostStatus::Left);
}
