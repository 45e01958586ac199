//! `dfcache export`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use tokio::sync::watch;

use crate::cli::progress;
use crate::cli::report::{Outcome, path_in_json};
use crate::cli::{ExportArguments, Format, Output};
use crate::client::Client;
use crate::content::stream_failed;
use crate::error::Result;
use crate::export::{ExportMode, Progress};
use crate::output::Target;

pub(super) async fn run(arguments: &ExportArguments) -> Result<Outcome> {
    let mut request = arguments.request();
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
    if transferred {
        crate::cli::allocator::keep_for_content();
    }
    let exported = {
        let _bar = progress::wanted(!hidden).then(|| {
            let (sender, receiver) = watch::channel(Progress::default());
            request.progress = Some(sender);
            progress::bar(receiver)
        });
        let client = Client::connect(&arguments.common.connection.endpoint).await?;
        let client = client.that_may_block();
        match output {
            None => client.export_to_blocking_writer(&request, stdout()?).await,
            Some((target, mode)) => client.export(&request, target, mode).await,
        }?
    };
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
