//! Reflection: the services that reflection tells of, by both versions of its protocol.
//!
//! It tells the same on every socket of every host, so that a process decodes the descriptors once, and not for each.

use std::sync::LazyLock;

use dfdaemon_api::FILE_DESCRIPTOR_SET;
use prost_types::{FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};
use tonic::server::NamedService;
use tonic_reflection::server::Error;

use super::router::{Download, Upload};
use super::services::{Call, named};

/// A service and its name.
type Named = (&'static str, Call);

/// Both versions of reflection.
pub(super) fn services() -> Result<[Named; 2], &'static Error> {
    static ONCE: LazyLock<Result<[Named; 2], Error>> = LazyLock::new(|| {
        Ok([
            named(reflected().build_v1()?),
            named(reflected().build_v1alpha()?),
        ])
    });
    let [v1, v1alpha] = ONCE.as_ref()?;
    Ok([v1, v1alpha].map(|(name, call)| -> Named { (name, Box::new(call)) }))
}

/// What reflection lists on every socket of a dfdaemon. Health is served, and not listed.
const LISTED: [&str; 5] = [
    Download::NAME,
    Upload::NAME,
    "scheduler.v2.Scheduler",
    "manager.v2.Manager",
    "grpc.reflection.v1.ServerReflection",
];

/// The services that reflection tells of. Those of the scheduler and the manager are listed without
/// a method: clients that look at every service that is listed need something to look at.
fn reflected() -> tonic_reflection::server::Builder<'static> {
    let empty = |package: &str, service: &str| FileDescriptorProto {
        name: Some(format!("{package}.proto")),
        package: Some(package.to_owned()),
        syntax: Some("proto3".to_owned()),
        service: vec![ServiceDescriptorProto {
            name: Some(service.to_owned()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let file = vec![
        empty("scheduler.v2", "Scheduler"),
        empty("manager.v2", "Manager"),
    ];
    let reflected = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_file_descriptor_set(FileDescriptorSet { file });
    LISTED.into_iter().fold(reflected, |reflected, service| {
        reflected.with_service_name(service)
    })
}
