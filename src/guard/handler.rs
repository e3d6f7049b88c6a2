//! Answers gateways.

use std::sync::Arc;

use axum::http::{HeaderMap, Request};
use axum::response::Response;
use hyper::body::Incoming;
use serde_json::Value;

use super::authorization::bearer_token;
use super::claim_headers::ClaimHeaders;
use super::denial::Denial;
use super::issuers::FollowedIssuers;
use super::metrics::GuardMetrics;
use super::requirement::Requirements;
use super::response::{accepted, refused};
use crate::http::RequestHandler;

/// Answers every request with a verdict on its token.
#[derive(Clone)]
pub(super) struct VerdictHandler(Arc<Judge>);

/// Everything that a verdict is made with.
struct Judge {
    issuers: Arc<FollowedIssuers>,
    requirements: Requirements,
    headers: ClaimHeaders,
    realm: String,
    metrics: Arc<GuardMetrics>,
}

impl VerdictHandler {
    pub(super) fn new(
        issuers: Arc<FollowedIssuers>,
        requirements: Requirements,
        headers: ClaimHeaders,
        realm: &str,
        metrics: Arc<GuardMetrics>,
    ) -> Self {
        Self(Arc::new(Judge {
            issuers,
            requirements,
            headers,
            realm: realm.to_owned(),
            metrics,
        }))
    }
}

impl RequestHandler for VerdictHandler {
    async fn handle(self, request: Request<Incoming>) -> Response {
        let Self(judge) = self;
        let verdict = judge.judge(request.uri().path(), request.headers()).await;
        let (response, reason) = match verdict {
            Ok(claims) => (accepted(claims), "accepted"),
            Err(denial) => {
                // Neither the path nor a header: a client may have put its token there.
                tracing::debug!(code = denial.code(), detail = %denial, "refused");
                (refused(&denial, &judge.realm), denial.code())
            }
        };
        let status = response.status().as_u16();
        judge.metrics.count_verdict(status, reason);
        response
    }
}

impl Judge {
    /// The headers of an accepted token.
    async fn judge(&self, path: &str, headers: &HeaderMap) -> Result<HeaderMap, Denial> {
        let token = bearer_token(headers)?;
        let verified = self.issuers.verifier().verify::<Value>(token).await;
        let verified = verified.map_err(Denial::Token)?;
        self.requirements.check(path, &verified.claims)?;
        self.headers.of(&verified).map_err(Denial::ClaimsTooLarge)
    }
}
