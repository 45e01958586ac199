//! Messages as JSON that a person can read and edit, by the descriptors of their types.
//!
//! Integers are JSON integers, bytes are base64, enums their names. A field that is not there is left
//! out. Bytes that do not come back from their JSON as they were stay bytes.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dfdaemon_api::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Reflected,
};
use serde_json::{Map, Value};

/// How deep messages may be nested in edited JSON.
const MAX_DEPTH: usize = 32;

/// The types that are known. Empty if their description cannot be read, which a test excludes.
static TYPES: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let _ = pool.decode_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    pool
});

/// Which of a method's two messages is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// The type of a method's messages, such as of `/grpc.health.v1.Health/Check`.
pub(crate) fn message_type(method: &str, side: Side) -> Option<MessageDescriptor> {
    let (service, method) = method.strip_prefix('/')?.split_once('/')?;
    let service = TYPES.get_service_by_name(service)?;
    let method = service.methods().find(|known| known.name() == method)?;
    Some(match side {
        Side::Request => method.input(),
        Side::Response => method.output(),
    })
}

/// The JSON of a message that stands for exactly these bytes.
pub(crate) fn to_json(descriptor: &MessageDescriptor, bytes: &[u8]) -> Option<Value> {
    let message = DynamicMessage::decode(descriptor.clone(), bytes).ok()?;
    let json = message_json(&message)?;
    let same = from_json(descriptor, &json).is_ok_and(|encoded| encoded == bytes);
    same.then_some(json)
}

/// The bytes that a message's JSON stands for.
pub(crate) fn from_json(descriptor: &MessageDescriptor, json: &Value) -> Result<Vec<u8>, String> {
    Ok(message(descriptor, json, MAX_DEPTH)?.encode_to_vec())
}

fn message_json(message: &DynamicMessage) -> Option<Value> {
    let mut object = Map::new();
    for (field, value) in message.fields() {
        let json = if let Some(list) = value.as_list() {
            let items = list.iter().map(|item| value_json(&field.kind(), item));
            Value::Array(items.collect::<Option<_>>()?)
        } else if field.is_map() {
            // No message of a dfdaemon's services has one.
            return None;
        } else {
            value_json(&field.kind(), value)?
        };
        object.insert(field.name().to_owned(), json);
    }
    Some(Value::Object(object))
}

fn value_json(kind: &Kind, value: &Reflected) -> Option<Value> {
    Some(match value {
        Reflected::Bool(value) => (*value).into(),
        Reflected::I32(value) => (*value).into(),
        Reflected::I64(value) => (*value).into(),
        Reflected::U32(value) => (*value).into(),
        Reflected::U64(value) => (*value).into(),
        Reflected::String(value) => value.as_str().into(),
        Reflected::Bytes(value) => BASE64.encode(value).into(),
        Reflected::EnumNumber(number) => match kind.as_enum()?.get_value(*number) {
            Some(named) => named.name().into(),
            None => (*number).into(),
        },
        Reflected::Message(message) => message_json(message)?,
        _ => return None,
    })
}

fn message(
    descriptor: &MessageDescriptor,
    json: &Value,
    depth: usize,
) -> Result<DynamicMessage, String> {
    let object = json
        .as_object()
        .ok_or_else(|| format!("{} is an object, not {json}", descriptor.name()))?;
    let depth = depth.checked_sub(1).ok_or("it is nested too deep")?;
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, json) in object {
        let field = descriptor
            .get_field_by_name(name)
            .ok_or_else(|| format!("{} has no field {name}", descriptor.name()))?;
        let value = field_value(&field, json, depth).map_err(|why| format!("{name}: {why}"))?;
        message
            .try_set_field(&field, value)
            .map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(message)
}

fn field_value(field: &FieldDescriptor, json: &Value, depth: usize) -> Result<Reflected, String> {
    if !field.is_list() {
        return single_value(&field.kind(), json, depth);
    }
    let items = json
        .as_array()
        .ok_or_else(|| format!("a list, not {json}"))?;
    let items = items
        .iter()
        .map(|item| single_value(&field.kind(), item, depth));
    Ok(Reflected::List(items.collect::<Result<_, _>>()?))
}

fn single_value(kind: &Kind, json: &Value, depth: usize) -> Result<Reflected, String> {
    let signed = || json.as_i64();
    let unsigned = || json.as_u64();
    let value = match kind {
        Kind::Bool => json.as_bool().map(Reflected::Bool),
        Kind::String => json.as_str().map(|text| Reflected::String(text.to_owned())),
        Kind::Bytes => json
            .as_str()
            .and_then(|text| BASE64.decode(text).ok())
            .map(|bytes| Reflected::Bytes(bytes.into())),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => signed()
            .and_then(|number| i32::try_from(number).ok())
            .map(Reflected::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => signed().map(Reflected::I64),
        Kind::Uint32 | Kind::Fixed32 => unsigned()
            .and_then(|number| u32::try_from(number).ok())
            .map(Reflected::U32),
        Kind::Uint64 | Kind::Fixed64 => unsigned().map(Reflected::U64),
        Kind::Enum(known) => match json {
            Value::String(name) => known.get_value_by_name(name).map(|value| value.number()),
            other => other.as_i64().and_then(|number| i32::try_from(number).ok()),
        }
        .map(Reflected::EnumNumber),
        Kind::Message(descriptor) => {
            return message(descriptor, json, depth).map(Reflected::Message);
        }
        Kind::Float | Kind::Double => None,
    };
    value.ok_or_else(|| format!("{kind:?}, not {json}"))
}

#[cfg(test)]
mod tests {
    use dfdaemon_api::dfdaemon::v2::UploadPersistentCacheTaskRequest;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const IMPORT: &str = "/dfdaemon.v2.DfdaemonDownload/UploadPersistentCacheTask";

    #[test]
    fn a_message_reads_as_its_fields() {
        let request = UploadPersistentCacheTaskRequest {
            path: "/a".to_owned(),
            persistent_replica_count: u64::MAX,
            tag: Some(String::new()),
            ttl: Some(prost_types::Duration {
                seconds: -1,
                nanos: 5,
            }),
            ..Default::default()
        };
        let descriptor = message_type(IMPORT, Side::Request).unwrap();
        let json = to_json(&descriptor, &request.encode_to_vec()).unwrap();
        let expected = json!({"path": "/a", "persistent_replica_count": u64::MAX, "tag": "", "ttl": {"seconds": -1, "nanos": 5}});
        assert_eq!(json, expected);
        let health = message_type("/grpc.health.v1.Health/Check", Side::Response).unwrap();
        assert_eq!(
            to_json(&health, &[8, 1]).unwrap(),
            json!({"status": "SERVING"})
        );
        assert_eq!(to_json(&health, &[8, 99]).unwrap(), json!({"status": 99}));
    }

    #[test]
    fn bytes_that_json_cannot_stand_for_have_none() {
        let descriptor = message_type(IMPORT, Side::Request).unwrap();
        // An unknown field, a field that says its default, one that came twice, and no message.
        for bytes in [&[0xa8, 6, 1][..], &[18, 0], &[18, 1, 65, 18, 1, 66], &[255]] {
            assert_eq!(to_json(&descriptor, bytes), None, "{bytes:?}");
        }
        assert!(message_type("/no.Service/Method", Side::Request).is_none());
        assert!(message_type("", Side::Request).is_none());
    }

    #[test]
    fn json_that_is_no_message_is_refused_by_name() {
        let descriptor = message_type(IMPORT, Side::Request).unwrap();
        for (json, named) in [
            (json!([]), "object"),
            (json!({"pfad": "/a"}), "pfad"),
            (json!({"path": 1}), "path"),
            (
                json!({"persistent_replica_count": -1}),
                "persistent_replica_count",
            ),
            (json!({"ttl": {"seconds": "1"}}), "ttl: seconds"),
        ] {
            let why = from_json(&descriptor, &json).unwrap_err();
            assert!(why.contains(named), "{why}");
        }
    }

    proptest! {
        #[test]
        fn what_has_json_comes_back_from_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let descriptor = message_type(IMPORT, Side::Request).unwrap();
            if let Some(json) = to_json(&descriptor, &bytes) {
                prop_assert_eq!(from_json(&descriptor, &json).unwrap(), bytes);
            }
        }
    }
}
