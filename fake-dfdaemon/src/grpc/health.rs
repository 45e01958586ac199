//! `grpc.health.v1.Health`, which clients of release 0.2 ask before every command.
//!
//! The daemon is well as long as it answers. Its service is registered when all of the host's
//! listeners are up, so a watch never has news.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::service::ServedHost;
use crate::call::faults::Phase;
use crate::call::rpc::Rpc;
use crate::dfdaemon::statuses::{not_registered, stopping};

/// The health of one host's services.
#[derive(Clone, Debug)]
pub(super) struct HealthOf {
    pub(super) host: ServedHost,
    /// The service besides the empty name, which stands for the whole server.
    pub(super) service: &'static str,
}

impl HealthOf {
    fn status_of(&self, service: &str) -> Option<ServingStatus> {
        let is_known = service.is_empty() || (service == self.service && self.host.is_up());
        is_known.then_some(ServingStatus::Serving)
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Health for HealthOf {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        let fields = json!({"service": service});
        let call = self
            .host
            .begin(Rpc::Health, fields, request.extensions())
            .await;
        let work = async {
            let status = self.status_of(service);
            status.map(response).ok_or_else(not_registered)
        };
        // An overloaded daemon is well.
        self.host.answer_always(call, work).await
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = &request.get_ref().service;
        let fields = json!({"service": service, "watch": true});
        let mut call = self
            .host
            .begin(Rpc::Health, fields, request.extensions())
            .await;
        let applied = call.apply_faults(Phase::Before).await;
        let status = applied.and_then(|()| self.status_of(service).ok_or_else(not_registered));
        let status = match status {
            Ok(status) => status,
            Err(refused) => {
                call.answered(Some(&refused)).wait().await;
                return Err(refused);
            }
        };
        let now = stream::once(async move { Ok(response(status)) });
        // Until the daemon stops or its state is replaced, or the client goes away: then the call is
        // dropped, and notes that.
        let never = stream::once(async move {
            call.ends().cancelled().await;
            let ended = stopping();
            call.answered(Some(&ended)).wait().await;
            Err(ended)
        });
        Ok(Response::new(Box::pin(now.chain(never))))
    }
}
