//! Answers probes and monitoring, on a listener of their own.

use std::sync::Arc;

use axum::http::{Method, Request};
use axum::response::Response;
use hyper::body::Incoming;

use super::issuers::FollowedIssuers;
use super::metrics::GuardMetrics;
use super::response::{metrics, not_found, text, unready};
use crate::http::RequestHandler;

/// Answers whether the process lives and can judge tokens, and how many it has judged.
#[derive(Clone)]
pub(super) struct HealthHandler {
    issuers: Arc<FollowedIssuers>,
    metrics: Arc<GuardMetrics>,
}

impl HealthHandler {
    pub(super) const fn new(issuers: Arc<FollowedIssuers>, metrics: Arc<GuardMetrics>) -> Self {
        Self { issuers, metrics }
    }
}

impl RequestHandler for HealthHandler {
    async fn handle(self, request: Request<Incoming>) -> Response {
        let is_read = [Method::GET, Method::HEAD].contains(request.method());
        match request.uri().path() {
            "/livez" if is_read => text("alive\n"),
            "/readyz" if is_read => match self.issuers.readiness() {
                Ok(()) => text("ready\n"),
                Err(reason) => unready(&reason),
            },
            "/metrics" if is_read => metrics(self.metrics.render(&self.issuers)),
            _ => not_found(),
        }
    }
}
