//! Where the content of a piece is in its message.

/// A field of a message on the wire: its number, and where its bytes are if it has a length.
struct Field {
    number: u64,
    /// Behind the key and the length.
    start: usize,
    length: Option<usize>,
    end: usize,
}

/// `DownloadPersistentCacheTaskResponse.download_piece_finished_response`, its `piece`, its `content`.
const TO_CONTENT: [u64; 3] = [5, 1, 6];

/// Where the content of a piece is in a message of `total` bytes that begins with `read`.
pub(super) fn content_place(read: &[u8], total: usize) -> Option<(usize, usize)> {
    let (mut at, mut end) = (0, total);
    for number in TO_CONTENT {
        loop {
            let field = field(read, at, end)?;
            if field.number == number {
                (at, end) = (field.start, field.start + field.length?);
                break;
            }
            at = field.end;
        }
    }
    (end > at).then_some((at, end - at))
}

/// The field at `at` of a message that goes to `end`.
fn field(read: &[u8], at: usize, end: usize) -> Option<Field> {
    let mut at = at;
    let key = varint(read, &mut at)?;
    let (length, after) = match key & 7 {
        0 => {
            varint(read, &mut at)?;
            (None, at)
        }
        1 => (None, at.checked_add(8)?),
        2 => {
            let length = usize::try_from(varint(read, &mut at)?).ok()?;
            (Some(length), at.checked_add(length)?)
        }
        5 => (None, at.checked_add(4)?),
        _ => return None,
    };
    (after <= end).then_some(Field {
        number: key >> 3,
        start: at,
        length,
        end: after,
    })
}

fn varint(read: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *read.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The message around a content that was cut out, as if it had none.
pub(crate) fn without_content(head: &[u8], length: u64, tail: &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok()?;
    let whole = head.len().checked_add(length)?.checked_add(tail.len())?;
    let mut at = 0;
    // Down to the content: where each message around it begins and ends, behind key and length.
    let mut around = Vec::new();
    let (mut place, mut end) = (0, whole);
    for number in TO_CONTENT {
        loop {
            let key_at = place;
            let field = field(head, place, end)?;
            if field.number == number {
                around.push((key_at, field.start, field.start + field.length?));
                (place, end) = (field.start, field.start + field.length?);
                break;
            }
            place = field.end;
        }
    }
    let [
        (finished_at, finished_start, finished_end),
        (piece_at, piece_start, piece_end),
        (content_at, _, content_end),
    ] = around.as_slice()
    else {
        return None;
    };
    let behind = |from: usize, to: usize| {
        let place = |at: usize| at.checked_sub(*content_end);
        tail.get(place(from)?..place(to)?)
    };
    let piece = [
        head.get(*piece_start..*content_at)?,
        behind(*content_end, *piece_end)?,
    ]
    .concat();
    let mut finished = head.get(*finished_start..*piece_at)?.to_vec();
    put(&mut finished, 10, &piece);
    finished.extend_from_slice(behind(*piece_end, *finished_end)?);
    let mut message = head.get(at..*finished_at)?.to_vec();
    put(&mut message, 42, &finished);
    at = *finished_end;
    message.extend_from_slice(behind(at, whole)?);
    Some(message)
}

/// Writes a field with a length.
fn put(to: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    to.push(key);
    prost::encoding::encode_varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}
