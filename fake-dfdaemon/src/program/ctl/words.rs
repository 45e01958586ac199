//! The words of `ctl`, as they are typed.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::settings::setting;
use crate::program::values;

#[derive(Debug, Subcommand)]
pub(super) enum Word {
    /// What the daemon is
    Health,
    /// Show the hosts, or stop, start or take one out
    Hosts {
        #[command(subcommand)]
        word: Option<HostWord>,
    },
    /// Show the tasks or one of them, or remove one everywhere
    #[command(args_conflicts_with_subcommands = true)]
    Tasks {
        /// The task to show
        id: Option<String>,
        #[command(subcommand)]
        word: Option<TaskWord>,
    },
    /// Show the time, or move manual time
    Clock {
        #[command(subcommand)]
        word: Option<ClockWord>,
    },
    /// Wait until all replication, collection and eviction that is due has ended
    Settle,
    /// Collect expired tasks now
    Gc,
    /// Show the faults, add or remove some
    Faults {
        #[command(subcommand)]
        word: Option<FaultWord>,
    },
    /// Show the calls that have ended or those that run, count them, wait for some, or forget them
    #[command(args_conflicts_with_subcommands = true)]
    Journal {
        #[command(flatten)]
        which: Box<Which>,
        /// At most so many of them
        #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = values::number::<u64>)]
        limit: Option<u64>,
        /// Those that have not ended
        #[arg(long)]
        running: bool,
        /// Show each call as it ends, from now on
        #[arg(long, conflicts_with_all = ["limit", "running", "after"])]
        follow: bool,
        #[command(subcommand)]
        word: Option<JournalWord>,
    },
    /// Show the settings that can change while the daemon runs, or change some
    Settings {
        /// Such as `capacity=1gib`, `max_requests=none` or `block=import:tag=x`
        #[arg(value_name = "NAME=VALUE", value_parser = setting)]
        change: Vec<(String, String)>,
    },
    /// Show the snapshots; keep tasks, hosts and clock under a name, bring them back, or remove one
    Snapshots {
        #[command(subcommand)]
        word: Option<SnapshotWord>,
    },
    /// Print the address of the page that shows the daemon, and open it where there is a desktop
    Open,
    /// Go back to how it was after the start; snapshots stay
    Reset,
}

#[derive(Debug, Subcommand)]
pub(super) enum HostWord {
    /// Close its sockets; its replicas still count
    Stop { name: String },
    /// Undo a stop or a leave
    Start { name: String },
    /// Stop it and take it out of the cluster
    Leave { name: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum TaskWord {
    /// Remove a task everywhere
    Delete { id: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum ClockWord {
    /// Move time forward, such as by `2h`
    Advance {
        // A step back is the daemon's to refuse, in words.
        #[arg(allow_hyphen_values = true)]
        by: String,
    },
    /// Set the time, RFC 3339
    Set { to: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum FaultWord {
    /// Add a fault: `ON[@KEY=VALUE,…]:DO[=ARG]`, or JSON
    Add { spec: String },
    /// Remove a fault
    Delete { id: String },
    /// Remove every fault
    Clear,
}

/// Which calls are meant.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// Only calls of this kind, such as `import`
    #[arg(long)]
    rpc: Option<String>,
    /// Only calls that ended so, such as `NOT_FOUND`
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
    /// How many calls have ended
    Count {
        #[command(flatten)]
        which: Box<Which>,
    },
    /// Wait until calls have ended, and show them
    Wait {
        #[command(flatten)]
        which: Box<Which>,
        /// How many [default: 1]
        #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = values::number::<u64>)]
        count: Option<u64>,
        /// How long at most [default: 30s]
        #[arg(long, value_name = "DURATION")]
        timeout: Option<String>,
    },
    /// Forget the calls
    Clear,
}

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotWord {
    /// Keep the state under a name
    Take { name: String },
    /// Bring the state back
    Restore { name: String },
    /// Remove a snapshot
    Delete { name: String },
}
