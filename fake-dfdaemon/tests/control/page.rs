//! The page for people, as far as it can be seen without a browser; `make page-test` has one.

use http_body_util::BodyExt as _;

use crate::control::controlled::Controlled;
use crate::support::control::Address;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_served_and_lets_nothing_in() {
    let w = Controlled::with(|builder| builder.control_tcp("127.0.0.1:0".parse().unwrap())).await;
    let tcp = w.daemon.control_tcp().unwrap();
    let own = tcp.to_string();
    let address = Address::Tcp(tcp);
    let page = address.begin_with("GET", "/", &[("host", &own)], "").await;
    assert_eq!(page.status(), 200);
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = page.into_body().collect().await.unwrap().to_bytes();
    assert!(page.starts_with(b"<!doctype html>"));

    // Its own requests pass, those of a page at another place do not.
    let origin = format!("http://{own}");
    for (host, origin, status) in [
        (own.as_str(), origin.as_str(), 200),
        (&own, "http://evil.example", 400),
        (&own, "http://localhost:1", 400),
        (&own, "null", 400),
        ("evil.example:80", "http://evil.example:80", 400),
        ("evil.example:80", &origin, 400),
    ] {
        let headers = [("host", host), ("origin", origin)];
        let answer = address.begin_with("POST", "/gc", &headers, "").await;
        assert_eq!(answer.status(), status, "{origin} to {host}");
    }
    let health = w.api.get("/health").await;
    assert_eq!(health["control_tcp"], own.as_str());
}
