use super::*;

fn index_of(calls: impl IntoIterator<Item = u64>) -> Index {
    let mut index = Index::default();
    for call in calls {
        let (host, status) = (format!("host-{}", call % 3), ["OK", "INTERNAL"]);
        let rpc = Rpc::ALL[call as usize % 2];
        let task = (call % 5).to_string();
        let status = status[call as usize % 2];
        index.add_fields(call, rpc, &host, status, Some(&task), call * 10);
    }
    index
}

fn numbers(found: Found) -> Vec<u64> {
    found
        .inspect(|entry| assert_eq!(entry.place, entry.call * 10))
        .map(|entry| entry.call)
        .collect()
}

#[test]
fn calls_are_in_order_whatever_the_order_they_came_in() {
    let many = 5 * CHUNK as u64;
    let orders: [Vec<u64>; 3] = [
        (1..=many).collect(),
        (1..=many).rev().collect(),
        // A call that took long ends after many others.
        (1..=many).map(|call| call * 7919 % (many + 1)).collect(),
    ];
    for order in orders {
        let mut expected = order.clone();
        expected.sort_unstable();
        let index = index_of(order);
        assert_eq!(index.last(), expected.last().copied());
        assert_eq!(numbers(index.find(&Query::default(), 0)), expected);
        for after in [0, 1, CHUNK as u64, many - 1, many, u64::MAX] {
            let rest: Vec<_> = expected.iter().copied().filter(|n| *n > after).collect();
            assert_eq!(numbers(index.find(&Query::default(), after)), rest);
            let query = Query {
                host: Some("host-1".to_owned()),
                task: Some("2".to_owned()),
                ..Query::default()
            };
            let rest: Vec<_> = rest
                .into_iter()
                .filter(|n| n % 3 == 1 && n % 5 == 2)
                .collect();
            assert_eq!(index.find(&query, after).count_all(), rest.len() as u64);
            assert_eq!(numbers(index.find(&query, after)), rest);
        }
    }
}

#[test]
fn the_oldest_are_forgotten() {
    let mut index = Index::default();
    let orders = [1, 7919].map(|step| {
        let many = 5 * CHUNK as u64;
        (1..=many).map(move |call| call * step % (many + 1))
    });
    for order in orders {
        index.clear();
        let mut kept = std::collections::BTreeSet::new();
        for (number, call) in order.enumerate() {
            let limit = if number % 3000 == 2999 {
                7
            } else {
                CHUNK + 100
            };
            index.add_fields(call, Rpc::ALL[0], "host", "OK", None, call * 10);
            kept.insert(call);
            let mut forgot = 0;
            while kept.len() > limit {
                kept.pop_first();
                forgot += 1;
            }
            assert_eq!(index.keep(limit), forgot);
            assert_eq!(
                index.find(&Query::default(), 0).count_all(),
                kept.len() as u64
            );
            if number % 500 == 0 {
                let all: Vec<_> = kept.iter().copied().collect();
                assert_eq!(numbers(index.find(&Query::default(), 0)), all);
                let middle = all[all.len() / 2];
                let rest = index.find(&Query::default(), middle);
                assert_eq!(rest.count_all() as usize, all.len() - all.len() / 2 - 1);
                assert_eq!(index.first_place(), Some(all[0] * 10));
            }
        }
    }
}

#[test]
fn what_nobody_heard_of_is_not_found() {
    let index = index_of(1..100);
    for query in [
        Query {
            host: Some("host-9".to_owned()),
            ..Query::default()
        },
        Query {
            status: Some("ABORTED".to_owned()),
            ..Query::default()
        },
    ] {
        assert_eq!(index.find(&query, 0).count_all(), 0);
        assert_eq!(index.find(&query, 0).next(), None);
    }
}

#[test]
fn a_reader_keeps_what_was_there() {
    let mut index = index_of(1..10);
    let found = index.find(&Query::default(), 0);
    index.add_fields(10, Rpc::Stat, "host-0", "OK", None, 100);
    index.clear();
    assert_eq!(found.count_all(), 9);
}

#[test]
fn the_nearest_miss_by_the_fewest_fields() {
    let index = index_of(1..=10);
    let query = Query {
        rpc: Some(Rpc::ALL[1]),
        status: Some("OK".to_owned()),
        ..Query::default()
    };
    // Odd numbers have that kind, and another status.
    let near: Vec<_> = index.nearest(&query, 0, 2).iter().map(|e| e.call).collect();
    assert_eq!(near, [7, 9]);
}

#[test]
fn calls_of_each_kind_are_told_apart() {
    let kinds: Vec<_> = Rpc::named().chain([Rpc::Unserved]).collect();
    let mut index = Index::default();
    for (call, rpc) in (1..).zip(&kinds) {
        index.add_fields(call, *rpc, "host", "OK", None, call * 10);
    }
    for (call, rpc) in (1..).zip(&kinds) {
        let query = Query {
            rpc: Some(*rpc),
            ..Query::default()
        };
        assert_eq!(numbers(index.find(&query, 0)), [call], "{rpc}");
    }
}
