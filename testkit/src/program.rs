//! What tests of both programs ask: of the machine that they run on, and of what a program writes about itself.

use std::io::Write as _;

/// Set where CI runs on a machine that cannot do all that tests need.
const MAY_SKIP: &str = "DFCACHE_TEST_MAY_SKIP";

/// Says that the test of this thread, or part of it, cannot run here; past the harness, which would swallow it.
/// In CI nobody reads that, so there it is a failure unless it was allowed.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    assert!(
        !is_set("CI") || is_set(MAY_SKIP),
        "skipped in CI: {why}; {MAY_SKIP}=1 lets tests be skipped"
    );
}

/// Checks that a manual page has the sections that people look for, and describes a variable.
pub fn is_manual_page(command: &[&str], page: &str, variable: &str) {
    for section in [
        "NAME",
        "SYNOPSIS",
        "OPTIONS",
        "EXAMPLES",
        "\"EXIT STATUS\"",
        "FILES",
    ] {
        assert!(
            page.lines().any(|line| line == format!(".SH {section}")),
            "{command:?} has no {section}: {page}"
        );
    }
    let environment = page.split(".SH ENVIRONMENT").nth(1).unwrap_or_default();
    assert!(environment.contains(variable), "{command:?}: {page}");
}
