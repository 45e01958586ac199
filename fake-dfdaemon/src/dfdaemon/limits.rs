//! The limits that a scheduler holds an import to: TTL, replicas, piece length.
//!
//! A refusal is worded as by the scheduler's validation.

use std::time::Duration;

use dfdaemon_api::piece::MIN_PIECE_LENGTH;

use super::quirks::{Quirk, Quirks};

/// The shortest TTL by default: 1 minute.
pub const MIN_TTL: Duration = Duration::from_secs(60);

/// The longest TTL by default: 7 days.
pub const MAX_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The shortest TTL that real schedulers allow.
const REAL_MIN_TTL: Duration = Duration::from_secs(5 * 60);

/// The shortest TTL unless another was asked for.
pub(crate) fn default_min_ttl(quirks: Quirks) -> Duration {
    if quirks.has(Quirk::TtlLimits) {
        REAL_MIN_TTL
    } else {
        MIN_TTL
    }
}

/// The TTLs that the scheduler allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TtlLimits {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Default for TtlLimits {
    fn default() -> Self {
        Self {
            min: MIN_TTL,
            max: MAX_TTL,
        }
    }
}

/// A field of an import that the scheduler does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid UploadPersistentCacheTaskStartedRequest.{field}: value must be {constraint}")]
pub(crate) struct InvalidField {
    field: &'static str,
    constraint: String,
}

/// Checks an import's fields in the order of the scheduler, which tells the first that is bad.
pub(crate) fn check_fields(
    persistent_replica_count: u64,
    piece_length: u64,
    ttl: Duration,
    limits: TtlLimits,
) -> Result<(), InvalidField> {
    let refuse = |field, constraint| Err(InvalidField { field, constraint });
    if persistent_replica_count < 1 {
        return refuse(
            "PersistentReplicaCount",
            "greater than or equal to 1".to_owned(),
        );
    }
    if piece_length < MIN_PIECE_LENGTH {
        return refuse(
            "PieceLength",
            format!("greater than or equal to {MIN_PIECE_LENGTH}"),
        );
    }
    if !(limits.min..=limits.max).contains(&ttl) {
        let (min, max) = (go_duration(limits.min), go_duration(limits.max));
        return refuse("Ttl", format!("inside range [{min}, {max}]"));
    }
    Ok(())
}

/// A duration as Go's `Duration.String` writes one of a second or more: `168h0m0s`, `1m30.5s`.
fn go_duration(duration: Duration) -> String {
    let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
    let mut seconds = format!("{}.{:09}", duration.as_secs() % 60, duration.subsec_nanos());
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_refused_in_the_schedulers_order_and_words() {
        let check = |replicas, piece_length, ttl| {
            check_fields(replicas, piece_length, ttl, TtlLimits::default())
                .map_err(|error| error.to_string())
        };
        let prefix = "invalid UploadPersistentCacheTaskStartedRequest";
        let refused = |rest: &str| Err(format!("{prefix}.{rest}"));
        let ttl = refused("Ttl: value must be inside range [1m0s, 168h0m0s]");
        let seconds = Duration::from_secs;
        assert_eq!(check(1, MIN_PIECE_LENGTH, seconds(60)), Ok(()));
        assert_eq!(check(u64::MAX, MIN_PIECE_LENGTH, seconds(604_800)), Ok(()));
        let nearly = seconds(60) - Duration::from_nanos(1);
        assert_eq!(check(1, MIN_PIECE_LENGTH, nearly), ttl);
        let hardly = seconds(604_800) + Duration::from_nanos(1);
        assert_eq!(check(1, MIN_PIECE_LENGTH, hardly), ttl);
        assert_eq!(check(1, MIN_PIECE_LENGTH, Duration::MAX), ttl);
        assert_eq!(
            check(1, MIN_PIECE_LENGTH - 1, Duration::ZERO),
            refused("PieceLength: value must be greater than or equal to 4194304")
        );
        assert_eq!(
            check(0, 0, Duration::ZERO),
            refused("PersistentReplicaCount: value must be greater than or equal to 1")
        );
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (duration, text) in [
            (Duration::from_secs(300), "5m0s"),
            (Duration::from_secs(604_800), "168h0m0s"),
            (Duration::from_millis(90_500), "1m30.5s"),
            (Duration::from_secs(3), "3s"),
            (Duration::from_secs(3600), "1h0m0s"),
        ] {
            assert_eq!(go_duration(duration), text);
        }
    }
}
