//! How long a request takes, and its trace.

use std::pin::Pin;

use axum::http::{Method, Request};
use axum::response::Response;

use crate::authority::Authority;
use crate::clock::Stopwatch;
use crate::telemetry::traces::{RootSpan, SampledFlag};

/// The route of a request that none has answered, in metrics.
pub(super) const NO_ROUTE: &str = "none";

/// A request of a listener, from its head to the head of its answer.
pub(super) struct ObservedRequest {
    listener: &'static str,
    method: &'static str,
    stopwatch: Stopwatch,
    span: Option<RootSpan>,
}

impl ObservedRequest {
    /// Begins with its head.
    pub(super) fn begin<B>(
        listener: &'static str,
        authority: &Authority,
        flag: SampledFlag,
        request: &Request<B>,
    ) -> Self {
        let span = authority.tracer().begin_request(request.headers(), flag);
        Self {
            listener,
            method: name_of(request.method()),
            stopwatch: Stopwatch::start(),
            span,
        }
    }

    /// Answers it, as part of its trace if it is traced.
    pub(super) async fn answer(
        &self,
        answer: Pin<&mut (impl Future<Output = Response> + Send)>,
    ) -> Response {
        match &self.span {
            None => answer.await,
            Some(span) => span.around(answer).await,
        }
    }

    /// Ends with the head of its answer, by this route.
    pub(super) fn end(self, authority: &Authority, route: &'static str, response: &Response) {
        let Self {
            listener,
            method,
            stopwatch,
            span,
        } = self;
        let requests = authority.metrics().requests();
        requests.observe(listener, method, route, stopwatch.elapsed());
        if let Some(mut span) = span {
            span.add("keywright.listener", listener);
            let matched = (route != NO_ROUTE).then_some(route);
            span.end_answered(method, matched, response.status().as_u16());
        }
    }
}

/// The name of a method, in metrics. Callers can make up as many as they like.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
