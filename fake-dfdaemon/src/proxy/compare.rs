//! Where two messages differ, field by field. Fields whose values vary do not count.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::Value;

use super::cassette::Varies;

/// What stands for text that was left out of a cassette.
pub(super) const REDACTED: &str = "[redacted]";

/// How much of a value is shown.
const SHOWN: usize = 200;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Such as `piece.digest`.
    pub(super) field: String,
    pub(super) recorded: String,
    pub(super) other: String,
}

/// What does not count as a difference.
#[derive(Clone, Debug, Default)]
pub(super) struct Tolerance {
    pub(super) varies: Varies,
    /// Names of fields, alone or with those around them: `digest`, `piece.digest`.
    pub(super) ignored: Vec<String>,
    pub(super) paths: Vec<PathMapping>,
}

/// `FROM=TO`: what was below FROM is below TO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathMapping {
    from: PathBuf,
    to: PathBuf,
}

impl PathMapping {
    pub(crate) fn new(from: PathBuf, to: PathBuf) -> Self {
        Self { from, to }
    }
}

impl FromStr for PathMapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text
            .split_once('=')
            .filter(|(from, to)| !from.is_empty() && !to.is_empty())
            .ok_or("it must have the form FROM=TO, such as /recorded/here=/is/here")?;
        let to = std::path::absolute(to).map_err(|error| error.to_string())?;
        Ok(Self {
            from: PathBuf::from(from),
            to,
        })
    }
}

impl Tolerance {
    /// A recorded path as it is here.
    pub(super) fn mapped(&self, path: &str) -> String {
        let path = Path::new(path);
        let mapped = self.paths.iter().find_map(|mapping| {
            let rest = path.strip_prefix(&mapping.from).ok()?;
            Some(mapping.to.join(rest).components().collect::<PathBuf>())
        });
        mapped
            .unwrap_or_else(|| path.to_owned())
            .display()
            .to_string()
    }

    pub(super) fn is_ignored(&self, field: &str) -> bool {
        let name = field.rsplit('.').next().unwrap_or(field);
        let Varies {
            hosts,
            peers,
            times,
            ..
        } = &self.varies;
        let varies = [hosts, peers, times].into_iter().flatten();
        let plain = without_numbers(field);
        varies.into_iter().any(|known| known == name)
            || self
                .ignored
                .iter()
                .any(|ignored| plain == *ignored || plain.ends_with(&format!(".{ignored}")))
    }

    fn is_path(&self, field: &str) -> bool {
        let name = field.rsplit('.').next().unwrap_or(field);
        self.varies.paths.iter().any(|known| known == name)
    }

    /// Where a message differs from the one that was recorded.
    pub(super) fn differences(&self, recorded: &Value, other: &Value) -> Vec<Difference> {
        let mut found = Vec::new();
        self.compare("", Some(recorded), Some(other), &mut found);
        found
    }

    fn compare(
        &self,
        field: &str,
        recorded: Option<&Value>,
        other: Option<&Value>,
        found: &mut Vec<Difference>,
    ) {
        if !field.is_empty() && self.is_ignored(field) {
            return;
        }
        match (recorded, other) {
            (Some(Value::Object(recorded)), Some(Value::Object(other))) => {
                let only_other = other.keys().filter(|name| !recorded.contains_key(*name));
                for name in recorded.keys().chain(only_other) {
                    let field = if field.is_empty() {
                        name.clone()
                    } else {
                        format!("{field}.{name}")
                    };
                    self.compare(&field, recorded.get(name), other.get(name), found);
                }
            }
            (Some(Value::Array(recorded)), Some(Value::Array(other))) => {
                for index in 0..recorded.len().max(other.len()) {
                    let field = format!("{field}[{index}]");
                    self.compare(&field, recorded.get(index), other.get(index), found);
                }
            }
            (Some(Value::String(recorded)), Some(Value::String(other))) => {
                if !self.same_text(field, recorded, other) {
                    found.push(difference(
                        field,
                        Some(&recorded.as_str().into()),
                        Some(&other.as_str().into()),
                    ));
                }
            }
            (recorded, other) if recorded == other => {}
            (recorded, other) => found.push(difference(field, recorded, other)),
        }
    }

    fn same_text(&self, field: &str, recorded: &str, other: &str) -> bool {
        if self.is_path(field) {
            // The daemon's output goes where its client has a place for it.
            let is_output = field.ends_with("output_path");
            let recorded = without_random(&self.mapped(recorded));
            if is_output || matches_redacted(&recorded, &without_random(other)) {
                return true;
            }
        }
        matches_redacted(recorded, other)
    }
}

/// A path without what is random in the names that dfcache gives temporary files: those of what it
/// reads from standard input, and of the manifest of a tree.
fn without_random(path: &str) -> String {
    let are_digits = |text: &str, count| {
        text.len() == count && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let mut is_inside = false;
    let names = path.split('/').map(|name| {
        let random = name.strip_prefix("dfcache-");
        if is_inside && random.is_some_and(|random| are_digits(random, 16)) {
            return "dfcache";
        }
        let made = name.strip_prefix(".dfcache-");
        let made = made.and_then(|made| made.split_once('-'));
        is_inside =
            made.is_some_and(|(boot, random)| are_digits(boot, 16) && are_digits(random, 32));
        if is_inside { ".dfcache" } else { name }
    });
    names.collect::<Vec<_>>().join("/")
}

/// `tasks[3].digest` as `tasks.digest`.
fn without_numbers(field: &str) -> String {
    let mut is_number = false;
    let kept = field.chars().filter(|c| {
        is_number = (is_number || *c == '[') && *c != ']';
        !is_number && *c != ']'
    });
    kept.collect()
}

/// Whether a text is the recorded one, of which parts may be left out.
pub(super) fn matches_redacted(recorded: &str, other: &str) -> bool {
    let mut parts = recorded.split(REDACTED);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = other.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

pub(super) fn difference(
    field: &str,
    recorded: Option<&Value>,
    other: Option<&Value>,
) -> Difference {
    let show = |value: Option<&Value>| match value {
        None => "nothing".to_owned(),
        Some(value) => shown(&value.to_string()),
    };
    Difference {
        field: field.to_owned(),
        recorded: show(recorded),
        other: show(other),
    }
}

/// A text, or its begin if it is long.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let mut begin: String = text.chars().take(SHOWN).collect();
    begin.push('…');
    begin
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(tolerance: &Tolerance, recorded: &Value, other: &Value) -> Vec<String> {
        let found = tolerance.differences(recorded, other);
        found
            .into_iter()
            .map(|difference| difference.field)
            .collect()
    }

    #[test]
    fn differences_are_named_field_by_field() {
        let recorded = json!({"task_id": "7", "tag": "a", "ttl": {"seconds": 1}, "list": [1, 2], "gone": true});
        let other =
            json!({"task_id": "7", "tag": "b", "ttl": {"seconds": 2}, "list": [1], "new": 1});
        let found = fields(&Tolerance::default(), &recorded, &other);
        assert_eq!(found, ["tag", "ttl.seconds", "list[1]", "gone", "new"]);
        let same = fields(&Tolerance::default(), &recorded, &recorded);
        assert!(same.is_empty());
    }

    #[test]
    fn what_varies_or_is_ignored_does_not_count() {
        let recorded =
            json!({"host_id": "a", "tasks": [{"created_at": {"seconds": 1}, "digest": "x"}]});
        let other =
            json!({"host_id": "b", "tasks": [{"created_at": {"seconds": 2}, "digest": "y"}]});
        let mut tolerance = Tolerance::default();
        assert_eq!(fields(&tolerance, &recorded, &other), ["tasks[0].digest"]);
        tolerance.ignored = vec!["tasks.digest".to_owned()];
        assert!(fields(&tolerance, &recorded, &other).is_empty());
        tolerance.ignored = vec!["igest".to_owned()];
        assert_eq!(fields(&tolerance, &recorded, &other).len(), 1);
    }

    #[test]
    fn paths_are_mapped_and_outputs_go_anywhere() {
        let paths = vec!["/recorded=/here".parse().unwrap()];
        let tolerance = Tolerance {
            paths,
            ..Tolerance::default()
        };
        let recorded = json!({"path": "/recorded/f", "output_path": "/recorded/o"});
        let other = json!({"path": "/here/f", "output_path": "/elsewhere"});
        assert!(fields(&tolerance, &recorded, &other).is_empty());
        let other = json!({"path": "/here/g"});
        assert_eq!(
            fields(&tolerance, &recorded, &other),
            ["path", "output_path"]
        );
        for text in ["", "=", "/a", "/a=", "=/b"] {
            assert!(text.parse::<PathMapping>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_random_in_the_name_of_a_temporary_file_does_not_count() {
        let name = |digit: &str| {
            let (boot, random) = (digit.repeat(16), digit.repeat(32));
            format!(".dfcache-{boot}-{random}/dfcache-{boot}")
        };
        let path = |path: String| json!({"path": path, "tag": path});
        for (recorded, other, same) in [
            (
                format!("/a/{}", name("1")),
                format!("/a/{}", name("e")),
                true,
            ),
            (
                format!("/a/{}", name("1")),
                format!("/b/{}", name("e")),
                false,
            ),
            (
                format!("/a/{}", name("1")),
                format!("/a/{}x", name("e")),
                false,
            ),
            // Not in such a directory, it is the file of a user.
            (
                format!("/a/dfcache-{}", "1".repeat(16)),
                format!("/a/dfcache-{}", "2".repeat(16)),
                false,
            ),
            (
                "/a/.dfcache-1-2/b".to_owned(),
                "/a/.dfcache-3-4/b".to_owned(),
                false,
            ),
        ] {
            let found = fields(&Tolerance::default(), &path(recorded.clone()), &path(other));
            let expected: &[&str] = if same { &["tag"] } else { &["path", "tag"] };
            assert_eq!(found, expected, "{recorded}");
        }
    }

    #[test]
    fn text_that_was_left_out_matches_any() {
        for (recorded, other, same) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("[redacted]", "anything", true),
            ("my [redacted]!", "my secret!", true),
            ("my [redacted]!", "my secret", false),
            ("[redacted]/[redacted].x", "a/b.x", true),
            ("[redacted]/[redacted].x", "ab.x", false),
            ("aXa[redacted]aXa", "aXa", false),
        ] {
            assert_eq!(
                matches_redacted(recorded, other),
                same,
                "{recorded} {other}"
            );
        }
    }
}
