//! `ctl`: the control API from a shell, one command for each path.
//!
//! What was typed becomes a request; [`table`](super::table) makes lines to read of the answer.
//! Printing is the program's business.

mod connection;
mod request;
mod settings;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http_body_util::BodyExt as _;
use serde_json::Value;

use self::connection::{begin, send};
use self::request::{Request, get, query};
use self::words::Word;
use crate::call::faults::FaultError;

/// How often an answer is asked for that is watched.
const WATCHED_EVERY: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
pub(crate) struct Ctl {
    /// The daemon's control socket
    #[arg(
        long,
        value_name = "PATH",
        env = "FAKE_DFDAEMON_CONTROL",
        global = true
    )]
    control: Option<PathBuf>,

    /// How to print the answer
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true)]
    pub(crate) format: Format,

    /// Show the answer again when it has changed, until the daemon ends
    #[arg(long, global = true)]
    watch: bool,

    #[command(subcommand)]
    word: Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines to read
    Text,
    /// One line of JSON
    Json,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    #[error("no daemon was named: give its control socket with --control or FAKE_DFDAEMON_CONTROL")]
    NoSocket,
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("no fake-dfdaemon answers at {}", path.display())]
    Unreachable {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the server at {} is not a fake-dfdaemon: {source}", path.display())]
    NotJson {
        path: PathBuf,
        source: serde_json::Error,
    },
    /// The daemon refused.
    #[error("{0}")]
    Refused(String),
    #[error("--watch works only with commands that show something and change nothing")]
    NothingToWatch,
    #[error("the page has no address: start the daemon with --control-tcp 127.0.0.1:0")]
    NoPage,
    #[error("{} calls were not shown: the reader of this output is too slow", count.map_or("some".to_owned(), |n| n.to_string()))]
    Missed { count: Option<u64> },
}

impl Ctl {
    /// Asks the daemon.
    pub(crate) async fn ask(&self) -> Result<Value, CtlError> {
        self.send(self.word.request()?).await
    }

    fn socket(&self) -> Result<PathBuf, CtlError> {
        self.control.clone().ok_or(CtlError::NoSocket)
    }

    async fn send(&self, request: Request) -> Result<Value, CtlError> {
        let path = self.socket()?;
        let (status, body) =
            send(&path, request)
                .await
                .map_err(|source| CtlError::Unreachable {
                    path: path.clone(),
                    source,
                })?;
        let answer: Result<Value, _> = serde_json::from_slice(&body);
        let answer = answer.map_err(|source| CtlError::NotJson { path, source })?;
        if status.is_success() {
            return Ok(answer);
        }
        let message = answer.pointer("/error/message").and_then(Value::as_str);
        Err(CtlError::Refused(
            message.map_or_else(|| status.to_string(), str::to_owned),
        ))
    }
}

/// What to do with the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Once,
    /// Each call as it ends.
    Follow,
    /// The answer, again and again.
    Watch,
    /// The page's address.
    Open,
}

impl Ctl {
    pub(crate) fn shown(&self) -> Shown {
        match &self.word {
            Word::Journal { follow: true, .. } => Shown::Follow,
            Word::Open => Shown::Open,
            _ if self.watch => Shown::Watch,
            _ => Shown::Once,
        }
    }

    /// Shows an answer whenever it has changed, until the daemon ends.
    pub(crate) async fn watch<E: From<CtlError>>(
        &self,
        mut show: impl FnMut(&Value) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.word.request()?.method != http::Method::GET {
            return Err(CtlError::NothingToWatch.into());
        }
        let mut shown = None;
        loop {
            let answer = match self.ask().await {
                Err(CtlError::Unreachable { .. }) if shown.is_some() => return Ok(()),
                answer => answer?,
            };
            if shown.as_ref() != Some(&answer) {
                show(&answer)?;
                shown = Some(answer);
            }
            tokio::time::sleep(WATCHED_EVERY).await;
        }
    }

    /// The page's address.
    pub(crate) async fn page(&self) -> Result<String, CtlError> {
        let health = self.ask().await?;
        let address = health.get("control_tcp").and_then(Value::as_str);
        let address = address.ok_or(CtlError::NoPage)?;
        Ok(format!("http://{address}/"))
    }

    /// Shows each call that is asked for as it ends, until the daemon does.
    pub(crate) async fn follow<E: From<CtlError>>(
        &self,
        mut show: impl FnMut(&Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let Word::Journal { which, .. } = &self.word else {
            return Ok(());
        };
        // What no call can match is refused, not waited for.
        let count = get(&format!("/journal/count?{}", query(which.fields())));
        self.send(count).await?;
        let path = self.socket()?;
        let unreachable = |source| CtlError::Unreachable {
            path: path.clone(),
            source,
        };
        let response = begin(&path, get("/events?kinds=call-ended")).await;
        let mut body = response.map_err(unreachable)?.into_body();
        let mut lines = Vec::new();
        let mut is_missed = false;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| unreachable(source.into()))?;
            lines.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                let rest = lines.split_off(end + 1);
                let line = std::mem::replace(&mut lines, rest);
                is_missed |= line.starts_with(b"event: missed");
                let Some(data) = line.strip_prefix(b"data: ") else {
                    continue;
                };
                let data: Value =
                    serde_json::from_slice(data).map_err(|source| CtlError::NotJson {
                        path: path.clone(),
                        source,
                    })?;
                if is_missed {
                    let count = data.get("missed").and_then(Value::as_u64);
                    return Err(CtlError::Missed { count }.into());
                }
                if which.matches(&data) {
                    show(&data)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
