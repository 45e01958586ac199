//! A fake whose time stands still, and its control API.

use std::ops::Deref;
use std::path::Path;

use fake_dfdaemon::clock::ClockMode;
use fake_dfdaemon::{Builder, FakeDfdaemon};
use serde_json::{Value, json};
use testkit::schema::errors;

use crate::support::client::Import;
use crate::support::control::{Address, Answer};
pub(crate) use crate::support::requests::transfer;
use crate::support::{requests, world};

pub(crate) const PIECE: usize = 4 << 20;

/// When manual time begins.
pub(crate) const START: &str = "2026-01-02T03:04:05Z";

/// A [`world::World`] and the control API of its fake.
pub(crate) struct Controlled {
    pub(crate) api: Api,
    pub(crate) world: world::World,
}

impl Deref for Controlled {
    type Target = world::World;

    fn deref(&self) -> &world::World {
        &self.world
    }
}

/// The control API of a daemon, and what it says of itself.
pub(crate) struct Api {
    address: Address,
    document: Value,
}

impl Controlled {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let builder =
            FakeDfdaemon::builder().clock(ClockMode::Manual(Some(START.parse().unwrap())));
        let world = world::World::start(configure(builder)).await;
        Self {
            api: Api::at(Address::socket(world.daemon.control())).await,
            world,
        }
    }

    /// Imports a new file on the first host, and returns the task's id.
    pub(crate) async fn imported(&self, length: usize) -> String {
        let (path, _) = self.new_file(length);
        let task = self.on_host(0).await.import(import(&path)).await;
        task.unwrap().id
    }
}

impl Api {
    pub(crate) async fn at(address: Address) -> Self {
        let answer = address.send("GET", "/openapi.json", "").await;
        assert_eq!(answer.status, 200);
        Self {
            address,
            document: answer.body,
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ok("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.ok("POST", path, &body.to_string()).await
    }

    /// With an empty body.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        self.ok("POST", path, "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Value {
        self.ok("DELETE", path, "").await
    }

    async fn ok(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.send(method, path, body).await;
        assert_eq!(
            answer.status, 200,
            "{method} {path} {body}: {}",
            answer.body
        );
        answer.body
    }

    /// That a request is refused with this status, and the message says all of this.
    pub(crate) async fn refuses(&self, status: u16, request: (&str, &str, &str), says: &[&str]) {
        let (method, path, body) = request;
        let answer = self.send(method, path, body).await;
        let message = answer.body.pointer("/error/message");
        let message = message.and_then(Value::as_str).unwrap_or_default();
        assert_eq!(answer.status, status, "{request:?}: {message}");
        for text in says {
            assert!(
                message.contains(text),
                "{request:?}: {message:?} lacks {text:?}"
            );
        }
    }

    /// Sends a request, and holds the answer against the document.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let answer = self.address.send(method, path, body).await;
        let response = match (self.operation(method, path), answer.status) {
            (Some(operation), status) => &operation["responses"][status.to_string()],
            (None, 404 | 405) => return answer,
            (None, status) => panic!("{method} {path} answers {status}, and is no operation"),
        };
        assert!(
            response.is_object(),
            "{method} {path}: no word of {}",
            answer.status
        );
        // Others than JSON have no schema.
        let schema = response.pointer("/content/application~1json/schema");
        let schema = schema.unwrap_or(&Value::Bool(true));
        let errors = errors(&self.document, schema, &answer.body);
        assert!(
            errors.is_empty(),
            "{method} {path}: {errors:#?}\n{}",
            answer.body
        );
        answer
    }

    /// The operation of the document that a request is one of.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let path = path.split('?').next()?;
        let is_path = |template: &str| {
            let (template, path) = (template.split('/'), path.split('/'));
            template.clone().count() == path.clone().count()
                && template
                    .zip(path)
                    .all(|(part, given)| part.starts_with('{') || part == given)
        };
        let paths = self.document["paths"].as_object()?;
        let (_, found) = paths.iter().find(|(template, _)| is_path(template))?;
        found.get(method.to_lowercase())
    }
}

/// Two replicas, an hour.
pub(crate) fn import(path: &Path) -> Import {
    requests::import(path, 2, 3600)
}

/// A list's items by one of their fields.
pub(crate) fn column(list: &Value, field: &str) -> Vec<Value> {
    let items = list.as_array().unwrap().iter();
    items.map(|item| item[field].clone()).collect()
}

pub(crate) fn empty() -> Value {
    json!({})
}
