//! How long a request takes.

use axum::http::{Method, Request};

use crate::authority::Authority;
use crate::clock::Stopwatch;

/// The route of a request that none has answered, in metrics.
pub(super) const NO_ROUTE: &str = "none";

/// A request of a listener, from its head to the head of its answer.
pub(super) struct ObservedRequest {
    listener: &'static str,
    method: &'static str,
    stopwatch: Stopwatch,
}

impl ObservedRequest {
    /// Begins with its head.
    pub(super) fn begin<B>(listener: &'static str, request: &Request<B>) -> Self {
        Self {
            listener,
            method: name_of(request.method()),
            stopwatch: Stopwatch::start(),
        }
    }

    /// Ends with the head of its answer, by this route.
    pub(super) fn end(self, authority: &Authority, route: &'static str) {
        let Self {
            listener,
            method,
            stopwatch,
        } = self;
        let requests = authority.metrics().requests();
        requests.observe(listener, method, route, stopwatch.elapsed());
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
