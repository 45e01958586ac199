//! Where the fake deliberately differs from a real dfdaemon, and how to get the real behaviour back.

use std::fmt;
use std::str::FromStr;

/// Makes [`Quirk`] and [`QUIRKS`] of the table below. What a quirk does is a sentence of one line: rustdoc and
/// `--help` show it.
macro_rules! quirks {
    ($(#[doc = $about:literal] $quirk:ident = $name:literal;)+) => {
        /// A behaviour of real daemons that the fake has only when it is asked for.
        ///
        /// ```
        /// use fake_dfdaemon::{FakeDfdaemon, Quirk};
        ///
        /// let daemon = FakeDfdaemon::builder().quirks([Quirk::TtlLimits]).start_blocking()?;
        /// assert_eq!(Quirk::TtlLimits.name(), "ttl-limits");
        /// # Ok::<(), fake_dfdaemon::StartError>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Quirk {
            $(#[doc = $about] $quirk,)+
        }

        /// Every quirk, its name and what it does.
        const QUIRKS: &[(Quirk, &str, &str)] = &[$((Quirk::$quirk, $name, $about),)+];
    };
}

quirks! {
    /// A broken import ends Succeeded, without content.
    FailedAsSucceeded = "failed-as-succeeded";
    /// An import that was cancelled, killed or out of space stays Uploading until its TTL ends.
    StuckUploading = "stuck-uploading";
    /// The shortest TTL is 5m unless --min-ttl says otherwise.
    TtlLimits = "ttl-limits";
    /// FIFOs and devices are read to their end, and imported as empty.
    SpecialFiles = "special-files";
    /// A file that changes while it is read is imported.
    UnnoticedChanges = "unnoticed-changes";
    /// Content that was cut or has grown is exported as it is; its pieces end in `early eof`.
    UnnoticedCuts = "unnoticed-cuts";
    /// An import through a symbolic link stores the link: exports are links, zeros or errors (1.5).
    LinkedLinks = "linked-links";
    /// An output that is a dangling symbolic link is written through: the link's target is created.
    ThroughLinks = "through-links";
    /// A host that is started again has lost its content, and the scheduler still counts its replicas.
    RestartWipes = "restart-wipes";
    /// The scheduler draws the hosts for replicas at random, full ones too, and does not try again.
    OneTryReplication = "one-try-replication";
    /// Overwrite writes into the existing output, through hard links, and checks no digest (1.5).
    OverwriteInPlace = "overwrite-in-place";
    /// An output with a wrong digest is kept (1.5).
    KeepMismatch = "keep-mismatch";
    /// A malformed digest fails after the transfer (1.5).
    LateDigestCheck = "late-digest-check";
    /// A crc32 digest in hex never matches (1.5).
    Crc32DecimalOnly = "crc32-decimal-only";
    /// An export by the service of peers checks no digest (1.5).
    NoPeerDigest = "no-peer-digest";
    /// An export continues after its client has left.
    OrphanedExports = "orphaned-exports";
    /// An export that fails on a host without the task leaves a record and a file, and counts as a replica.
    FailedExportsCount = "failed-exports-count";
    /// When a client leaves a content export with more than 12 pieces to come, no other host gets a piece from that replica until the next export on its host (1.5).
    PoisonedCopies = "poisoned-copies";
    /// A local export makes the importer's replica non-persistent.
    ExportClearsPersistent = "export-clears-persistent";
    /// The scheduler does not learn what Delete, Update and exports change of a replica: counts stay.
    UntoldChanges = "untold-changes";
    /// Replicas of an empty task do not count, except the importer's.
    UntoldEmptyCopies = "untold-empty-copies";
    /// An expired task is collected while an export of it runs.
    ExpiryUnderExports = "expiry-under-exports";
    /// StatLocal and List are UNIMPLEMENTED (0.2).
    NoLocalCalls = "no-local-calls";
    /// Blocklist and overload are ignored (0.2).
    NoAdmission = "no-admission";
    /// The scheduler forgets a replica 8 s after its last change, as 2.3.4 to 2.4.3 do; not part of `all`.
    ForgottenReplicas = "forgotten-replicas";
}

impl Quirk {
    /// Every quirk.
    pub fn all() -> impl Iterator<Item = Self> {
        QUIRKS.iter().map(|(quirk, ..)| *quirk)
    }

    /// Whether the word `all` names it. Later schedulers have mended what is left out.
    fn is_of_all(self) -> bool {
        self != Self::ForgottenReplicas
    }

    fn row(self) -> (&'static str, &'static str) {
        let row = QUIRKS.iter().find(|(quirk, ..)| *quirk == self);
        row.map_or(("", ""), |(_, name, about)| (name, about))
    }

    /// Its name on the command line and in the control API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What it does, in one line.
    #[must_use]
    pub fn about(self) -> &'static str {
        self.row().1.trim().trim_end_matches('.')
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The quirks that a daemon has.
///
/// ```
/// use fake_dfdaemon::{Quirk, Quirks};
///
/// let quirks: Quirks = Quirk::all().filter(|quirk| *quirk != Quirk::TtlLimits).collect();
/// assert!(quirks.has(Quirk::RestartWipes) && !quirks.has(Quirk::TtlLimits));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks(u32);

impl Quirks {
    /// Whether this is one of them.
    #[must_use]
    pub fn has(self, quirk: Quirk) -> bool {
        self.0 & quirk.bit() != 0
    }
}

impl FromIterator<Quirk> for Quirks {
    fn from_iter<T: IntoIterator<Item = Quirk>>(quirks: T) -> Self {
        Self(quirks.into_iter().fold(0, |bits, quirk| bits | quirk.bit()))
    }
}

impl Extend<Quirk> for Quirks {
    fn extend<T: IntoIterator<Item = Quirk>>(&mut self, quirks: T) {
        self.0 |= quirks.into_iter().collect::<Self>().0;
    }
}

/// The text names no quirk.
///
/// ```
/// use fake_dfdaemon::{Quirks, UnknownQuirk};
///
/// let error: UnknownQuirk = "slow".parse::<Quirks>().unwrap_err();
/// assert!(error.to_string().contains("slow"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such quirk: {0:?}; `--help` lists them, `all` is every one, `all,-NAME` all but that")]
pub struct UnknownQuirk(String);

impl Quirks {
    /// What one word names: a quirk, or `all`.
    fn named(word: &str) -> Result<Self, UnknownQuirk> {
        if word == "all" {
            return Ok(Quirk::all().filter(|quirk| quirk.is_of_all()).collect());
        }
        let quirk = Quirk::all().find(|quirk| quirk.name() == word);
        quirk
            .map(|quirk| Self::from_iter([quirk]))
            .ok_or_else(|| UnknownQuirk(word.to_owned()))
    }
}

/// Words with commas between them, from left to right: `NAME` or `all` adds, `-NAME` takes out
/// again.
impl FromStr for Quirks {
    type Err = UnknownQuirk;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut quirks = Self::default();
        for word in text.split(',') {
            match word.strip_prefix('-') {
                Some(word) => quirks.0 &= !Self::named(word)?.0,
                None => quirks.0 |= Self::named(word)?.0,
            }
        }
        Ok(quirks)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_quirk_is_found_by_its_name_alone() {
        for quirk in Quirk::all() {
            let quirks: Quirks = quirk.name().parse().unwrap();
            let had: Vec<_> = Quirk::all().filter(|other| quirks.has(*other)).collect();
            assert_eq!(had, [quirk]);
        }
        let texts: HashSet<_> = Quirk::all().map(Quirk::about).collect();
        assert_eq!(texts.len(), QUIRKS.len());
        let all: Quirks = "all".parse().unwrap();
        let left_out: Vec<_> = Quirk::all().filter(|quirk| !all.has(*quirk)).collect();
        assert_eq!(left_out, [Quirk::ForgottenReplicas]);
        let with_it: Quirks = "all,forgotten-replicas".parse().unwrap();
        assert!(Quirk::all().all(|quirk| with_it.has(quirk)));
        assert!("odd".parse::<Quirks>().is_err());
    }

    #[test]
    fn a_quirk_can_be_left_out_of_all() {
        let read = |text: &str| text.parse::<Quirks>();
        let without: Quirks = "all,-ttl-limits".parse().unwrap();
        for quirk in Quirk::all().filter(|quirk| quirk.is_of_all()) {
            assert_eq!(without.has(quirk), quirk != Quirk::TtlLimits, "{quirk}");
        }
        assert_eq!(
            read("ttl-limits,no-admission,-ttl-limits"),
            read("no-admission")
        );
        assert_eq!(read("all,-all"), Ok(Quirks::default()));
        for text in ["", "all,", "all,-", "all,-odd", "all,--ttl-limits", "-"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn quirks_add_up_and_are_not_taken_back_by_being_named_again() {
        let [first, second] = [Quirk::TtlLimits, Quirk::NoAdmission];
        let twice = Quirks::from_iter([first, first]);
        assert!(twice.has(first) && !twice.has(second));
        let mut quirks = twice;
        quirks.extend([first, second, second]);
        assert_eq!(quirks, Quirks::from_iter([second, first]));
        assert_eq!(format!("{first} {second}"), "ttl-limits no-admission");
    }
}
