//! What the service says of itself: its metrics, and this description.

use super::area::Area;
use super::operation::{Operation, ResponseDescription};
use crate::http::response::ResponseStatus;
use crate::telemetry::OPENMETRICS;

/// The media type of an OpenAPI document (RFC 9512 has the YAML one; JSON is plain JSON).
pub(in crate::http) const JSON: &str = "application/json";

/// The media type of the page.
pub(in crate::http) const HTML: &str = "text/html; charset=utf-8";

/// `GET /metrics`.
pub(in crate::http) fn metrics() -> Operation {
    Operation::new(Area::Service, "readMetrics", "Read the metrics")
        .text("It names issuers and algorithms and has counts, no kids and no tokens.")
        .answers(ResponseDescription::text(
            ResponseStatus::Ok,
            "OpenMetrics text.",
            OPENMETRICS,
            "Counters and gauges.",
        ))
}

/// `GET /openapi.json`.
pub(in crate::http) fn document() -> Operation {
    described(
        Operation::new(Area::Service, "readDescription", "Read this description"),
        ResponseDescription::text(
            ResponseStatus::Ok,
            "This document.",
            JSON,
            "An OpenAPI 3.1 document.",
        ),
    )
}

/// `GET /docs`.
pub(in crate::http) fn page() -> Operation {
    described(
        Operation::new(
            Area::Service,
            "readDocumentation",
            "Read this description as a page",
        ),
        ResponseDescription::text(ResponseStatus::Ok, "A page without scripts.", HTML, "HTML.")
            .headers(&["Content-Security-Policy"]),
    )
}

/// `GET /`.
pub(in crate::http) fn start() -> Operation {
    described(
        Operation::new(Area::Service, "readStart", "Start here"),
        ResponseDescription::text(ResponseStatus::Ok, "The page of `/docs`.", HTML, "HTML.")
            .headers(&["Content-Security-Policy"]),
    )
}

fn described(operation: Operation, answer: ResponseDescription) -> Operation {
    let headers = &["ETag", "Cache-Control"];
    operation
        .header("If-None-Match", IF_NONE_MATCH)
        .answers(answer.headers(headers))
        .answers(
            ResponseDescription::empty(
                ResponseStatus::NotModified,
                "What the caller has is current.",
            )
            .headers(headers),
        )
}

/// What the header `If-None-Match` is for.
pub(super) const IF_NONE_MATCH: &str =
    "What the caller has: an entity tag, a list of them, or `*`.";
