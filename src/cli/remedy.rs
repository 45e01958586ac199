//! What to do about an error, in words of the command line.

use crate::types::remedy::Remedy;

/// The hint that a user of the program gets.
pub(super) fn hint(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Overwrite => "--overwrite replaces it".to_owned(),
        Remedy::SkipExisting => {
            "use --skip-existing to accept an existing task".to_owned()
        }
        Remedy::MoreTime => "--timeout gives it more time".to_owned(),
        Remedy::Transfer => {
            "--transfer-from-dfdaemon gets the content over the socket instead".to_owned()
        }
        Remedy::TransferElsewhere => "dfdaemon may see another file system, or run as a user without rights there; --transfer-from-dfdaemon gets the content over the socket instead".to_owned(),
        Remedy::AllowCopy => {
            "without --force-hard-link dfdaemon copies across file systems".to_owned()
        }
        Remedy::TtlWithin { minimum, maximum } => {
            format!("this dfdaemon takes a --ttl from {minimum} to {maximum}")
        }
        Remedy::AnotherTag => "dfdaemon's replica on this host is cut short: export on another host, or import the file with another --tag".to_owned(),
        Remedy::NameEndpoint => {
            "no socket is there: start dfdaemon, or name its socket with --endpoint or DFCACHE_ENDPOINT"
                .to_owned()
        }
        Remedy::NameSocket => "it is not a socket; name dfdaemon's with --endpoint".to_owned(),
        Remedy::WriteToStream => "-O - writes to standard output; or name another file".to_owned(),
        Remedy::ImportTree => "--recursive imports a directory with all of its files".to_owned(),
        Remedy::VerifyTree => "--recursive verifies a directory with all of its files".to_owned(),
        Remedy::MorePatience => "--stall-timeout waits for longer, and with 0s for ever".to_owned(),
        Remedy::Stage => "dfdaemon reads the file itself: the path must exist, and be readable, for dfdaemon's user and in its file system; --staging-dir imports a copy in a directory that both see".to_owned(),
        Remedy::Other(sentence) => sentence.clone(),
    }
}
