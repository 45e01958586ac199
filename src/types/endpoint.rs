//! The endpoint of a daemon, as a checked value. Connections are in `wire`.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::types::value_error::{MAX_ENDPOINT_LENGTH, ValueError};

/// The socket where a daemon listens by default.
pub const DEFAULT_ENDPOINT: &str = "/var/run/dragonfly/dfdaemon.sock";

/// Where a daemon listens: the path of its Unix socket.
///
/// ```
/// use dfcache::Endpoint;
///
/// let endpoint = Endpoint::try_from("unix:///run/dfdaemon.sock")?;
/// assert_eq!(endpoint, Endpoint::new("/run/dfdaemon.sock")?);
/// assert_eq!(Endpoint::default().path(), "/var/run/dragonfly/dfdaemon.sock");
/// # Ok::<(), dfcache::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(PathBuf);

impl Endpoint {
    /// The endpoint at a path, which may be spelt as a `unix:` URL.
    ///
    /// # Errors
    ///
    /// If it is empty, another kind of URL, or longer than a socket's path can be (107 bytes).
    pub fn new(raw: impl AsRef<Path>) -> Result<Self, ValueError> {
        let raw = raw.as_ref().as_os_str();
        let path = match raw.to_str() {
            Some(text) => Path::new(without_scheme(text)?),
            None => Path::new(raw),
        };
        let length = path.as_os_str().as_bytes().len();
        if length == 0 {
            return Err(ValueError::EmptyEndpoint);
        }
        if length > MAX_ENDPOINT_LENGTH {
            return Err(ValueError::LongEndpoint { length });
        }
        Ok(Self(path.to_owned()))
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// The path in `unix:/path` and `unix:///path`; anything else that looks like a URL is refused.
fn without_scheme(raw: &str) -> Result<&str, ValueError> {
    if let Some(rest) = raw.strip_prefix("unix:") {
        return Ok(rest.strip_prefix("//").unwrap_or(rest));
    }
    let scheme = raw.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Err(ValueError::EndpointScheme {
                scheme: scheme.to_owned(),
            })
        }
        _ => Ok(raw),
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self(PathBuf::from(DEFAULT_ENDPOINT))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl FromStr for Endpoint {
    type Err = ValueError;

    fn from_str(raw: &str) -> Result<Self, ValueError> {
        Self::new(raw)
    }
}

/// What has a path in it can be an endpoint.
macro_rules! try_from {
    ($($raw:ty),+) => {
        $(impl TryFrom<$raw> for Endpoint {
            type Error = ValueError;

            fn try_from(raw: $raw) -> Result<Self, ValueError> {
                Self::new(raw)
            }
        })+
    };
}

try_from!(&str, String, &String, &Path, PathBuf, &PathBuf);

impl From<&Self> for Endpoint {
    fn from(endpoint: &Self) -> Self {
        endpoint.clone()
    }
}
