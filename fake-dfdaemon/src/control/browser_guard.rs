//! Refuses requests of web pages other than the fake's own. A browser on this machine reaches what listens
//! on TCP here, and a page of any site can make it send requests.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::ApiError;

/// Whether only this machine reaches the address.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoopbackOnly(pub(super) bool);

/// Lets a request through unless a page sent it.
pub(super) async fn guard(
    State(loopback): State<LoopbackOnly>,
    request: Request,
    next: Next,
) -> Response {
    match check(request.headers(), loopback) {
        Ok(()) => next.run(request).await,
        Err(why) => ApiError::bad_request(why).into_response(),
    }
}

fn check(headers: &HeaderMap, LoopbackOnly(loopback): LoopbackOnly) -> Result<(), &'static str> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if let Some(origin) = headers.get(ORIGIN)
        && !is_own(origin.to_str().ok(), host)
    {
        return Err(
            "a web page of another place sent this: the control API is for programs and its own page",
        );
    }
    if loopback && host.is_some_and(|host| !is_this_machine(host)) {
        // A page of a site whose name was pointed here after it had been loaded.
        return Err("the Host is not this machine; write localhost or its address");
    }
    Ok(())
}

/// Whether the page that sent this is the one at `/`. A name may be any page's: only an address, or
/// this machine's own name, says that it is ours.
fn is_own(origin: Option<&str>, host: Option<&str>) -> bool {
    let origin = origin.and_then(|origin| origin.strip_prefix("http://"));
    match (origin, host) {
        (Some(origin), Some(host)) => origin == host && is_this_machine(host),
        _ => false,
    }
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    // Neither a user nor what is no port.
    match host.strip_prefix(authority.host()) {
        Some("") => {}
        Some(_) if authority.port_u16().is_some() => {}
        _ => return false,
    }
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().copied();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn programs_pass_and_pages_do_not() {
        let all = [true, false].map(LoopbackOnly);
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:9", "[::1]:9"] {
            assert!(
                all.iter()
                    .all(|at| check(&headers(&[("host", host)]), *at).is_ok())
            );
        }
        assert!(check(&headers(&[]), LoopbackOnly(true)).is_ok());
        for origin in ["http://evil.example", "null", "http://localhost:9"] {
            let page = headers(&[("host", "localhost"), ("origin", origin)]);
            assert!(all.iter().all(|at| check(&page, *at).is_err()), "{origin}");
        }
        for own in ["localhost:9", "127.0.0.1:9", "[::1]:9"] {
            let origin: &'static str = Box::leak(format!("http://{own}").into_boxed_str());
            let page = headers(&[("host", own), ("origin", origin)]);
            assert!(all.iter().all(|at| check(&page, *at).is_ok()), "{own}");
        }
        // The owner of the name can point it here.
        let page = headers(&[
            ("host", "evil.example:9"),
            ("origin", "http://evil.example:9"),
        ]);
        assert!(all.iter().all(|at| check(&page, *at).is_err()));
        for host in [
            "evil.example",
            "localhost.evil.example:9",
            "127.0.0.1.evil.example",
            "127.0.0.1:9.evil.example",
            "evil.example@127.0.0.1:9",
            "",
        ] {
            let page = headers(&[("host", host)]);
            assert!(check(&page, LoopbackOnly(true)).is_err(), "{host}");
        }
        // On a network the fake may have any name.
        assert!(check(&headers(&[("host", "fake:9")]), LoopbackOnly(false)).is_ok());
    }
}
