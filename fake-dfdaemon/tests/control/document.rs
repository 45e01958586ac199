//! The document and the handlers, in both directions.

use std::collections::BTreeSet;

use fake_dfdaemon::{Action, Rpc};
use serde_json::{Value, json};
use testkit::schema::{assert_is_schema, errors};

use crate::control::controlled::{Controlled, empty};

/// The table of the API: what there is, and a request that is answered well.
const TABLE: [(&str, &str, &str, &str); 28] = [
    ("get", "/health", "/health", ""),
    ("get", "/openapi.json", "/openapi.json", ""),
    ("get", "/hosts", "/hosts", ""),
    ("post", "/hosts/{name}/stop", "/hosts/host-1/stop", ""),
    ("post", "/hosts/{name}/leave", "/hosts/host-1/leave", ""),
    ("post", "/hosts/{name}/start", "/hosts/host-1/start", "{}"),
    ("get", "/tasks", "/tasks?limit=1", ""),
    ("get", "/tasks/{id}", "/tasks/ID", ""),
    ("delete", "/tasks/{id}", "/tasks/ID", ""),
    ("get", "/clock", "/clock", ""),
    ("post", "/clock", "/clock", "{\"advance\":\"2h\"}"),
    ("post", "/settle", "/settle", " \n"),
    ("post", "/gc", "/gc", ""),
    ("get", "/faults", "/faults", ""),
    (
        "post",
        "/faults",
        "/faults",
        "{\"on\":\"stat\",\"do\":{\"stall\":true}}",
    ),
    ("delete", "/faults/{id}", "/faults/1", ""),
    ("delete", "/faults", "/faults", ""),
    (
        "get",
        "/journal",
        "/journal?rpc=stat&status=OK&task=7&host=host-0&after=1&limit=2",
        "",
    ),
    ("get", "/journal/count", "/journal/count?rpc=stat", ""),
    (
        "post",
        "/journal/wait",
        "/journal/wait",
        "{\"rpc\":\"import\",\"timeout\":\"1m\"}",
    ),
    ("delete", "/journal", "/journal", ""),
    ("get", "/settings", "/settings", ""),
    ("patch", "/settings", "/settings", "{\"max_requests\":9}"),
    ("post", "/snapshots/{name}", "/snapshots/a", ""),
    ("get", "/snapshots", "/snapshots", ""),
    (
        "post",
        "/snapshots/{name}/restore",
        "/snapshots/a/restore",
        "",
    ),
    ("delete", "/snapshots/{name}", "/snapshots/a", ""),
    ("post", "/reset", "/reset", ""),
];

/// What answers no JSON.
const TEXTS: [&str; 3] = ["/", "/events", "/metrics"];

fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let mut operations = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            operations.insert((method.clone(), path.clone()));
        }
    }
    operations
}

#[tokio::test]
async fn the_document_lists_the_table_and_nothing_else() {
    let w = Controlled::new().await;
    let document = w.api.document();
    assert_eq!(document["openapi"], "3.1.0");
    let table = TABLE.map(|(method, path, ..)| (method.to_owned(), path.to_owned()));
    let texts = TEXTS.map(|path| ("get".to_owned(), path.to_owned()));
    let all = table.into_iter().chain(texts).collect::<BTreeSet<_>>();
    assert_eq!(documented(document), all);
}

/// Programs are made of the document: they call what has a name, once.
#[tokio::test]
async fn every_operation_has_a_name_of_its_own_a_tag_and_examples() {
    let w = Controlled::new().await;
    let document = w.api.document();
    let tags = document["tags"].as_array().unwrap();
    let mut names = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name), "{name} twice");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
            let tag = serde_json::json!({"name": operation["tags"][0]});
            assert!(tags.contains(&tag), "{name}: {tag}");
            for parameter in operation["parameters"].as_array().unwrap() {
                let errors = errors(document, &parameter["schema"], &parameter["example"]);
                assert!(errors.is_empty(), "{parameter}: {errors:#?}");
            }
        }
    }
    for name in ["getPage", "postHostsNameStop", "getOpenapiJson"] {
        assert!(names.contains(name), "{names:?}");
    }
}

#[tokio::test]
async fn every_schema_is_one() {
    let w = Controlled::new().await;
    let document = w.api.document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas.len() > 20, "{}", schemas.len());
    for schema in schemas.values() {
        assert_is_schema(document, schema);
    }
}

/// A link leads from an answer to an operation, by a parameter that it has.
#[tokio::test]
async fn every_link_leads_somewhere() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    w.api.post("/snapshots/before", empty()).await;
    w.api
        .post("/faults", json!({"on": "stat", "do": {"stall": true}}))
        .await;
    let document = w.api.document();
    let operations = || {
        let paths = document["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().values();
            methods.map(move |operation| (path, operation))
        })
    };
    let mut led = Vec::new();
    for (path, operation) in operations() {
        let links = operation.pointer("/responses/200/links");
        for link in links
            .iter()
            .flat_map(|links| links.as_object().unwrap().values())
        {
            let (_, to) = operations()
                .find(|(_, to)| to["operationId"] == link["operationId"])
                .unwrap();
            let (name, place) = link["parameters"]
                .as_object()
                .unwrap()
                .iter()
                .next()
                .unwrap();
            let has_it = |parameter: &Value| parameter["name"] == **name;
            assert!(
                to["parameters"].as_array().unwrap().iter().any(has_it),
                "{link}"
            );
            let place = place
                .as_str()
                .unwrap()
                .strip_prefix("$response.body#")
                .unwrap();
            if operation["operationId"] != "postFaults" {
                led.push(w.api.get(path).await.pointer(place).unwrap().clone());
            }
        }
    }
    for value in [json!("host-0"), json!(id), json!(1), json!("before")] {
        assert!(led.contains(&value), "{value}: {led:?}");
    }
}

/// [`crate::control::controlled::Api::send`] holds each answer against its schema.
#[tokio::test]
async fn every_operation_of_the_document_answers() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    for (method, _, path, body) in TABLE {
        let (method, path) = (method.to_uppercase(), path.replace("ID", &id));
        let answer = w.api.send(&method, &path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn whatever_is_no_operation_is_refused_by_name() {
    let w = Controlled::new().await;
    let paths: BTreeSet<_> = TABLE.map(|(_, path, ..)| path).into();
    for path in paths {
        for method in ["GET", "POST", "DELETE", "PUT", "PATCH"] {
            let listed = TABLE
                .iter()
                .any(|(known, of, ..)| *of == path && known.eq_ignore_ascii_case(method));
            if !listed {
                let path = path.replace(['{', '}'], "");
                w.api
                    .refuses(405, (method, &path, ""), &[&path, method])
                    .await;
            }
        }
    }
    for path in [
        "/index.html",
        "/host",
        "/hosts/",
        "/hosts/host-0",
        "/tasks/1/2",
        "/openapi.yaml",
        "//health",
    ] {
        w.api.refuses(404, ("GET", path, ""), &[path]).await;
    }
}

/// What the document says of faults is what the daemon reads.
#[tokio::test]
async fn the_schema_of_a_fault_names_every_call_and_every_action() {
    let w = Controlled::new().await;
    let schemas = &w.api.document()["components"]["schemas"];
    let calls = schemas["NewFault"]["properties"]["on"]["enum"]
        .as_array()
        .unwrap();
    let calls: BTreeSet<_> = calls.iter().map(|call| call.as_str().unwrap()).collect();
    let known = Rpc::ALL
        .iter()
        .map(|rpc| rpc.as_str())
        .chain(["transfer", "connect", "*"]);
    assert_eq!(calls, known.collect());
    let actions = schemas["Action"]["properties"].as_object().unwrap();
    let actions: BTreeSet<_> = actions.keys().map(String::as_str).collect();
    let known: Vec<_> = Action::examples().collect();
    let known = known.iter().map(Action::name).collect();
    assert_eq!(actions, known);
}

#[tokio::test]
async fn a_body_that_is_none_is_refused_by_name() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    for (method, _, path, _) in TABLE {
        if method != "post" {
            continue;
        }
        let path = path.replace("ID", &id);
        for (body, says) in [
            ("{\"color\":1}", &["unknown field", "color"][..]),
            ("[]", &["not a JSON object"]),
            ("null", &["not a JSON object"]),
            ("{\"a\"", &["not a JSON object"]),
            ("soon", &["not a JSON object"]),
        ] {
            w.api.refuses(400, ("POST", &path, body), says).await;
        }
    }
    // Nothing of that was done.
    assert_eq!(
        w.api.get("/tasks").await["tasks"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn health_tells_what_the_daemon_is() {
    let w = Controlled::with(|builder| {
        let release = fake_dfdaemon::Release::V1_5;
        builder.hosts(2).release(release).fault_seed(7)
    })
    .await;
    let health = w.api.get("/health").await;
    let expected = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "dfdaemon_version": "1.5",
        "hosts": 2,
        "fault_seed": 7,
    });
    assert_eq!(health, expected);
}
