//! The ready line for people: what to type next.

use std::path::Path;

use crate::fake::FakeDfdaemon;
use crate::proxy::printable;

/// Says that a daemon is ready, how a shell uses it, and where its page is.
pub(crate) fn ready_text(daemon: &FakeDfdaemon) -> String {
    let hosts = daemon.hosts().count();
    let noun = if hosts == 1 { "host" } else { "hosts" };
    let page = match daemon.control_tcp() {
        Some(address) => format!("page:  http://{address}/"),
        None => "page:  none; --control-tcp 127.0.0.1:0 serves one".to_owned(),
    };
    format!(
        "fake-dfdaemon is ready with {hosts} {noun}. Ctrl-C stops it. In another shell:\n\n  \
         export DFCACHE_ENDPOINT={}\n  export FAKE_DFDAEMON_CONTROL={}\n\n{page}\nstate: {}\n",
        quoted(daemon.endpoint()),
        quoted(daemon.control()),
        printable(&daemon.state_dir().display().to_string()),
    )
}

/// A path as a shell reads it back.
fn quoted(path: &Path) -> String {
    let text = printable(&path.display().to_string());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_paths_back() {
        for path in [
            "/tmp/a/host-0.sock",
            "/tmp/a b/$(id)/it's.sock",
            "/tmp/\"x\" `y`",
        ] {
            let script = format!("printf %s {}", quoted(Path::new(path)));
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .output();
            assert_eq!(output.unwrap().stdout, path.as_bytes(), "{script}");
        }
        assert_eq!(quoted(Path::new("/a\u{1b}[31m")), "'/a\u{fffd}[31m'");
    }

    #[tokio::test]
    async fn it_says_what_to_export_and_where_the_page_is() {
        let builder = FakeDfdaemon::builder().hosts(1);
        let tcp = "127.0.0.1:0".parse().unwrap();
        let daemon = builder.control_tcp(tcp).start().await.unwrap();
        let text = ready_text(&daemon);
        let page = format!("page:  http://{}/\n", daemon.control_tcp().unwrap());
        let export = format!(
            "  export DFCACHE_ENDPOINT={}\n",
            daemon.endpoint().display()
        );
        assert!(text.contains(&page) && text.contains(&export), "{text}");
        assert!(text.contains("ready with 1 host."), "{text}");
        daemon.stop().await;
    }
}
