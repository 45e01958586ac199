//! What a test has a client and a daemon do, by chance.

use bytes::BufMut as _;
use proptest::prelude::*;

/// Methods of every kind, and some that no daemon has.
pub(super) const PATHS: [&str; 12] = [
    "/dfdaemon.v2.DfdaemonDownload/UploadPersistentCacheTask",
    "/dfdaemon.v2.DfdaemonDownload/DownloadPersistentCacheTask",
    "/dfdaemon.v2.DfdaemonUpload/DownloadPersistentCacheTask",
    "/dfdaemon.v2.DfdaemonDownload/StatPersistentCacheTask",
    "/dfdaemon.v2.DfdaemonDownload/StatLocalPersistentCacheTask",
    "/dfdaemon.v2.DfdaemonDownload/ListLocalPersistentCacheTasks",
    "/dfdaemon.v2.DfdaemonUpload/UpdatePersistentCacheTask",
    "/dfdaemon.v2.DfdaemonUpload/DeletePersistentCacheTask",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/no.such.Service/Method",
    "/",
];

/// Names of metadata; `-bin` holds base64.
pub(super) const NAMES: [&str; 4] = ["x-one", "x-two", "x-odd-bin", "user-agent"];

/// What a test has a client and a daemon do.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) metadata: Vec<(&'static str, String)>,
    pub(super) asked: Vec<u8>,
    pub(super) has_trailers: bool,
    pub(super) answer: Answer,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// No stream: a status alone.
    Whole(Ending),
    Stream(Vec<(&'static str, String)>, Vec<u8>, Ending),
    /// Before the head.
    Reset(u32),
}

#[derive(Clone, Debug)]
pub(super) enum Ending {
    Status(u32, String),
    Reset(u32),
    /// The client cancels when it has read all.
    Cancelled,
}

fn text() -> impl Strategy<Value = String> {
    "[ -~]{0,30}".prop_map(|text| text.trim().to_owned())
}

fn metadata() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let value = prop_oneof![9 => text(), 1 => Just("v".repeat(6000))];
    prop::collection::vec((prop::sample::select(&NAMES[..]), value), 0..5)
}

/// Messages, or without `is_grpc` bytes that are none.
fn stream(is_grpc: bool) -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4 => 0..40_usize, 2 => 0..20_000_usize, 1 => 60_000..200_000_usize];
    let message = (length, any::<u8>(), 0..2_u8).prop_map(|(length, seed, flag)| {
        let mut message = vec![flag];
        message.put_u32(u32::try_from(length).unwrap());
        message.extend((0..length).map(|at| (at as u8).wrapping_mul(seed)));
        message
    });
    let messages = prop::collection::vec(message, 0..4).prop_map(|messages| messages.concat());
    let others = if is_grpc { 0 } else { 1 };
    prop_oneof![4 => messages, others => prop::collection::vec(any::<u8>(), 0..300)]
}

fn answer(is_grpc: bool) -> impl Strategy<Value = Answer> {
    let status = || {
        let text = text().prop_map(|text| text.replace('%', "%25"));
        prop_oneof![2 => Just((0, String::new())), 1 => (1..20_u32, text)]
            .prop_map(|(code, text)| Ending::Status(code, text))
    };
    let reason = || prop::sample::select(vec![1_u32, 2, 7, 8, 11, 13]);
    let ending = prop_oneof![
        6 => status(),
        1 => reason().prop_map(Ending::Reset),
        1 => Just(Ending::Cancelled),
    ];
    let answered = (metadata(), stream(is_grpc), ending);
    prop_oneof![
        2 => status().prop_map(Answer::Whole),
        6 => answered.prop_map(|(metadata, bytes, ending)| Answer::Stream(metadata, bytes, ending)),
        1 => reason().prop_map(Answer::Reset),
    ]
}

pub(super) fn call(is_grpc: bool) -> impl Strategy<Value = Call> {
    let path = prop::sample::select(&PATHS[..]);
    let asked = (
        path,
        metadata(),
        stream(is_grpc),
        any::<bool>(),
        answer(is_grpc),
    );
    asked.prop_map(|(path, metadata, asked, has_trailers, answer)| Call {
        path,
        metadata,
        asked,
        has_trailers,
        answer,
    })
}
