//! A variable for every option; the command line over it, the common endpoint below it.

use std::fs;
use std::path::Path;

use crate::support::command::words;
use crate::support::{Dfcache, ScriptedDaemon, World, skipped};
use testkit::whole;

/// A command and what makes it complete.
const COMMANDS: [(&str, &str); 7] = [
    ("import", "file"),
    ("export", "-O out 7"),
    ("stat", "7"),
    ("ls", ""),
    ("id", "file"),
    ("verify", "7 file"),
    ("doctor", ""),
];

/// The long options that a command's help shows.
fn options(world: &World, command: &str) -> Vec<String> {
    let help = world.dfcache().args([command, "-h"]).run().succeeds();
    let words = help.stdout();
    let lines = words.lines().map(str::trim_start);
    let options = lines.filter(|line| line.starts_with('-'));
    let long = options.filter_map(|line| {
        line.split("--")
            .nth(1)?
            .split(' ')
            .next()
            .map(str::to_owned)
    });
    long.filter(|option| option != "help").collect()
}

/// The variable of a command's option.
pub(crate) fn variable(command: &str, option: &str) -> String {
    let option = match option {
        "endpoint" => "dfdaemon-endpoint",
        other => other,
    };
    format!("DFCACHE_{command}_{option}")
        .replace('-', "_")
        .to_uppercase()
}

#[test]
fn the_help_names_the_variable_of_every_option() {
    let world = World::new();
    for (command, _) in COMMANDS {
        let help = world
            .dfcache()
            .without("DFCACHE_ENDPOINT")
            .args([command, "--help"])
            .run();
        let help = help.succeeds().stdout();
        let options = options(&world, command);
        assert!(options.len() >= 3, "{options:?}");
        for option in options {
            let shown = format!("[env: {}]", variable(command, &option));
            assert!(help.contains(&shown), "{command} --help lacks {shown}");
        }
    }
}

/// Of every option that has bad values: the variable is read, and named or its option is.
#[test]
fn a_bad_value_in_a_variable_is_a_bad_value() {
    let world = World::new();
    world.file("file", 1);
    for (command, rest) in COMMANDS {
        for option in options(&world, command) {
            let takes_anything = [
                "tag",
                "application",
                "log-dir",
                "staging-dir",
                "output",
                "content-for-calculating-task-id",
            ];
            if takes_anything.contains(&option.as_str()) {
                continue;
            }
            let bad = if option == "endpoint" {
                "tcp://x"
            } else {
                "nonsense"
            };
            let run = world.dfcache().env(&variable(command, &option), bad);
            let run = run.arg(command).args(words(rest)).run();
            run.fails_with(2)
                .says(&format!("--{option}"))
                .says(&variable(command, &option));
        }
    }
    // A value on the line is not that of the variable, which is not read.
    for line in ["ls --timeout=x", "--timeout y ls", "ls -e tcp://x"] {
        let run = world.dfcache().env("DFCACHE_TIMEOUT", "nonsense");
        let run = run.args(words(line)).run();
        run.fails_with(2).does_not_say("variable");
    }
}

#[test]
fn a_variable_that_is_set_but_empty_is_not_set() {
    let world = World::new();
    let file = world.file("file", 1);
    let id = world.import(&file);
    for (command, rest) in [
        ("stat", id.clone()),
        ("ls", String::new()),
        ("id", "file".to_owned()),
        ("export", format!("-O out {id}")),
        ("import", "--tag t file".to_owned()),
    ] {
        let empty = options(&world, command)
            .into_iter()
            .fold(world.dfcache(), |run, option| {
                if option == "log-dir" {
                    return run;
                }
                run.env(&variable(command, &option), "")
            });
        empty.arg(command).args(words(&rest)).run().succeeds();
    }
}

#[test]
fn an_option_that_several_commands_have_has_a_variable_for_all_of_them() {
    let world = World::new();
    let id = world.import(&world.file("file", 1));
    let mut commands_of = std::collections::BTreeMap::<String, Vec<&str>>::new();
    for (command, _) in COMMANDS {
        for option in options(&world, command) {
            commands_of.entry(option).or_default().push(command);
        }
    }
    commands_of.retain(|_, commands| commands.len() > 1);
    for option in ["endpoint", "format", "log-dir", "tag", "timeout", "verbose"] {
        assert!(commands_of.contains_key(option), "{option}");
    }
    // Every value of some is good.
    let bad = |option: &str| match option {
        "application" | "tag" | "content-for-calculating-task-id" => None,
        "endpoint" => Some("tcp://x"),
        "log-dir" | "staging-dir" => Some("~/x"),
        _ => Some("nonsense"),
    };
    for (option, commands) in &commands_of {
        let Some(bad) = bad(option) else {
            continue;
        };
        let common = format!("DFCACHE_{}", option.replace('-', "_").to_uppercase());
        for command in commands {
            let (_, rest) = COMMANDS.iter().find(|(name, _)| name == command).unwrap();
            let run = world.dfcache().without(&variable(command, option));
            let run = run.env(&common, bad).arg(command).args(words(rest)).run();
            run.fails_with(2).says(&format!("--{option}"));
        }
    }
    // Below the command's own variable, which is below the command line.
    let stat = |own: &str, option: &str| {
        let command = world.dfcache().env("DFCACHE_FORMAT", "json");
        let command = command.env("DFCACHE_STAT_FORMAT", own);
        let line = format!("stat {option} {id}");
        command.args(words(&line)).run().succeeds().stdout()
    };
    assert!(stat("", "").starts_with('{'));
    assert!(stat("text", "").starts_with("ID "));
    assert!(stat("text", "--format json").starts_with('{'));
    let command = world.dfcache().env("DFCACHE_FORMAT", "json");
    let run = command.args(["stat", "--bogus"]).run().fails_with(2);
    assert_eq!(run.json_error()["kind"], "usage");
}

#[test]
fn the_endpoint_of_a_command_has_a_short_variable_too() {
    let world = World::new();
    world.file("file", 1);
    let nowhere = world.beside("nowhere.sock");
    for (command, rest) in COMMANDS
        .into_iter()
        .filter(|(command, _)| !["id", "doctor"].contains(command))
    {
        let short = format!("DFCACHE_{}_ENDPOINT", command.to_uppercase());
        let run = world.dfcache().env("DFCACHE_ENDPOINT", &nowhere);
        let run = run.env(&short, world.endpoint(0));
        let run = run.arg(command).args(words(rest)).run();
        assert!([Some(0), Some(3)].contains(&run.code()), "{run}");
        // Below the longer one.
        let run = world.dfcache().env(&short, world.endpoint(0));
        let run = run.env(&variable(command, "endpoint"), &nowhere);
        run.arg(command).args(words(rest)).run().fails_with(5);
    }
}

#[test]
fn the_command_line_decides_how_a_usage_error_is_written() {
    let world = World::new();
    let command = |variable: &str, option: &str| {
        let command = world.dfcache().env("DFCACHE_STAT_FORMAT", variable);
        let run = command.args(["stat", "--format", option, "--bogus"]).run();
        run.fails_with(2)
    };
    assert!(command("json", "text").stderr().starts_with("error: "));
    assert_eq!(command("text", "json").json_error()["kind"], "usage");
}

/// What else of an export reaches dfdaemon is in `export_options`.
#[test]
fn variables_of_export_do_what_the_option_does() {
    let world = World::new();
    let daemon = ScriptedDaemon::answering(whole(b"content"));
    let export = |option, value| {
        let command = world.at(&daemon.endpoint);
        let command = command.env(&variable("export", option), value);
        command.args(["export", "-O", "out", "7"])
    };
    for (value, is_on) in [("true", true), ("false", false)] {
        export("force-hard-link", value).run().fails_with(7);
        let request = daemon.requests().exports.pop().unwrap();
        assert_eq!(request.force_hard_link, is_on);
    }
    export("format", "json").run().fails_with(7).json_error();
    let digest = export("digest", "crc32:1").arg("--transfer-from-dfdaemon");
    digest.run().fails_with(7).says("crc32:1");
    fs::write(world.path("out"), "old").unwrap();
    let overwrite = export("overwrite", "1").arg("--transfer-from-dfdaemon");
    overwrite.run().succeeds();
    assert_eq!(fs::read(world.path("out")).unwrap(), b"content");
}

#[test]
fn a_flag_that_a_variable_sets_to_false_contradicts_nothing() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let command = world
        .dfcache()
        .env("DFCACHE_EXPORT_OVERWRITE", "false")
        .env("DFCACHE_EXPORT_TRANSFER_FROM_DFDAEMON", "0");
    let options = ["export", "--force-hard-link", "-O", "out", &id];
    command.args(options).run().succeeds();
}

#[test]
fn variables_of_stat_and_ls_do_what_the_option_does() {
    let world = World::new();
    let id = world.import(&world.file("file", 10));
    let stat = |name, value| world.dfcache().env(name, value).args(["stat", &id]).run();
    assert_eq!(
        stat("DFCACHE_STAT_FORMAT", "json").succeeds().json()["task_id"],
        id
    );
    let waited = stat("DFCACHE_STAT_WAIT_FOR_REPLICAS", "2").succeeds();
    assert!(waited.stdout().contains("2 of 2 replicas"), "{waited}");
    let command = world.dfcache().env("DFCACHE_STAT_TIMEOUT", "200ms");
    command
        .args(["stat", "--wait-for-replicas", "9", &id])
        .run()
        .fails_with(8);
    let command = world.dfcache().env("DFCACHE_LS_FORMAT", "json").arg("ls");
    assert_eq!(command.run().succeeds().json()["task_id"], id);
}

#[test]
fn the_command_line_wins_over_the_commands_variable_over_the_common_one() {
    let world = World::new();
    let good = world.endpoint(0);
    let bad = world.beside("bad.sock");
    let stat = |common: Option<&Path>, own: Option<&Path>, option: Option<&Path>| {
        let mut command: Dfcache = world.dfcache().without("DFCACHE_ENDPOINT");
        if let Some(path) = common {
            command = command.env("DFCACHE_ENDPOINT", path);
        }
        if let Some(path) = own {
            command = command.env("DFCACHE_STAT_DFDAEMON_ENDPOINT", path);
        }
        if let Some(path) = option {
            command = command.arg("stat").arg("-e").arg(path).arg("7");
        } else {
            command = command.args(["stat", "7"]);
        }
        command.run().code().unwrap()
    };
    // 3: a daemon answered; 5: there is none.
    let (good, bad) = (Some(good.as_path()), Some(bad.as_path()));
    for (common, own, option, code) in [
        (good, None, None, 3),
        (bad, good, None, 3),
        (good, bad, None, 5),
        (bad, bad, good, 3),
        (good, good, bad, 5),
        (None, good, None, 3),
        (None, None, good, 3),
    ] {
        assert_eq!(
            stat(common, own, option),
            code,
            "{common:?} {own:?} {option:?}"
        );
    }
    // Another command's variable is not ours.
    let command = world
        .dfcache()
        .env("DFCACHE_EXPORT_DFDAEMON_ENDPOINT", bad.unwrap());
    command.args(["stat", "7"]).run().fails_with(3);
}

#[test]
fn without_any_setting_the_endpoint_is_dragonflys() {
    let world = World::new();
    let default = "/var/run/dragonfly/dfdaemon.sock";
    if Path::new(default).exists() {
        skipped("a dfdaemon runs on this machine");
        return;
    }
    let run = world
        .dfcache()
        .without("DFCACHE_ENDPOINT")
        .args(["stat", "7"])
        .run();
    run.fails_with(5).says(default);
}
