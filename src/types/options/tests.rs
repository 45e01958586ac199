use std::ffi::OsStr;

use proptest::prelude::*;

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::*;

#[test]
fn the_limits_of_a_ttl_are_allowed_and_what_lies_beyond_is_not() {
    for (raw, seconds) in [("1m", 60), ("7d", 604_800), ("2h 30m", 9000), ("90m", 5400)] {
        assert_eq!(raw.parse::<Ttl>().unwrap().duration().as_secs(), seconds);
    }
    for raw in [
        "59s",
        "59s 999ms",
        "7d 1s",
        "604801s",
        "0",
        "",
        "1",
        "-1h",
        "99999999999999999999d",
    ] {
        assert!(raw.parse::<Ttl>().is_err(), "{raw}");
    }
    assert_eq!(Ttl::DEFAULT.parse(), Ok(Ttl::default()));
}

#[test]
fn the_error_of_a_ttl_names_the_limits_that_are_checked() {
    let error = "8d".parse::<Ttl>().unwrap_err().to_string();
    let limits = [Ttl::MIN, Ttl::MAX].map(Ttl::duration);
    for (word, limit) in ["1m", "7d"].into_iter().zip(limits) {
        assert!(error.contains(word));
        assert_eq!(humantime::parse_duration(word), Ok(limit));
    }
}

#[test]
fn piece_lengths_are_sizes_from_4_mib_on() {
    for (raw, bytes) in [
        ("4mib", 4 << 20),
        ("4MiB", 4 << 20),
        ("4 mib", 4 << 20),
        ("1gib", 1 << 30),
        ("4194304", 4 << 20),
        ("4.5mib", 4_718_592),
        ("5mb", 5_000_000),
    ] {
        assert_eq!(raw.parse(), PieceLength::try_from(bytes), "{raw}");
    }
    for raw in [
        "4mb",
        "4194303",
        "0",
        "-4mib",
        "",
        "4",
        "mib",
        "4mibs",
        "99999999999eib",
        "16eib",
    ] {
        assert!(raw.parse::<PieceLength>().is_err(), "{raw}");
    }
}

#[test]
fn timeouts_are_longer_than_nothing_and_fit_the_wire() {
    for raw in [
        Timeout::DEFAULT_IMPORT,
        Timeout::DEFAULT_EXPORT,
        Timeout::DEFAULT_STAT,
        "1ms",
        "10000y",
    ] {
        let timeout: Timeout = raw.parse().unwrap();
        assert!(prost_types::Duration::try_from(timeout.duration()).is_ok());
    }
    assert_eq!("90s".parse::<Timeout>().unwrap().to_string(), "1m 30s");
    for raw in ["0s", "0", "10001y", "18446744073709551615s", "forever"] {
        assert!(raw.parse::<Timeout>().is_err(), "{raw}");
    }
}

#[test]
fn replica_counts_start_at_one() {
    assert_eq!("1".parse(), ReplicaCount::try_from(1));
    assert_eq!(ReplicaCount::DEFAULT.parse(), Ok(ReplicaCount::default()));
    for raw in ["0", "-1", "1.5", "", "18446744073709551616"] {
        assert!(raw.parse::<ReplicaCount>().is_err(), "{raw}");
    }
}

#[test]
fn endpoints_are_paths_that_a_socket_can_have() {
    for raw in ["/run/d.sock", "unix:///run/d.sock", "unix:/run/d.sock"] {
        assert_eq!(Endpoint::new(raw).unwrap().path(), Path::new("/run/d.sock"));
    }
    // What stands before `://` here is no scheme.
    for raw in ["a/b", "/odd://d.sock", "./1:2://d.sock"] {
        let endpoint = Endpoint::new(raw).unwrap();
        assert_eq!(endpoint.path(), Path::new(raw));
        assert_eq!(endpoint.to_string(), raw);
    }
    let typed = "/run/d.sock".to_owned();
    let of_text = [Endpoint::try_from(&typed), Endpoint::try_from(typed)];
    assert_eq!(
        of_text,
        [Endpoint::new("/run/d.sock"), Endpoint::new("/run/d.sock")]
    );
    let not_text = Path::new(OsStr::from_bytes(b"/run/\xff.sock"));
    assert_eq!(Endpoint::new(not_text).unwrap().path(), not_text);
    for raw in [
        "",
        "unix:",
        "unix://",
        "http://localhost",
        "tcp://1.2.3.4:5",
    ] {
        assert!(Endpoint::new(raw).is_err(), "{raw}");
    }
    let path = |length: usize| format!("/{}", "x".repeat(length - 1));
    assert!(Endpoint::new(path(107)).is_ok());
    assert_eq!(
        Endpoint::new(path(108)),
        Err(ValueError::LongEndpoint { length: 108 })
    );
}

proptest! {
    #[test]
    fn nothing_that_is_typed_panics(raw in ".{0,40}") {
        let _ = raw.parse::<Ttl>();
        let _ = raw.parse::<Timeout>();
        let _ = raw.parse::<PieceLength>();
        let _ = raw.parse::<ReplicaCount>();
        let _ = Endpoint::new(&raw);
    }
}
