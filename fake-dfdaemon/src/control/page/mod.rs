//! The page for people, which asks the API as any program does. It is written in several files, and served
//! as one.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::answer::ApiError;
use crate::call::faults::Action;

const STYLE: &str = include_str!("style.css");

/// In the order in which the parts use each other.
const PARTS: &str = concat!(
    include_str!("basics.js"),
    include_str!("filters.js"),
    include_str!("hosts_tasks.js"),
    include_str!("calls.js"),
    include_str!("faults.js"),
    include_str!("settings.js"),
    include_str!("state.js"),
    include_str!("follow.js"),
);

/// With the table of actions, which the form for faults is made of.
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let actions = Action::rows().map(|row| json!([row.name, row.to_value()]));
    let actions: Value = actions.collect();
    PARTS.replacen("@ACTIONS@", &actions.to_string(), 1)
});

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let page = include_str!("page.html").replacen("@STYLE@", STYLE, 1);
    page.replacen("@SCRIPT@", &SCRIPT, 1)
});

/// The page's own script and style, by their hashes, and no others; requests to the API alone; in no
/// frame of another page.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (script, style) = (hash(&SCRIPT), hash(STYLE));
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// A script or a style as a policy names it.
fn hash(inner: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(Sha256::digest(inner)))
}

pub(super) async fn page() -> Result<Response, ApiError> {
    let policy = HeaderValue::from_str(&POLICY).map_err(|error| ApiError::internal(&error))?;
    let fixed = HeaderValue::from_static;
    let headers = [
        (CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (REFERRER_POLICY, fixed("no-referrer")),
        (CACHE_CONTROL, fixed("no-store")),
    ];
    Ok((headers, PAGE.as_str()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_for_faults_knows_every_action() {
        assert!(!PAGE.contains("@ACTIONS@"));
        for row in Action::rows() {
            assert!(
                PAGE.contains(&format!("[\"{}\",{{", row.name)),
                "{}",
                row.name
            );
        }
    }

    /// What the policy would not let the page do, and what would let a client's text do something.
    #[test]
    fn the_page_loads_nothing_and_makes_no_markup_of_texts() {
        for risk in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "style=",
            "onclick",
            "src=",
            "href=",
        ] {
            assert!(!PAGE.contains(risk), "{risk}");
        }
        assert_eq!(PAGE.matches("<script>").count(), 1);
        assert_eq!(PAGE.matches("<style>").count(), 1);
    }
}
