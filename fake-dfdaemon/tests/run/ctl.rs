//! `ctl`: every word, readable or as JSON.

use std::process::Command;

use serde_json::Value;

use crate::run::sandbox::{Ended, Sandbox, ended};
use crate::support::process::Process;

struct Daemon {
    w: Sandbox,
    process: Process,
}

const TIME: &str = "manual=2026-01-02T03:04:05Z";

impl Daemon {
    fn start(options: &[&str]) -> Self {
        let w = Sandbox::new();
        std::fs::create_dir(w.path("fixtures")).unwrap();
        std::fs::write(w.path("fixtures/a"), "content").unwrap();
        let mut command = w.program();
        command.args([
            "serve",
            "--clock",
            TIME,
            "--fault-seed",
            "7",
            "--preload",
            "fixtures",
        ]);
        let process = Process::start(command.args(options));
        Self { w, process }
    }

    fn command(&self) -> Command {
        let mut command = self.w.program();
        command
            .arg("ctl")
            .env("FAKE_DFDAEMON_CONTROL", self.process.path("control"));
        command
    }

    fn ask(&self, words: &str) -> Ended {
        ended(
            self.command()
                .args(words.split_whitespace())
                .output()
                .unwrap(),
        )
    }

    /// What a person reads.
    #[track_caller]
    fn text(&self, words: &str) -> String {
        let ended = self.ask(words).exits_with(0);
        assert_eq!(ended.stderr, "");
        let state = self.process.path("state_dir");
        ended.stdout.replace(state.to_str().unwrap(), "[STATE]")
    }

    /// What a program reads: one line.
    #[track_caller]
    fn json(&self, words: &str) -> Value {
        let ended = self.ask(&format!("{words} --format json")).exits_with(0);
        assert_eq!(ended.stdout.lines().count(), 1);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

#[test]
fn answers_are_lines_to_read() {
    let d = Daemon::start(&["--hosts", "2"]);
    d.text("settle");
    insta::assert_snapshot!(d.text("health"), @r"
        version                            0.1.0
        dfdaemon_version                   0.2
        hosts                              2
        fault_seed                         7
        ");
    insta::assert_snapshot!(d.text("hosts"), @r"
        NAME    STATE    TASKS  USED_BYTES  CAPACITY_BYTES  ENDPOINT
        host-0  running  1      7           -               [STATE]/host-0.sock
        host-1  running  1      7           -               [STATE]/host-1.sock
        ");
    insta::assert_snapshot!(d.text("tasks"), @r"
        TASK_ID     STATE      CONTENT_LENGTH  EXPIRES_AT            PERSISTENT  REPLICAS
        1572644798  Succeeded  7               2026-01-09T03:04:05Z  2/2         host-0 host-1
        ");
    insta::assert_snapshot!(d.text("tasks 1572644798"), @r"
        task_id                            1572644798
        state                              Succeeded
        persistent_replica_count           2
        current_persistent_replica_count   2
        current_replica_count              2
        tag                                -
        application                        -
        piece_length                       4194304
        content_length                     7
        piece_count                        1
        ttl_seconds                        604800
        created_at                         2026-01-02T03:04:05Z
        updated_at                         2026-01-02T03:04:05Z
        expires_at                         2026-01-09T03:04:05Z
        replicas                           host-0 host-1
        ");
    insta::assert_snapshot!(d.text("clock"), @r"
        mode                               manual
        now                                2026-01-02T03:04:05Z
        ");
    insta::assert_snapshot!(d.text("settle"), @r"
        WHAT                   DUE
        collect expired tasks  2026-01-02T03:19:05Z
        ");
    insta::assert_snapshot!(d.text("faults"), @"no faults");
    insta::assert_snapshot!(d.text("faults add export@call=2,piece=3:error=UNAVAILABLE:gone"), @r#"
        on                                 export
        call                               2
        piece                              3
        do                                 {"error":{"code":"UNAVAILABLE","message":"gone"}}
        id                                 1
        fired                              0
        "#);
    insta::assert_snapshot!(d.text("faults"), @r#"
        ON      CALL  PIECE  DO                                                 ID  FIRED
        export  2     3      {"error":{"code":"UNAVAILABLE","message":"gone"}}  1   0
        "#);
    insta::assert_snapshot!(d.text("journal"), @r"
        CALL  AT                    RPC        HOST    STATUS  PIECES  BYTES  FAULT  CLIENT_GONE  MESSAGE
        1     2026-01-02T03:04:05Z  replicate  host-1  OK      0       0      -      false        -
        ");
    insta::assert_snapshot!(d.text("gc"), @"done");
    insta::assert_snapshot!(d.text("hosts stop host-1"), @r"
        name                               host-1
        endpoint                           [STATE]/host-1.sock
        upload_endpoint                    [STATE]/host-1.upload.sock
        state                              stopped
        tasks                              1
        used_bytes                         7
        capacity_bytes                     -
        ");
}

#[test]
fn each_word_does_what_its_path_does() {
    let d = Daemon::start(&[]);
    assert_eq!(d.json("health")["fault_seed"], 7);
    assert_eq!(d.json("hosts stop host-1")["state"], "stopped");
    assert_eq!(d.json("hosts leave host-2")["state"], "left");
    assert_eq!(d.json("hosts start host-1")["state"], "running");
    assert_eq!(d.json("hosts")["hosts"][2]["state"], "left");
    d.json("settle");
    let task = d.json("tasks")["tasks"][0].clone();
    let id = task["task_id"].as_str().unwrap().to_owned();
    assert_eq!(d.json(&format!("tasks {id}")), task);
    d.text("snapshots take a");
    assert_eq!(d.text(&format!("tasks delete {id}")), "done\n");
    assert_eq!(d.text("tasks"), "no tasks\n");
    d.text("snapshots restore a");
    assert_eq!(d.json("tasks")["tasks"][0], task);
    assert_eq!(d.json("clock advance 2h")["now"], "2026-01-02T05:04:05Z");
    assert_eq!(d.json("clock set 2026-01-03T00:00:00Z")["mode"], "manual");
    assert_eq!(d.json("faults add stat:stall")["id"], 1);
    assert_eq!(
        d.json("faults add {\"on\":\"list\",\"do\":{\"reset\":true}}")["id"],
        2
    );
    d.text("faults delete 1");
    assert_eq!(d.json("faults")["faults"][0]["on"], "list");
    d.text("faults clear");
    assert_eq!(d.json("faults")["faults"].as_array().unwrap().len(), 0);
    let calls = d.json("journal --rpc replicate --status OK --host host-1")["calls"].clone();
    assert_eq!(calls[0]["request"]["task_id"], id.as_str());
    assert_eq!(d.json(&format!("journal --task {id}"))["calls"], calls);
    d.text("journal clear");
    assert_eq!(d.text("journal"), "no calls\n");
    d.text("gc");
    d.text("reset");
    assert_eq!(d.json("tasks")["tasks"][0]["task_id"], id.as_str());
    assert_eq!(d.json("clock")["now"], "2026-01-02T03:04:05Z");
}

#[test]
fn what_is_refused_is_told_with_the_right_code() {
    let d = Daemon::start(&[]);
    for (words, code, says) in [
        ("", 2, "Usage"),
        ("dance", 2, "dance"),
        ("hosts dance host-1", 2, "dance"),
        ("--format yaml health", 2, "yaml"),
        ("faults add stat:explode", 2, "explode"),
        ("faults add stat@host=host-9:stall", 1, "host-9"),
        ("faults delete 9", 1, "9"),
        ("hosts stop host-9", 1, "host-9"),
        ("tasks 9", 1, "there is no task 9"),
        ("tasks delete 9", 1, "there is no task 9"),
        ("clock advance soon", 1, "advance"),
        ("clock advance -1h", 1, "advance"),
        ("snapshots restore nothing", 1, "nothing"),
        ("journal --status BROKEN", 1, "BROKEN"),
    ] {
        let ended = d.ask(words).exits_with(code).says(says);
        assert_eq!(ended.stdout, "", "{words}");
    }
    for words in ["tasks \u{1b}[31m7", "faults add stat:sta\u{1b}[31mll"] {
        let ended = d.ask(words).says("\u{fffd}[31m");
        assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
    }
    let mut nowhere = d.w.program();
    let ended = ended(nowhere.args(["ctl", "health"]).output().unwrap());
    ended.exits_with(2).says("FAKE_DFDAEMON_CONTROL");
    let mut gone = d.w.program();
    let gone = gone
        .args(["ctl", "--control", "gone.sock", "health"])
        .output()
        .unwrap();
    crate::run::sandbox::ended(gone)
        .exits_with(4)
        .says("gone.sock");
}

/// Calls are shown as they end, those that are asked for, until the daemon is gone.
#[test]
fn a_journal_is_followed() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    use crate::support::client::Client;

    let d = Daemon::start(&[]);
    let mut command = d.command();
    command.args(["journal", "--follow", "--rpc", "stat", "--task", "7"]);
    let mut following = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let shown = std::thread::spawn(move || lines.next().unwrap().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let endpoint = d.process.path("endpoint");
    runtime.block_on(async {
        let client = Client::connect(&endpoint).await;
        // It sees those that end once it follows.
        while !shown.is_finished() {
            client.stat("8").await.unwrap_err();
            client.stat("7").await.unwrap_err();
        }
    });
    let line = shown.join().unwrap();
    assert!(
        line.contains("  stat  host-0  INTERNAL  0  0  -  false"),
        "{line}"
    );
    let number: u64 = line.split("  ").next().unwrap().parse().unwrap();
    let found = d.json(&format!("journal --after {} --limit 1", number - 1));
    assert_eq!(found["calls"][0]["request"]["task_id"], "7");
    d.ask("journal --follow --status BROKEN")
        .exits_with(1)
        .says("BROKEN");
    d.ask("journal --follow --limit 2").exits_with(2);
    drop(d);
    following.wait().unwrap();
}

#[test]
fn the_page_has_an_address_where_it_was_given_one() {
    let d = Daemon::start(&["--control-tcp", "127.0.0.1:0"]);
    let address = d.json("health")["control_tcp"].clone();
    let mut command = d.command();
    let open = command
        .arg("open")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY");
    let opened = ended(open.output().unwrap()).exits_with(0);
    assert_eq!(
        opened.stdout,
        format!("http://{}/\n", address.as_str().unwrap())
    );
    let d = Daemon::start(&[]);
    d.ask("open").exits_with(1).says("--control-tcp");
}

#[test]
fn where_there_is_a_desktop_the_page_is_opened() {
    let w = Sandbox::new();
    // The browser writes where it was sent to; reading the FIFO waits for that.
    let script = r#"
        mkfifo opened
        printf '#!/bin/sh\necho "$1" > opened\n' > xdg-open && chmod +x xdg-open
        PATH=$PWD:$PATH DISPLAY=:0 "$0" ctl open > printed
        cat printed opened"#;
    let options = ["--control-tcp", "127.0.0.1:0"];
    let ended = w.run(
        &options,
        &["sh", "-ec", script, crate::run::sandbox::PROGRAM],
    );
    let ended = ended.exits_with(0);
    let pages: Vec<_> = ended.stdout.lines().collect();
    let [printed, opened] = pages[..] else {
        panic!("{}", ended.stdout);
    };
    assert!(printed.starts_with("http://127.0.0.1:"), "{printed}");
    assert_eq!(opened, printed);
}

#[test]
fn what_is_watched_is_shown_when_it_has_changed() {
    let w = Sandbox::new();
    // The second one ends the daemon, and with it the watching.
    let script = r#"
        mkfifo lines
        "$0" ctl --watch --format json clock > lines & watching=$!
        exec 3< lines
        read -r line <&3; echo "$line" > watched
        "$0" ctl clock advance 1h > /dev/null
        read -r line <&3; echo "$line" >> watched
        "$0" ctl --watch settle; echo "refused: $?"
        "$0" ctl settings max_requests=3 > /dev/null
        "$0" ctl settings gc-interval=0s; echo "refused: $?"
        "$0" ctl --format json settings"#;
    let options = ["--clock", "manual=2026-01-02T03:04:05Z"];
    let ended = w.run(
        &options,
        &["sh", "-c", script, crate::run::sandbox::PROGRAM],
    );
    let ended = ended.exits_with(0);
    let lines = ["refused: 2", "refused: 1", "\"max_requests\":3"];
    for line in lines {
        assert!(ended.stdout.contains(line), "{}", ended.stdout);
    }
    assert!(ended.stderr.contains("--watch"), "{}", ended.stderr);
    let watched = std::fs::read_to_string(w.path("watched")).unwrap();
    let hours: Vec<_> = watched.lines().map(|line| line.contains("T04:")).collect();
    assert_eq!(hours, [false, true], "{watched}");
}
