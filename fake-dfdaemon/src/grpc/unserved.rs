//! The answer to a method or a service that is not served: it names the method, and is in the journal.

use serde_json::json;
use tonic::body::Body;

use super::service::ServedHost;
use crate::call::rpc::Rpc;
use crate::dfdaemon::statuses::not_served;

pub(super) async fn answer(host: ServedHost, request: http::Request<Body>) -> http::Response<Body> {
    let method = request.uri().path().trim_start_matches('/');
    let fields = json!({"method": method});
    let mut call = host
        .begin(Rpc::Unserved, fields, request.extensions())
        .await;
    let refused = match call.apply_faults(crate::call::faults::Phase::Before).await {
        Ok(()) => not_served(method),
        Err(fault) => fault,
    };
    call.answered(Some(&refused)).wait().await;
    refused.into_http()
}
