//! Answers that are long lists. They are made in parts, each off the asynchronous runtime and only when the
//! part before it was sent: neither memory nor the delay of other requests depends on their length.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::answer::ApiError;
use crate::call::journal::Readers;

/// How long a part gets, in bytes, before it is sent.
const PART: usize = 64 << 10;

/// A field beside a list.
pub(super) type Field = (&'static str, Value);

/// Answers with an object that has the list `name` of `items`, and then perhaps other fields. Making
/// an item may block; `readers` are the threads for it, if it may hang.
pub(super) async fn list<T: Serialize>(
    name: &'static str,
    items: impl Iterator<Item = io::Result<T>> + Send + 'static,
    fields: impl FnOnce() -> Vec<Field> + Send + 'static,
    readers: Option<Readers>,
) -> Result<Response, ApiError> {
    let making = Making {
        readers,
        items,
        fields,
        text: format!("{{{}:[", Value::from(name)).into(),
        comma: "",
    };
    // An early error is an answer of its own; a later one breaks the answer off.
    let (first, rest) = making.go_on().await.map_err(|e| ApiError::internal(&e))?;
    let json = [(CONTENT_TYPE, "application/json")];
    if rest.is_none() {
        // Its length is known, so that clients which cannot decode chunks can read it.
        return Ok((json, first).into_response());
    }
    let first = stream::once(async move { Ok(first) });
    let rest = stream::try_unfold(rest, |making| async move {
        match making {
            Some(making) => making.go_on().await.map(Some),
            None => Ok::<_, io::Error>(None),
        }
    });
    Ok((json, Body::from_stream(first.chain(rest))).into_response())
}

/// A list that is not complete yet.
struct Making<I, F> {
    readers: Option<Readers>,
    items: I,
    fields: F,
    /// What has not been sent.
    text: Vec<u8>,
    /// What comes before the next item.
    comma: &'static str,
}

impl<T, I, F> Making<I, F>
where
    T: Serialize,
    I: Iterator<Item = io::Result<T>> + Send + 'static,
    F: FnOnce() -> Vec<Field> + Send + 'static,
{
    /// The next part, and what follows it, if anything does.
    async fn go_on(self) -> io::Result<(Bytes, Option<Self>)> {
        match self.readers.clone() {
            Some(readers) => readers.run(move || self.part()).await?,
            None => spawn_blocking(move || self.part())
                .await
                .map_err(io::Error::other)?,
        }
    }

    fn part(mut self) -> io::Result<(Bytes, Option<Self>)> {
        while let Some(item) = self.items.next() {
            self.text.extend_from_slice(self.comma.as_bytes());
            self.comma = ",";
            serde_json::to_writer(&mut self.text, &item?)?;
            if self.text.len() >= PART {
                let part = std::mem::take(&mut self.text);
                return Ok((part.into(), Some(self)));
            }
        }
        self.text.push(b']');
        for (name, value) in (self.fields)() {
            let field = format!(",{}:{value}", Value::from(name));
            self.text.extend_from_slice(field.as_bytes());
        }
        self.text.push(b'}');
        Ok((self.text.into(), None))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn collected<T: Serialize>(
        items: impl Iterator<Item = io::Result<T>> + Send + 'static,
        field: Option<Field>,
    ) -> Result<Value, axum::Error> {
        let answer = list("items", items, move || field.into_iter().collect(), None)
            .await
            .unwrap();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
        Ok(serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_list_of_any_length_is_told_whole() {
        let items = |count: usize| (0..count).map(|n| Ok(n.to_string().repeat(50)));
        for count in [0, 1, 2, 10_000] {
            let expected: Vec<_> = items(count).map(Result::unwrap).collect();
            let collected = collected(items(count), None).await.unwrap();
            assert_eq!(collected, json!({ "items": expected }));
        }
        let collected = collected(items(1), Some(("lost", json!(3)))).await.unwrap();
        assert_eq!(collected, json!({"items": ["0".repeat(50)], "lost": 3}));
    }

    #[tokio::test]
    async fn an_error_is_told_at_once_or_breaks_the_answer_off() {
        let failed = || Err::<String, _>(io::Error::other("broken"));
        list("items", [failed()].into_iter(), Vec::new, None)
            .await
            .unwrap_err();
        let late = [Ok("x".repeat(PART)), failed()].into_iter();
        collected(late, None).await.unwrap_err();
    }

    /// What nobody takes is not made.
    #[tokio::test]
    async fn a_list_is_made_as_it_is_taken() {
        let made = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&made);
        let items = std::iter::repeat_with(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok("x".repeat(1 << 10))
        });
        let endless = list("items", items, Vec::new, None).await.unwrap();
        let mut parts = endless.into_body().into_data_stream();
        for part in 1..=10 {
            assert!(parts.next().await.unwrap().unwrap().len() < PART + (2 << 10));
            let made = made.load(std::sync::atomic::Ordering::Relaxed);
            assert!(made <= part * 64, "{made} items for {part} parts");
        }
    }
}
