//! Runs taken in turn, so that what else the machine does falls on all alike.

use std::io::Write as _;

use crate::Result;
use crate::process::Usage;

/// One run of one program.
pub(crate) type Run<'a> = Box<dyn FnMut() -> Result<Usage> + 'a>;

/// What has come of the runs of one program.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Those that count.
    pub(crate) good: Vec<Usage>,
    /// How many failed, or gave other bytes.
    pub(crate) failed: usize,
}

/// Each program that there is once a round, every second round in the opposite order, after a round
/// that does not count: a virtual machine hands out memory slowly the first time.
pub(crate) fn in_turn<const N: usize>(
    rounds: usize,
    mut programs: [Option<Run<'_>>; N],
) -> [Runs; N] {
    let mut results = std::array::from_fn(|_| Runs::default());
    for round in 0..=rounds {
        let pairs = programs.iter_mut().zip(&mut results);
        let mut pairs: Vec<_> = pairs
            .filter_map(|(program, runs)| Some((program.as_mut()?, runs)))
            .collect();
        if round % 2 == 1 {
            pairs.reverse();
        }
        for (program, runs) in pairs {
            match program() {
                Ok(_) if round == 0 => {}
                Ok(usage) => runs.good.push(usage),
                Err(error) => {
                    runs.failed += 1;
                    let _ = writeln!(std::io::stderr(), "a run that does not count: {error}");
                }
            }
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    #[test]
    fn programs_take_turns_and_failures_do_not_count() {
        let order = RefCell::new(String::new());
        let run = |name: char| -> Option<Run<'_>> {
            let order = &order;
            Some(Box::new(move || {
                order.borrow_mut().push(name);
                match order.borrow().len() {
                    3 => Err("the second one of b".into()),
                    turn => Ok(Usage::of_wall(Duration::from_secs(turn as u64))),
                }
            }))
        };
        let [a, none, b] = in_turn(3, [run('a'), None, run('b')]);
        assert_eq!(*order.borrow(), "abbaabba");
        assert_eq!((a.good.len(), a.failed), (3, 0));
        assert_eq!((b.good.len(), b.failed), (2, 1));
        assert_eq!((none.good.len(), none.failed), (0, 0));
    }
}
