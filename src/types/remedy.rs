//! What to do about an error.

use std::fmt;

/// What to do about an [`Error`](crate::Error).
///
/// A remedy that is a setter of a request has its own variant, so that a program can word it for its
/// users. The text of a variant words it for users of this library.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use dfcache::{Client, Remedy};
///
/// let error = Client::connect("/nowhere.sock").await.unwrap_err();
/// assert_eq!(error.remedy(), Some(&Remedy::NameEndpoint));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Replace the file that exists.
    Overwrite,
    /// Accept the task that exists.
    SkipExisting,
    /// Set a longer timeout.
    MoreTime,
    /// Transfer the content over the connection.
    Transfer,
    /// Transfer the content over the connection: the daemon may not see the output's directory.
    TransferElsewhere,
    /// Let the daemon copy where it cannot link.
    AllowCopy,
    /// Ask for a time to live that the daemon takes.
    TtlWithin {
        /// The shortest, as the daemon writes it.
        minimum: String,
        /// The longest, as the daemon writes it.
        maximum: String,
    },
    /// Import the file as another task: with another tag.
    AnotherTag,
    /// Start the daemon, or name the socket where it listens.
    NameEndpoint,
    /// Name the daemon's socket instead of another file.
    NameSocket,
    /// Write the content to a stream, or name another file.
    WriteToStream,
    /// Import the directory as a tree.
    ImportTree,
    /// Verify the directory as a tree.
    VerifyTree,
    /// Set a longer stall timeout.
    MorePatience,
    /// Import a copy of the file in a directory that both sides see.
    Stage,
    /// Any other remedy, as a sentence.
    Other(String),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overwrite => "allow the file to be overwritten",
            Self::SkipExisting => "accept tasks that exist already",
            Self::MoreTime => "give it more time",
            Self::Transfer => "transfer the content over the socket instead",
            Self::TransferElsewhere => {
                "dfdaemon may see another file system, or run as a user without rights there: transfer the content over the socket instead"
            }
            Self::AllowCopy => "let dfdaemon copy the file across file systems",
            Self::TtlWithin { minimum, maximum } => {
                return write!(f, "this dfdaemon takes a TTL from {minimum} to {maximum}");
            }
            Self::AnotherTag => {
                "dfdaemon's replica on this host is cut short: export on another host, or import the file with another tag"
            }
            Self::NameEndpoint => "no socket is there: start dfdaemon, or name its socket",
            Self::NameSocket => "it is not a socket: name dfdaemon's",
            Self::WriteToStream => "write the content to a stream, or name another file",
            Self::ImportTree => "import it as a tree",
            Self::VerifyTree => "verify it as a tree",
            Self::MorePatience => "wait for longer until something comes",
            Self::Stage => {
                "dfdaemon reads the file itself: the path must exist, and be readable, for dfdaemon's user and in its file system; or import a copy in a staging directory that both see"
            }
            Self::Other(sentence) => sentence,
        })
    }
}
