//! Hosts on TCP, for clients that know no Unix sockets.

use std::net::SocketAddr;

use dfdaemon_api::dfdaemon::v2::StatPersistentCacheTaskRequest;
use dfdaemon_api::dfdaemon::v2::dfdaemon_download_client::DfdaemonDownloadClient;
use dfdaemon_api::dfdaemon::v2::dfdaemon_upload_client::DfdaemonUploadClient;
use fake_dfdaemon::FakeDfdaemon;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::body::Body;

use crate::support::client::Client;
use crate::support::{content, requests};

/// A connection to an address, as a service of tonic's clients.
async fn connect(
    address: SocketAddr,
) -> impl tonic::client::GrpcService<Body, ResponseBody = hyper::body::Incoming> + Clone {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    tower::service_fn(move |request| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    })
}

#[tokio::test]
async fn each_host_answers_on_two_ports_of_its_own() {
    let address = "127.0.0.1:0".parse().unwrap();
    let daemon = FakeDfdaemon::builder()
        .hosts(2)
        .tcp(address)
        .start()
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, content::bytes(1, 10)).unwrap();
    let client = Client::connect(daemon.endpoint()).await;
    let id = client
        .import(requests::import(&path, 1, 3600))
        .await
        .unwrap()
        .id;
    let origin = http::Uri::from_static("http://localhost");
    let request = || StatPersistentCacheTaskRequest {
        task_id: id.clone(),
        ..Default::default()
    };
    let mut addresses = Vec::new();
    for host in daemon.hosts() {
        let (tcp, upload) = (host.tcp().unwrap(), host.upload_tcp().unwrap());
        let mut client = DfdaemonDownloadClient::with_origin(connect(tcp).await, origin.clone());
        let answer = client.stat_persistent_cache_task(request()).await.unwrap();
        assert_eq!(answer.into_inner().id, id);
        let mut client = DfdaemonUploadClient::with_origin(connect(upload).await, origin.clone());
        let answer = client.stat_persistent_cache_task(request()).await.unwrap();
        assert_eq!(answer.into_inner().id, id);
        addresses.extend([tcp, upload]);
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 4);
    // A host that stops closes them, and has the same again when it starts.
    let host = daemon.host(0).unwrap();
    let tcp = host.tcp().unwrap();
    host.stop().await;
    assert!(tokio::net::TcpStream::connect(tcp).await.is_err());
    host.start().await.unwrap();
    assert_eq!(host.tcp(), Some(tcp));
    tokio::net::TcpStream::connect(tcp).await.unwrap();
    let ready = serde_json::to_value(daemon.ready()).unwrap();
    assert_eq!(ready["hosts"][0]["tcp"], tcp.to_string());
    daemon.stop().await;
}

#[tokio::test]
async fn ports_that_cannot_be_are_refused_by_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = FakeDfdaemon::builder()
        .tcp(address)
        .start()
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains(&address.to_string()),
        "{refused}"
    );
    let last = "127.0.0.1:65533".parse().unwrap();
    let refused = FakeDfdaemon::builder()
        .hosts(3)
        .tcp(last)
        .start()
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("65533"), "{refused}");
}
