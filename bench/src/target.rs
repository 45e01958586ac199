//! What a job is to reach, and whether it does.

use std::fmt;
use std::time::Duration;

use crate::figures::{Bytes, Figures, Time, ratio};

/// What was measured for a job.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) ours: Figures,
    pub(crate) limit: Option<Figures>,
    pub(crate) peer: Option<Figures>,
}

/// An upper bound for our figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// So many times the limit's time.
    OfLimit(f64),
    /// So many times the limit's CPU time, of client and daemon together.
    OfLimitCpu(f64),
    /// The limit's time and this much.
    LimitPlus(Duration),
    /// So many times the time of the reference client.
    OfPeer(f64),
    /// So many times the CPU time of the reference client.
    OfPeerCpu(f64),
    Time(Duration),
    /// The time of `dfcache stat`, the first one, and this much.
    StatPlus(Duration, Duration),
    /// So many bytes resident.
    Peak(u64),
}

impl Target {
    /// `None` if what it is to be held against was not measured.
    pub(crate) fn is_reached(self, measured: &Measured) -> Option<bool> {
        let Measured { ours, limit, peer } = measured;
        let median = ours.wall.median;
        match self {
            Self::OfLimit(times) => Some(ratio(median, limit.as_ref()?.wall.median) <= times),
            Self::OfLimitCpu(times) => {
                let both = ours.cpu? + ours.daemon_cpu?;
                Some(ratio(both, limit.as_ref()?.cpu?) <= times)
            }
            Self::LimitPlus(more) => Some(median <= limit.as_ref()?.wall.median + more),
            Self::OfPeer(times) => Some(ratio(median, peer.as_ref()?.wall.median) <= times),
            Self::OfPeerCpu(times) => Some(ratio(ours.cpu?, peer.as_ref()?.cpu?) <= times),
            Self::Time(time) => Some(median <= time),
            Self::StatPlus(stat, more) => Some(median <= stat + more),
            Self::Peak(bytes) => Some(ours.peak? < bytes),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfLimit(times) => write!(f, "≤ {times} × limit"),
            Self::OfLimitCpu(times) => write!(f, "CPU ≤ {times} × limit"),
            Self::LimitPlus(more) => write!(f, "≤ limit + {}", Time(*more)),
            Self::OfPeer(times) => write!(f, "≤ {times} × peer"),
            Self::OfPeerCpu(times) => write!(f, "CPU ≤ {times} × peer"),
            Self::Time(time) => write!(f, "≤ {}", Time(*time)),
            Self::StatPlus(stat, more) => {
                write!(f, "≤ stat + {} = {}", Time(*more), Time(*stat + *more))
            }
            Self::Peak(bytes) => write!(f, "< {}", Bytes(*bytes)),
        }
    }
}

/// How it is written whether a target is reached.
pub(crate) fn verdict(reached: Option<bool>) -> &'static str {
    match reached {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "not measured",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Usage;

    fn figures(wall: u64, cpu: u64, peak: u64) -> Figures {
        Figures::of(&[Usage {
            wall: Duration::from_millis(wall),
            cpu: Some(Duration::from_millis(cpu)),
            peak: Some(peak),
            daemon_cpu: None,
        }])
        .unwrap()
    }

    #[test]
    fn a_target_is_reached_up_to_its_bound() {
        let measured = Measured {
            ours: figures(120, 30, 8 << 20),
            limit: Some(figures(100, 1, 1)),
            peer: Some(figures(200, 100, 1)),
        };
        let milliseconds = Duration::from_millis;
        for (target, reached) in [
            (Target::OfLimit(1.2), true),
            (Target::OfLimit(1.19), false),
            (Target::LimitPlus(milliseconds(20)), true),
            (Target::LimitPlus(milliseconds(19)), false),
            (Target::OfPeer(0.6), true),
            (Target::OfPeer(0.59), false),
            (Target::OfPeerCpu(0.3), true),
            (Target::OfPeerCpu(0.29), false),
            (Target::Time(milliseconds(120)), true),
            (Target::Time(milliseconds(119)), false),
            (Target::StatPlus(milliseconds(118), milliseconds(2)), true),
            (Target::StatPlus(milliseconds(117), milliseconds(2)), false),
            (Target::Peak((8 << 20) + 1), true),
            (Target::Peak(8 << 20), false),
        ] {
            assert_eq!(target.is_reached(&measured), Some(reached), "{target}");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let measured = Measured {
            ours: figures(1, 1, 1),
            limit: None,
            peer: None,
        };
        for target in [
            Target::OfLimit(1.0),
            Target::LimitPlus(Duration::ZERO),
            Target::OfPeer(1.0),
            Target::OfPeerCpu(1.0),
        ] {
            assert_eq!(target.is_reached(&measured), None, "{target}");
        }
        assert_eq!(verdict(None), "not measured");
    }
}
