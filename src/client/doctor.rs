//! What is wrong between this side and a daemon: one check after the other, each with what to do.

use std::future::Future;
use std::os::unix::fs::FileTypeExt as _;
use std::time::Duration;

use dfdaemon_api::dfdaemon::v2::StatPersistentCacheTaskRequest;
use tokio::time::timeout;

use crate::client::Client;
use crate::types::endpoint::Endpoint;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::remedy::Remedy;
use crate::wire::grpc::{Code, Status};
use crate::wire::status::{self, Operation};

/// How long the daemon may take for one answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// An id that no task has: neither a number nor a hash.
const NO_TASK: &str = "dfcache-doctor";

/// One check of [`diagnose`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let endpoint = dfcache::Endpoint::new(daemon.endpoint())?;
/// let (checks, _) = dfcache::diagnose(&endpoint).await;
/// let failed: Vec<_> = checks.iter().filter(|check| check.result.is_err()).collect();
/// assert!(failed.is_empty(), "{failed:?}");
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Check {
    /// The name of the check, in snake case.
    pub name: &'static str,
    /// The finding, or what is wrong.
    pub result: Result<String>,
}

impl Check {
    pub(crate) fn new(name: &'static str, result: Result<String>) -> Self {
        Self { name, result }
    }
}

/// Checks the daemon at `endpoint`. Checks that depend on a failed one are left out. A client is
/// returned if there is a connection.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let endpoint = dfcache::Endpoint::new(daemon.endpoint())?;
/// let (checks, client) = dfcache::diagnose(&endpoint).await;
/// assert!(client.is_some());
/// for check in &checks {
///     match &check.result {
///         Ok(found) => println!("{}: {found}", check.name),
///         Err(error) => println!("{}: {error}: {:?}", check.name, error.remedy()),
///     }
/// }
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
pub async fn diagnose(endpoint: &Endpoint) -> (Vec<Check>, Option<Client>) {
    let mut checks = vec![Check::new("endpoint", socket(endpoint))];
    if checks[0].result.is_err() {
        return (checks, None);
    }
    let connected = answer(Client::connect(endpoint)).await;
    let client = match connected.and_then(|connected| connected) {
        Ok(client) => client,
        Err(error) => {
            checks.push(Check::new("connection", Err(error)));
            return (checks, None);
        }
    };
    let user = client.daemon_user().await.ok().flatten();
    let user = user.map_or("a process".to_owned(), |user| format!("user {user}"));
    checks.push(Check::new("connection", Ok(format!("{user} listens"))));
    let request = StatPersistentCacheTaskRequest {
        task_id: NO_TASK.to_owned(),
        remote_ip: None,
    };
    let service = match client.service().await {
        Ok(service) => service,
        Err(error) => {
            checks.push(Check::new("answer", Err(error)));
            return (checks, Some(client));
        }
    };
    let stat = answer(service.stat(&request)).await;
    let stat = stat.and_then(|answer| match answer {
        Ok(_) => Err(Error::integrity(
            "dfdaemon answers about a task that does not exist",
        )),
        Err(status) => Ok(status),
    });
    let status = match stat {
        Ok(status) => status,
        Err(error) => {
            checks.push(Check::new("answer", Err(error)));
            return (checks, Some(client));
        }
    };
    let scheduler = scheduler(&status);
    let answers = match &scheduler {
        None => Err(no_answer(&status)),
        Some(_) => Ok("dfdaemon answers".to_owned()),
    };
    checks.push(Check::new("answer", answers));
    if let Some(scheduler) = scheduler {
        let lists = answer(service.list()).await;
        checks.push(Check::new(
            "release",
            lists.map(|lists| release(&status, lists.is_ok())),
        ));
        checks.push(Check::new("scheduler", scheduler));
    }
    (checks, Some(client))
}

fn socket(endpoint: &Endpoint) -> Result<String> {
    let metadata = std::fs::metadata(endpoint.path()).map_err(|source| {
        let message = format!("cannot look at {endpoint}");
        let error = Error::new(ErrorKind::Unavailable, message);
        match source.kind() {
            std::io::ErrorKind::NotFound => error.because(source).with_remedy(Remedy::NameEndpoint),
            _ => error
                .because(source)
                .hint("this user must be able to search the directories above the socket"),
        }
    })?;
    if !metadata.file_type().is_socket() {
        let message = format!("{endpoint} is not a socket");
        return Err(Error::new(ErrorKind::Unavailable, message).with_remedy(Remedy::NameSocket));
    }
    let mounted = if crate::output::is_mounted(endpoint.path()) {
        "; it is mounted itself: mount its directory instead, since it goes stale when dfdaemon restarts"
    } else {
        ""
    };
    Ok(format!("{endpoint} is a socket{mounted}"))
}

async fn answer<T>(call: impl Future<Output = T>) -> Result<T> {
    timeout(ANSWERS_WITHIN, call).await.map_err(|_| {
        let message = format!(
            "dfdaemon did not answer within {}s",
            ANSWERS_WITHIN.as_secs()
        );
        Error::new(ErrorKind::Timeout, message)
            .hint("it hangs, or waits for its scheduler: look at its log, and restart it")
    })
}

/// What a question about a task that is not there tells of the scheduler; none if the question did not
/// get so far.
fn scheduler(status: &Status) -> Option<Result<String>> {
    let error = status::cause(status, Operation::Query);
    let text = error.to_string();
    let cannot = |hint: &str| {
        let message = "dfdaemon cannot ask its scheduler";
        Err(Error::new(ErrorKind::Unavailable, message)
            .because(text.clone())
            .hint(hint))
    };
    if text.contains("available schedulers not found") {
        return Some(cannot(
            "check the addresses of the manager and the scheduler in dfdaemon's configuration, and that both run",
        ));
    }
    if text.starts_with("host ") && text.ends_with(" not found") {
        return Some(cannot(
            "dfdaemon has only just started: try again in a minute",
        ));
    }
    match error.kind() {
        ErrorKind::NotFound => Some(Ok("dfdaemon reaches its scheduler".to_owned())),
        _ => None,
    }
}

fn no_answer(status: &Status) -> Error {
    let error = status::cause(status, Operation::Query);
    if status.code == Code::Unimplemented {
        return Error::new(ErrorKind::Refused, "the server has no calls for tasks")
            .because(error.to_string())
            .hint("it is dfdaemon's upload socket, or another program: name the socket of dfdaemon's download server");
    }
    error
}

/// Each release words the errors of its scheduler in its own way.
fn release(status: &Status, lists: bool) -> String {
    let release = if status.message.contains("code: '") {
        "1.5"
    } else {
        "0.2"
    };
    let lists = if lists {
        ""
    } else {
        ", and cannot list its tasks"
    };
    format!("dfdaemon answers like release {release}{lists}")
}
