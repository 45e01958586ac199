//! The packets by which hosts of dfdaemon 1.5 give each other pieces of persistent cache tasks: over
//! a TCP connection that has nothing else on it, one request after another.
//!
//! A packet is a head of six bytes (a number that nobody reads, the kind of the value, the length of the value)
//! and the value; numbers are in network byte order. The content of a piece follows the packet that tells of
//! it, outside of any packet. From the public package `vortex-protocol` 0.2.

/// The length of a packet's head, in bytes.
pub const HEAD_LENGTH: usize = 6;

/// The longest value that is read, in bytes: ids, digests and errors are short.
pub const MAX_VALUE_LENGTH: usize = 64 << 10;

/// The length of a task id of 1.5, in bytes.
const TASK_ID_LENGTH: usize = 64;

const REQUEST: u8 = 4;
const PIECE: u8 = 5;
const CLOSE: u8 = 254;
const REFUSED: u8 = 255;

/// As the messages of the gRPC services number it: of a piece that another host had.
const FROM_REMOTE_PEER: u8 = 1;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Asks for a piece.
    Request(PieceRequest),
    /// Tells of a piece, whose content comes next.
    Piece(PieceHead),
    /// There is no more to be said: the connection is closed.
    Close,
    /// Why there is no piece.
    Refused(Refusal),
}

/// Which piece is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceRequest {
    /// 64 bytes: ids of 1.5 have no other length.
    pub task_id: String,
    /// The number of the piece.
    pub number: u32,
}

/// What is sent of a piece before its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PieceHead {
    /// The number of the piece.
    pub number: u32,
    /// In bytes, from the start of the content.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
    /// As [`crate::digest::piece_digest`] writes it.
    pub digest: String,
    /// The peer that this host has it from; empty if it imported it.
    pub parent_id: String,
    /// How long this host took to get it, in seconds.
    pub cost: u64,
    /// When it got it, in seconds since 1970.
    pub created_at: i64,
}

/// Why there is no piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// Nothing is known of it.
    Unknown,
    /// The request is none.
    InvalidArgument,
    /// The host does not have the piece.
    NotFound,
    /// The host cannot read it.
    Internal,
}

/// Bytes that are no packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The kind is not one of these packets.
    #[error("a packet of the kind {0}")]
    Kind(u8),
    /// More than [`MAX_VALUE_LENGTH`].
    #[error("a packet of {0} bytes")]
    TooLong(u32),
    /// The value is no value of its kind.
    #[error("a packet whose value is none of its kind")]
    Value,
}

/// What stands before a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    kind: u8,
    length: usize,
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    ///
    /// If the packet is of another kind, or too long.
    pub fn read(bytes: [u8; HEAD_LENGTH]) -> Result<Self, PacketError> {
        let [_, kind, length @ ..] = bytes;
        if ![REQUEST, PIECE, CLOSE, REFUSED].contains(&kind) {
            return Err(PacketError::Kind(kind));
        }
        let length = u32::from_be_bytes(length);
        let too_long = PacketError::TooLong(length);
        let length = usize::try_from(length).ok();
        let length = length.filter(|length| *length <= MAX_VALUE_LENGTH);
        Ok(Self {
            kind,
            length: length.ok_or(too_long)?,
        })
    }

    /// The length of the value that follows, in bytes.
    #[must_use]
    pub fn value_length(&self) -> usize {
        self.length
    }

    /// Reads the value.
    ///
    /// # Errors
    ///
    /// If it is none of this kind.
    pub fn packet(&self, value: &[u8]) -> Result<Packet, PacketError> {
        let mut rest = Rest(value);
        let packet = match self.kind {
            REQUEST => Packet::Request(PieceRequest {
                task_id: rest.text(TASK_ID_LENGTH)?,
                number: u32::from_be_bytes(rest.array()?),
            }),
            PIECE => {
                if rest.length()? != rest.0.len() {
                    return Err(PacketError::Value);
                }
                Packet::Piece(rest.piece()?)
            }
            CLOSE => Packet::Close,
            REFUSED => {
                let [code] = rest.array()?;
                let message = String::from_utf8_lossy(rest.0).into_owned();
                rest.0 = &[];
                let code = RefusalCode::of(code);
                Packet::Refused(Refusal { code, message })
            }
            kind => return Err(PacketError::Kind(kind)),
        };
        match rest.0 {
            [] => Ok(packet),
            _ => Err(PacketError::Value),
        }
    }
}

impl Packet {
    /// The packet as it travels.
    ///
    /// # Errors
    ///
    /// If a task id has another length than those of 1.5, or the value would be too long.
    pub fn encode(&self) -> Result<Vec<u8>, PacketError> {
        let (kind, value) = match self {
            Self::Request(request) => (REQUEST, request.value()?),
            Self::Piece(head) => (PIECE, head.value()?),
            Self::Close => (CLOSE, Vec::new()),
            Self::Refused(refusal) => {
                let code = [refusal.code.number()];
                (REFUSED, [&code, refusal.message.as_bytes()].concat())
            }
        };
        let length = length_of(&value)?;
        if value.len() > MAX_VALUE_LENGTH {
            return Err(PacketError::TooLong(length));
        }
        Ok([&[0, kind][..], &length.to_be_bytes(), &value].concat())
    }
}

impl PieceRequest {
    fn value(&self) -> Result<Vec<u8>, PacketError> {
        if self.task_id.len() != TASK_ID_LENGTH {
            return Err(PacketError::Value);
        }
        Ok([self.task_id.as_bytes(), &self.number.to_be_bytes()].concat())
    }
}

impl PieceHead {
    fn value(&self) -> Result<Vec<u8>, PacketError> {
        let fields = [
            &self.number.to_be_bytes()[..],
            &self.offset.to_be_bytes(),
            &self.length.to_be_bytes(),
            &length_of(self.digest.as_bytes())?.to_be_bytes(),
            self.digest.as_bytes(),
            &length_of(self.parent_id.as_bytes())?.to_be_bytes(),
            self.parent_id.as_bytes(),
            &[FROM_REMOTE_PEER],
            &self.cost.to_be_bytes(),
            &self.created_at.to_be_bytes(),
        ]
        .concat();
        Ok([&length_of(&fields)?.to_be_bytes()[..], &fields].concat())
    }
}

fn length_of(bytes: &[u8]) -> Result<u32, PacketError> {
    u32::try_from(bytes.len()).map_err(|_| PacketError::TooLong(u32::MAX))
}

impl RefusalCode {
    fn of(number: u8) -> Self {
        match number {
            1 => Self::InvalidArgument,
            2 => Self::NotFound,
            3 => Self::Internal,
            _ => Self::Unknown,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::InvalidArgument => 1,
            Self::NotFound => 2,
            Self::Internal => 3,
        }
    }
}

/// What of a value has not been read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(PacketError::Value)?;
        self.0 = rest;
        Ok(*array)
    }

    fn text(&mut self, length: usize) -> Result<String, PacketError> {
        let (text, rest) = self.0.split_at_checked(length).ok_or(PacketError::Value)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| PacketError::Value)
    }

    fn length(&mut self) -> Result<usize, PacketError> {
        let length = u32::from_be_bytes(self.array()?);
        usize::try_from(length).map_err(|_| PacketError::Value)
    }

    fn piece(&mut self) -> Result<PieceHead, PacketError> {
        let number = u32::from_be_bytes(self.array()?);
        let (offset, length) = (self.array()?, self.array()?);
        let digest = self.length()?;
        let digest = self.text(digest)?;
        let parent_id = self.length()?;
        let parent_id = self.text(parent_id)?;
        let [_traffic] = self.array()?;
        Ok(PieceHead {
            number,
            offset: u64::from_be_bytes(offset),
            length: u64::from_be_bytes(length),
            digest,
            parent_id,
            cost: u64::from_be_bytes(self.array()?),
            created_at: i64::from_be_bytes(self.array()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Packet, PacketError> {
        let (head, value) = bytes.split_first_chunk().unwrap();
        let head = Head::read(*head)?;
        assert_eq!(head.value_length(), value.len());
        head.packet(value)
    }

    fn every() -> [Packet; 4] {
        [
            Packet::Request(PieceRequest {
                task_id: "a1".repeat(32),
                number: 7,
            }),
            Packet::Piece(PieceHead {
                number: 7,
                offset: 1 << 40,
                length: 1 << 22,
                digest: "crc32:1".to_owned(),
                parent_id: "p".to_owned(),
                cost: 2,
                created_at: -1,
            }),
            Packet::Close,
            Packet::Refused(Refusal {
                code: RefusalCode::NotFound,
                message: "no".to_owned(),
            }),
        ]
    }

    #[test]
    fn packets_travel_as_other_hosts_write_them() {
        let bytes = every().map(|packet| packet.encode().unwrap());
        let request = ["a1".repeat(32).as_bytes(), &[0, 0, 0, 7]].concat();
        assert_eq!(bytes[0], [&[0, 4, 0, 0, 0, 68][..], &request].concat());
        let piece = [
            &[0, 5, 0, 0, 0, 57, 0, 0, 0, 53, 0, 0, 0, 7][..],
            &[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0],
            b"\0\0\0\x07crc32:1\0\0\0\x01p\x01",
            &[0, 0, 0, 0, 0, 0, 0, 2],
            &[0xff; 8],
        ];
        assert_eq!(bytes[1], piece.concat());
        assert_eq!(bytes[2], [0, 254, 0, 0, 0, 0]);
        assert_eq!(bytes[3], *b"\x00\xff\0\0\0\x03\x02no");
        for (packet, bytes) in every().into_iter().zip(bytes) {
            assert_eq!(read(&bytes), Ok(packet));
        }
    }

    #[test]
    fn what_is_cut_or_goes_on_is_no_packet() {
        for packet in every() {
            let bytes = packet.encode().unwrap();
            let value = &bytes[HEAD_LENGTH..];
            let head = Head::read(bytes[..HEAD_LENGTH].try_into().unwrap()).unwrap();
            if !matches!(packet, Packet::Refused(_)) {
                let longer = [value, b"x"].concat();
                assert_eq!(head.packet(&longer), Err(PacketError::Value));
                for cut in 0..value.len() {
                    assert_eq!(head.packet(&value[..cut]), Err(PacketError::Value));
                }
            }
        }
        assert_eq!(Head::read([0; 6]), Err(PacketError::Kind(0)));
        let long = Head::read([0, 5, 0, 1, 0, 1]);
        assert_eq!(long, Err(PacketError::TooLong((64 << 10) + 1)));
        let short = PieceRequest {
            task_id: "7".to_owned(),
            number: 0,
        };
        assert_eq!(Packet::Request(short).encode(), Err(PacketError::Value));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(head: [u8; 6], value: Vec<u8>) {
            if let Ok(head) = Head::read(head) {
                let _ = head.packet(&value);
            }
        }
    }
}
