//! The client, when whatever listens at the endpoint sends arbitrary bytes.

use std::convert::Infallible;

use dfcache::{Client, ErrorKind, ExportMode, ExportRequest, Result, TaskId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::Target;
use crate::stage::{OLD, Stage, is_told};

/// The first byte picks what is asked for, and whether the daemon waits until it is asked; the
/// others are what it sends.
#[derive(Debug, Default)]
pub struct ClientBytes {
    stage: Stage,
}

impl Target for ClientBytes {
    const NAME: &str = "client_bytes";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let Some((operation, answer)) = input.split_first() else {
            return false;
        };
        let stage = &self.stage;
        let (old, at_once) = (operation & 8 != 0, operation & 16 != 0);
        stage.set_output(old);
        let asked = async {
            let asked = self.ask(operation % 8, old).await;
            if let Err(error) = &asked {
                is_told(error);
            }
            asked
        };
        let asked = stage.run(async {
            tokio::select! {
                asked = asked => asked,
                never = self.answer_all(at_once, answer) => match never {},
            }
        });
        let left = stage.take_output();
        match asked {
            Ok(Some(length)) => assert_eq!(left.map(|left| left.len() as u64), Some(length)),
            _ => assert_eq!(left.as_deref(), old.then_some(OLD)),
        }
        // Else it was no answer.
        asked.map_or_else(|error| error.kind() != ErrorKind::Unavailable, |_| true)
    }
}

impl ClientBytes {
    /// Asks for something; answers the length of the file that is said to have been written.
    async fn ask(&self, operation: u8, old: bool) -> Result<Option<u64>> {
        let client = Client::connect(&self.stage.endpoint).await?;
        let task_id = TaskId::try_from("7")?;
        let mode = match operation {
            0 => {
                client.stat(&task_id).await?;
                return Ok(None);
            }
            1 => {
                client.list().await?;
                return Ok(None);
            }
            2 => {
                let source = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
                client.import(source).await?;
                return Ok(None);
            }
            3 => {
                client.export_to_writer(task_id, Vec::new()).await?;
                return Ok(None);
            }
            4 => ExportMode::ByPath,
            _ => ExportMode::ByTransfer,
        };
        let request = ExportRequest::new(task_id).mode(mode).overwrite(old);
        let output = self.stage.output();
        let exported = client.export_to_path(request, output).await?;
        Ok(Some(exported.content_length))
    }

    /// Answers every connection alike: a transfer has one of its own.
    async fn answer_all(&self, at_once: bool, answer: &[u8]) -> Infallible {
        loop {
            let (connection, _) = self.stage.listener.accept().await.unwrap();
            tokio::spawn(answer_one(connection, at_once, answer.to_vec()));
        }
    }
}

/// Sends it all and nothing more; listens until the client is gone, which it may be at any time.
async fn answer_one(
    mut connection: UnixStream,
    at_once: bool,
    answer: Vec<u8>,
) -> std::io::Result<()> {
    if !at_once {
        hear_request(&mut connection).await?;
    }
    connection.write_all(&answer).await?;
    connection.shutdown().await?;
    let mut heard = [0; 4096];
    while connection.read(&mut heard).await? > 0 {}
    Ok(())
}

/// What a client sends first.
const PREFACE: usize = 24;

/// Reads HTTP/2 until a request has come as a whole: answers to none are refused early.
async fn hear_request(connection: &mut UnixStream) -> std::io::Result<()> {
    let (data, end_of_stream) = (0, 1);
    connection.read_exact(&mut [0; PREFACE]).await?;
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        connection.read_exact(&mut payload).await?;
        if head[3] == data && head[4] & end_of_stream != 0 {
            return Ok(());
        }
    }
}
