//! A parent of one transfer that another process runs: which pieces it has, and their content, checked
//! against the task.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCachePieceRequest, DownloadPersistentCachePieceResponse,
    SyncPersistentCachePiecesRequest, SyncPersistentCachePiecesResponse,
};
use dfdaemon_api::digest::metadata_digest;
use dfdaemon_api::piece::PieceLayout;
use tonic::Streaming;

use super::PeerAddress;
use super::client::{PeerClient, connect};
use super::packets::PacketConnection;
use super::sent_piece::{check_content, check_place};

/// A parent of one transfer.
#[derive(Debug)]
pub(in crate::cluster) struct RemoteParent {
    pub(in crate::cluster) address: PeerAddress,
    /// As the pieces from it name it.
    pub(in crate::cluster) peer_id: String,
    /// Of the host that takes from it.
    host_id: String,
    task_id: String,
    layout: PieceLayout,
    /// How long it has for each answer.
    timeout: Duration,
    connected: Option<Connected>,
}

#[derive(Debug)]
struct Connected {
    client: PeerClient,
    /// The address that was reached, over TCP.
    reached: Option<IpAddr>,
    /// Where it sends pieces by packets, if it does.
    packets: Option<PacketConnection>,
    announced: Streaming<SyncPersistentCachePiecesResponse>,
    /// The pieces that it has said it has.
    has: HashSet<u32>,
}

impl RemoteParent {
    pub(in crate::cluster) fn new(
        address: PeerAddress,
        host_id: String,
        task_id: String,
        layout: PieceLayout,
        timeout: Duration,
    ) -> Self {
        Self {
            peer_id: format!("{address}-{}", uuid::Uuid::new_v4()),
            address,
            host_id,
            task_id,
            layout,
            timeout,
            connected: None,
        }
    }

    /// Takes a piece and its CRC-32. After an error it is no parent any more.
    pub(in crate::cluster) async fn piece(
        &mut self,
        number: u32,
        range: &Range<u64>,
    ) -> Result<(Bytes, u32), String> {
        self.wait_for(number).await?;
        let Some(connected) = &mut self.connected else {
            return Err("it is not connected".to_owned());
        };
        if let Some(packets) = &mut connected.packets {
            let taken = packets.piece(&self.task_id, number, range);
            return in_time(self.timeout, taken).await?;
        }
        let request = DownloadPersistentCachePieceRequest {
            host_id: self.host_id.clone(),
            task_id: self.task_id.clone(),
            piece_number: number,
        };
        let asked = connected.client.download_persistent_cache_piece(request);
        let answer = in_time(self.timeout, asked).await?;
        let answer = answer.map_err(|status| status.message().to_owned())?;
        checked(answer.into_inner(), number, range)
    }

    /// Waits until it says that it has a piece.
    async fn wait_for(&mut self, number: u32) -> Result<(), String> {
        loop {
            if let Some(connected) = &self.connected
                && connected.has.contains(&number)
            {
                return Ok(());
            }
            let Some(piece) = self.next_message().await? else {
                return Err(format!("it does not have piece {number}"));
            };
            let expected = self.layout.range(piece.number);
            let announced = piece.offset..piece.offset.saturating_add(piece.length);
            if expected != Some(announced) {
                let (number, offset, length) = (piece.number, piece.offset, piece.length);
                return Err(format!(
                    "it tells of a piece {number} of {length} bytes at {offset}"
                ));
            }
            let Some(connected) = &mut self.connected else {
                return Err("it is not connected".to_owned());
            };
            if !connected.has.insert(piece.number) {
                return Err(format!("it tells of piece {} twice", piece.number));
            }
            connected.note_packets(piece.tcp_port);
        }
    }

    /// What it tells of pieces next; `None` at the end.
    async fn next_message(&mut self) -> Result<Option<SyncPersistentCachePiecesResponse>, String> {
        if self.connected.is_none() {
            let connected = in_time(self.timeout, self.connect()).await??;
            self.connected = Some(connected);
        }
        let Some(connected) = &mut self.connected else {
            return Ok(None);
        };
        let announced = in_time(self.timeout, connected.announced.message()).await?;
        announced.map_err(|status| status.message().to_owned())
    }

    async fn connect(&self) -> Result<Connected, String> {
        let connected = connect(&self.address, self.layout.piece_length()).await;
        let (mut client, reached) = connected.map_err(|error| error.to_string())?;
        let request = SyncPersistentCachePiecesRequest {
            host_id: self.host_id.clone(),
            task_id: self.task_id.clone(),
            interested_piece_numbers: (0..self.layout.count()).collect(),
        };
        let announced = client.sync_persistent_cache_pieces(request).await;
        let announced = announced.map_err(|status| status.message().to_owned())?;
        Ok(Connected {
            client,
            reached,
            packets: None,
            announced: announced.into_inner(),
            has: HashSet::new(),
        })
    }
}

impl Connected {
    /// It is taken at its word about the port alone: its address is the one that was reached.
    fn note_packets(&mut self, port: Option<i32>) {
        let port = port.and_then(|port| u16::try_from(port).ok());
        if let (None, Some(ip), Some(port)) = (&self.packets, self.reached, port) {
            self.packets = Some(PacketConnection::to(SocketAddr::new(ip, port)));
        }
    }
}

async fn in_time<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, String> {
    let done = tokio::time::timeout(timeout, work).await;
    done.map_err(|_| "it does not answer".to_owned())
}

/// The content of a piece and its CRC-32, if it is the one that was asked for.
fn checked(
    answer: DownloadPersistentCachePieceResponse,
    number: u32,
    range: &Range<u64>,
) -> Result<(Bytes, u32), String> {
    let digest_of_it = answer.digest;
    let Some(piece) = answer.piece else {
        return Err(format!("it sends no piece for {number}"));
    };
    let Piece {
        offset,
        length,
        digest,
        content,
        ..
    } = piece;
    check_place((piece.number, offset, length), number, range)?;
    let expected = metadata_digest(number, offset, length, &digest);
    if digest_of_it.is_some_and(|digest| digest != expected) {
        return Err(format!("what it says of piece {number} is damaged"));
    }
    let content = content.unwrap_or_default();
    if content.len() as u64 != length {
        return Err(format!(
            "it sends {} bytes of piece {number}",
            content.len()
        ));
    }
    let crc32 = check_content(&content, &digest, number)?;
    Ok((content, crc32))
}
