//! The OpenAPI document: paths from the list of routes, schemas from `schemas.json` beside this file.

use std::collections::BTreeSet;

use axum::Json;
use serde_json::{Map, Value, json};
use tonic::Code;

use super::answer::{Answer, ApiError};
use super::events::SAMPLES;
use super::route::Route;
use crate::call::events::KINDS;
use crate::call::faults::{Action, code_name};
use crate::call::rpc::Rpc;
use crate::dfdaemon::quirks::Quirk;

/// The schemas of bodies and answers.
const SCHEMAS: &str = include_str!("schemas.json");

pub(super) fn document(routes: &[Route], hosts: &[String]) -> Answer {
    let mut schemas: Value =
        serde_json::from_str(SCHEMAS).map_err(|error| ApiError::internal(&error))?;
    add_names(&mut schemas);
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.to_owned(), operation(route, hosts));
        }
    }
    let tags: BTreeSet<_> = routes.iter().map(|route| tag(route.path)).collect();
    let tags: Vec<_> = tags.iter().map(|tag| json!({ "name": tag })).collect();
    Ok(Json(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "fake-dfdaemon control API",
            "description": "What is done to a fake dfdaemon, and seen of it: HTTP and JSON on its control socket.",
            "version": env!("CARGO_PKG_VERSION"),
            "contact": {"name": "The dfcache maintainers"},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://localhost", "description": "whatever host is named, on the control socket"}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": schemas},
    })))
}

/// Puts the names that there are where the schemas take one of them, and the actions of faults.
fn add_names(schemas: &mut Value) {
    let quirks: Vec<_> = Quirk::all().map(Quirk::name).collect();
    let statuses: Vec<_> = (0..=16)
        .map(|code| code_name(Code::from_i32(code)))
        .collect();
    let word = format!("-?(all|{})", quirks.join("|"));
    let actions = Action::rows().map(|row| (row.name.to_owned(), row.schema()));
    let actions = Value::Object(actions.collect());
    let places = [
        ("/Settings/properties/quirks/items/enum", json!(quirks)),
        (
            "/ChangeSettings/properties/quirks/anyOf/0/items/enum",
            json!(quirks),
        ),
        (
            "/ChangeSettings/properties/quirks/anyOf/1/pattern",
            json!(format!("^{word}(,{word})*$")),
        ),
        ("/Wait/properties/rpc/enum", json!(rpcs())),
        ("/Wait/properties/status/enum", json!(statuses)),
        ("/Action/properties", actions),
    ];
    for (place, names) in places {
        let (schema, key) = place.rsplit_once('/').unwrap_or_default();
        if let Some(schema) = schemas.pointer_mut(schema).and_then(Value::as_object_mut) {
            schema.insert(key.to_owned(), names);
        }
    }
}

fn rpcs() -> Vec<Rpc> {
    Rpc::named().collect()
}

/// What a path is about: its first part.
fn tag(path: &str) -> &str {
    match path.split('/').nth(1) {
        Some(
            tag @ ("hosts" | "tasks" | "clock" | "faults" | "journal" | "settings" | "snapshots"),
        ) => tag,
        _ => "daemon",
    }
}

/// The method and the words of the path: `postHostsNameStop`.
fn operation_id(route: &Route) -> String {
    let words = route
        .path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let words = words.map(|word| {
        let (first, rest) = word.split_at(1);
        format!("{}{rest}", first.to_ascii_uppercase())
    });
    let words: String = words.collect();
    let words = if words.is_empty() { "Page" } else { &words };
    format!("{}{words}", route.method)
}

/// The schema of a parameter, and a value for it.
fn parameter_schema(route: &Route, name: &str, hosts: &[String]) -> (Value, Value) {
    let number = |least: u64| json!({"type": "integer", "minimum": least, "maximum": u64::MAX});
    match (tag(route.path), name) {
        (_, "rpc") => (json!({"type": "string", "enum": rpcs()}), json!("stat")),
        (_, "status") => {
            let known = (0..=16).map(|code| code_name(Code::from_i32(code)));
            let known: Vec<_> = known.collect();
            (json!({"type": "string", "enum": known}), json!("NOT_FOUND"))
        }
        (_, "after") => (number(0), json!(0)),
        (_, "limit") => (number(1), json!(100)),
        (_, "sample") => {
            let (least, most) = (SAMPLES.start(), SAMPLES.end());
            let schema = json!({"type": "integer", "minimum": least, "maximum": most});
            (schema, json!(40))
        }
        (_, "running" | "lacking") => (json!({"type": "boolean"}), json!(false)),
        (_, "kinds") => {
            let kind = KINDS.join("|");
            let kinds = format!("^({kind})(,({kind}))*$");
            let schema = json!({"type": "string", "pattern": kinds});
            (schema, json!("call-ended,host"))
        }
        (_, "host") => (
            json!({"type": "string", "enum": hosts}),
            json!(hosts.first()),
        ),
        ("tasks", "text") => (json!({"type": "string"}), json!("nightly")),
        ("hosts", "name") => (json!({"type": "string"}), json!("host-0")),
        ("snapshots", "name") => {
            let pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$";
            let schema = json!({"type": "string", "pattern": pattern});
            (schema, json!("before"))
        }
        ("faults", _) => (json!({"type": "string", "pattern": "^[0-9]+$"}), json!("1")),
        _ => (json!({"type": "string"}), json!("1524912489")),
    }
}

fn operation(route: &Route, hosts: &[String]) -> Value {
    let in_path = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str, place: &str| {
        let (schema, example) = parameter_schema(route, name, hosts);
        let required = place == "path";
        json!({"name": name, "in": place, "required": required, "schema": schema, "example": example})
    };
    let parameters: Vec<_> = in_path
        .map(|name| parameter(name, "path"))
        .chain(route.query.iter().map(|name| parameter(name, "query")))
        .collect();
    let mut responses = Map::new();
    let mut done = content(route.answer, "done");
    let links = links(&operation_id(route));
    if let Some(done) = done.as_object_mut().filter(|_| !links.is_empty()) {
        done.insert("links".to_owned(), links.into());
    }
    responses.insert("200".to_owned(), done);
    for (status, description) in ERRORS {
        if status != "404" || route.path.contains('{') {
            responses.insert(status.to_owned(), content("Error", description));
        }
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [tag(route.path)],
        "summary": route.summary,
        "description": format!("{}.", route.summary),
        "parameters": parameters,
        "responses": responses,
    });
    if let (Some(body), Some(object)) = (route.body, operation.as_object_mut()) {
        let mut content = content(body, "an empty body is {}");
        let is_needed = SAYS_SOMETHING.contains(&body);
        if let Some(content) = content.as_object_mut().filter(|_| is_needed) {
            content.insert("required".to_owned(), true.into());
        }
        object.insert("requestBody".to_owned(), content);
    }
    operation
}

/// What goes on from what an operation answers.
fn links(answering: &str) -> Map<String, Value> {
    let links = LINKS.iter().filter(|(from, ..)| *from == answering);
    let link = |(_, to, parameter, place): &(&str, &str, &str, &str)| {
        let value = format!("$response.body#{place}");
        let link = json!({"operationId": to, "parameters": {*parameter: value}});
        ((*to).to_owned(), link)
    };
    links.map(link).collect()
}

/// An operation, one that goes on from its answer, and the parameter that a place of the answer is for.
const LINKS: [(&str, &str, &str, &str); 9] = [
    ("getHosts", "postHostsNameStop", "name", "/hosts/0/name"),
    ("getHosts", "postHostsNameStart", "name", "/hosts/0/name"),
    ("getHosts", "postHostsNameLeave", "name", "/hosts/0/name"),
    ("getTasks", "getTasksId", "id", "/tasks/0/task_id"),
    ("getTasks", "deleteTasksId", "id", "/tasks/0/task_id"),
    ("getFaults", "deleteFaultsId", "id", "/faults/0/id"),
    ("postFaults", "deleteFaultsId", "id", "/id"),
    (
        "getSnapshots",
        "deleteSnapshotsName",
        "name",
        "/snapshots/0/name",
    ),
    (
        "getSnapshots",
        "postSnapshotsNameRestore",
        "name",
        "/snapshots/0/name",
    ),
];

/// Bodies that cannot be empty.
const SAYS_SOMETHING: [&str; 2] = ["MoveClock", "NewFault"];

/// What is refused, by status.
const ERRORS: [(&str, &str); 5] = [
    (
        "400",
        "the request makes no sense, or a web page of another place sent it",
    ),
    ("404", "what the path names is not there"),
    (
        "409",
        "it cannot be done as things are, or the daemon is stopping",
    ),
    ("500", "the daemon itself failed, its disk for example"),
    ("503", "there are too many connections to the API"),
];

fn content(schema: &str, description: &str) -> Value {
    if schema.contains('/') {
        let text = json!({"schema": {"type": "string"}});
        return json!({"description": description, "content": {schema: text}});
    }
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}
