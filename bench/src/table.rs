//! The table that is printed: Markdown, in columns that a terminal shows straight.

use std::fmt::Write as _;
use std::time::Duration;

use crate::figures::{Bytes, Figures, Time, ratio};
use crate::rounds::Runs;
use crate::target::{Measured, Target, verdict};

/// A job's row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) job: String,
    pub(crate) ours: String,
    pub(crate) limit: String,
    pub(crate) ratio: String,
    pub(crate) targets: Vec<String>,
    pub(crate) reached: Vec<Option<bool>>,
    pub(crate) cpu: String,
    pub(crate) peak: String,
    /// Time, ratio of the times, ratio of the CPU times.
    pub(crate) peer: [String; 3],
    /// How many runs do not count.
    pub(crate) failed: usize,
}

const HEAD: [&str; 8] = [
    "job",
    "ours",
    "limit",
    "ratio",
    "target",
    "reached",
    "CPU",
    "peak memory",
];
const PEER_HEAD: [&str; 3] = ["peer", "time / peer", "CPU / peer"];

impl Row {
    /// A job that has a time, and what the time is held against, with its name.
    pub(crate) fn timed(
        job: impl Into<String>,
        ours: &Runs,
        limit: Option<(&str, &Runs)>,
        peer: Option<&Runs>,
        targets: &[Target],
    ) -> Self {
        let job = job.into();
        let all = [Some(ours), limit.map(|(_, runs)| runs), peer];
        let failed = all.into_iter().flatten().map(|runs| runs.failed).sum();
        let Some(figures) = Figures::of(&ours.good) else {
            return Self {
                failed,
                ..Self::not_measured(job, "every run failed")
            };
        };
        let measured = Measured {
            ours: figures,
            limit: limit.and_then(|(_, runs)| Figures::of(&runs.good)),
            peer: peer.and_then(|runs| Figures::of(&runs.good)),
        };
        let time = |figures: Option<&Figures>, runs: &Runs| match (figures, runs.failed) {
            (None, _) => "every run failed".to_owned(),
            (Some(figures), 0) => figures.wall.to_string(),
            (Some(figures), failed) => format!("{}, {failed} failed", figures.wall),
        };
        Self {
            job,
            failed,
            ours: time(Some(&measured.ours), ours),
            limit: limit.map_or_else(String::new, |(name, runs)| {
                format!("{name}: {}", time(measured.limit.as_ref(), runs))
            }),
            ratio: measured
                .limit
                .as_ref()
                .map_or_else(String::new, |limit| ratios(&measured.ours, limit)),
            targets: targets.iter().map(Target::to_string).collect(),
            reached: targets
                .iter()
                .map(|target| target.is_reached(&measured))
                .collect(),
            cpu: cpu(&measured.ours),
            peak: measured.ours.peak.map_or_else(String::new, memory),
            peer: peer.map_or_else(Default::default, |runs| {
                let of = |ratio: Option<f64>| {
                    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
                };
                let figures = measured.peer.as_ref();
                let ours = &measured.ours;
                let cpu = figures.and_then(|peer| Some(ratio(ours.cpu?, peer.cpu?)));
                [
                    time(figures, runs),
                    of(figures.map(|peer| ratio(ours.wall.median, peer.wall.median))),
                    of(cpu),
                ]
            }),
        }
    }

    /// A job that did not work.
    pub(crate) fn failed(job: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            failed: 1,
            ..Self::not_measured(job, why)
        }
    }

    /// A job that cannot be done here.
    pub(crate) fn not_measured(job: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            job: job.into(),
            ours: why.into(),
            reached: vec![None],
            ..Self::default()
        }
    }

    fn cells(&self) -> Vec<String> {
        let reached: Vec<_> = self.reached.iter().copied().map(verdict).collect();
        let cells = [
            &self.job,
            &self.ours,
            &self.limit,
            &self.ratio,
            &self.targets.join("; "),
            &reached.join("; "),
            &self.cpu,
            &self.peak,
        ];
        cells.into_iter().chain(&self.peer).cloned().collect()
    }
}

/// Of the medians, and of the least times, which other work on the machine touches least.
fn ratios(ours: &Figures, limit: &Figures) -> String {
    let of = |ours: Duration, limit: Duration| ratio(ours, limit);
    format!(
        "{:.2} ({:.2})",
        of(ours.wall.median, limit.wall.median),
        of(ours.wall.least, limit.wall.least)
    )
}

fn cpu(figures: &Figures) -> String {
    match (figures.cpu, figures.daemon_cpu) {
        (None, None) => String::new(),
        (Some(client), None) => Time(client).to_string(),
        (None, Some(daemon)) => format!("fake {}", Time(daemon)),
        (Some(client), Some(daemon)) => format!("{}, fake {}", Time(client), Time(daemon)),
    }
}

/// Memory is always shown in tenths of a MiB.
pub(crate) fn memory(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The whole table. Columns for a peer only if there is one.
pub(crate) fn table(rows: &[Row], peer: bool) -> String {
    let mut head: Vec<_> = HEAD.map(str::to_owned).into();
    if peer {
        head.extend(PEER_HEAD.map(str::to_owned));
    }
    let bodies = rows.iter().map(|row| {
        let mut cells = row.cells();
        cells.truncate(head.len());
        cells
    });
    let lines: Vec<Vec<String>> = std::iter::once(head.clone()).chain(bodies).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|-{}-", "-".repeat(*width));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// A job's name with the length of its file.
pub(crate) fn sized(job: &str, bytes: u64) -> String {
    format!("{job}, {}", Bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Usage;

    fn runs(milliseconds: &[u64], failed: usize) -> Runs {
        let usage = |time: &u64| Usage::of_wall(Duration::from_millis(*time));
        Runs {
            good: milliseconds.iter().map(usage).collect(),
            failed,
        }
    }

    #[test]
    fn a_table_has_a_row_a_job_and_straight_columns() {
        let targets = [Target::OfLimit(1.2), Target::OfPeer(0.5)];
        let (ours, limit) = (runs(&[100, 120, 150], 0), runs(&[50, 100, 110], 1));
        let rows = [
            Row::timed(
                sized("import", 1 << 30),
                &ours,
                Some(("cp", &limit)),
                None,
                &targets,
            ),
            Row::timed("stat", &runs(&[], 3), None, None, &targets),
            Row::not_measured("other", "no room"),
        ];
        let text = table(&rows, false);
        let lines: Vec<_> = text.lines().collect();
        let [head, rule, import, stat, other] = lines.as_slice() else {
            panic!("{text}");
        };
        let width = head.chars().count();
        assert!(
            lines.iter().all(|line| line.chars().count() == width),
            "{text}"
        );
        assert!(
            rule.chars().all(|character| "|-".contains(character)),
            "{text}"
        );
        for part in [
            "import, 1 GiB",
            "120 ms (100–150 ms)",
            "cp: 100 ms (50.0–110 ms), 1 failed",
            "1.20 (2.00)",
            "≤ 1.2 × limit; ≤ 0.5 × peer",
            "yes; not measured",
        ] {
            assert!(import.contains(part), "{part}: {text}");
        }
        assert!(stat.contains("every run failed"), "{text}");
        assert!(
            other.contains("no room") && other.contains("not measured"),
            "{text}"
        );
    }

    #[test]
    fn a_peer_stands_in_the_next_columns() {
        let (ours, peer) = (runs(&[100], 0), runs(&[400], 0));
        let row = Row::timed("stat", &ours, None, Some(&peer), &[Target::OfPeer(0.2)]);
        let text = table(&[row], true);
        assert!(
            text.contains("time / peer") && text.contains("0.25"),
            "{text}"
        );
        assert!(text.contains("**no**"), "{text}");
    }
}
