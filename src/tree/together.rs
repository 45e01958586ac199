//! Runs futures side by side on one thread, up to the first error. A dependency for this would be two crates.

use std::future::poll_fn;
use std::task::Poll;

/// Does everything, or ends with the first error and drops the rest.
pub(super) async fn together<E>(
    work: impl IntoIterator<Item = impl Future<Output = Result<(), E>>>,
) -> Result<(), E> {
    let mut running: Vec<_> = work.into_iter().map(Box::pin).collect();
    poll_fn(|context| {
        let mut failed = None;
        running.retain_mut(|work| match work.as_mut().poll(context) {
            Poll::Ready(Err(error)) => {
                failed.get_or_insert(error);
                false
            }
            done => done.is_pending(),
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if running.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn all_of_it_is_done_side_by_side() {
        let started = Cell::new(0);
        let work = |_| async {
            started.set(started.get() + 1);
            while started.get() < 3 {
                yield_now().await;
            }
            Ok::<_, ()>(())
        };
        assert_eq!(together((0..3).map(work)).await, Ok(()));
        assert_eq!(together((0..0).map(work)).await, Ok(()));
    }

    #[tokio::test]
    async fn an_error_ends_it() {
        let work = |number| async move {
            if number != 1 {
                pending::<()>().await;
            }
            Err::<(), _>(number)
        };
        assert_eq!(together((0..3).map(work)).await, Err(1));
    }
}
