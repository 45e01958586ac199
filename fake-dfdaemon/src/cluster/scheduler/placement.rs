//! Where a task's persistent replicas go: pure, from what the hosts have.

use std::iter::repeat_n;

use crate::call::random::Random;
use crate::dfdaemon::HostNumber;

/// What placement knows of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The host's number.
    pub(crate) host: HostNumber,
    /// Its replica of the task, if that is whole, or counts as one.
    pub(crate) replica: Option<Retention>,
    /// How many evictable replicas it has lost that the scheduler takes for its own besides.
    pub(crate) lost: usize,
    /// Whether its replica counts: the host has not left.
    pub(crate) counts: bool,
    /// Whether it can be asked to do anything: it runs.
    pub(crate) runs: bool,
    /// Whether the content would fit.
    pub(crate) has_room: bool,
    /// What it holds of all tasks, in bytes: the emptier host comes first.
    pub(crate) used: u64,
}

/// How long a host keeps its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    Persistent,
    Evictable,
}

/// One step towards the replicas that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This host's replica becomes persistent. Nothing is transferred.
    Promote(HostNumber),
    /// This host is asked to make what it has persistent, and a replica that it has lost counts as such.
    PromoteLost(HostNumber),
    /// This host gets a persistent replica.
    Create(HostNumber),
}

/// The steps to so many more persistent replicas, or to as many as the hosts allow: one a host, but for
/// what hosts have lost, existing replicas first.
pub(crate) fn plan(missing: u64, candidates: &[Candidate]) -> Vec<Step> {
    let mut steps = possible(candidates);
    steps.truncate(at_most(missing));
    steps
}

fn at_most(steps: u64) -> usize {
    usize::try_from(steps).unwrap_or(usize::MAX)
}

/// The steps to as many persistent replicas as the hosts allow, in order.
fn possible(candidates: &[Candidate]) -> Vec<Step> {
    let mut usable: Vec<_> = candidates
        .iter()
        .filter(|candidate| candidate.counts && candidate.runs)
        .collect();
    usable.sort_by_key(|candidate| (candidate.used, candidate.host));
    let promoted = usable.iter().flat_map(|candidate| {
        let there = candidate.replica == Some(Retention::Evictable);
        let lost = repeat_n(Step::PromoteLost(candidate.host), candidate.lost);
        lost.chain(there.then_some(Step::Promote(candidate.host)))
    });
    let created = usable
        .iter()
        .filter(|candidate| candidate.replica.is_none() && candidate.lost == 0)
        .filter(|candidate| candidate.has_room)
        .map(|candidate| Step::Create(candidate.host));
    promoted.chain(created).collect()
}

/// The steps that a scheduler takes that draws exactly as many hosts as it misses replicas, and looks at
/// their room only then: hosts without room are lost.
pub(crate) fn draw(missing: u64, candidates: &[Candidate], random: &mut Random) -> Vec<Step> {
    let roomy: Vec<_> = candidates
        .iter()
        .map(|candidate| Candidate {
            has_room: true,
            ..*candidate
        })
        .collect();
    let mut steps = possible(&roomy);
    let promoted = steps
        .iter()
        .take_while(|step| !matches!(step, Step::Create(_)))
        .count();
    if let Some(created) = steps.get_mut(promoted..) {
        random.shuffle(created);
    }
    steps.truncate(at_most(missing));
    let has_room = |host: HostNumber| {
        candidates
            .iter()
            .any(|candidate| candidate.host == host && candidate.has_room)
    };
    steps.retain(|step| match step {
        Step::Promote(_) | Step::PromoteLost(_) => true,
        Step::Create(host) => has_room(*host),
    });
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(index: usize, replica: Option<Retention>) -> Candidate {
        Candidate {
            host: HostNumber::of(index),
            replica,
            lost: 0,
            counts: true,
            runs: true,
            has_room: true,
            used: 0,
        }
    }

    fn promote(index: usize) -> Step {
        Step::Promote(HostNumber::of(index))
    }

    fn create(index: usize) -> Step {
        Step::Create(HostNumber::of(index))
    }

    #[test]
    fn replicas_that_exist_are_promoted_before_any_transfer() {
        let hosts = [
            host(0, Some(Retention::Persistent)),
            host(1, None),
            host(2, Some(Retention::Evictable)),
            host(3, None),
        ];
        assert_eq!(plan(1, &hosts), [promote(2)]);
        assert_eq!(plan(2, &hosts), [promote(2), create(1)]);
        assert_eq!(plan(9, &hosts), [promote(2), create(1), create(3)]);
        assert_eq!(plan(0, &hosts), []);
    }

    #[test]
    fn what_a_host_has_lost_is_promoted_as_well_and_first() {
        let promote_lost = |index| Step::PromoteLost(HostNumber::of(index));
        let with_lost = |lost, host| Candidate { lost, ..host };
        let hosts = [
            with_lost(2, host(0, Some(Retention::Evictable))),
            with_lost(1, host(1, Some(Retention::Persistent))),
            with_lost(1, host(2, None)),
        ];
        let all = [
            promote_lost(0),
            promote_lost(0),
            promote(0),
            promote_lost(1),
            promote_lost(2),
        ];
        assert_eq!(plan(9, &hosts), all);
        assert_eq!(plan(3, &hosts), all[..3]);
        assert_eq!(draw(3, &hosts, &mut Random::of(&[])), all[..3]);
    }

    #[test]
    fn the_emptier_host_comes_first() {
        let hosts = [
            host(0, Some(Retention::Persistent)),
            Candidate {
                used: 10,
                ..host(1, None)
            },
            Candidate {
                used: 5,
                ..host(2, None)
            },
        ];
        assert_eq!(plan(1, &hosts), [create(2)]);
    }

    #[test]
    fn hosts_that_left_or_stopped_or_are_full_get_nothing() {
        let hosts = [
            Candidate {
                counts: false,
                ..host(0, Some(Retention::Evictable))
            },
            host(1, Some(Retention::Persistent)),
            Candidate {
                has_room: false,
                ..host(2, None)
            },
            Candidate {
                runs: false,
                ..host(3, None)
            },
            host(4, None),
        ];
        assert_eq!(plan(9, &hosts), [create(4)]);
    }

    proptest! {
        #[test]
        fn a_plan_never_makes_more_than_are_missing_nor_two_on_a_host(
            missing in 0u64..6,
            hosts in prop::collection::vec(
                (0..3u8, any::<bool>(), any::<bool>(), any::<bool>(), 0..3u64), 0..6),
        ) {
            let candidates: Vec<_> = hosts
                .iter()
                .enumerate()
                .map(|(number, &(replica, counts, runs, has_room, used))| Candidate {
                    host: HostNumber::of(number),
                    replica: match replica { 0 => None, 1 => Some(Retention::Persistent), _ => Some(Retention::Evictable) },
                    lost: 0,
                    counts, runs, has_room, used,
                })
                .collect();
            let steps = plan(missing, &candidates);
            prop_assert!(steps.len() <= usize::try_from(missing).unwrap());
            let mut touched = Vec::new();
            for step in steps {
                let (Step::Promote(number) | Step::PromoteLost(number) | Step::Create(number)) = step;
                let candidate = candidates[number.index()];
                prop_assert!(candidate.runs && candidate.counts && candidate.replica != Some(Retention::Persistent));
                prop_assert!(!touched.contains(&number));
                touched.push(number);
            }
        }
    }
}
