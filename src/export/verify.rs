//! Whether a file on this side is the content that a task's id was made from.

use std::fs::{File, OpenOptions};
use std::io;
#[cfg(feature = "cli")]
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use tokio::sync::watch;

use super::Progress;
use crate::client::Client;
use crate::content::thread::{finished, on_thread};
use crate::content::{ContentCheck, ContentReader, IdCheck};
use crate::types::attempt::Attempt;
use crate::types::error::{Error, Result};
use crate::types::options::{TaskId, ValueError};
use crate::types::remedy::Remedy;
use crate::types::task::Task;

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 1 << 20;

/// A file that is the content of a task.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model.bin");
/// # let copy = directory.path().join("copy.bin");
/// # std::fs::write(&model, "content")?;
/// # let client = dfcache::Client::connect(daemon.endpoint()).await?;
/// # let imported = client.import(&model).await?;
/// let verified = client.verify(&imported.task.task_id, &model).await?;
/// assert_eq!(verified.path, model);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verified {
    /// The file's absolute path.
    pub path: PathBuf,
    /// The task.
    pub task: Task,
}

impl Client {
    /// Checks that the file at `path` is the content that the id of a task was made from. The daemon
    /// is asked for the task's tag, application and piece length; the content is read on this side.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`](crate::ErrorKind::Integrity) if it is not, or if the id was made from a text,
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such task, [`ErrorKind::LocalFile`](crate::ErrorKind::LocalFile) if the
    /// file cannot be read, and the errors of the connection.
    pub async fn verify<I>(&self, task_id: I, path: impl AsRef<Path>) -> Result<Verified>
    where
        I: TryInto<TaskId>,
        ValueError: From<I::Error>,
    {
        let task_id = task_id.try_into().map_err(ValueError::from)?;
        let attempt = Attempt::Verify(task_id.clone());
        let verified = self.verify_with_progress(&task_id, path.as_ref(), None);
        self.bounded(None, attempt, verified).await
    }

    pub(crate) async fn verify_with_progress(
        &self,
        task_id: &TaskId,
        path: &Path,
        progress: Option<watch::Sender<Progress>>,
    ) -> Result<Verified> {
        let verified = async {
            let path = std::path::absolute(path).map_err(|source| cannot_read(path, source))?;
            let opened = path.clone();
            let file = finished(on_thread("open", move || open(&opened))?).await?;
            let task = self.stat(task_id).await?;
            let (file, length) = file;
            if length != task.content_length {
                let name = path.display().to_string();
                return Err(other_length(&name, length, task.content_length));
            }
            let read = path.clone();
            let hash = move |check, goes_on: GoesOn<'_>| hash_file(&file, check, &read, goes_on);
            verify_by(hash, &task, progress).await?;
            Ok(Verified { path, task })
        };
        verified
            .await
            .map_err(|error: Error| error.within(Attempt::Verify(task_id.clone())))
    }

    /// The same for what a reader gives, which is called standard input in errors. The daemon is asked
    /// before anything is read.
    #[cfg(feature = "cli")]
    pub(crate) async fn verify_reader_with_progress(
        &self,
        task_id: &TaskId,
        reader: impl Read + Send + 'static,
        progress: Option<watch::Sender<Progress>>,
    ) -> Result<Verified> {
        let verified = async {
            let task = self.stat(task_id).await?;
            let length = task.content_length;
            let hash =
                move |check, goes_on: GoesOn<'_>| hash_reader(reader, check, length, goes_on);
            verify_by(hash, &task, progress).await?;
            let path = PathBuf::from("-");
            Ok(Verified { path, task })
        };
        verified
            .await
            .map_err(|error: Error| error.within(Attempt::Verify(task_id.clone())))
    }
}

/// Is called with the number of bytes read so far. Whether to go on.
pub(crate) type GoesOn<'a> = &'a dyn Fn(u64) -> bool;

/// Hashes content on a thread of its own, which ends when this future is dropped.
async fn verify_by(
    hash: impl FnOnce(ContentCheck, GoesOn<'_>) -> Result<()> + Send + 'static,
    task: &Task,
    progress: Option<watch::Sender<Progress>>,
) -> Result<()> {
    let check = ContentCheck::of_id(IdCheck::of(task)?);
    let length = task.content_length;
    let wanted = Arc::new(());
    let still_wanted = Arc::downgrade(&wanted);
    let goes_on = move |received| {
        if let Some(progress) = &progress {
            progress.send_replace(Progress {
                content_length: Some(length),
                received,
            });
        }
        // Dropped with this call.
        still_wanted.strong_count() > 0
    };
    let hashed = on_thread("hash", move || hash(check, &goes_on))?;
    finished(hashed).await?;
    drop(wanted);
    Ok(())
}

/// Opens a regular file, and returns its length too.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let file = OpenOptions::new()
        .read(true)
        // A FIFO must not block.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|source| cannot_read(path, source))?;
    let metadata = file
        .metadata()
        .map_err(|source| cannot_read(path, source))?;
    if !metadata.is_file() {
        let error = Error::local_file(format!("cannot read {}", path.display()));
        return Err(if metadata.is_dir() {
            error
                .because("it is a directory")
                .with_remedy(Remedy::VerifyTree)
        } else {
            error.because("it is not a regular file")
        });
    }
    Ok((file, metadata.len()))
}

/// Checks the content of a file, whose path is `path`, as long as `goes_on` says so. Blocks.
pub(crate) fn hash_file(
    file: &File,
    mut check: ContentCheck,
    path: &Path,
    goes_on: GoesOn<'_>,
) -> Result<()> {
    let mut content = ContentReader::new(file, READ_LENGTH);
    let mut hashed = 0;
    while goes_on(hashed) {
        let part = content.next_part();
        let Some(bytes) = part.map_err(|source| cannot_read(path, source))? else {
            break;
        };
        check.update(bytes);
        hashed += bytes.len() as u64;
    }
    check.finish()
}

/// The same for a reader, up to the first byte that the task does not have.
#[cfg(feature = "cli")]
fn hash_reader(
    mut reader: impl Read,
    mut check: ContentCheck,
    task_length: u64,
    goes_on: GoesOn<'_>,
) -> Result<()> {
    const NAME: &str = "standard input";
    let mut buffer = vec![0; READ_LENGTH];
    let mut hashed = 0;
    while goes_on(hashed) {
        let length = match reader.read(&mut buffer) {
            Ok(0) if hashed < task_length => {
                return Err(other_length(NAME, hashed, task_length));
            }
            Ok(0) => break,
            Ok(length) => length,
            Err(source) if source.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(Error::local_file(format!("cannot read {NAME}")).because(source));
            }
        };
        hashed += length as u64;
        if hashed > task_length {
            return Err(Error::integrity(format!(
                "{NAME} has more than {task_length} bytes, the length of the task"
            )));
        }
        check.update(&buffer[..length]);
    }
    check.finish()
}

fn other_length(name: &str, length: u64, task_length: u64) -> Error {
    Error::integrity(format!(
        "{name} has {length} bytes, and the task {task_length}"
    ))
}

fn cannot_read(path: &Path, source: io::Error) -> Error {
    Error::local_file(format!("cannot read {}", path.display())).because(source)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use dfdaemon_api::common::v2::PersistentCacheTask;

    use super::*;
    use crate::client::testing::connected;
    use crate::types::error::ErrorKind;
    use testkit::{Answers, ScriptedDaemon};

    const CONTENT: &[u8] = b"This is a test file";

    /// A daemon whose tasks have `application` and the length of `CONTENT`; and what it was asked for.
    fn daemon(application: &'static str) -> (ScriptedDaemon, Arc<Mutex<u32>>) {
        let asked = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&asked);
        let daemon = ScriptedDaemon::start(Answers {
            stat: Arc::new(move |request| {
                *counted.lock().unwrap() += 1;
                Ok(PersistentCacheTask {
                    id: request.task_id.clone(),
                    application: Some(application.to_owned()),
                    content_length: CONTENT.len() as u64,
                    piece_length: 4 << 20,
                    ..PersistentCacheTask::default()
                })
            }),
            ..Answers::default()
        });
        (daemon, asked)
    }

    #[tokio::test]
    async fn the_file_of_a_task_is_proven_by_its_id_and_any_other_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let (daemon, _) = daemon("app1");
        let client = connected(&daemon).await;
        let id = "735741469";
        fs::write(&path, CONTENT).unwrap();
        let verified = client.verify(id, &path).await.unwrap();
        assert_eq!(verified.path, path);
        for other in [&b"This is a test filf"[..], &[0; 19], b"short", b""] {
            fs::write(&path, other).unwrap();
            let error = client.verify(id, &path).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{other:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused_before_the_daemon_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let (daemon, asked) = daemon("");
        let client = connected(&daemon).await;
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        for path in [
            directory.path().join("missing"),
            directory.path().to_owned(),
            fifo,
            "/dev/null".into(),
        ] {
            let error = client.verify("7", &path).await;
            assert_eq!(error.unwrap_err().kind(), ErrorKind::LocalFile, "{path:?}");
        }
        assert_eq!(*asked.lock().unwrap(), 0);
    }
}
