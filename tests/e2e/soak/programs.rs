//! Clients that are processes of their own: the program as it is installed, on the first host,
//! which stays. Nothing goes wrong for them.

use std::fs;
use std::sync::Arc;

use super::{Draw, Ended, Field, HANGS, Known};
use crate::support::files::compare;
use crate::support::{Dfcache, Run};

/// A program after the other, until the end.
pub(super) async fn run(field: Arc<Field>, number: usize) {
    let mut draw = Draw(number as u64 + 10_000);
    while field.goes_on() {
        if let Err((_, why)) = round(&field, &mut draw).await {
            field.fail(format!("program {number}: {why}"));
        }
    }
}

/// Runs a command to its end; it has to succeed.
async fn succeeds(
    field: &Field,
    what: &str,
    command: Dfcache,
) -> Result<Run, (Option<dfcache::ErrorKind>, String)> {
    let running = tokio::task::spawn_blocking(|| command.run());
    let Ok(run) = tokio::time::timeout(HANGS, running).await else {
        return Err((None, format!("{what} hangs")));
    };
    let run = run.unwrap();
    if run.code() != Some(0) {
        return Err((None, run.to_string()));
    }
    field.count(format!("{what} by a program: done"));
    Ok(run)
}

/// In, a look at it, out in each way, and gone.
async fn round(field: &Field, draw: &mut Draw) -> Ended {
    let command = || field.directory.at(&field.endpoint(0));
    let content = draw.content();
    let source = field.make_source(content);
    let tag = source.to_str().unwrap();
    let import = command().args(["import", "--tag", tag]).arg(&source);
    let imported = succeeds(field, "import", import).await;
    fs::remove_file(&source).unwrap();
    let id = imported?.line();
    let known = Known { id, content };
    let stat = command().args(["stat", "--format", "json", &known.id]);
    let stat = succeeds(field, "stat", stat).await?.json();
    if stat["content_length"] != content.length {
        return Err((None, format!("{known:?} is {stat}")));
    }
    let ways: [&[&str]; 3] = [&[], &["--transfer-from-dfdaemon"], &["-"]];
    let way = ways[draw.below(ways.len())];
    let output = field.path(&format!("out-{}", field.number()));
    let export = command().args(["export", &known.id]);
    let got = if way == ["-"] {
        let run = succeeds(field, "export to a pipe", export.args(["-O", "-"])).await?;
        run.stdout_bytes().to_vec()
    } else {
        let export = export.args(way).arg("-O").arg(&output);
        succeeds(field, "export", export).await?;
        let got = fs::read(&output).unwrap();
        fs::remove_file(&output).unwrap();
        got
    };
    let same = compare(&got, field.contents.of(content));
    same.map_err(|difference| (None, format!("{known:?} differs: {difference}")))?;
    let path = format!("/tasks/{}", known.id);
    match field.control.ask("DELETE", &path, "").await {
        (200, _) => Ok(()),
        (status, body) => Err((None, format!("{path}: {status} {body}"))),
    }
}
