//! The audit log as it grows, as server-sent events (HTML §9.2).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use futures_util::stream;
use keywright_api as api;
use keywright_api::IssuerName;
use keywright_verifier::Kid;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::audit::{AuditQuery, filter_of};
use super::{Parameters, QueryNumber, Service};
use crate::authority::Authority;
use crate::authority::audit::{AuthenticationMethod, FollowError, Followed, LogFollower};
use crate::authority::authentication::Caller;
use crate::http::authentication::{HasRole, role};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::response::streamed;
use crate::lifecycle::Timestamp;
use crate::store::StoreError;

/// The header by which a client goes on where it was cut off (HTML §9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How long nothing may be sent. Proxies close what is idle for longer.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long one stream lasts, in seconds. Its client connects again, and is admitted again.
const LONGEST_STREAM: u64 = 3600;

/// What a stream begins with: how long a client waits before it connects again, in milliseconds.
const BEGINNING: &str = "retry: 1000\n\n";

/// Which events to follow.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EventsQuery {
    /// Only this issuer's events.
    #[schemars(with = "Option<IssuerName>")]
    issuer: Option<String>,
    /// Only what the client with this identifier did.
    client: Option<String>,
    /// Only events of this kind.
    #[schemars(with = "Option<api::EventKind>")]
    event: Option<String>,
    /// Only events of this key.
    #[schemars(with = "Option<Kid>")]
    kid: Option<String>,
    /// Events with a larger sequence number, 0 for all of the log. `Last-Event-ID` stands above it. Default:
    /// those that happen from now on.
    after: Option<QueryNumber>,
    /// After how many seconds the stream ends at the latest. Default: 3600.
    #[schemars(range(min = 1, max = LONGEST_STREAM))]
    max_seconds: Option<u64>,
}

pub(super) async fn follow(
    State(authority): Service,
    caller: HasRole<role::Auditor>,
    headers: HeaderMap,
    Parameters(query): Parameters<EventsQuery>,
) -> Result<Response, Problem> {
    let after = match last_event_id(&headers)? {
        Some(last) => Some(last),
        None => query.after.map(|QueryNumber(after)| after),
    };
    let longest = query.max_seconds.unwrap_or(LONGEST_STREAM);
    if !(1..=LONGEST_STREAM).contains(&longest) {
        let detail = format!("max_seconds is 1 to {LONGEST_STREAM}");
        return Err(Problem::new(Code::InvalidQuery, detail));
    }
    let query = AuditQuery::of_events(query.issuer, query.client, query.event, query.kid);
    let filter = filter_of(&authority, &caller, &query)?;
    let follower = authority.follow_log(filter, after).await;
    let follower = follower.map_err(|error| match error {
        FollowError::Shorter(error) => Problem::new(Code::InvalidQuery, error),
        FollowError::Store(error) => error.into(),
    })?;
    let now = authority.now();
    let stream = EventStream {
        caller: caller.caller.clone(),
        authority,
        follower,
        written: VecDeque::from([BEGINNING.to_owned()]),
        written_at: now,
        ends_at: now.after(Duration::from_secs(longest)),
    };
    let parts = stream::try_unfold(stream, async |mut stream| {
        Ok::<_, StoreError>(stream.next().await?.map(|part| (part, stream)))
    });
    let mut response = streamed("text/event-stream", parts);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The number of the last event that the client has seen.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(&LAST_EVENT_ID).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let number = number.filter(|number| i64::try_from(*number).is_ok());
    match (number, values.next()) {
        (Some(number), None) => Ok(Some(number)),
        _ => {
            let detail = "Last-Event-ID is the sequence number of an event";
            Err(Problem::new(Code::InvalidQuery, detail))
        }
    }
}

/// What is sent to one client. It is made as fast as the client reads: one that does not read is cut off by
/// the connection, and no more than one page of events waits for it.
struct EventStream {
    authority: Arc<Authority>,
    caller: Caller,
    follower: LogFollower,
    /// What is to be sent next.
    written: VecDeque<String>,
    /// When something was sent last.
    written_at: Timestamp,
    ends_at: Timestamp,
}

impl EventStream {
    /// What is sent next; `None` at the end.
    async fn next(&mut self) -> Result<Option<String>, StoreError> {
        loop {
            let now = self.authority.now();
            if let Some(written) = self.written.pop_front() {
                self.written_at = now;
                return Ok(Some(written));
            }
            if now >= self.ends_at || !is_admitted(&self.authority, &self.caller, now) {
                return Ok(None);
            }
            match self.follower.next().await? {
                Followed::Events(events) => self.written.extend(events.iter().map(written)),
                Followed::Quiet => {
                    if self.authority.now().since(self.written_at) >= HEARTBEAT {
                        self.written.push_back(":\n\n".to_owned());
                    }
                }
                Followed::Over => return Ok(None),
            }
        }
    }
}

/// Whether a caller would be let in again: its client is as it was, and its credential has not ended.
fn is_admitted(authority: &Authority, caller: &Caller, now: Timestamp) -> bool {
    let live = authority.clients().find(caller.id());
    let is_same = live.is_some_and(|live| live.token == caller.live.token);
    let credential = match &caller.via {
        AuthenticationMethod::Credential { credential } => Some(credential),
        AuthenticationMethod::Console(proof) => proof.credential.as_ref(),
        AuthenticationMethod::Certificate { .. }
        | AuthenticationMethod::Assertion { .. }
        | AuthenticationMethod::Workload { .. } => None,
    };
    let is_valid = |name: &String| {
        let mut credentials = caller.live.client.credentials.iter();
        credentials.any(|one| one.id == *name && one.is_valid(now))
    };
    is_same && credential.is_none_or(is_valid)
}

/// An event as it is sent: its number, and what the listing has of it.
fn written(event: &Map<String, Value>) -> String {
    let sequence = event.get("sequence").and_then(Value::as_u64);
    let sequence = sequence.unwrap_or_default();
    // Text, numbers and JSON values always serialise, without a line feed.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {sequence}\ndata: {data}\n\n")
}
