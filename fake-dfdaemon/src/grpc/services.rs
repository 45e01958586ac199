//! The services on one socket, found by the name in a request's path.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HeaderValue};
use tonic::body::Body;
use tonic::server::NamedService;
use tower_service::Service;

use super::content_body::ServedBody;
use super::service::ServedHost;
use super::unserved;

/// A response on its way.
pub(super) type Answering =
    Pin<Box<dyn Future<Output = Result<http::Response<ServedBody>, Infallible>> + Send>>;

/// Calls one service.
pub(super) type Call = Box<dyn Fn(http::Request<Body>) -> Answering + Send + Sync>;

/// The services of one socket.
#[derive(Clone)]
pub(crate) struct Services {
    named: Arc<[(&'static str, Call)]>,
    /// Answers calls of services that are not there.
    other: Arc<Call>,
    /// The host that is served.
    host: Option<ServedHost>,
}

impl Services {
    pub(super) fn new(host: ServedHost, named: impl Into<Arc<[(&'static str, Call)]>>) -> Self {
        let served = Some(host.clone());
        let unserved = move |request| -> Answering {
            let host = host.clone();
            Box::pin(async { Ok(unserved::answer(host, request).await.map(Into::into)) })
        };
        Self {
            named: named.into(),
            other: Arc::new(Box::new(unserved)),
            host: served,
        }
    }

    /// The host that is served.
    pub(super) fn host(&self) -> Option<&ServedHost> {
        self.host.as_ref()
    }

    /// Answers nothing.
    #[cfg(test)]
    pub(super) fn silent() -> Self {
        Self {
            named: Arc::new([]),
            other: Arc::new(Box::new(|_| Box::pin(std::future::pending()))),
            host: None,
        }
    }

    pub(super) async fn answer(&self, request: http::Request<Body>) -> http::Response<ServedBody> {
        let called = service_name(request.uri().path());
        let named = called.and_then(|name| self.named.iter().find(|(named, _)| *named == name));
        let call = named.map_or(&*self.other, |(_, call)| call);
        let mut response = call(request).await.unwrap_or_else(|never| match never {});
        // As a dfdaemon does it: what no service answered has a length.
        if named.is_none() && response.body().is_empty() {
            let headers = response.headers_mut();
            headers
                .entry(CONTENT_LENGTH)
                .or_insert(HeaderValue::from_static("0"));
        }
        response
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.named.iter().map(|(name, _)| name))
            .finish()
    }
}

/// A service by its name, as [`Services`] takes it.
pub(super) fn named<S, B>(service: S) -> (&'static str, Call)
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible>,
    B: Into<ServedBody>,
    S: NamedService + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    // Services that tonic generates are always ready, and so are ours.
    let call = move |request| -> Answering {
        let mut service = service.clone();
        Box::pin(async move { Ok(service.call(request).await?.map(Into::into)) })
    };
    (S::NAME, Box::new(call))
}

/// `package.Service` of the path `/package.Service/Method`.
fn service_name(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!method.is_empty()).then_some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_service_and_a_method() {
        for (path, service) in [
            ("/a.B/C", Some("a.B")),
            ("/a.B/c/D", Some("a.B")),
            ("//C", Some("")),
            ("/a.B/", None),
            ("/a.B", None),
            ("/", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(service_name(path), service, "{path}");
        }
    }
}
