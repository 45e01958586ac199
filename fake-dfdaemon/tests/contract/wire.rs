//! Besides the tasks: health, reflection, and what is no call of ours.

use fake_dfdaemon::Rpc;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
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
use crate::tested_daemon::{TestedDaemon, assert_says};

const SERVICE: &str = "dfdaemon.v2.DfdaemonDownload";

/// What reflection lists, sorted.
const LISTED: [&str; 5] = [
    SERVICE,
    "dfdaemon.v2.DfdaemonUpload",
    "grpc.reflection.v1.ServerReflection",
    "manager.v2.Manager",
    "scheduler.v2.Scheduler",
];

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(the_server_and_its_service_are_serving),
        row!(the_health_of_anything_else_is_not_found),
        row!(health_can_be_watched),
        row!(reflection_v1_lists_what_a_dfdaemon_has),
        row!(reflection_v1alpha_answers_too)
            .ours("for grpcurl and Python; the real one serves v1 alone"),
        row!(an_unknown_method_is_unimplemented)
            .ours("the real one serves more methods; this one it does not know either"),
        row!(an_unknown_service_is_unimplemented),
        row!(the_answer_to_an_unserved_method_names_it)
            .ours("the real one serves more methods, and its text is empty"),
        row!(only_what_no_service_answers_has_a_length),
        row!(an_unserved_method_is_in_the_journal).needs("a journal", |fake| fake),
        row!(a_request_over_4_mib_is_out_of_range),
        row!(a_compressed_request_is_refused),
        row!(a_message_that_does_not_decode_is_internal),
        row!(any_valid_authority_will_do),
    ]
}

async fn health(w: &TestedDaemon, service: &str) -> Result<i32, Status> {
    let mut client = HealthClient::with_origin(w.client().await.connection(), origin());
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    client
        .check(request)
        .await
        .map(|answer| answer.into_inner().status)
}

async fn the_server_and_its_service_are_serving(w: TestedDaemon) {
    for service in ["", SERVICE] {
        let status = health(&w, service).await.unwrap();
        assert_eq!(status, i32::from(ServingStatus::Serving), "{service:?}");
    }
}

async fn the_health_of_anything_else_is_not_found(w: TestedDaemon) {
    for service in ["dfdaemon.v2.DfdaemonNothing", "dfdaemon"] {
        assert_eq!(
            health(&w, service).await.unwrap_err().code(),
            Code::NotFound
        );
    }
}

async fn health_can_be_watched(w: TestedDaemon) {
    let mut client = HealthClient::with_origin(w.client().await.connection(), origin());
    for service in ["", SERVICE, "dfdaemon.v2.DfdaemonNothing"] {
        let service = service.to_owned();
        let request = HealthCheckRequest {
            service: service.clone(),
        };
        match client.watch(request).await {
            Ok(mut watched) => {
                let first = watched.get_mut().message().await.unwrap().unwrap();
                assert_eq!(first.status, i32::from(ServingStatus::Serving));
            }
            Err(status) => {
                assert!(service.ends_with("Nothing"), "{service}: {status:?}");
                assert_says(&status, Code::NotFound, "service not registered");
            }
        }
    }
}

async fn reflection_v1_lists_what_a_dfdaemon_has(w: TestedDaemon) {
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
    let mut names: Vec<_> = services
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, LISTED);
}

async fn reflection_v1alpha_answers_too(w: TestedDaemon) {
    use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;

    let connection = w.client().await.connection();
    let mut client = ServerReflectionClient::with_origin(connection, origin());
    // What a client that goes through the list asks of each.
    for service in LISTED {
        let symbol = MessageRequest::FileContainingSymbol(service.to_owned());
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(symbol),
        };
        let answers = client
            .server_reflection_info(tokio_stream::once(request))
            .await;
        let answer = answers.unwrap().into_inner().message().await.unwrap();
        let answer = answer.unwrap().message_response;
        assert!(
            matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))),
            "{service}: {answer:?}"
        );
    }
}

/// Sends bytes as the one message of a call.
async fn call(w: &TestedDaemon, uri: &str, message: &[u8]) -> Status {
    call_with(w, uri, message, &[]).await
}

async fn call_with(
    w: &TestedDaemon,
    uri: &str,
    message: &[u8],
    headers: &[(&str, &str)],
) -> Status {
    let (head, body) = respond(w, uri, message, headers).await.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers) {
        return status;
    }
    let body = body.collect().await.unwrap();
    Status::from_header_map(body.trailers().unwrap()).unwrap()
}

async fn respond(
    w: &TestedDaemon,
    uri: &str,
    message: &[u8],
    headers: &[(&str, &str)],
) -> Response<Incoming> {
    let length = u32::try_from(message.len()).unwrap();
    let framed = [&[0], &length.to_be_bytes()[..], message].concat();
    let request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(Body::new(http_body_util::Full::from(framed)))
        .unwrap();
    let connection = w.client().await.connection();
    connection.send(request).await.unwrap()
}

async fn only_what_no_service_answers_has_a_length(w: TestedDaemon) {
    for (method, length) in [
        (format!("{SERVICE}/StatPersistentCacheTask"), None), // of no task
        (format!("{SERVICE}/DownloadPersistentCacheTask"), None),
        (format!("{SERVICE}/MakeCoffee"), None),
        ("a.Nothing/Does".to_owned(), Some("0")),
    ] {
        let uri = format!("http://localhost/{method}");
        let response = respond(&w, &uri, b"", &[]).await;
        let said = response.headers().get("content-length");
        let said = said.map(|length| length.to_str().unwrap());
        assert_eq!(said, length, "{method}");
    }
}

async fn an_unknown_method_is_unimplemented(w: TestedDaemon) {
    let uri = format!("http://localhost/{SERVICE}/MakeCoffee");
    assert_eq!(call(&w, &uri, b"").await.code(), Code::Unimplemented);
}

async fn an_unknown_service_is_unimplemented(w: TestedDaemon) {
    let uri = "http://localhost/dfdaemon.v2.DfdaemonNothing/StatPersistentCacheTask";
    assert_eq!(call(&w, uri, b"").await.code(), Code::Unimplemented);
}

async fn the_answer_to_an_unserved_method_names_it(w: TestedDaemon) {
    for method in [
        "dfdaemon.v2.DfdaemonDownload/StatCacheTask",
        "dfdaemon.v2.DfdaemonDownload/DownloadCacheTask",
        "dfdaemon.v2.DfdaemonDownload/DeleteCacheTask",
        "dfdaemon.v2.DfdaemonDownload/DownloadTask",
        "dfdaemon.v2.DfdaemonNothing/MakeCoffee",
    ] {
        let status = call(&w, &format!("http://localhost/{method}"), b"").await;
        assert_says(
            &status,
            Code::Unimplemented,
            &format!("{method} is not served"),
        );
    }
}

async fn an_unserved_method_is_in_the_journal(w: TestedDaemon) {
    for method in [
        "dfdaemon.v2.DfdaemonDownload/DownloadTask",
        "a.Nothing/Does",
    ] {
        call(&w, &format!("http://localhost/{method}"), b"").await;
        let noted = w.fake().journal().calls(Rpc::Unserved).pop().unwrap();
        assert_eq!(noted.request("method").as_deref(), Some(method));
        assert_eq!(noted.status.code, "UNIMPLEMENTED");
    }
}

async fn a_request_over_4_mib_is_out_of_range(w: TestedDaemon) {
    for method in ["StatPersistentCacheTask", "DownloadPersistentCacheTask"] {
        let uri = format!("http://localhost/{SERVICE}/{method}");
        let message = vec![0; (4 << 20) + 1];
        let text = "Error, decoded message length too large: found 4194305 bytes, \
                    the limit is: 4194304 bytes";
        let status = call(&w, &uri, &message).await;
        assert_says(&status, Code::OutOfRange, text);
    }
}

async fn a_compressed_request_is_refused(w: TestedDaemon) {
    for method in ["StatPersistentCacheTask", "DownloadPersistentCacheTask"] {
        let uri = format!("http://localhost/{SERVICE}/{method}");
        let gzip = [("grpc-encoding", "gzip")];
        let status = call_with(&w, &uri, &[0x0a, 1, b'4'], &gzip).await;
        let text = "Content is compressed with `gzip` which isn't supported";
        assert_says(&status, Code::Unimplemented, text);
        let identity = [("grpc-encoding", "identity")];
        let status = call_with(&w, &uri, &[0x0a, 1, b'4'], &identity).await;
        w.assert_not_found(&status, "4");
    }
}

async fn a_message_that_does_not_decode_is_internal(w: TestedDaemon) {
    for method in ["StatPersistentCacheTask", "DownloadPersistentCacheTask"] {
        let uri = format!("http://localhost/{SERVICE}/{method}");
        // A string of 9 bytes, of which one comes.
        let status = call(&w, &uri, &[0x0a, 9, b'x']).await;
        assert_eq!(status.code(), Code::Internal, "{status:?}");
    }
}

async fn any_valid_authority_will_do(w: TestedDaemon) {
    for authority in ["localhost", "127.0.0.1:65001", "some.host"] {
        let uri = format!("http://{authority}/{SERVICE}/StatPersistentCacheTask");
        let status = call(&w, &uri, &[0x0a, 1, b'4']).await;
        w.assert_not_found(&status, "4");
    }
}
