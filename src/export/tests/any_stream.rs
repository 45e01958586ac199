//! Whatever a daemon sends: the file is what was promised, or there is none.

use proptest::prelude::*;

use super::*;

/// A message that fits, or one that is odd in one way.
fn message() -> impl Strategy<Value = Step> {
    let any_piece = || prop::sample::select(pieces());
    prop_oneof![
        12 => any_piece().prop_map(Step::Piece),
        1 => Just(Step::Nothing),
        1 => (9u64..12).prop_map(Step::Started),
        1 => Just(Step::Fail(Status::internal("broken"))),
        1 => (any_piece(), any::<u8>()).prop_map(|(piece, byte)| Step::Piece(Piece {
            content: Some(vec![byte; piece.length as usize].into()),
            ..piece
        })),
        // Of the wrong length too: a good piece in another place would be as good as any.
        1 => (any_piece(), 0u64..14, 1u64..14).prop_map(|(piece, offset, more)| {
            Step::Piece(Piece { offset, length: piece.length + more, ..piece })
        }),
        1 => any_piece().prop_map(|piece| Step::Piece(Piece { digest: String::new(), ..piece })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_export_is_the_content_or_nothing(
        messages in prop::collection::vec(message(), 0..12),
        all in any::<bool>(),
    ) {
        let first = if all { pieces() } else { Vec::new() };
        let mut steps = started_with(first);
        steps.extend(messages.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // `outcome` asserts that a failure leaves nothing behind.
        let outcome = runtime.block_on(outcome(steps));
        let harmless = |step: &Step| match step {
            Step::Piece(piece) => pieces().iter().any(|good| {
                good.offset == piece.offset && good.length == piece.length && good.content == piece.content
            }),
            Step::Started(length) => *length == 10,
            Step::Nothing => true,
            _ => false,
        };
        match outcome {
            Ok(content) => prop_assert_eq!(content, CONTENT),
            Err((kind, causes)) => prop_assert!(
                !(all && messages.iter().all(harmless)),
                "refused as {:?}: {}", kind, causes
            ),
        }
    }
}
