//! No test sleeps: it waits for what tells of itself. Few need time of the machine to pass, and each says here what for.

use std::fs;
use std::path::Path;

use crate::source::tokens;

/// Where tests may have time of the machine pass, by `testkit::wait::real_time` or `block_for`.
const REAL_TIME: [(&str, &str); 10] = [
    (
        "fake-dfdaemon/src/fake/tests/mod.rs",
        "a stop that must not end",
    ),
    (
        "fake-dfdaemon/src/instance/runtime.rs",
        "how long tokio keeps an idle thread",
    ),
    (
        "fake-dfdaemon/tests/access/hung.rs",
        "a refusal that must not come",
    ),
    (
        "fake-dfdaemon/tests/crash/activities.rs",
        "a kill at a random moment",
    ),
    (
        "fake-dfdaemon/tests/model/walk/exports.rs",
        "an export that must not end",
    ),
    ("fake-dfdaemon/tests/run/proxy/pass.rs", "a call's deadline"),
    ("src/cli/deadline/tests.rs", "a --timeout"),
    ("tests/e2e/kills.rs", "a kill at a random moment"),
    (
        "tests/e2e/soak/disturbances.rs",
        "hosts and faults that come and go at random",
    ),
    ("tests/e2e/soak/mod.rs", "another process comes to rest"),
];

/// Who asks again after a pause, by `testkit::wait::before_asking_again`: what tells of nothing else is asked through it.
const ASKS_AGAIN: &str = "fake-dfdaemon/tests/support/mod.rs";

/// Where tests may look at the machine's clock, and what for. None holds that something is quicker than a time: a timer is
/// never early, so that a test of it can look for the least that it took.
const MEASURE: [(&str, &str); 7] = [
    (
        "fake-dfdaemon/tests/access/hung.rs",
        "how long a refusal must not come",
    ),
    (
        "fake-dfdaemon/tests/crash/activities.rs",
        "when to kill at random",
    ),
    ("fake-dfdaemon/tests/load.rs", "a measurement, no test"),
    (
        "fake-dfdaemon/tests/run/proxy/replay.rs",
        "the least that a replay at a speed takes",
    ),
    (
        "src/wire/connection.rs",
        "moments that are microseconds apart",
    ),
    ("tests/e2e/deadlines.rs", "the least that a --timeout takes"),
    (
        "tests/e2e/soak/mod.rs",
        "how long a soak goes on, and the processes come to rest",
    ),
];

/// Where a `timeout` in a test is no guard against what hangs.
const GIVE_UP: [(&str, &str); 5] = [
    (
        "fake-dfdaemon/src/proxy/passage/tests.rs",
        "tokio's clock, which stands still",
    ),
    (
        "fake-dfdaemon/tests/run/proxy/faults.rs",
        "a client that gives up what a fault stalls",
    ),
    ("tests/e2e/soak/mod.rs", "a soak loads the machine more"),
    (
        "tests/fuzz/src/stage.rs",
        "a guard, in a crate that libFuzzer runs without testkit",
    ),
    (
        "tests/fuzz/src/wire.rs",
        "a reader of what a stalled stream says no more",
    ),
];

/// Where tokio's clock stands still, and a sleep moves it.
const STANDS_STILL: [&str; 2] = [
    "fake-dfdaemon/src/cluster/threads.rs",
    "src/wire/spinning_socket.rs",
];

/// Has the two ways to let time pass.
const WAITS: &str = "testkit/src/wait.rs";

/// A text without the lines that are comments.
fn code_of(text: &str) -> String {
    let lines = text.lines().map(|line| match line.trim_start() {
        comment if comment.starts_with("//") => "",
        code => code,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What is wrong with the tests in a file: they sleep, or they wait for something that they expect not to come.
fn sleeps(text: &str) -> Vec<String> {
    let code = code_of(text);
    let tokens = tokens(&code);
    let by_name = ["sleep", "sleep_until", "sleep_ms", "park_timeout"];
    let is_number = |token: &str| token.starts_with(|first: char| first.is_ascii_digit());
    let mut found = Vec::new();
    for (at, window) in tokens.windows(3).enumerate() {
        let [before, word, after] = window else {
            continue;
        };
        // A method is a clock's of the fake.
        let is_called = by_name.contains(word) && ["::", "{", ","].contains(before);
        // A command that hangs sleeps for five minutes, longer than a test waits for its end.
        let in_shell = *word == "sleep" && is_number(after) && *after != "300";
        // A method is a request's.
        let is_method = at > 0 && tokens[at - 1] == ".";
        let of_timeout = tokens[at..].strip_prefix(&["timeout", "("]);
        let of_timeout = of_timeout.filter(|_| !is_method);
        let is_short = of_timeout.is_some_and(|rest| {
            is_short(rest)
                || rest
                    .first()
                    .is_some_and(|name| is_short_const(&tokens, name))
        });
        let must_expire = of_timeout.is_some_and(expires);
        if is_called || in_shell || is_short || must_expire {
            found.push(window.join(" "));
        }
    }
    found
}

/// Whether a time is shorter than a busy machine may take: what waits for no longer waits for something not to come.
fn is_short(time: &[&str]) -> bool {
    match time {
        ["Duration", "::", "from_millis", ..] => true,
        ["Duration", "::", "from_secs", "(", seconds, ..] => {
            seconds.parse::<u64>().is_ok_and(|seconds| seconds < 30)
        }
        _ => false,
    }
}

/// Whether a file has a constant of this name that is short.
fn is_short_const(tokens: &[&str], name: &str) -> bool {
    let declared = ["const", name, ":", "Duration", "="];
    let mut consts = tokens.windows(declared.len() + 5);
    consts.any(|window| window.starts_with(&declared) && is_short(&window[declared.len()..]))
}

/// Whether a test wants a timeout to be over, by its arguments and what stands behind.
fn expires(arguments: &[&str]) -> bool {
    let mut open = 1;
    let end = arguments.iter().position(|token| {
        open += i32::from(*token == "(") - i32::from(*token == ")");
        open == 0
    });
    let behind = end.map_or(&[][..], |end| &arguments[end + 1..]);
    let is_now = arguments.starts_with(&["Duration", "::", "ZERO"]);
    let is_error = |name: &&str| ["expect_err", "unwrap_err", "is_err"].contains(name);
    !is_now && matches!(behind, [".", "await", ".", name, ..] if is_error(name))
}

/// Whether tests look at the machine's clock. Where tokio's stands still, it is that one.
fn measures(tests: &str) -> bool {
    if tests.contains("start_paused = true") {
        return false;
    }
    let code = code_of(tests);
    let tokens = tokens(&code);
    let mut windows = tokens.windows(3);
    windows.any(|window| matches!(window, ["Instant", "::", "now"] | [".", "elapsed", "("]))
}

/// The times of a test's own after which it gives something up, or fails.
fn own_times(tests: &str) -> Vec<String> {
    let code = code_of(tests);
    let tokens = tokens(&code);
    let mut found = Vec::new();
    for at in 1..tokens.len() {
        let is_declared = tokens[at - 1..].starts_with(&["const", "HANGS"]);
        let arguments = tokens[at..].strip_prefix(&["timeout", "("]);
        let arguments = arguments.filter(|_| ![".", "fn"].contains(&tokens[at - 1]));
        let time = arguments.and_then(|arguments| arguments.split(|token| *token == ",").next());
        let is_own =
            time.is_some_and(|time| !time.contains(&"HANGS") && time != ["Duration", "::", "ZERO"]);
        if is_declared || is_own {
            found.push(time.map_or("const HANGS".to_owned(), |time| time.join(" ")));
        }
    }
    found
}

/// The tests in a file of this path: all of it, or what stands at its end.
fn tests_in<'a>(path: &str, text: &'a str) -> &'a str {
    let is_all = ["tests/", "testkit/"]
        .iter()
        .any(|start| path.starts_with(start))
        || path.contains("/tests/")
        || path.ends_with("/tests.rs");
    match is_all {
        true => text,
        false => text
            .split_once("#[cfg(test)]\nmod tests {")
            .map_or("", |(_, tests)| tests),
    }
}

fn files_below(directory: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rs" || extension == "sh")
        {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let path = path.strip_prefix(root).unwrap().to_str().unwrap();
            files.push(path.to_owned());
        }
    }
}

#[test]
fn no_test_sleeps_and_few_need_time_to_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in [
        "src",
        "proto",
        "fake-dfdaemon/src",
        "fake-dfdaemon/tests",
        "testkit",
        "tests",
    ] {
        files_below(&root.join(directory), &mut files);
    }
    let (mut looked_at, mut faults) = (0, Vec::new());
    let (mut pass_time, mut ask_again) = (Vec::new(), Vec::new());
    let (mut measure, mut give_up) = (Vec::new(), Vec::new());
    for file in &files {
        // This one is about them.
        if file == WAITS || file.starts_with("tests/rooms/") {
            continue;
        }
        let text = fs::read_to_string(root.join(file)).unwrap();
        let tests = if file.ends_with(".sh") {
            &text
        } else {
            tests_in(file, &text)
        };
        looked_at += usize::from(!tests.is_empty());
        if !STANDS_STILL.contains(&file.as_str()) {
            faults.extend(sleeps(tests).iter().map(|found| format!("{file}: {found}")));
        }
        if tests.contains("real_time(") || tests.contains("block_for(") {
            pass_time.push(file.as_str());
        }
        if tests.contains("before_asking_again(") {
            ask_again.push(file.as_str());
        }
        if measures(tests) {
            measure.push(file.as_str());
        }
        if !own_times(tests).is_empty() {
            give_up.push(file.as_str());
        }
    }
    assert!(looked_at > 200, "{looked_at} files");
    assert!(faults.is_empty(), "these sleep:\n{}", faults.join("\n"));
    pass_time.sort_unstable();
    assert_eq!(pass_time, REAL_TIME.map(|(file, _)| file));
    assert_eq!(ask_again, [ASKS_AGAIN]);
    measure.sort_unstable();
    assert_eq!(measure, MEASURE.map(|(file, _)| file));
    give_up.sort_unstable();
    assert_eq!(give_up, GIVE_UP.map(|(file, _)| file));
}

#[test]
fn bounds_of_time_are_found() {
    assert!(measures("let began = std::time::Instant::now();"));
    assert!(measures("assert!(began.elapsed() < SOON);"));
    assert!(!measures("use std::time::Instant;"));
    for bound in [
        "const HANGS: Duration = Duration::from_secs(30);",
        "let end = tokio::time::timeout(PATIENCE, call(a, b)).await;",
        "let end = timeout(Duration::from_secs(30), call).await;",
    ] {
        assert_eq!(own_times(bound).len(), 1, "{bound}");
    }
    for guard in [
        "let end = timeout(HANGS, call).await;",
        "let end = timeout(testkit::wait::HANGS, call).await;",
        "let request = request.timeout(SOON);",
        "let more = timeout(Duration::ZERO, call).await;",
    ] {
        assert_eq!(own_times(guard), [""; 0], "{guard}");
    }
}

#[test]
fn sleeps_are_found() {
    for sleeps_here in [
        "tokio::time::sleep(pause).await;",
        "use std::thread::{self, sleep};",
        "std::thread::sleep(Duration::from_secs(1));",
        "\"while ! test -e up; do sleep 0.1; done\"",
        "let early = timeout(Duration::from_millis(50), call).await;",
        "const SOON: Duration = Duration::from_secs(5);\nlet end = timeout(SOON, call).await.unwrap();",
        "timeout(moment, call(a, b)).await.expect_err(\"it is refused\");",
    ] {
        assert_eq!(sleeps(sleeps_here).len(), 1, "{sleeps_here}");
    }
    for waits in [
        "// Nobody may thread::sleep(here);",
        "clock.sleep(Duration::from_secs(10)).await;",
        "\"echo up; exec sleep 300\"",
        "timeout(HANGS, call).await.unwrap();",
        "let request = request.timeout(Duration::from_secs(5));",
        "timeout(HANGS, call(a)).await.unwrap().unwrap_err();",
        "let more = timeout(Duration::ZERO, call).await.is_err();",
    ] {
        assert_eq!(sleeps(waits), [""; 0], "{waits}");
    }
    let file = "fn f() { thread::sleep(a) }\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}";
    assert_eq!(sleeps(tests_in("src/file.rs", file)), [""; 0]);
    assert_eq!(sleeps(tests_in("tests/file.rs", file)).len(), 1);
}
