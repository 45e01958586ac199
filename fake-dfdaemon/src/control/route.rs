//! A method of a path of the control API.

use axum::routing::MethodRouter;

use super::api::Api;

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

/// What a proxy has not: it does not know what the daemon behind it holds.
const OF_FAKES: [&str; 6] = ["hosts", "tasks", "settle", "gc", "snapshots", "settings"];

/// Whether a path is about what only a fake knows.
pub(super) fn is_of_fakes(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    OF_FAKES.contains(&first)
}

impl Route {
    /// Whether a proxy has it.
    pub(super) fn is_for_proxies(&self) -> bool {
        // Its clock is the system's.
        let moves_clock = self.method == "post" && self.path == "/clock";
        !is_of_fakes(self.path) && !moves_clock
    }
}
