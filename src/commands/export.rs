//! `dfcache export`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use tokio::sync::watch;

use crate::cli::{ExportArguments, Format, Output};
use crate::client::Client;
use crate::content::stream_failed;
use crate::error::Result;
use crate::export::{ExportMode, Progress};
use crate::operation;
use crate::output_file::Target;
use crate::progress;
use crate::report::{Outcome, path_in_json};

pub(super) fn run(arguments: &ExportArguments) -> Result<Outcome> {
    let mut request = arguments.request();
    let failure = format!("cannot export task {}", request.task_id);
    // Checked before there is a connection.
    let output = match arguments.output() {
        Output::Stdout => None,
        Output::File {
            path,
            mode,
            overwrite,
        } => {
            let target = Target::check(&path, overwrite)?;
            if arguments.common.output.format == Format::Json {
                // Said afterwards, it would be a failure that has replaced the file.
                path_in_json(target.path())?;
            }
            Some((target, mode))
        }
    };
    let hidden = arguments.no_progress || arguments.common.logs.on_stderr();
    let transferred = !matches!(
        output,
        Some((_, ExportMode::ByPath | ExportMode::ByHardLink))
    );
    let endpoint = arguments.common.connection.endpoint.clone();
    let operation = async move || {
        let _bar = if progress::wanted(!hidden) {
            let (sender, receiver) = watch::channel(Progress::default());
            request.progress = Some(sender);
            Some(progress::bar(receiver))
        } else {
            None
        };
        let client = Client::connect(&endpoint).await?.that_may_block();
        match output {
            None => client.export_to_blocking_writer(&request, stdout()?).await,
            Some((target, mode)) => client.export(&request, target, mode).await,
        }
    };
    let exported = if transferred {
        operation::run_apart(&failure, arguments.timeout, operation)
    } else {
        // A thread would take longer to start than this does.
        operation::run(&failure, arguments.timeout, operation())
    }?;
    Ok(Outcome::Exported {
        task_id: arguments.request().task_id,
        exported,
        transferred,
        digest: arguments.digest().cloned(),
    })
}

/// Standard output without the line buffer of `std::io::Stdout`, which would cut pieces in two.
fn stdout() -> Result<File> {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    Ok(File::from(stdout.map_err(stream_failed)?))
}
