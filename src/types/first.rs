//! The first of two futures to end. With the `select!` of tokio, a user of the library would compile its procedural macros.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// What ended first.
pub(crate) enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for one of both, and drops the other. Where both have ended it is the left one.
pub(crate) async fn first<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| {
        if let Poll::Ready(ended) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(ended));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn the_first_to_end_is_told_and_the_left_one_of_both() {
        assert!(matches!(
            first(ready(1), pending::<()>()).await,
            First::Left(1)
        ));
        assert!(matches!(
            first(pending::<()>(), ready(2)).await,
            First::Right(2)
        ));
        assert!(matches!(first(ready(1), ready(2)).await, First::Left(1)));
    }

    #[tokio::test]
    async fn what_is_lent_goes_on_after_the_other_one() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut slow = pin!(receiver);
        assert!(matches!(
            first(&mut slow, ready(())).await,
            First::Right(())
        ));
        sender.send(7).unwrap();
        assert_eq!(slow.await, Ok(7));
    }
}
