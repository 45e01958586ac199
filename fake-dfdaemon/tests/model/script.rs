//! A case as a shell script: what it does to the fake's library, done by commands.
//!
//! It says a line a step, and in the end what tasks and hosts there are.

use std::fmt::Write as _;

use fake_dfdaemon::Release;

use crate::model::expected::{GC_INTERVAL, REPLICATION_DELAY, START};
use crate::model::files::{CAPACITY, LENGTHS, NAMES, TOO_BIG, first_number, name};
use crate::model::ops::{Case, Fault, HOSTS, On, Op, What};

/// The script of a case. It works in a directory of its own, which it removes.
pub(crate) fn of(case: &Case) -> String {
    let mut script = head(case);
    for (number, op) in case.ops.iter().enumerate() {
        let command = command(case, op);
        writeln!(script, "step {number} {command}").unwrap();
    }
    script + TAIL
}

fn head(case: &Case) -> String {
    let mut head = format!(
        r#"#!/bin/sh
# dfcache and fake-dfdaemon are in PATH.
work=$(mktemp -d) && cd "$work" || exit 1
trap 'kill $daemon 2>/dev/null; cd / && rm -rf "$work"' EXIT
mkfifo up
export FAKE_DFDAEMON_CONTROL=state/control.sock HOME="$work"
for command in IMPORT EXPORT; do export DFCACHE_${{command}}_LOG_MAX_FILES=0; done
ctl() {{ fake-dfdaemon ctl "$@"; }}
serve() {{
    fake-dfdaemon serve --state-dir state --hosts {HOSTS} --dfdaemon-version {release} \
        --capacity {CAPACITY}B --gc-interval {GC_INTERVAL}s --replication-delay {REPLICATION_DELAY}s --clock "manual=$1" >up &
    daemon=$!
    read -r _ <up # the line that says that it is ready
}}
restart() {{
    now=$(ctl clock | sed -n 's/^now *//p')
    kill $daemon && wait $daemon
    serve "$now"
}}
import() {{ host=$1; shift; dfcache import --endpoint "state/host-$host.sock" "$@"; }}
export_to_path() {{ dfcache export --endpoint "state/host-$1.sock" -O out "$2"; }}
export_stream() {{ dfcache export --endpoint "state/host-$1.sock" -O out --transfer-from-dfdaemon "$2"; }}
move() {{ # seconds, which may be negative
    now=$(date -u -d "$(ctl clock | sed -n 's/^now *//p')" +%s)
    ctl clock set "$(date -u -d "@$((now + $1))" +%Y-%m-%dT%H:%M:%SZ)"
}}
which_file() {{ # that an export has brought
    [ -e out ] || return
    for file in file-*; do cmp -s out $file && echo " $file"; done
    rm out
}}
step() {{
    number=$1; shift
    "$@" >/dev/null 2>said
    echo "step $number: exit $?$(which_file)"
    sed 's/^/    /' said >&2
    ctl settle >/dev/null
}}
"#,
        release = case.release,
    );
    for (file, length) in LENGTHS.into_iter().enumerate() {
        let (name, first) = (name(file), first_number(file));
        if file == TOO_BIG {
            writeln!(head, "truncate -s {length} {name}").unwrap();
        } else {
            writeln!(
                head,
                "seq {first} 9999999 2>/dev/null | head -c {length} > {name}"
            )
            .unwrap();
        }
    }
    let start = jiff::Timestamp::from_second(START).unwrap();
    writeln!(head, "serve {start}").unwrap();
    head
}

const TAIL: &str = "ctl --format json tasks\nctl --format json hosts\n";

/// What a step does, as words of the script.
fn command(case: &Case, op: &Op) -> String {
    match op {
        Op::Import {
            host,
            file,
            name: id_of,
            ttl,
            replicas,
        } => {
            let id_of = id_of.map_or(String::new(), |name| {
                format!("--content-for-calculating-task-id {} ", NAMES[name])
            });
            format!(
                "import {host} {id_of}--ttl {ttl}s --persistent-replica-count {replicas} {}",
                name(*file)
            )
        }
        Op::Export {
            host,
            task,
            persistent,
            to_path,
        } => {
            let how = if *to_path {
                "export_to_path"
            } else {
                "export_stream"
            };
            let id = task.id(case.release);
            // dfcache never asks for that, but the scheduler does.
            let kept = if *persistent {
                " # and with persistent: true, which no command says"
            } else {
                ""
            };
            format!("{how} {host} {id}{kept}")
        }
        Op::Move(seconds) => format!("move {seconds}"),
        Op::Stop(host) => format!("ctl hosts stop host-{host}"),
        Op::Start(host) => format!("ctl hosts start host-{host}"),
        Op::Leave(host) => format!("ctl hosts leave host-{host}"),
        Op::Delete(task) => format!("ctl tasks delete {}", task.id(case.release)),
        Op::Collect => "ctl gc".to_owned(),
        Op::Restart => "restart".to_owned(),
        Op::Fault(fault) => format!("ctl faults add '{}'", spec(case.release, fault)),
        Op::ClearFaults => "ctl faults clear".to_owned(),
        Op::Snapshot(number) => format!("ctl snapshots take s{number}"),
        Op::Restore(number) => format!("ctl snapshots restore s{number}"),
        Op::Reset => "ctl reset".to_owned(),
    }
}

/// A fault in the grammar of the command line.
pub(crate) fn spec(release: Release, Fault { on, call, what }: &Fault) -> String {
    let on_host =
        |host: Option<usize>| host.map_or(String::new(), |host| format!("host=host-{host},"));
    let (rpc, only) = match on {
        On::Import(host) => ("import", on_host(*host)),
        On::Export(host) => ("export", on_host(*host)),
        On::Replicate(task) => ("replicate", format!("task={},", task.id(release))),
    };
    let action = match what {
        What::Error | What::ErrorAfter => "error=UNAVAILABLE",
        What::NoSpace => "no_space",
        What::DiskError => "disk_error",
        What::TornWrite => "torn_write",
    };
    let phase = match what {
        What::ErrorAfter => ",phase=after",
        _ => "",
    };
    format!("{rpc}@{only}call={call}{phase}:{action}")
}
