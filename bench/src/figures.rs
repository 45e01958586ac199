//! Figures of many runs, and how they are written.

use std::fmt;
use std::time::Duration;

use crate::process::Usage;

/// The least, the median and the most of some times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) least: Duration,
    pub(crate) median: Duration,
    pub(crate) most: Duration,
}

impl Spread {
    /// `None` of no times.
    pub(crate) fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        let (below, above) = (times.len().saturating_sub(1) / 2, times.len() / 2);
        Some(Self {
            least: *times.first()?,
            median: (*times.get(below)? + *times.get(above)?) / 2,
            most: *times.last()?,
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One unit for both ends.
        let (second, unit) = unit(self.most);
        let (least, most) = (digits(self.least, second), digits(self.most, second));
        write!(f, "{} ({least}–{most} {unit})", Time(self.median))
    }
}

/// A time in three digits.
pub(crate) struct Time(pub(crate) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (second, unit) = unit(self.0);
        write!(f, "{} {unit}", digits(self.0, second))
    }
}

fn digits(time: Duration, unit: f64) -> String {
    let value = time.as_secs_f64() / unit;
    match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The unit that a time is written in: its length in seconds, and its name.
fn unit(time: Duration) -> (f64, &'static str) {
    match time.as_secs_f64() {
        ..1e-3 => (1e-6, "µs"),
        ..9.995 => (1e-3, "ms"),
        _ => (1.0, "s"),
    }
}

/// A length of memory or of a file.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0 as f64;
        match self.0 {
            bytes if bytes >= 1 << 30 && bytes % (1 << 30) == 0 => write!(f, "{} GiB", bytes >> 30),
            bytes if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => write!(f, "{} MiB", bytes >> 20),
            1_048_576.. => write!(f, "{:.1} MiB", value / 1_048_576.0),
            1024.. => write!(f, "{} KiB", self.0 >> 10),
            _ => write!(f, "{} B", self.0),
        }
    }
}

/// How many times as long, or as large.
pub(crate) fn ratio(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// What all runs of one program in one job took.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) wall: Spread,
    /// Medians.
    pub(crate) cpu: Option<Duration>,
    pub(crate) daemon_cpu: Option<Duration>,
    /// The most of all runs, in bytes.
    pub(crate) peak: Option<u64>,
}

impl Figures {
    /// `None` of no runs.
    pub(crate) fn of(runs: &[Usage]) -> Option<Self> {
        let median = |of: fn(&Usage) -> Option<Duration>| {
            Spread::of(runs.iter().filter_map(of)).map(|spread| spread.median)
        };
        Some(Self {
            wall: Spread::of(runs.iter().map(|run| run.wall))?,
            cpu: median(|run| run.cpu),
            daemon_cpu: median(|run| run.daemon_cpu),
            peak: runs.iter().filter_map(|run| run.peak).max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(times: &[u64]) -> Option<Spread> {
        Spread::of(times.iter().map(|time| Duration::from_millis(*time)))
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(milliseconds(&[]), None);
        for (times, median) in [
            (&[7][..], 7),
            (&[9, 1], 5),
            (&[9, 1, 2], 2),
            (&[4, 100, 2, 6], 5),
        ] {
            let spread = milliseconds(times).unwrap();
            assert_eq!(spread.median, Duration::from_millis(median), "{times:?}");
            let ends = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
            let found = (spread.least.as_millis(), spread.most.as_millis());
            assert_eq!(found, (ends.0.into(), ends.1.into()));
        }
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (nanoseconds, written) in [
            (750, "0.75 µs"),
            (43_210, "43.2 µs"),
            (1_234_567, "1.23 ms"),
            (9_999_999, "10.0 ms"),
            (99_960_000, "100 ms"),
            (1_234_567_890, "1235 ms"),
            (12_345_678_900, "12.3 s"),
        ] {
            assert_eq!(Time(Duration::from_nanos(nanoseconds)).to_string(), written);
        }
        for (times, written) in [
            ([1, 20, 300], "20.0 ms (1.00–300 ms)"),
            ([1, 20, 12_000], "20.0 ms (0.00–12.0 s)"),
        ] {
            assert_eq!(milliseconds(&times).unwrap().to_string(), written);
        }
    }

    #[test]
    fn lengths_are_written_as_people_say_them() {
        for (length, written) in [
            (3, "3 B"),
            (4096, "4 KiB"),
            (1 << 20, "1 MiB"),
            ((9 << 20) + (1 << 19), "9.5 MiB"),
            (16 << 30, "16 GiB"),
        ] {
            assert_eq!(Bytes(length).to_string(), written);
        }
    }

    #[test]
    fn figures_are_medians_and_the_highest_peak() {
        let run = |wall, cpu, peak| Usage {
            wall: Duration::from_millis(wall),
            cpu: Some(Duration::from_millis(cpu)),
            peak: Some(peak),
            daemon_cpu: None,
        };
        let figures = Figures::of(&[run(5, 1, 30), run(1, 3, 10), run(2, 2, 20)]).unwrap();
        assert_eq!(figures.wall.median, Duration::from_millis(2));
        assert_eq!(figures.cpu, Some(Duration::from_millis(2)));
        assert_eq!((figures.peak, figures.daemon_cpu), (Some(30), None));
        assert!(Figures::of(&[]).is_none());
    }
}
