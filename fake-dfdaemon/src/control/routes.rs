//! Every path of the control API, once: what answers it, and what the OpenAPI document says of it.

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::routing::{delete, get, patch, post};

use super::answer::{Answer, ApiError};
use super::api::Api;
use super::route::{Route, is_of_fakes};
use super::{events, handlers, journal, metrics, openapi, page, settings, tasks};

macro_rules! route {
    ($method:ident $path:literal $summary:literal, $body:expr => $answer:literal, $handler:path $(, query $query:expr)?) => {
        Route {
            method: stringify!($method),
            path: $path,
            summary: $summary,
            body: $body,
            answer: $answer,
            query: { #[allow(unused_mut, unused_assignments)] let mut query: &'static [&'static str] = &[]; $(query = $query;)? query },
            handler: || $method($handler),
        }
    };
}

/// All there is.
fn routes() -> Vec<Route> {
    vec![
        route!(get "/" "The page for people", None => "text/html", page::page),
        route!(get "/health" "What this daemon is", None => "Health", handlers::health),
        route!(get "/openapi.json" "This document", None => "Document", document),
        route!(get "/hosts" "The hosts", None => "Hosts", handlers::hosts),
        route!(post "/hosts/{name}/stop" "Close a host's sockets; its replicas still count", Some("Empty") => "Host", handlers::stop_host),
        route!(post "/hosts/{name}/start" "Undo a stop or a leave", Some("Empty") => "Host", handlers::start_host),
        route!(post "/hosts/{name}/leave" "Stop a host and take it out of the cluster", Some("Empty") => "Host", handlers::leave_host),
        route!(get "/tasks" "The tasks", None => "Tasks", tasks::list, query &["limit", "lacking", "text", "host"]),
        route!(get "/tasks/{id}" "A task and its replicas", None => "Task", tasks::one),
        route!(delete "/tasks/{id}" "Remove a task everywhere", None => "Empty", tasks::delete),
        route!(get "/clock" "The time", None => "Clock", handlers::clock),
        route!(post "/clock" "Move manual time", Some("MoveClock") => "Clock", handlers::move_clock),
        route!(post "/settle" "Wait until all that is due has ended", Some("Empty") => "Settled", handlers::settle),
        route!(post "/gc" "Collect expired tasks now", Some("Empty") => "Empty", handlers::collect),
        route!(get "/faults" "The faults", None => "Faults", handlers::faults),
        route!(post "/faults" "Add a fault", Some("NewFault") => "Fault", handlers::add_fault),
        route!(delete "/faults" "Remove every fault", None => "Empty", handlers::clear_faults),
        route!(delete "/faults/{id}" "Remove a fault", None => "Empty", handlers::remove_fault),
        route!(get "/journal" "The calls that have ended, or those that run", None => "Journal", journal::list, query &["rpc", "status", "task", "host", "after", "limit", "running"]),
        route!(delete "/journal" "Forget the calls", None => "Empty", journal::clear),
        route!(get "/journal/count" "How many calls have ended", None => "Count", journal::count, query &["rpc", "status", "task", "host", "after"]),
        route!(post "/journal/wait" "Wait until calls have ended", Some("Wait") => "Journal", journal::wait),
        route!(get "/events" "What happens, as server-sent events", None => "text/event-stream", events::events, query &["kinds", "sample"]),
        route!(get "/metrics" "What is counted, for Prometheus", None => "text/plain", metrics::metrics),
        route!(get "/settings" "What can be changed while the daemon runs", None => "Settings", settings::show),
        route!(patch "/settings" "Change settings; what is left out stays as it is", Some("ChangeSettings") => "Settings", settings::change),
        route!(get "/snapshots" "The snapshots", None => "Snapshots", handlers::snapshots),
        route!(delete "/snapshots/{name}" "Remove a snapshot", None => "Empty", handlers::remove_snapshot),
        route!(post "/snapshots/{name}" "Keep tasks, hosts and clock", Some("Empty") => "Empty", handlers::take_snapshot),
        route!(post "/snapshots/{name}/restore" "Bring tasks, hosts and clock back", Some("Empty") => "Empty", handlers::restore_snapshot),
        route!(post "/reset" "Back to how it was after the start; snapshots stay", Some("Empty") => "Empty", handlers::reset),
    ]
}

/// Those that there are for a fake, or for a proxy.
fn routes_of(is_proxy: bool) -> Vec<Route> {
    let mut routes = routes();
    routes.retain(|route| !is_proxy || route.is_for_proxies());
    routes
}

pub(super) fn router(is_proxy: bool) -> Router<Api> {
    let routes = routes_of(is_proxy).into_iter();
    let router = routes.fold(Router::new(), |router, route| {
        router.route(route.path, (route.handler)())
    });
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn document(State(api): State<Api>) -> Answer {
    openapi::document(&routes_of(api.is_proxy()), &api.hosts()?)
}

async fn no_such_path(State(api): State<Api>, uri: Uri) -> ApiError {
    if api.is_proxy() && is_of_fakes(uri.path()) {
        return ApiError::not_found(format!(
            "a proxy does not know what the daemon behind it holds: there is no {}; \
             /openapi.json lists what there is",
            uri.path()
        ));
    }
    ApiError::not_found(format!(
        "there is no {}; /openapi.json lists what there is",
        uri.path()
    ))
}

async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(format!("{} does not take {method}", uri.path()))
}
