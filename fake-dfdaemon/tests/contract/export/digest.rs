//! The digest that a client expects of the output.

use std::fs;
use std::path::Path;

use dfdaemon_api::digest::crc32;
use fake_dfdaemon::Release;
use sha2::{Digest as _, Sha256, Sha512};
use tonic::Code;

use super::{TWO_PIECES, assert_both_pieces, assert_no_stream};
use crate::row::{Row, row};
use crate::support::client::{Export, Exported};
use crate::tested_daemon::{TestedDaemon, export_to, transfer};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row!(a_right_digest_is_fine),
        row!(a_crc32_digest_in_hex_is_fine).ours("the real one reads it as decimal, or not at all"),
        row!(a_wrong_digest_is_a_mismatch).only(Release::V1_5),
        row!(a_wrong_digest_leaves_no_output)
            .only(Release::V1_5)
            .ours("the real one leaves the file"),
        row!(a_malformed_digest_has_no_stream)
            .only(Release::V1_5)
            .ours("the real one says so at the very end"),
        row!(the_digest_is_checked_of_an_output_that_is_the_content_already).only(Release::V1_5),
        row!(digests_are_unknown).only(Release::V0_2),
        row!(a_digest_without_output_is_ignored),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn a_right_digest_is_fine(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    for digest in [
        format!("sha256:{}", hex(&Sha256::digest(&bytes))),
        format!("sha512:{}", hex(&Sha512::digest(&bytes))),
        format!("crc32:{}", crc32(&bytes)),
    ] {
        let output = w.path(digest.split(':').next().unwrap());
        let request = Export {
            digest: Some(digest),
            ..export_to(&id, &output)
        };
        w.client().await.export(request).await.ok();
        assert!(fs::read(output).unwrap() == bytes);
    }
}

async fn a_crc32_digest_in_hex_is_fine(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let request = Export {
        digest: Some(format!("crc32:{:08x}", crc32(&bytes))),
        ..export_to(&id, &w.path("output"))
    };
    w.client().await.export(request).await.ok();
}

/// Exports with a digest that the content does not have.
async fn export_with_wrong_digest(w: &TestedDaemon, output: &Path) -> (Exported, String) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let (wrong, right) = ("0".repeat(64), hex(&Sha256::digest(&bytes)));
    let request = Export {
        digest: Some(format!("sha256:{wrong}")),
        ..export_to(&id, output)
    };
    let text = format!("digest mismatch expected: sha256:{wrong}, actual: sha256:{right}");
    (w.client().await.export(request).await, text)
}

async fn a_wrong_digest_is_a_mismatch(w: TestedDaemon) {
    let (exported, text) = export_with_wrong_digest(&w, &w.path("output")).await;
    assert_both_pieces(&exported);
    w.assert_internal(&exported.status, &text);
}

async fn a_wrong_digest_leaves_no_output(w: TestedDaemon) {
    let output = w.path("output");
    let (exported, _) = export_with_wrong_digest(&w, &output).await;
    assert_eq!(exported.status.code(), Code::Internal);
    assert!(!output.exists());
}

async fn the_digest_is_checked_of_an_output_that_is_the_content_already(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    w.client().await.export(export_to(&id, &output)).await.ok();
    let (wrong, right) = (!crc32(&bytes), crc32(&bytes));
    let mismatch = format!("digest mismatch expected: crc32:{wrong}, actual: crc32:{right}");
    let malformed = "invalid digest(md5:1): invalid digest algorithm: md5";
    let malformed = w.by_itself(Code::InvalidArgument, malformed);
    for (digest, text) in [
        (format!("crc32:{wrong}"), mismatch),
        ("md5:1".to_owned(), malformed),
    ] {
        for (overwrite, force_hard_link) in [(false, false), (true, false), (false, true)] {
            let request = Export {
                digest: Some(digest.clone()),
                overwrite,
                force_hard_link,
                ..export_to(&id, &output)
            };
            let status = w.client().await.export(request).await.status;
            w.assert_internal(&status, &text);
            assert!(fs::read(&output).unwrap() == bytes);
        }
    }
}

async fn a_malformed_digest_has_no_stream(w: TestedDaemon) {
    let (id, _) = w.imported(TWO_PIECES).await;
    let output = w.path("output");
    for (raw, why) in [
        ("sha256", "invalid digest: sha256"),
        ("", "invalid digest: "),
        ("md5:00", "invalid digest algorithm: md5"),
        ("sha256:00", "invalid sha256 digest length: 2, expected 64"),
        ("sha512:0", "invalid sha512 digest length: 1, expected 128"),
        ("crc32:what", "invalid crc32 digest: what"),
        ("crc32:4294967296", "invalid crc32 digest: 4294967296"),
    ] {
        let request = Export {
            digest: Some(raw.to_owned()),
            ..export_to(&id, &output)
        };
        let exported = w.client().await.export(request).await;
        assert_no_stream(&exported);
        let text = format!("invalid digest({raw}): {why}");
        w.assert_internal(&exported.status, &w.by_itself(Code::InvalidArgument, &text));
        assert!(!output.exists());
    }
}

async fn digests_are_unknown(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    for (name, digest) in [("wrong", "crc32:1"), ("malformed", "md5")] {
        let request = Export {
            digest: Some(digest.to_owned()),
            ..export_to(&id, &w.path(name))
        };
        w.client().await.export(request).await.ok();
        assert!(fs::read(w.path(name)).unwrap() == bytes);
    }
}

async fn a_digest_without_output_is_ignored(w: TestedDaemon) {
    let (id, bytes) = w.imported(TWO_PIECES).await;
    for digest in ["crc32:1", "md5", ""] {
        let request = Export {
            digest: Some(digest.to_owned()),
            ..transfer(&id)
        };
        let exported = w.client().await.export(request).await.ok();
        assert!(exported.content() == bytes);
    }
}
