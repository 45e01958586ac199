//! Which parts of the progress fit into a line.

use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;

/// Room for a name, a bar and all numbers.
const ROOMY: usize = 60;

/// The template of a bar in a line of `width` columns. Its message is the name of what is on its way.
pub(super) fn bar(width: usize) -> &'static str {
    if width >= ROOMY {
        "{spinner} {msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {percent}% {binary_bytes_per_sec} {eta}"
    } else {
        "{wide_msg} {percent}% {binary_bytes_per_sec} {eta}"
    }
}

/// How many columns of `width` a name may take.
pub(super) fn of_name(width: usize) -> usize {
    if width >= ROOMY {
        (width / 4).max(16)
    } else {
        // Numbers, a spinner and spaces take the rest.
        width.saturating_sub(26).max(8)
    }
}

/// A name in at most `width` columns: people look at its end.
pub(super) fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let end = name.chars().skip(length - width.saturating_sub(1));
    std::iter::once('…').chain(end).collect()
}

/// How far a tree is, and which file began last.
pub(super) fn of_tree(done: usize, count: usize, file: Option<&str>, width: usize) -> String {
    let file = file.unwrap_or_default();
    let (counted, width) = if width >= ROOMY {
        (format!("{done} of {count} files"), width / 4)
    } else {
        let counted = format!("{done}/{count}");
        let left = of_name(width).saturating_sub(counted.len() + 1);
        (counted, left)
    };
    if file.is_empty() || width < 4 {
        return counted;
    }
    format!("{counted} {}", shortened(file, width))
}

/// What was done, once it is: `8.0 MiB in 2.1s, 3.8 MiB/s`. Files that were only linked have no rate.
pub(super) fn summary(length: u64, elapsed: Duration, has_rate: bool) -> String {
    let size = |bytes: u64| ByteSize::b(bytes).display().iec().to_string();
    let time = if elapsed < Duration::from_secs(10) {
        format!("{:.1}s", elapsed.as_secs_f64())
    } else {
        format_duration(Duration::from_secs(elapsed.as_secs())).to_string()
    };
    let millis = elapsed.as_millis().max(1);
    let rate = u128::from(length) * 1000 / millis;
    let rate = u64::try_from(rate).unwrap_or(u64::MAX);
    let rate = if has_rate && length > 0 {
        format!(", {}/s", size(rate))
    } else {
        String::new()
    };
    format!("{} in {time}{rate}", size(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_end() {
        assert_eq!(shortened("model.bin", 9), "model.bin");
        assert_eq!(shortened("model-00001.bin", 9), "…0001.bin");
        assert_eq!(shortened("größe", 3), "…ße");
    }

    #[test]
    fn a_tree_says_how_many_files_and_which_as_far_as_there_is_room() {
        let of_tree = |width| of_tree(3, 10, Some("sub/model-00001.bin"), width);
        assert_eq!(of_tree(200), "3 of 10 files sub/model-00001.bin");
        assert_eq!(of_tree(60), "3 of 10 files …odel-00001.bin");
        assert_eq!(of_tree(40), "3/10 …0001.bin");
        assert_eq!(of_tree(20), "3/10");
    }

    #[test]
    fn a_summary_has_length_time_and_rate() {
        let summary = |length, millis, has_rate| {
            super::summary(length, Duration::from_millis(millis), has_rate)
        };
        assert_eq!(summary(8 << 20, 2000, true), "8.0 MiB in 2.0s, 4.0 MiB/s");
        assert_eq!(
            summary(8 << 20, 61_500, true),
            "8.0 MiB in 1m 1s, 133.2 KiB/s"
        );
        assert_eq!(summary(8 << 20, 0, false), "8.0 MiB in 0.0s");
        assert_eq!(summary(0, 10, true), "0 B in 0.0s");
        assert!(summary(u64::MAX, 0, true).starts_with("16.0 EiB in 0.0s"));
    }
}
