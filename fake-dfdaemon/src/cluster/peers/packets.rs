//! Pieces that are taken from a host of 1.5 by packets, over a connection that is kept for the next one.

use std::net::SocketAddr;
use std::ops::Range;

use bytes::Bytes;
use dfdaemon_api::piece_packet::{HEAD_LENGTH, Head, Packet, PieceRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::sent_piece::{check_content, check_place};

/// Where a parent sends pieces by packets.
#[derive(Debug)]
pub(super) struct PacketConnection {
    address: SocketAddr,
    /// Between two pieces.
    open: Option<TcpStream>,
}

impl PacketConnection {
    /// To an address; connects when a piece is taken.
    pub(super) fn to(address: SocketAddr) -> Self {
        let open = None;
        Self { address, open }
    }

    /// Takes a piece and its CRC-32, if it is the one that was asked for.
    pub(super) async fn piece(
        &mut self,
        task_id: &str,
        number: u32,
        range: &Range<u64>,
    ) -> Result<(Bytes, u32), String> {
        let request = PieceRequest {
            task_id: task_id.to_owned(),
            number,
        };
        let request = Packet::Request(request).encode();
        let request = request.map_err(|error| error.to_string())?;
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => self.connect().await.map_err(|error| error.to_string())?,
        };
        let sent = stream.write_all(&request).await;
        sent.map_err(|error| error.to_string())?;
        let head = match answer(&mut stream).await? {
            Packet::Piece(head) => head,
            Packet::Refused(refusal) => return Err(refusal.message),
            Packet::Request(_) | Packet::Close => {
                return Err(format!("it sends no piece for {number}"));
            }
        };
        // What is asked for decides how much memory it takes.
        check_place((head.number, head.offset, head.length), number, range)?;
        let length = usize::try_from(head.length);
        let length = length.map_err(|_| format!("it sends a piece of {} bytes", head.length))?;
        let mut content = vec![0; length];
        let read = stream.read_exact(&mut content).await;
        read.map_err(|error| format!("it does not send all of piece {number}: {error}"))?;
        let crc32 = check_content(&content, &head.digest, number)?;
        self.open = Some(stream);
        Ok((content.into(), crc32))
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

async fn answer(stream: &mut TcpStream) -> Result<Packet, String> {
    let mut head = [0; HEAD_LENGTH];
    let read = stream.read_exact(&mut head).await;
    read.map_err(|error| error.to_string())?;
    let head = Head::read(head).map_err(|error| format!("it sends {error}"))?;
    let mut value = vec![0; head.value_length()];
    let read = stream.read_exact(&mut value).await;
    read.map_err(|error| error.to_string())?;
    head.packet(&value)
        .map_err(|error| format!("it sends {error}"))
}

#[cfg(test)]
mod tests {
    use dfdaemon_api::digest::{crc32, piece_digest};
    use dfdaemon_api::piece_packet::PieceHead;
    use tokio::net::TcpListener;

    use super::*;

    const CONTENT: &[u8] = b"content";
    const RANGE: Range<u64> = 8..15;

    fn honest() -> PieceHead {
        PieceHead {
            number: 2,
            offset: RANGE.start,
            length: CONTENT.len() as u64,
            digest: piece_digest(crc32(CONTENT)),
            ..PieceHead::default()
        }
    }

    fn sent(head: PieceHead, content: &[u8]) -> Vec<u8> {
        let head = Packet::Piece(head).encode().unwrap();
        [&head, content].concat()
    }

    /// Takes a piece from a parent that sends these bytes for each request, and then closes.
    async fn taken(answers: &[&[u8]]) -> Vec<Result<(Bytes, u32), String>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connection = PacketConnection::to(listener.local_addr().unwrap());
        let id = "a".repeat(64);
        let parent = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut request = [0; HEAD_LENGTH + 68];
                stream.read_exact(&mut request).await.unwrap();
                stream.write_all(answer).await.unwrap();
            }
        };
        let child = async {
            let mut taken = Vec::new();
            for _ in answers {
                taken.push(connection.piece(&id, 2, &RANGE).await);
            }
            taken
        };
        tokio::join!(parent, child).1
    }

    #[tokio::test]
    async fn pieces_are_taken_over_one_connection() {
        let answer = sent(honest(), CONTENT);
        let unread = PieceHead {
            digest: String::new(),
            ..honest()
        };
        let unread = sent(unread, CONTENT);
        let whole = Ok((Bytes::from_static(CONTENT), crc32(CONTENT)));
        assert_eq!(taken(&[&answer, &unread]).await, [whole.clone(), whole]);
    }

    #[tokio::test]
    async fn what_is_not_the_piece_is_refused() {
        let but = |change: fn(&mut PieceHead)| {
            let mut head = honest();
            change(&mut head);
            sent(head, CONTENT)
        };
        let refused = dfdaemon_api::piece_packet::Refusal {
            code: dfdaemon_api::piece_packet::RefusalCode::NotFound,
            message: "not here".to_owned(),
        };
        let refused = Packet::Refused(refused).encode().unwrap();
        for (answer, why) in [
            (but(|head| head.number = 3), "sends piece 3"),
            (but(|head| head.offset = 0), "at 0 for 2"),
            (
                but(|head| head.length = u64::MAX),
                "of 18446744073709551615 bytes",
            ),
            (but(|head| head.length -= 1), "of 6 bytes"),
            (
                but(|head| "crc32:1".clone_into(&mut head.digest)),
                "digest crc32:1",
            ),
            (sent(honest(), &CONTENT[1..]), "does not send all"),
            (sent(honest(), b"CONTENT"), "has not the digest"),
            (refused, "not here"),
            (Packet::Close.encode().unwrap(), "sends no piece"),
            (
                b"\0\x05\xff\xff\xff\xff".to_vec(),
                "a packet of 4294967295 bytes",
            ),
            (b"\0\x07\0\0\0\0".to_vec(), "a packet of the kind 7"),
            (b"\0\x05\0\0\0\x04\0\0\0\x09".to_vec(), "none of its kind"),
            (b"HTTP/1".to_vec(), "a packet of the kind 84"),
            (Vec::new(), "early eof"),
        ] {
            let taken = taken(&[&answer]).await.remove(0).unwrap_err();
            assert!(taken.contains(why), "{taken}: {why}");
        }
    }
}
