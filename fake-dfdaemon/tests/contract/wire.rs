//! Besides the tasks: health, reflection, and what is no call of ours.

use http::Request;
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::row::{Row, row};
use crate::support::client::origin;
use crate::world::World;

const SERVICE: &str = "dfdaemon.v2.DfdaemonDownload";

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(the_server_and_its_service_are_serving),
        row!(the_health_of_anything_else_is_not_found),
        row!(reflection_v1_lists_the_service),
        row!(an_unknown_method_is_unimplemented)
            .ours("the real one serves more methods; this one it does not know either"),
        row!(an_unknown_service_is_unimplemented),
        row!(a_message_that_does_not_decode_is_internal),
        row!(any_valid_authority_will_do),
    ]
}

async fn health(w: &World, service: &str) -> Result<i32, Status> {
    let mut client = HealthClient::with_origin(w.client().await.connection(), origin());
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    client
        .check(request)
        .await
        .map(|answer| answer.into_inner().status)
}

async fn the_server_and_its_service_are_serving(w: World) {
    for service in ["", SERVICE] {
        let status = health(&w, service).await.unwrap();
        assert_eq!(status, i32::from(ServingStatus::Serving), "{service:?}");
    }
}

async fn the_health_of_anything_else_is_not_found(w: World) {
    for service in ["dfdaemon.v2.DfdaemonNothing", "dfdaemon"] {
        assert_eq!(
            health(&w, service).await.unwrap_err().code(),
            Code::NotFound
        );
    }
}

async fn reflection_v1_lists_the_service(w: World) {
    let connection = w.client().await.connection();
    let mut client = ServerReflectionClient::with_origin(connection, origin());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = answers
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
        panic!("{answer:?}");
    };
    assert!(
        services
            .service
            .iter()
            .any(|service| service.name == SERVICE)
    );
}

/// Sends bytes as the one message of a call.
async fn call(w: &World, uri: &str, message: &[u8]) -> Status {
    let length = u32::try_from(message.len()).unwrap();
    let framed = [&[0], &length.to_be_bytes()[..], message].concat();
    let request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(http_body_util::Full::from(framed)))
        .unwrap();
    let connection = w.client().await.connection();
    let response = connection.send(request).await.unwrap();
    let (head, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers) {
        return status;
    }
    let body = body.collect().await.unwrap();
    Status::from_header_map(body.trailers().unwrap()).unwrap()
}

async fn an_unknown_method_is_unimplemented(w: World) {
    let uri = format!("http://localhost/{SERVICE}/MakeCoffee");
    assert_eq!(call(&w, &uri, b"").await.code(), Code::Unimplemented);
}

async fn an_unknown_service_is_unimplemented(w: World) {
    let uri = "http://localhost/dfdaemon.v2.DfdaemonNothing/StatPersistentCacheTask";
    assert_eq!(call(&w, uri, b"").await.code(), Code::Unimplemented);
}

async fn a_message_that_does_not_decode_is_internal(w: World) {
    for method in ["StatPersistentCacheTask", "DownloadPersistentCacheTask"] {
        let uri = format!("http://localhost/{SERVICE}/{method}");
        // A string of 9 bytes, of which one comes.
        let status = call(&w, &uri, &[0x0a, 9, b'x']).await;
        assert_eq!(status.code(), Code::Internal, "{status:?}");
    }
}

async fn any_valid_authority_will_do(w: World) {
    for authority in ["localhost", "127.0.0.1:65001", "some.host"] {
        let uri = format!("http://{authority}/{SERVICE}/StatPersistentCacheTask");
        let status = call(&w, &uri, &[0x0a, 1, b'4']).await;
        w.assert_not_found(&status, "4");
    }
}
