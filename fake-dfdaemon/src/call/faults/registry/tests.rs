use serde_json::json;
use tonic::Code;

use super::*;
use crate::call::faults::FaultGuard;

fn call(rpc: Rpc) -> Call {
    Call::arriving(rpc, "host-0", json!({"task_id": "1"}))
}

fn arm(faults: &Faults, call: &Call) -> Vec<Armed> {
    faults.arm(call, &TagAndApplication::default(), || 0).1
}

fn fires(faults: &Faults, call: &Call) -> bool {
    arm(faults, call).iter().any(Armed::fire)
}

#[test]
fn the_nth_call_that_matches_is_hit_once() {
    let faults = Faults::new(1);
    faults
        .add(Fault::on(Rpc::Stat).call(2).error(Code::Aborted), 3)
        .unwrap();
    let hits: Vec<_> = (0..4)
        .map(|_| {
            (
                fires(&faults, &call(Rpc::Import)),
                fires(&faults, &call(Rpc::Stat)),
            )
        })
        .collect();
    assert_eq!(
        hits,
        [
            (false, false),
            (false, true),
            (false, false),
            (false, false)
        ]
    );
}

#[test]
fn times_counts_firings_and_not_matches() {
    let faults = Faults::new(1);
    let id = faults.add(Fault::on_any().times(2).stall(), 3).unwrap();
    let unreached = arm(&faults, &call(Rpc::Stat));
    let hits: Vec<_> = (0..3).map(|_| fires(&faults, &call(Rpc::Stat))).collect();
    assert_eq!((hits, faults.fired(id)), (vec![true, true, false], 2));
    assert!(!unreached[0].fire());
    let never = faults.add(Fault::on_any().times(0).stall(), 3).unwrap();
    assert!(!fires(&faults, &call(Rpc::Stat)));
    assert_eq!(faults.fired(never), 0);
}

#[test]
fn selectors_narrow_a_fault_down() {
    let faults = Faults::new(1);
    let fault = Fault::on(Rpc::Export)
        .host("host-1")
        .task("7")
        .tag("t")
        .application("a");
    faults.add(fault.stall(), 3).unwrap();
    let fields = json!({"task_id": "7", "application": "a"});
    let hit = Call::arriving(Rpc::Export, "host-1", fields.clone());
    let tagged = |tag: &str| TagAndApplication {
        tag: Some(tag.to_owned()),
        application: None,
    };
    let fires = |call: &Call, of_task: &TagAndApplication| {
        let (_, armed) = faults.arm(call, of_task, || 0);
        armed.iter().any(Armed::fire)
    };
    assert!(fires(&hit, &tagged("t")));
    for (miss, tag) in [
        (Call::arriving(Rpc::Stat, "host-1", fields.clone()), "t"),
        (Call::arriving(Rpc::Export, "host-0", fields), "t"),
        (
            Call::arriving(Rpc::Export, "host-1", json!({"application": "a"})),
            "t",
        ),
        (
            Call::arriving(Rpc::Export, "host-1", json!({"task_id": "7"})),
            "t",
        ),
        (hit, "u"),
    ] {
        assert!(!fires(&miss, &tagged(tag)), "{miss:?}");
    }
}

#[test]
fn chance_is_the_same_for_the_same_seed() {
    let hits = |seed| {
        let faults = Faults::new(seed);
        faults
            .add(Fault::on(Rpc::Stat).probability(0.5).stall(), 3)
            .unwrap();
        (0..64)
            .map(|_| fires(&faults, &call(Rpc::Stat)))
            .collect::<Vec<_>>()
    };
    assert_eq!(hits(7), hits(7));
    assert_ne!(hits(7), hits(8));
    assert!(hits(7).contains(&true) && hits(7).contains(&false));
}

#[test]
fn a_removed_fault_fires_no_more_also_in_calls_under_way() {
    let faults = Arc::new(Faults::new(1));
    let id = faults.add(Fault::on(Rpc::Stat).stall(), 3).unwrap();
    let guard = FaultGuard::new(Arc::clone(&faults), id);
    let armed = arm(&faults, &call(Rpc::Stat));
    drop(guard);
    assert!(armed[0].removed().is_cancelled() && !armed[0].fire());
    assert!(faults.list().is_empty() && !faults.remove(id));
}

#[test]
fn who_waits_for_firings_goes_on_when_there_are_so_many() {
    let faults = Arc::new(Faults::new(1));
    let id = faults.add(Fault::on(Rpc::Stat).stall(), 3).unwrap();
    let guard = FaultGuard::new(Arc::clone(&faults), id);
    let mut waiting = tokio_test::task::spawn(guard.wait_until_fired(2));
    assert!(waiting.poll().is_pending());
    assert!(fires(&faults, &call(Rpc::Stat)));
    assert!(waiting.poll().is_pending());
    assert!(fires(&faults, &call(Rpc::Stat)));
    assert!(waiting.is_woken() && waiting.poll().is_ready());
}

#[test]
fn the_first_call_without_luck_is_the_first_that_draws_the_probability_or_more() {
    let drawn = Random::of(&[7, 1, 1]).fraction();
    for (probability, hit) in [(drawn, false), (drawn.next_up(), true)] {
        let faults = Faults::new(7);
        let fault = Fault::on_any().probability(probability).stall();
        faults.add(fault, 3).unwrap();
        assert_eq!(fires(&faults, &call(Rpc::Stat)), hit);
    }
}

#[test]
fn a_fault_is_armed_at_its_place_alone() {
    let on = || Fault::on(Rpc::Export);
    // The pieces are the numbers 0 to 2, before each of which 10 bytes more have been sent.
    let table = [
        (on().stall(), [true, false, false], [true, true, true]),
        (
            on().after().stall(),
            [false, true, false],
            [true, true, true],
        ),
        (
            on().piece(1).stall(),
            [false, false, true],
            [false, true, false],
        ),
        (
            on().bytes(10).stall(),
            [false, false, true],
            [false, true, true],
        ),
        (
            on().bytes(11).stall(),
            [false, false, true],
            [false, false, true],
        ),
    ];
    for (fault, at_call, at_pieces) in table {
        let faults = Faults::new(1);
        let id = faults.add(fault.clone(), 3).unwrap();
        let of_task = TagAndApplication::default();
        let (number, armed) = faults.arm(&call(Rpc::Export), &of_task, || 7);
        assert_eq!((number, armed.len()), (7, 1));
        let armed = &armed[0];
        assert_eq!((armed.id, armed.action()), (id, &fault.action));
        let at = [
            armed.is_at(Phase::Before),
            armed.is_at(Phase::After),
            armed.is_placed(),
        ];
        assert_eq!(at, at_call, "{fault:?}");
        let at = [(0, 0), (1, 10), (2, 20)].map(|(number, sent)| armed.is_at_piece(number, sent));
        assert_eq!(at, at_pieces, "{fault:?}");
    }
}

#[test]
fn faults_are_told_apart_by_ids_that_are_never_given_again() {
    let faults = Arc::new(Faults::new(9));
    assert_eq!(faults.seed(), 9);
    let add = |rpc| faults.add(Fault::on(rpc).reset(), 3).unwrap();
    let ids = [Rpc::Stat, Rpc::List, Rpc::Stat].map(add);
    assert_eq!(ids, [1, 2, 3]);
    assert!(fires(&faults, &call(Rpc::List)) && fires(&faults, &call(Rpc::List)));
    let fired = |faults: &[Value]| -> Vec<_> {
        let number = |fault: &Value, key: &str| fault[key].as_u64().unwrap();
        let pair = |fault| (number(fault, "id"), number(fault, "fired"));
        faults.iter().map(pair).collect()
    };
    assert_eq!(fired(&faults.list()), [(1, 0), (2, 2), (3, 0)]);
    assert_eq!([0, 1, 2].map(|id| faults.fired(id)), [0, 0, 2]);
    let second = faults.get(2).unwrap();
    assert_eq!(
        (&second["on"], fired(std::slice::from_ref(&second))),
        (&"list".into(), vec![(2, 2)])
    );
    assert_eq!(faults.get(4), None);

    let guard = FaultGuard::new(Arc::clone(&faults), 2);
    assert_eq!((guard.id(), guard.fired()), (2, 2));
    drop(guard);
    assert!(faults.remove(1) && !faults.remove(1));
    assert_eq!(fired(&faults.list()), [(3, 0)]);
    assert_eq!(add(Rpc::Stat), 4);

    let armed = arm(&faults, &call(Rpc::Stat));
    assert!(armed.len() == 2 && armed.iter().all(|armed| !armed.removed().is_cancelled()));
    faults.clear();
    assert!(faults.list().is_empty() && armed.iter().all(|armed| armed.removed().is_cancelled()));
}

#[test]
fn only_hosts_that_there_are_and_faults_that_can_be_are_taken() {
    let faults = Faults::new(1);
    let add = |fault| faults.add(fault, 3).map_err(|error| error.to_string());
    assert_eq!(add(Fault::on_any().host("host-2").stall()), Ok(1));
    assert_eq!(
        add(Fault::on_any().host("host-3").stall()),
        Err("host: no such host: host-3; the last is host-2".to_owned())
    );
    assert_eq!(
        add(Fault::on_any().call(0).stall()),
        Err("call: calls are counted from 1".to_owned())
    );
}

#[test]
fn the_task_of_an_import_is_looked_at_for_faults_that_name_one_alone() {
    for (fault, looks) in [
        (Fault::on(Rpc::Import).task("7"), true),
        (Fault::on_any().task("7"), true),
        (Fault::on(Rpc::Stat).task("7"), false),
        (Fault::on(Rpc::Import), false),
        (Fault::on_any(), false),
    ] {
        let faults = Faults::new(1);
        faults.add(fault.stall(), 3).unwrap();
        assert_eq!(faults.look_at_imported_task(), looks);
    }
}

#[test]
fn a_delay_is_drawn_between_its_bounds_and_the_same_for_a_seed() {
    let drawn = |seed| {
        let faults = Faults::new(seed);
        faults
            .add("stat:delay=200ms..2s".parse().unwrap(), 3)
            .unwrap();
        let delay = |_| arm(&faults, &call(Rpc::Stat))[0].delay().unwrap();
        (0..32).map(delay).collect::<Vec<_>>()
    };
    let delays = drawn(7);
    let bounds = Duration::from_millis(200)..=Duration::from_secs(2);
    assert!(
        delays.iter().all(|delay| bounds.contains(delay)),
        "{delays:?}"
    );
    assert!(delays.iter().any(|delay| *delay != delays[0]));
    assert_eq!(delays, drawn(7));
    assert_ne!(delays, drawn(8));
}

/// What needs a store, a cluster or a choice of hosts is refused by name.
#[test]
fn a_proxy_refuses_what_only_a_fake_can_do() {
    let faults = Faults::new(1);
    let add = |text: &str| {
        let fault: Fault = text.parse().unwrap();
        faults
            .add(fault, Reach::Proxy)
            .map_err(|error| error.to_string())
    };
    for (text, named) in [
        ("import:no_space", "no_space: a proxy has no store"),
        ("export:disk_error", "disk_error: a proxy has no store"),
        ("*:torn_write", "torn_write: a proxy has no store"),
        ("replicate:stall", "on: a proxy sees no replicate"),
        ("stat@host=host-0:stall", "host: a proxy has one daemon"),
    ] {
        let why = add(text).unwrap_err();
        assert!(why.starts_with(named), "{why}");
    }
    for text in ["*:stall", "export@piece=1:skip_piece", "health:reset"] {
        add(text).unwrap();
    }
}
