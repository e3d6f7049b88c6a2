//! Answers gateways.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, Request};
use axum::response::Response;
use hyper::body::Incoming;
use keywright_verifier::Possession;
use serde_json::Value;

use super::authorization::{PresentedToken, presented_token, proof};
use super::claim_headers::ClaimHeaders;
use super::denial::Denial;
use super::issuers::FollowedIssuers;
use super::metrics::GuardMetrics;
use super::original_request::OriginalRequests;
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
    /// The requests that DPoP proofs are about; `None` where tokens that are bound to a key are refused.
    original: Option<OriginalRequests>,
    realm: String,
    metrics: Arc<GuardMetrics>,
}

impl VerdictHandler {
    pub(super) fn new(
        issuers: Arc<FollowedIssuers>,
        requirements: Requirements,
        headers: ClaimHeaders,
        original: Option<OriginalRequests>,
        realm: &str,
        metrics: Arc<GuardMetrics>,
    ) -> Self {
        Self(Arc::new(Judge {
            issuers,
            requirements,
            headers,
            original,
            realm: realm.to_owned(),
            metrics,
        }))
    }
}

impl RequestHandler for VerdictHandler {
    async fn handle(self, request: Request<Incoming>) -> Response {
        let Self(judge) = self;
        let path = request.uri().path();
        let verdict = judge.judge(request.method(), path, request.headers());
        let verdict = verdict.await;
        let (response, reason) = match verdict {
            Ok(claims) => (accepted(claims), "accepted"),
            Err(denial) => {
                // Neither the path nor a header: a client may have put its token there.
                tracing::debug!(code = denial.code(), detail = %denial, "refused");
                let challenges = denial.challenges(&judge.realm, judge.original.is_some());
                (refused(&denial, &challenges), denial.code())
            }
        };
        let status = response.status().as_u16();
        judge.metrics.count_verdict(status, reason);
        response
    }
}

impl Judge {
    /// The headers of an accepted token.
    async fn judge(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<HeaderMap, Denial> {
        let verifier = self.issuers.verifier();
        let verified = match presented_token(headers)? {
            PresentedToken::Bearer(token) => verifier.verify::<Value>(token).await,
            PresentedToken::Dpop(token) => {
                let original = self.original.as_ref().ok_or(Denial::NoDpop)?;
                let original = original.of(method, path, headers)?;
                let proof = proof(headers).map_err(|error| Denial::Token(error.into()))?;
                let possession =
                    Possession::none().with_dpop(proof, &original.method, &original.url);
                verifier.verify_bound(token, &possession).await
            }
        };
        let verified = verified.map_err(Denial::Token)?;
        self.requirements.check(path, &verified.claims)?;
        self.headers.of(&verified).map_err(Denial::ClaimsTooLarge)
    }
}
