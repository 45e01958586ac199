//! Names of what is made beside a target: `.dfcache-<boot>-<random>`.
//!
//! The target's name is not part of them: it may be as long as a name can be, and cut short it
//! may no longer be text. The boot is, since locks hold only among the processes of one kernel.

use std::io;
use std::sync::OnceLock;

/// What each of these names begins with, after a dot.
const MARK: &str = "dfcache-";
const BOOT_DIGITS: usize = 16;
const RANDOM_DIGITS: usize = 32;
/// Fewer, to keep the path short that dfdaemon gets.
const INNER_DIGITS: usize = 16;

/// Which process a name beside a target is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// A process of this kernel since it was booted: its lock tells whether it lives.
    ThisBoot,
    /// A process of another machine, or of an earlier boot.
    Elsewhere,
    /// A build whose names did not have the boot yet.
    EarlierBuild,
}

/// A new name for a file or a directory beside a target.
pub(super) fn temporary_name() -> io::Result<String> {
    Ok(format!(
        ".{MARK}{}-{}",
        boot()?,
        random_digits(RANDOM_DIGITS)?
    ))
}

/// A new name for the file in a private directory.
pub(super) fn inner_name() -> io::Result<String> {
    Ok(format!("{MARK}{}", random_digits(INNER_DIGITS)?))
}

/// Whether a name is one that is made beside a target.
pub(crate) fn is_temporary_name(name: &[u8]) -> bool {
    maker(name).is_some()
}

/// Who made what has this name; none if it is not such a name.
pub(super) fn maker(name: &[u8]) -> Option<Maker> {
    let rest = name.strip_prefix(b".")?;
    if let Some(rest) = rest.strip_prefix(MARK.as_bytes())
        && let Some((made_in, random)) = rest.split_at_checked(BOOT_DIGITS)
        && let Some(random) = random.strip_prefix(b"-")
        && are_digits(made_in, BOOT_DIGITS)
        && are_digits(random, RANDOM_DIGITS)
    {
        let is_this = boot().is_ok_and(|boot| boot.as_bytes() == made_in);
        return Some(if is_this {
            Maker::ThisBoot
        } else {
            Maker::Elsewhere
        });
    }
    let (front, random) = rest.split_at_checked(rest.len().checked_sub(RANDOM_DIGITS)?)?;
    let earlier = front.ends_with(b".dfcache-") && are_digits(random, RANDOM_DIGITS);
    earlier.then_some(Maker::EarlierBuild)
}

/// Whether a name is one of a file in a private directory.
pub(super) fn is_inner(name: &[u8]) -> bool {
    let digits = name.strip_prefix(MARK.as_bytes());
    digits.is_some_and(|digits| are_digits(digits, INNER_DIGITS))
}

fn are_digits(text: &[u8], count: usize) -> bool {
    text.len() == count && text.iter().all(u8::is_ascii_hexdigit)
}

/// This boot of this machine. Where the kernel does not tell, each process is a boot of its own:
/// it then sweeps nothing of others before it is days old.
fn boot() -> io::Result<&'static str> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return Ok(boot);
    }
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
    digits.truncate(BOOT_DIGITS);
    if digits.len() < BOOT_DIGITS {
        digits = random_digits(BOOT_DIGITS)?;
    }
    Ok(BOOT.get_or_init(|| digits))
}

/// Digits that nobody can guess: another user may be allowed to write where they are used.
fn random_digits(count: usize) -> io::Result<String> {
    let mut bytes = [0; RANDOM_DIGITS / 2];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if read != bytes.len() {
        return Err(io::Error::other("the system has no random bytes"));
    }
    let mut digits = format!("{:032x}", u128::from_ne_bytes(bytes));
    digits.truncate(count);
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_known_again_and_fit_everywhere() {
        let name = temporary_name().unwrap();
        assert_eq!(maker(name.as_bytes()), Some(Maker::ThisBoot));
        assert!(name.len() < 64 && name.is_ascii());
        assert!(is_inner(inner_name().unwrap().as_bytes()));
        let other = format!(".dfcache-{}-{}", "0".repeat(16), "1".repeat(32));
        assert_eq!(maker(other.as_bytes()), Some(Maker::Elsewhere));
        let earlier = format!(".out.dfcache-{}", "1".repeat(32));
        assert_eq!(maker(earlier.as_bytes()), Some(Maker::EarlierBuild));
    }

    proptest! {
        #[test]
        fn no_other_name_is_taken_for_one(name in "[.]?[a-z.]{0,9}(dfcache)?-?[0-9a-f]{0,33}") {
            let digits = name.bytes().rev().take_while(u8::is_ascii_hexdigit).count();
            prop_assume!(digits != RANDOM_DIGITS || !name.contains(".dfcache-"));
            prop_assert_eq!(maker(name.as_bytes()), None);
        }
    }
}
