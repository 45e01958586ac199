//! The command of `run`: what it finds, and what becomes of its end.

use std::path::Path;

use crate::run::sandbox::{PROGRAM, Sandbox, ended};

#[test]
fn the_command_finds_the_daemon_in_its_environment() {
    let w = Sandbox::new();
    let script = r#"
        for name in DFCACHE_ENDPOINT DFCACHE_IMPORT_DFDAEMON_ENDPOINT \
            DFCACHE_EXPORT_DFDAEMON_ENDPOINT DFCACHE_STAT_DFDAEMON_ENDPOINT \
            DFCACHE_LS_DFDAEMON_ENDPOINT FAKE_DFDAEMON_CONTROL FAKE_DFDAEMON_STATE_DIR \
            FAKE_DFDAEMON_ENDPOINTS
        do
            eval "value=\$$name"
            echo "$name=$value"
            for path in $(echo "$value" | tr : ' '); do
                test -S "$path" || test -d "$path" || exit 9
            done
        done"#;
    let ended = w.run_script(&["--hosts", "2"], script).exits_with(0);
    let state = Path::new(&w.tmp())
        .join("fake-dfdaemon-")
        .display()
        .to_string();
    let mut filters = insta::Settings::clone_current();
    filters.add_filter(&format!("{state}[A-Za-z0-9]+"), "[STATE]");
    filters.bind(|| {
        insta::assert_snapshot!(ended.stdout, @r"
        DFCACHE_ENDPOINT=[STATE]/host-0.sock
        DFCACHE_IMPORT_DFDAEMON_ENDPOINT=[STATE]/host-0.sock
        DFCACHE_EXPORT_DFDAEMON_ENDPOINT=[STATE]/host-0.sock
        DFCACHE_STAT_DFDAEMON_ENDPOINT=[STATE]/host-0.sock
        DFCACHE_LS_DFDAEMON_ENDPOINT=[STATE]/host-0.sock
        FAKE_DFDAEMON_CONTROL=[STATE]/control.sock
        FAKE_DFDAEMON_STATE_DIR=[STATE]
        FAKE_DFDAEMON_ENDPOINTS=[STATE]/host-0.sock:[STATE]/host-1.sock
        ");
    });
    assert_eq!(ended.stderr, "");
    w.leaves_nothing();
}

#[test]
fn the_command_is_told_the_scheme_of_the_release() {
    let w = Sandbox::new();
    for release in ["0.2", "1.5"] {
        let script = r#"echo "$DFCACHE_ID_DFDAEMON_VERSION""#;
        let options = ["--dfdaemon-version", release];
        let ended = w.run_script(&options, script).exits_with(0);
        assert_eq!(ended.stdout.trim(), release);
    }
}

#[test]
fn the_command_logs_into_the_state_unless_it_is_told_where() {
    let w = Sandbox::new();
    let script = r#"
        for command in IMPORT EXPORT STAT VERIFY DOCTOR; do
            eval "value=\$DFCACHE_${command}_LOG_DIR"
            test "$value" = "$FAKE_DFDAEMON_STATE_DIR/logs" || exit 9
        done
        test "$DFCACHE_LS_LOG_DIR" = here"#;
    let mut program = w.program();
    program.args(["run", "--", "sh", "-c", script]);
    program.env_remove("DFCACHE_LOG_DIR");
    program.env("DFCACHE_LS_LOG_DIR", "here");
    program.env("DFCACHE_STAT_LOG_DIR", "");
    crate::run::sandbox::ended(program.output().unwrap()).exits_with(0);
    let mut program = w.program();
    program.args(["run", "--", "sh", "-c", "env | grep '^DFCACHE.*LOG_DIR'"]);
    program.env("DFCACHE_LOG_DIR", "for all");
    let ended = crate::run::sandbox::ended(program.output().unwrap()).exits_with(0);
    assert_eq!(ended.stdout, "DFCACHE_LOG_DIR=for all\n");
}

#[test]
fn no_variable_sends_a_client_to_another_daemon() {
    let w = Sandbox::new();
    let script = r#"
        for command in IMPORT EXPORT STAT LS VERIFY DOCTOR; do
            eval "value=\$DFCACHE_${command}_DFDAEMON_ENDPOINT"
            test "$value" = "$DFCACHE_ENDPOINT" || exit 9
        done"#;
    let mut program = w.program();
    program.args(["run", "--", "sh", "-c", script]);
    for name in ["DFCACHE_VERIFY_DFDAEMON_ENDPOINT", "DFCACHE_ENDPOINT"] {
        program.env(name, "/elsewhere");
    }
    crate::run::sandbox::ended(program.output().unwrap()).exits_with(0);
}

#[test]
fn standard_streams_are_the_commands_alone() {
    let w = Sandbox::new();
    let watched = w.run(&["--exit-on-stdin-close"], &["true"]);
    watched.exits_with(2).says("for serve");
    let mut program = w.program();
    program.args(["run", "--", "sh", "-c", "cat; echo err >&2"]);
    program.stdin(std::process::Stdio::piped());
    let mut child = program.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"in\n").unwrap();
    let ended = crate::run::sandbox::ended(child.wait_with_output().unwrap());
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("in\n", "err\n")
    );
}

#[test]
fn the_exit_code_is_the_commands() {
    let w = Sandbox::new();
    for code in [0, 1, 2, 4, 42, 255] {
        w.run_script(&[], &format!("exit {code}")).exits_with(code);
    }
    for (signal, code) in [("TERM", 143), ("KILL", 137), ("SEGV", 139)] {
        w.run_script(&[], &format!("kill -{signal} $$"))
            .exits_with(code);
    }
    w.leaves_nothing();
}

#[test]
fn a_command_that_cannot_be_run_is_told_as_a_shell_does() {
    let w = Sandbox::new();
    std::fs::write(w.path("plain"), "no program").unwrap();
    w.run(&[], &["no-such-command"])
        .exits_with(127)
        .says("cannot run no-such-command");
    w.run(&[], &["./plain"])
        .exits_with(126)
        .says("cannot run ./plain");
    w.run(&[], &["./"]).exits_with(126);
    w.leaves_nothing();
}

#[test]
fn a_daemon_that_cannot_start_runs_no_command() {
    let w = Sandbox::new();
    let long = w.path(&"a".repeat(107));
    let script = "touch ran";
    w.run_script(&["--socket", long.to_str().unwrap()], script)
        .exits_with(4)
        .says("107");
    w.run_script(&["--fault", "stat:explode"], script)
        .exits_with(2)
        .says("explode");
    w.run_script(&["--fault", "stat@host=host-7:stall"], script)
        .exits_with(2)
        .says("host-7");
    w.run_script(&["--preload", "missing"], script)
        .exits_with(1)
        .says("missing");
    w.run_script(&["--ready-file", "no/where"], script)
        .exits_with(1);
    w.run(&[], &[]).exits_with(2);
    assert!(!w.path("ran").exists());
    w.leaves_nothing();
}

#[test]
fn the_ready_line_is_in_the_file_only() {
    let w = Sandbox::new();
    let ended = w.run_script(&["--ready-file", "ready.json"], "cat ready.json");
    let ended = ended.exits_with(0);
    let ready: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let fields: Vec<_> = ready
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "event",
        "endpoint",
        "hosts",
        "control",
        "control_tcp",
        "state_dir",
        "pid",
        "fault_seed",
        "preloaded",
    ];
    assert_eq!(fields, expected);
    let fields: Vec<_> = ready["hosts"][2]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, ["name", "endpoint", "upload_endpoint"]);
    // Nobody shall take it for a daemon that lives.
    assert!(!w.path("ready.json").exists());
}

/// A shell that starts the fake itself reads what the command of `run` finds.
#[test]
fn a_shell_reads_the_variables_from_a_file() {
    let w = Sandbox::new();
    let script = r#"
        mkfifo up
        "$0" serve --env-file "it's env" --ready-file ready --hosts 2 > up & daemon=$!
        read line < up
        test -s ready || exit 7
        . "./it's env"
        env | grep -E '^(DFCACHE|FAKE_DFDAEMON)_' | sort > found
        test -S "$DFCACHE_ENDPOINT" && "$0" ctl health > /dev/null || exit 9
        kill $daemon; wait $daemon
        test -e "it's env" && exit 8
        exit 0"#;
    let mut shell = w.program();
    shell.args(["run", "--hosts", "1", "--", "sh", "-c", script, PROGRAM]);
    ended(shell.output().unwrap()).exits_with(0);
    let found = std::fs::read_to_string(w.path("found")).unwrap();
    let names: Vec<_> = found
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    for name in [
        "DFCACHE_ENDPOINT",
        "FAKE_DFDAEMON_CONTROL",
        "FAKE_DFDAEMON_STATE_DIR",
    ] {
        assert!(names.contains(&name), "{found}");
    }
    // Nothing else is written over.
    std::fs::write(w.path("mine"), "mine").unwrap();
    let mut refused = w.program();
    refused.args(["run", "--env-file", "mine", "--", "true"]);
    ended(refused.output().unwrap()).exits_with(4);
    assert_eq!(std::fs::read_to_string(w.path("mine")).unwrap(), "mine");
}

#[test]
fn options_come_from_the_environment_and_not_from_a_daemon_around() {
    let w = Sandbox::new();
    let script = r#"
        echo "$FAKE_DFDAEMON_ENDPOINTS" | tr : '\n' | wc -l
        test -n "$FAKE_DFDAEMON_HOSTS" && exit 9
        exec "$0" run -- sh -c 'echo "$FAKE_DFDAEMON_ENDPOINTS" | tr : "\n" | wc -l'"#;
    let mut program = w.program();
    program.env("FAKE_DFDAEMON_HOSTS", "2");
    program.env("FAKE_DFDAEMON_STATE_DIR", w.path("state"));
    program.args(["run", "--", "sh", "-c", script, PROGRAM]);
    let ended = ended(program.output().unwrap()).exits_with(0);
    assert_eq!(
        ended.stdout.split_whitespace().collect::<Vec<_>>(),
        ["2", "3"]
    );
    assert!(w.path("state").exists());
}

/// The command line does not show the value, so the error names its variable.
#[test]
fn a_bad_value_that_a_variable_gave_names_the_variable() {
    let w = Sandbox::new();
    let refused = |arguments: &[&str], (variable, value): (&str, &str)| {
        let mut program = w.program();
        program.args(arguments).env(variable, value);
        let ended = program.output().unwrap();
        assert_eq!(ended.status.code(), Some(2));
        String::from_utf8(ended.stderr).unwrap()
    };
    for given in [
        ("FAKE_DFDAEMON_HOSTS", "0"),
        ("FAKE_DFDAEMON_FAULT", "stat:explode"),
        ("FAKE_DFDAEMON_CLOCK", "manual=soon"),
        ("FAKE_DFDAEMON_FSYNC", "perhaps"),
    ] {
        let said = refused(&["serve"], given);
        assert!(said.contains(given.0), "{said}");
    }
    let said = refused(&["serve", "--hosts", "0"], ("FAKE_DFDAEMON_HOSTS", "2"));
    assert!(!said.contains("FAKE_DFDAEMON_HOSTS"), "{said}");
}
