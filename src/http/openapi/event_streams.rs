//! Streams of security events, for their receivers.

use axum::http::Method;
use keywright_api as api;
use serde_json::{Value, json};

use super::area::Area;
use super::oauth::endpoint;
use super::operation::{Operation, ResponseDescription, example};
use crate::event_stream::{DeliveryMethod, SESSION_REVOKED};
use crate::http::code::Code;
use crate::http::public::{EventStreamQuery, EventStreamsQuery};
use crate::http::response::ResponseStatus;

const ID: &str = "4c1f9a27e0b83d65";

fn stream() -> Value {
    json!({
        "stream_id": ID, "iss": "http://127.0.0.1:8080", "aud": "6f0c2b7a19d3e845",
        "events_supported": [SESSION_REVOKED], "events_delivered": [SESSION_REVOKED],
        "delivery": {
            "method": DeliveryMethod::POLL,
            "endpoint_url": format!("http://127.0.0.1:8080/ssf/poll?stream_id={ID}"),
        },
        "description": "the gateway",
    })
}

fn operation(id: &'static str, summary: &'static str) -> Operation {
    endpoint(Operation::new(Area::Signals, id, summary))
}

fn one(operation: Operation, text: &'static str) -> Operation {
    operation.answers(ResponseDescription::json::<api::EventStream>(
        ResponseStatus::Ok,
        text,
        stream(),
    ))
}

/// What changes a stream.
fn changes(operation: Operation) -> Operation {
    operation.refuses(&[
        Code::UnknownEventStream,
        Code::InvalidEventStream,
        Code::Contended,
    ])
}

/// `…/ssf/streams`.
pub(in crate::http) fn configuration() -> Vec<(Method, Operation)> {
    let push = json!({
        "delivery": {
            "method": DeliveryMethod::PUSH, "endpoint_url": "https://gateway.example/events",
            "authorization_header": "Bearer 2b1d9f40c7e8",
        },
        "events_requested": [SESSION_REVOKED],
    });
    let pushed = || example("push", push.clone());
    let described = || {
        example(
            "description",
            json!({"stream_id": ID, "description": "the gateway"}),
        )
    };
    let create = operation("createEventStream", "Create an event stream")
        .text(
            "Shared Signals Framework 1.0, for clients with the role `receiver`: the client is told of sessions that \
             end from now on, by signed security event tokens (RFC 8417). They are pushed (RFC 8935) or fetched \
             (RFC 8936, the default). A client has at most 5 streams. `authorization_header` is never shown again. \
             Authentication is that of the OAuth endpoints, or `Authorization: Bearer`.",
        )
        .body::<api::EventStreamRequest>([example("poll", json!({})), pushed()])
        .answers(
            ResponseDescription::json::<api::EventStream>(
                ResponseStatus::Created,
                "The stream.",
                stream(),
            ),
        )
        .refuses(&[
            Code::InvalidEventStream,
            Code::TooManyEventStreams,
            Code::Contended,
        ]);
    let read = operation("readEventStreams", "Read event streams")
        .text("With `stream_id` the stream, otherwise an array of all that the client has of the issuer.")
        .query::<EventStreamsQuery>()
        .answers(ResponseDescription::json::<api::ShownEventStreams>(
            ResponseStatus::Ok,
            "The stream, or the streams.",
            json!([stream()]),
        ))
        .refuses(&[Code::InvalidQuery, Code::UnknownEventStream]);
    let update = operation("updateEventStream", "Change an event stream")
        .text("What is left out stays. What the service decides may be repeated, and not changed.")
        .body::<api::EventStreamChange>([described()]);
    let replace = operation("replaceEventStream", "Replace an event stream")
        .text(
            "What is left out becomes what it is in a new stream. What the service decides may be repeated, and \
             not changed.",
        )
        .body::<api::EventStreamChange>([described()]);
    let delete = operation("deleteEventStream", "Delete an event stream")
        .text("What the client was not told of yet it is never told of.")
        .query::<EventStreamQuery>()
        .answers(ResponseDescription::empty(
            ResponseStatus::NoContent,
            "It is gone.",
        ))
        .refuses(&[Code::InvalidQuery]);
    vec![
        (Method::POST, create),
        (Method::GET, read),
        (
            Method::PATCH,
            changes(one(update, "The stream from now on.")),
        ),
        (
            Method::PUT,
            changes(one(replace, "The stream from now on.")),
        ),
        (Method::DELETE, changes(delete)),
    ]
}

/// `…/ssf/status`.
pub(in crate::http) fn status() -> Vec<(Method, Operation)> {
    let paused = json!({"stream_id": ID, "status": "paused", "reason": "maintenance"});
    let answer = |text| {
        ResponseDescription::json::<api::EventStreamStatus>(
            ResponseStatus::Ok,
            text,
            paused.clone(),
        )
    };
    let read = operation(
        "readEventStreamStatus",
        "Read the status of an event stream",
    )
    .text("A stream whose receiver has not accepted tokens for 7 days is paused, with the reason.")
    .query::<EventStreamQuery>()
    .answers(answer("The status."))
    .refuses(&[Code::InvalidQuery, Code::UnknownEventStream]);
    let set = operation("setEventStreamStatus", "Set the status of an event stream")
        .text(
            "`paused` keeps events until the stream is `enabled`; `disabled` keeps none. `enabled` also sends \
             again to a receiver that has failed.",
        )
        .body::<api::EventStreamStatus>([example("paused", paused.clone())])
        .answers(answer("The status from now on."));
    vec![(Method::GET, read), (Method::POST, changes(set))]
}

/// `…/ssf/verification`.
pub(in crate::http) fn verification() -> Vec<(Method, Operation)> {
    let state = json!({"stream_id": ID, "state": "VGhpcyBpcyBhbiBleGFtcGxl"});
    let verify = operation("verifyEventStream", "Ask for a verification")
        .text(
            "The next token of the stream is a verification, with this `state`. It takes the place of one that \
             was asked for and not taken.",
        )
        .body::<api::EventStreamVerification>([example("state", state)])
        .answers(ResponseDescription::empty(
            ResponseStatus::NoContent,
            "The verification comes.",
        ))
        .refuses(&[Code::EventStreamDisabled]);
    vec![(Method::POST, changes(verify))]
}

/// `…/ssf/poll`.
pub(in crate::http) fn poll() -> Vec<(Method, Operation)> {
    let jti = "Pr58rXTvn3xbUyvSfSg1dw";
    let acknowledged = json!({"maxEvents": 10, "returnImmediately": true, "ack": [jti]});
    let poll = operation("pollEvents", "Fetch security event tokens")
        .text(
            "RFC 8936: first the tokens of `ack` and `setErrs` count as taken, then those are sent that were not. A \
             token comes with the same `jti` until it was taken. The answer comes when there is a token, \
             or after 8 seconds, and at once with `returnImmediately`. It takes a signature of the client's rate.",
        )
        .query::<EventStreamQuery>()
        .body::<api::SetPoll>([example("acknowledge", acknowledged)])
        .answers(ResponseDescription::json::<api::PolledSets>(
            ResponseStatus::Ok,
            "The tokens, and whether there are more.",
            json!({"sets": {jti: "eyJhbGciOiJSUzI1NiIsImtpZCI6…"}, "moreAvailable": false}),
        ))
        .refuses(&[
            Code::InvalidQuery,
            Code::RateLimited,
            Code::AlgorithmNotActive,
            Code::SigningBusy,
        ]);
    vec![(Method::POST, changes(poll))]
}
