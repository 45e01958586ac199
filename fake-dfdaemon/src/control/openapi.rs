//! The OpenAPI document: paths from the list of routes, schemas from `schemas.json` beside this file.

use axum::Json;
use serde_json::{Map, Value, json};

use super::answer::{Answer, ApiError};
use super::route::Route;

/// The schemas of bodies and answers.
const SCHEMAS: &str = include_str!("schemas.json");

pub(super) fn document(routes: &[Route]) -> Answer {
    let schemas: Value =
        serde_json::from_str(SCHEMAS).map_err(|error| ApiError::internal(&error))?;
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.to_owned(), operation(route));
        }
    }
    Ok(Json(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "fake-dfdaemon control API",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {"schemas": schemas},
    })))
}

fn operation(route: &Route) -> Value {
    let in_path = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str, place: &str| {
        let text = json!({"type": "string"});
        json!({"name": name, "in": place, "required": place == "path", "schema": text})
    };
    let parameters: Vec<_> = in_path
        .map(|name| parameter(name, "path"))
        .chain(route.query.iter().map(|name| parameter(name, "query")))
        .collect();
    let mut operation = json!({
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            "200": content(route.answer, "done"),
            "default": content("Error", "400, 404, 405 or 409"),
        },
    });
    if let (Some(body), Some(object)) = (route.body, operation.as_object_mut()) {
        object.insert(
            "requestBody".to_owned(),
            content(body, "an empty body is {}"),
        );
    }
    operation
}

fn content(schema: &str, description: &str) -> Value {
    if schema.contains('/') {
        let text = json!({"schema": {"type": "string"}});
        return json!({"description": description, "content": {schema: text}});
    }
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}
