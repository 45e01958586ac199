//! The numbers of the fields that the decoder reads by hand.

pub(super) mod response {
    pub(in super::super) const STARTED: u32 = 4;
    pub(in super::super) const FINISHED: u32 = 5;
}

pub(super) mod started {
    pub(in super::super) const CONTENT_LENGTH: u32 = 1;
}

pub(super) mod finished {
    pub(in super::super) const PIECE: u32 = 1;
}

pub(super) mod piece {
    pub(in super::super) const NUMBER: u32 = 1;
    pub(in super::super) const OFFSET: u32 = 3;
    pub(in super::super) const LENGTH: u32 = 4;
    pub(in super::super) const DIGEST: u32 = 5;
    pub(in super::super) const CONTENT: u32 = 6;
}

#[cfg(test)]
mod tests {
    use dfdaemon_api::FILE_DESCRIPTOR_SET;
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_field_has_the_number_that_the_messages_give_it() {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let number = |message: &str, field: &str| {
            let messages = set.file.iter().flat_map(|file| &file.message_type);
            let mut messages = messages.filter(|known| known.name() == message);
            let fields = &messages.next().unwrap().field;
            let mut fields = fields.iter().filter(|known| known.name() == field);
            u32::try_from(fields.next().unwrap().number()).unwrap()
        };
        let response = |field| number("DownloadPersistentCacheTaskResponse", field);
        let piece = |field| number("Piece", field);
        assert_eq!(
            [
                response("download_persistent_cache_task_started_response"),
                response("download_piece_finished_response"),
                number(
                    "DownloadPersistentCacheTaskStartedResponse",
                    "content_length"
                ),
                number("DownloadPieceFinishedResponse", "piece"),
                piece("number"),
                piece("offset"),
                piece("length"),
                piece("digest"),
                piece("content"),
            ],
            [
                response::STARTED,
                response::FINISHED,
                started::CONTENT_LENGTH,
                finished::PIECE,
                piece::NUMBER,
                piece::OFFSET,
                piece::LENGTH,
                piece::DIGEST,
                piece::CONTENT,
            ]
        );
    }
}
