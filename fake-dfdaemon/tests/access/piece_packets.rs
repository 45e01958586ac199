//! Pieces by packets, as hosts of 1.5 take them: over a TCP socket of their own.

use std::net::SocketAddr;

use dfdaemon_api::piece_packet::{
    HEAD_LENGTH, Head, Packet, PieceHead, PieceRequest, Refusal, RefusalCode,
};
use fake_dfdaemon::{FakeDfdaemon, Release, Rpc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::access::parents::{Over, far, imported, near, upload};
use crate::support::client::Client;
use crate::support::peer_client::PeerClient;
use crate::support::requests::transfer;

/// The first length that takes two pieces.
const TWO_PIECES: usize = (4 << 20) + 1;

struct Peer(TcpStream);

impl Peer {
    async fn of(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn ask(&mut self, id: &str, number: u32) {
        let task_id = id.to_owned();
        let request = Packet::Request(PieceRequest { task_id, number });
        let bytes = request.encode().unwrap();
        self.0.write_all(&bytes).await.unwrap();
    }

    async fn answer(&mut self) -> Packet {
        let mut head = [0; HEAD_LENGTH];
        self.0.read_exact(&mut head).await.unwrap();
        let head = Head::read(head).unwrap();
        let mut value = vec![0; head.value_length()];
        self.0.read_exact(&mut value).await.unwrap();
        head.packet(&value).unwrap()
    }

    async fn piece(&mut self) -> (PieceHead, Vec<u8>) {
        let Packet::Piece(head) = self.answer().await else {
            panic!("no piece was sent");
        };
        let mut content = vec![0; head.length as usize];
        self.0.read_exact(&mut content).await.unwrap();
        (head, content)
    }

    /// Whether the host closes the connection next.
    async fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]).await, Ok(0) | Err(_))
    }
}

#[tokio::test]
async fn pieces_come_one_after_another_on_one_connection() {
    let fake = far(Release::V1_5).await;
    let dir = tempfile::tempdir().unwrap();
    let (id, bytes) = imported(&fake, dir.path(), TWO_PIECES).await;
    let mut peer = Peer::of(fake.host(0).unwrap().piece_tcp().unwrap()).await;
    for (number, part) in [(1, &bytes[4 << 20..]), (0, &bytes[..4 << 20])] {
        peer.ask(&id, number).await;
        let (head, content) = peer.piece().await;
        assert!(content == part);
        assert_eq!(
            (head.number, head.offset),
            (number, u64::from(number) << 22)
        );
        // The source is linked, and nobody has read it.
        assert_eq!(head.digest, "");
    }
    // What it does not have is said, and the connection goes on.
    for (id, number) in [(&*id, 2), (&*"0".repeat(64), 0)] {
        peer.ask(id, number).await;
        let refusal = Refusal {
            code: RefusalCode::NotFound,
            message: format!("piece {id}-{number} not found"),
        };
        assert_eq!(peer.answer().await, Packet::Refused(refusal));
    }
    peer.ask(&id, 1).await;
    peer.piece().await;
    let calls = fake.journal().calls(Rpc::Transfer);
    let statuses: Vec<_> = calls.iter().map(|call| call.status.code.as_str()).collect();
    assert_eq!(statuses, ["OK", "OK", "NOT_FOUND", "NOT_FOUND", "OK"]);
    let pieces: u64 = calls.iter().map(|call| call.pieces).sum();
    assert_eq!(pieces, 3);
    // A host that stops closes it.
    fake.host(0).unwrap().stop().await;
    assert!(peer.is_closed().await);
    fake.stop().await;
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection() {
    let fake = far(Release::V1_5).await;
    let address = fake.host(0).unwrap().piece_tcp().unwrap();
    let piece = Packet::Piece(PieceHead::default()).encode().unwrap();
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"\0\x04\xff\xff\xff\xff",
        b"\0\x04\0\0\0\x01x",
        b"\0\x00\0\0\0\x44",
        &Packet::Close.encode().unwrap(),
        &piece,
    ] {
        let mut peer = Peer::of(address).await;
        peer.0.write_all(bytes).await.unwrap();
        assert!(peer.is_closed().await, "{bytes:?}");
    }
    assert!(fake.journal().calls(Rpc::Transfer).is_empty());
}

#[tokio::test]
async fn hosts_tell_where_their_pieces_are_to_be_had() {
    for (release, ip) in [(Release::V1_5, "0.0.0.0"), (Release::V1_5, "127.0.0.1")] {
        let tcp = SocketAddr::new(ip.parse().unwrap(), 0);
        let builder = FakeDfdaemon::builder().release(release).hosts(2).tcp(tcp);
        let fake = builder.start().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (id, _) = imported(&fake, dir.path(), 5).await;
        let announced = announced(&fake, &id).await;
        let port = fake.host(0).unwrap().piece_tcp().unwrap().port();
        assert_eq!(announced, ("127.0.0.1".to_owned(), Some(i32::from(port))));
        let ports = fake.hosts().map(|host| host.piece_tcp().unwrap().port());
        let ports: std::collections::BTreeSet<_> = ports.collect();
        assert_eq!(ports.len(), 2);
        let ready = serde_json::to_value(fake.ready()).unwrap();
        assert_eq!(ready["hosts"][0]["piece_tcp"], format!("{ip}:{port}"));
    }
    // Hosts of 0.2 have no such socket, and others none without TCP.
    for fake in [
        far(Release::V0_2).await,
        near(Release::V1_5).start().await.unwrap(),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (id, _) = imported(&fake, dir.path(), 5).await;
        assert_eq!(announced(&fake, &id).await, (String::new(), None));
        assert_eq!(fake.host(0).unwrap().piece_tcp(), None);
    }
}

/// What the first host says of where the first piece is.
async fn announced(fake: &FakeDfdaemon, id: &str) -> (String, Option<i32>) {
    let peer = PeerClient::connect(fake.host(0).unwrap().upload_endpoint()).await;
    let piece = peer.sync(id, &[0]).await.unwrap().remove(0);
    (piece.ip, piece.tcp_port)
}

#[tokio::test]
async fn a_host_takes_pieces_by_packets_where_its_parent_sends_them() {
    for (over, by_packets) in [(Over::Tcp, true), (Over::Unix, false)] {
        let far = far(Release::V1_5).await;
        let near = near(Release::V1_5).parent(upload(&far, over));
        let near = near.start().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (id, bytes) = imported(&far, dir.path(), TWO_PIECES).await;
        let client = Client::connect(near.endpoint()).await;
        let exported = client.export(transfer(&id)).await.ok();
        assert!(exported.content() == bytes);
        let calls = far.journal().calls(Rpc::Transfer);
        let pieces = calls.iter().filter(|call| call.pieces == 1);
        // Who asks is a field of the call alone.
        let packets = pieces.filter(|call| call.request("host_id").is_none());
        assert_eq!(packets.count(), if by_packets { 2 } else { 0 });
    }
}
