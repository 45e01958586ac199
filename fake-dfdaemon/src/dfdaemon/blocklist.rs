//! The blocklist: imports and exports that a daemon refuses by their tag or application.

use std::fmt;
use std::str::FromStr;

/// What a [`Block`] applies to.
///
/// ```
/// use fake_dfdaemon::{Block, Blocked};
///
/// let block: Block = "import:tag=nightly".parse()?;
/// assert!(block.matches(Blocked::Import, Some("nightly"), None));
/// assert!(!block.matches(Blocked::Export, Some("nightly"), None));
/// # Ok::<(), fake_dfdaemon::ParseBlockError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Imports.
    Import,
    /// Exports.
    Export,
}

/// A row of the blocklist: `import|export:tag|application=VALUE`.
///
/// ```
/// use fake_dfdaemon::FakeDfdaemon;
///
/// let block = "export:application=trainer".parse()?;
/// let daemon = FakeDfdaemon::builder().block(block).start_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    blocked: Blocked,
    field: BlockField,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockField {
    Tag,
    Application,
}

impl Block {
    /// Whether a request of that kind, with that tag and application, is blocked.
    #[must_use]
    pub fn matches(&self, blocked: Blocked, tag: Option<&str>, application: Option<&str>) -> bool {
        let given = match self.field {
            BlockField::Tag => tag,
            BlockField::Application => application,
        };
        self.blocked == blocked && given == Some(self.value.as_str())
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocked = match self.blocked {
            Blocked::Import => "import",
            Blocked::Export => "export",
        };
        let field = match self.field {
            BlockField::Tag => "tag",
            BlockField::Application => "application",
        };
        write!(f, "{blocked}:{field}={}", self.value)
    }
}

/// The text is no row of a blocklist.
///
/// ```
/// use fake_dfdaemon::{Block, ParseBlockError};
///
/// let error: ParseBlockError = "import:nightly".parse::<Block>().unwrap_err();
/// assert!(error.to_string().contains("tag|application=VALUE"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form import|export:tag|application=VALUE, such as import:tag=nightly")]
pub struct ParseBlockError(String);

impl FromStr for Block {
    type Err = ParseBlockError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseBlockError(text.to_owned());
        let (blocked, rest) = text.split_once(':').ok_or_else(error)?;
        let (field, value) = rest.split_once('=').ok_or_else(error)?;
        let blocked = match blocked {
            "import" => Blocked::Import,
            "export" => Blocked::Export,
            _ => return Err(error()),
        };
        let field = match field {
            "tag" => BlockField::Tag,
            "application" => BlockField::Application,
            _ => return Err(error()),
        };
        if value.is_empty() {
            return Err(error());
        }
        Ok(Self {
            blocked,
            field,
            value: value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_matches_its_kind_field_and_value() {
        let block: Block = "import:tag=a=b".parse().unwrap();
        assert!(block.matches(Blocked::Import, Some("a=b"), None));
        assert!(!block.matches(Blocked::Export, Some("a=b"), None));
        assert!(!block.matches(Blocked::Import, None, Some("a=b")));
        assert!(!block.matches(Blocked::Import, Some("a"), None));
        let block: Block = "export:application=x".parse().unwrap();
        assert!(block.matches(Blocked::Export, Some("y"), Some("x")));
        assert!(!block.matches(Blocked::Import, None, Some("x")));
        assert!(!block.matches(Blocked::Export, Some("x"), None));
        for text in [
            "",
            "import",
            "import:tag",
            "import:tag=",
            "stat:tag=x",
            "import:name=x",
        ] {
            assert!(text.parse::<Block>().is_err(), "{text:?}");
        }
    }
}
