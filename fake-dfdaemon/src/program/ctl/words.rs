//! The words of `ctl`, as they are typed.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::settings::setting;
use crate::program::values;

#[derive(Debug, Subcommand)]
pub(super) enum Word {
    /// Show version, release, number of hosts and fault seed
    #[command(after_help = "Example:\n  fake-dfdaemon ctl health")]
    Health,
    /// Show the hosts; stop or start one, or let it leave
    #[command(
        after_help = "Examples:\n  fake-dfdaemon ctl hosts\n  fake-dfdaemon ctl hosts stop host-1"
    )]
    Hosts {
        #[command(subcommand)]
        word: Option<HostWord>,
    },
    /// Show all tasks or one; remove one from all hosts
    #[command(args_conflicts_with_subcommands = true)]
    #[command(
        after_help = "Examples:\n  fake-dfdaemon ctl tasks --lacking\n  fake-dfdaemon ctl tasks --text nightly --host host-1\n  fake-dfdaemon ctl tasks 1572644798\n  fake-dfdaemon ctl tasks delete 1572644798"
    )]
    Tasks {
        /// The task to show
        id: Option<String>,
        /// Only tasks that lack persistent replicas
        #[arg(long, conflicts_with = "id")]
        lacking: bool,
        /// Only tasks whose id, tag or application contains TEXT
        #[arg(long, conflicts_with = "id")]
        text: Option<String>,
        /// Only tasks that this host has a replica of, or a part
        #[arg(long, conflicts_with = "id")]
        host: Option<String>,
        #[command(subcommand)]
        word: Option<TaskWord>,
    },
    /// Show the time, or move a manual clock
    #[command(
        after_help = "Examples:\n  fake-dfdaemon ctl clock\n  fake-dfdaemon ctl clock advance 2h"
    )]
    Clock {
        #[command(subcommand)]
        word: Option<ClockWord>,
    },
    /// Wait until all replication, collection and eviction that is due has ended
    #[command(after_help = "Example:\n  fake-dfdaemon ctl settle")]
    Settle,
    /// Collect expired tasks now
    #[command(after_help = "Example:\n  fake-dfdaemon ctl gc")]
    Gc,
    /// Show the faults, add or remove some
    #[command(
        after_help = "Examples:\n  fake-dfdaemon ctl faults --watch\n  fake-dfdaemon ctl faults add 'export@call=2,piece=3:error=UNAVAILABLE'"
    )]
    Faults {
        #[command(subcommand)]
        word: Option<FaultWord>,
    },
    /// Show calls that have ended or still run; count them, wait for them, or clear the journal
    #[command(args_conflicts_with_subcommands = true)]
    #[command(
        after_help = "Examples:\n  fake-dfdaemon ctl journal --rpc stat --status NOT_FOUND\n  fake-dfdaemon ctl journal --follow --host host-1\n  fake-dfdaemon ctl journal wait --rpc export --count 2"
    )]
    Journal {
        #[command(flatten)]
        which: Box<Which>,
        /// At most N calls
        #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = values::number::<u64>)]
        limit: Option<u64>,
        /// Calls that have not ended
        #[arg(long)]
        running: bool,
        /// Show each call as it ends, from now on
        #[arg(long, conflicts_with_all = ["limit", "running", "after"])]
        follow: bool,
        #[command(subcommand)]
        word: Option<JournalWord>,
    },
    /// Show or change the settings that can change while the daemon runs
    #[command(
        after_help = "Examples:\n  fake-dfdaemon ctl settings\n  fake-dfdaemon ctl settings capacity=1gib max_requests=none block=import:tag=x"
    )]
    Settings {
        /// Such as `capacity=1gib`, `max_requests=none` or `block=import:tag=x`
        #[arg(value_name = "NAME=VALUE", value_parser = setting)]
        change: Vec<(String, String)>,
    },
    /// Show the snapshots; take a snapshot of tasks, hosts and clock, restore or remove one
    #[command(
        after_help = "Examples:\n  fake-dfdaemon ctl snapshots take before\n  fake-dfdaemon ctl snapshots restore before"
    )]
    Snapshots {
        #[command(subcommand)]
        word: Option<SnapshotWord>,
    },
    /// Print the address of the daemon's page, and open it where there is a desktop
    #[command(after_help = "Example:\n  fake-dfdaemon ctl open")]
    Open,
    /// Return to the state after the start; snapshots stay
    #[command(after_help = "Example:\n  fake-dfdaemon ctl reset")]
    Reset,
}

#[derive(Debug, Subcommand)]
pub(super) enum HostWord {
    /// Close its sockets; its replicas still count
    #[command(after_help = "Example:\n  fake-dfdaemon ctl hosts stop host-1")]
    Stop { name: String },
    /// Undo a stop or a leave
    #[command(after_help = "Example:\n  fake-dfdaemon ctl hosts start host-1")]
    Start { name: String },
    /// Stop it and remove it from the scheduler: its replicas no longer count
    #[command(after_help = "Example:\n  fake-dfdaemon ctl hosts leave host-1")]
    Leave { name: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum TaskWord {
    /// Remove a task from all hosts
    #[command(after_help = "Example:\n  fake-dfdaemon ctl tasks delete 1572644798")]
    Delete { id: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum ClockWord {
    /// Move the clock forward, for example by `2h`
    #[command(after_help = "Example:\n  fake-dfdaemon ctl clock advance 2h")]
    Advance {
        // A step back is the daemon's to refuse, in words.
        #[arg(allow_hyphen_values = true)]
        by: String,
    },
    /// Set the clock to a time in RFC 3339
    #[command(after_help = "Example:\n  fake-dfdaemon ctl clock set 2030-01-02T03:04:05Z")]
    Set { to: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum FaultWord {
    /// Add a fault: `ON[@KEY=VALUE,…]:DO[=ARG]`, or JSON
    #[command(
        after_help = "Examples:\n  fake-dfdaemon ctl faults add 'stat@host=host-1,times=3:delay=200ms..2s'\n  fake-dfdaemon ctl faults add '{\"on\":\"list\",\"do\":{\"reset\":true}}'"
    )]
    Add { spec: String },
    /// Remove a fault
    #[command(after_help = "Example:\n  fake-dfdaemon ctl faults delete 1")]
    Delete { id: String },
    /// Remove every fault
    #[command(after_help = "Example:\n  fake-dfdaemon ctl faults clear")]
    Clear,
}

/// Which calls are meant.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// Only calls of this kind, such as `import`
    #[arg(long)]
    rpc: Option<String>,
    /// Only calls with this status, such as `NOT_FOUND`
    #[arg(long)]
    status: Option<String>,
    /// Only calls for this task
    #[arg(long)]
    task: Option<String>,
    /// Only calls to this host
    #[arg(long)]
    host: Option<String>,
    /// Only calls with a number above this one
    #[arg(long, allow_hyphen_values = true, value_name = "CALL", value_parser = values::number::<u64>)]
    after: Option<u64>,
}

impl Which {
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let fields = [
            ("rpc", text(&self.rpc)),
            ("status", text(&self.status)),
            ("task", text(&self.task)),
            ("host", text(&self.host)),
            ("after", self.after.map(Value::from)),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

impl Which {
    /// Whether a call is one of them.
    pub(super) fn matches(&self, call: &Value) -> bool {
        let is = |wanted: &Option<String>, place: &str| {
            let got = call.pointer(place).and_then(Value::as_str);
            wanted.is_none() || wanted.as_deref() == got
        };
        is(&self.rpc, "/rpc")
            && is(&self.status, "/status/code")
            && is(&self.task, "/request/task_id")
            && is(&self.host, "/host")
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum JournalWord {
    /// Count the calls that have ended
    #[command(after_help = "Example:\n  fake-dfdaemon ctl journal count --rpc export --status OK")]
    Count {
        #[command(flatten)]
        which: Box<Which>,
    },
    /// Wait until calls have ended, and show them
    #[command(
        after_help = "Example:\n  fake-dfdaemon ctl journal wait --rpc stat --task 1572644798 --count 2 --timeout 10s"
    )]
    Wait {
        #[command(flatten)]
        which: Box<Which>,
        /// How many calls [default: 1]
        #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = values::number::<u64>)]
        count: Option<u64>,
        /// How long to wait at most [default: 30s]
        #[arg(long, value_name = "DURATION")]
        timeout: Option<String>,
    },
    /// Clear the journal
    #[command(after_help = "Example:\n  fake-dfdaemon ctl journal clear")]
    Clear,
}

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotWord {
    /// Take a snapshot under a name
    #[command(after_help = "Example:\n  fake-dfdaemon ctl snapshots take before")]
    Take { name: String },
    /// Restore a snapshot
    #[command(after_help = "Example:\n  fake-dfdaemon ctl snapshots restore before")]
    Restore { name: String },
    /// Remove a snapshot
    #[command(after_help = "Example:\n  fake-dfdaemon ctl snapshots delete before")]
    Delete { name: String },
}
