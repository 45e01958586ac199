//! A method of a path of the control API.

use axum::routing::MethodRouter;

use super::Api;

/// A method of a path.
pub(super) struct Route {
    /// `get`, `post` or `delete`.
    pub(super) method: &'static str,
    /// As axum and OpenAPI write it.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// The schema of the body, by name.
    pub(super) body: Option<&'static str>,
    /// The schema of the answer, by name; or what type it is of, where it is no JSON.
    pub(super) answer: &'static str,
    /// Query parameters.
    pub(super) query: &'static [&'static str],
    pub(super) handler: fn() -> MethodRouter<Api>,
}
