//! The control API of a fake in a process of its own.

use std::path::PathBuf;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::HANGS;

pub(super) struct Control(PathBuf);

impl Control {
    pub(super) fn at(socket: PathBuf) -> Self {
        Self(socket)
    }

    /// Status and body.
    pub(super) async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answered = tokio::time::timeout(HANGS, self.exchange(method, path, body)).await;
        let answer = answered.unwrap_or_else(|_| panic!("{method} {path} hangs"));
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    async fn exchange(&self, method: &str, path: &str, body: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&self.0).await?;
        let length = body.len();
        // Of HTTP/1.0, so that a long answer is not sent in chunks.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The ids of all tasks.
    pub(super) async fn tasks(&self) -> Vec<String> {
        let (_, body) = self.ask("GET", "/tasks", "").await;
        let tasks = body["tasks"].as_array().unwrap();
        let ids = tasks.iter().map(|task| task["task_id"].as_str().unwrap());
        ids.map(ToOwned::to_owned).collect()
    }
}
