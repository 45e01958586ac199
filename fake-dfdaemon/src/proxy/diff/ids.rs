//! Task ids that differ at the other daemon: it has another scheme, or a part of the hashed text was
//! redacted. The difference is reported once, at the import; later calls mean the same task.

use prost_reflect::{DynamicMessage, Value as Reflected};
use serde_json::Value;

use crate::proxy::cassette::{Call, End};
use crate::proxy::paths::is_import;

/// The field of requests that names a task.
const TASK: &str = "task_id";

/// Recorded ids, and those that the other daemon gave for the same imports.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids(Vec<(String, String)>);

impl Ids {
    /// Takes the ids from the two answers to an import.
    pub(super) fn learn(&mut self, recorded: &Call, other: &Call) {
        if !is_import(&recorded.method) {
            return;
        }
        if let (Some(was), Some(is)) = (imported(recorded), imported(other))
            && was != is
            && self.0.iter().all(|(known, _)| known != was)
        {
            self.0.push((was.to_owned(), is.to_owned()));
        }
    }

    /// Has a request name the task as the other daemon does. Whether it did not before.
    pub(super) fn put(&self, request: &mut DynamicMessage) -> bool {
        let named = request.get_field_by_name(TASK);
        let named = named.as_deref().and_then(Reflected::as_str);
        let other = self.0.iter().find(|(was, _)| named == Some(was.as_str()));
        let Some((_, is)) = other else {
            return false;
        };
        request.set_field_by_name(TASK, Reflected::String(is.clone()));
        true
    }

    /// An answer of the other daemon with the recorded ids.
    pub(super) fn as_recorded(&self, mut call: Call) -> Call {
        for (was, is) in &self.0 {
            let messages = call.answer.messages.iter_mut();
            messages
                .filter_map(|message| message.message.as_mut())
                .for_each(|json| replace(json, is, was));
            if let End::Status(status) = &mut call.answer.end {
                status.message = status.message.replace(is.as_str(), was);
            }
        }
        call
    }
}

/// The id that an import was answered with.
fn imported(call: &Call) -> Option<&str> {
    let message = call.answer.messages.first()?.message.as_ref()?;
    message.get("id")?.as_str()
}

fn replace(json: &mut Value, from: &str, to: &str) {
    match json {
        Value::String(text) if text == from => to.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, from, to)),
        Value::Object(fields) => fields.values_mut().for_each(|item| replace(item, from, to)),
        _ => {}
    }
}
