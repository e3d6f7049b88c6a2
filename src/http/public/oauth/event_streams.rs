//! Streams of security events, for their receivers (Shared Signals Framework 1.0, RFC 8936).

mod terms;
mod waiting;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as RequestBody;
use axum::extract::{FromRequest as _, Query, Request as HttpRequest};
use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use keywright_api as api;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::Oauth;
use super::global_revocation::caller;
use crate::access::{Client, Role};
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::event_streams::StoredEventStream;
use crate::authority::issuer::Issuer;
use crate::event_stream::{
    DeliveryMethod, EventStream, EventStreamEndpoint, PendingEvents, SESSION_REVOKED,
};
use crate::http::admission::{hold_back, span};
use crate::http::body::Body;
use crate::http::code::Code;
use crate::http::connection::Peer;
use crate::http::problem::Problem;
use crate::http::response::{created, no_content, ok};
use crate::http::slots::{RequestSlot, RouteClass};
use crate::webhook::DeliveryState;

pub(super) use waiting::WaitingReceivers;

/// How long an answer may be waited for (RFC 8936 §2.4), which is less than clients and proxies wait.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Which stream is meant, or all.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EventStreamsQuery {
    /// The stream. Default: all of the client.
    stream_id: Option<String>,
}

/// Which stream is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EventStreamQuery {
    /// The stream.
    stream_id: String,
}

fn query<T: DeserializeOwned>(parts: &Parts) -> Result<T, Problem> {
    match Query::try_from_uri(&parts.uri) {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err(Problem::new(Code::InvalidQuery, rejection.body_text())),
    }
}

impl Oauth {
    /// Answers a request of a receiver about streams of an issuer, or of one that is out of service.
    pub(in crate::http::public) async fn answer_receiver(
        self,
        endpoint: EventStreamEndpoint,
        issuer: Option<Arc<Issuer>>,
        request: HttpRequest<Incoming>,
    ) -> Response {
        let methods = methods_of(endpoint);
        let mut response = match issuer {
            _ if !methods.split(", ").any(|one| one == request.method()) => {
                Problem::method_not_allowed(methods).into_response()
            }
            Some(issuer) => {
                let answer = |request| respond(&self, endpoint, issuer, request);
                self.admission.admit(request, answer).await
            }
            None => Problem::issuer_unusable("the issuer is out of service").into_response(),
        };
        let status = response.status().as_u16();
        self.admission.metrics().count_oauth_response(status);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        hold_back(response).await
    }
}

const fn methods_of(endpoint: EventStreamEndpoint) -> &'static str {
    match endpoint {
        EventStreamEndpoint::Configuration => "GET, POST, PATCH, PUT, DELETE",
        EventStreamEndpoint::Status => "GET, POST",
        EventStreamEndpoint::Verification | EventStreamEndpoint::Poll => "POST",
    }
}

fn class_of(endpoint: EventStreamEndpoint, method: &Method) -> RouteClass {
    match endpoint {
        EventStreamEndpoint::Poll => RouteClass::Signing,
        _ if method == Method::GET => RouteClass::Reading,
        _ => RouteClass::Administration,
    }
}

/// Answers a request, whose client takes a slot by its address until it is known.
async fn respond(
    oauth: &Oauth,
    endpoint: EventStreamEndpoint,
    issuer: Arc<Issuer>,
    request: HttpRequest<Incoming>,
) -> Response {
    let span = span(&request);
    let (parts, body) = request.into_parts();
    let answer = answer(oauth, endpoint, &issuer, parts, RequestBody::new(body));
    answer.instrument(span).await.into_response()
}

async fn answer(
    oauth: &Oauth,
    endpoint: EventStreamEndpoint,
    issuer: &Issuer,
    parts: Parts,
    body: RequestBody,
) -> Result<Response, Problem> {
    let authority = &oauth.authority;
    let slot = parts.extensions.get::<RequestSlot>().cloned();
    if let Some(slot) = &slot {
        let address = parts.extensions.get::<Peer>().map(|peer| peer.address.ip());
        slot.enter_by_address(class_of(endpoint, &parts.method), address)?;
    }
    let caller = caller(authority, issuer, &parts).await?;
    if let Some(slot) = &slot {
        slot.hand_over(caller.id())?;
    }
    require_receiver(&caller.live.client, issuer)?;
    let receiver = Receiver {
        authority,
        issuer,
        caller,
        waiting: &oauth.waiting,
        longest_wait: LONGEST_WAIT.min(oauth.admission.timeout() / 2),
        slot,
    };
    match (endpoint, &parts.method) {
        (EventStreamEndpoint::Configuration, &Method::GET) => receiver.show(&parts).await,
        (EventStreamEndpoint::Configuration, &Method::POST) => receiver.create(parts, body).await,
        (EventStreamEndpoint::Configuration, &Method::DELETE) => receiver.delete(&parts).await,
        (EventStreamEndpoint::Configuration, _) => receiver.change(parts, body).await,
        (EventStreamEndpoint::Status, &Method::GET) => receiver.status(&parts).await,
        (EventStreamEndpoint::Status, _) => receiver.set_status(parts, body).await,
        (EventStreamEndpoint::Verification, _) => receiver.verify(parts, body).await,
        (EventStreamEndpoint::Poll, _) => receiver.poll(parts, body).await,
    }
}

/// Refuses a client that has no streams of this issuer.
fn require_receiver(client: &Client, issuer: &Issuer) -> Result<(), Problem> {
    if !client.has(Role::Receiver) {
        return Err(Problem::role_missing(&[Role::Receiver]));
    }
    let limits = &client.terms.limits;
    Ok(limits.check_issuer(issuer.name().as_str())?)
}

/// A client with the role receiver, at one issuer.
struct Receiver<'a> {
    authority: &'a Authority,
    issuer: &'a Issuer,
    caller: Caller,
    waiting: &'a WaitingReceivers,
    longest_wait: Duration,
    slot: Option<RequestSlot>,
}

async fn document<T: DeserializeOwned>(parts: Parts, body: RequestBody) -> Result<T, Problem> {
    let request = HttpRequest::from_parts(parts, body);
    let Body(document) = Body::from_request(request, &()).await?;
    Ok(document)
}

impl Receiver<'_> {
    fn issuer_url(&self) -> String {
        let snapshot = self.issuer.snapshot();
        snapshot.set().policy().url.as_str().to_owned()
    }

    async fn stream(&self, id: &str) -> Result<StoredEventStream, Problem> {
        let (issuer, client) = (self.issuer.name(), self.caller.id());
        Ok(self.authority.event_stream(issuer, client, id).await?)
    }

    async fn show(&self, parts: &Parts) -> Result<Response, Problem> {
        let url = self.issuer_url();
        let EventStreamsQuery { stream_id } = query(parts)?;
        match stream_id {
            Some(id) => {
                let stream = self.stream(&id).await?.stream;
                Ok(ok(api::ShownEventStreams::One(shown(&stream, &url))))
            }
            None => {
                let client = self.caller.id();
                let streams = self.authority.event_streams(self.issuer, client).await?;
                let streams = streams.iter().map(|stored| shown(&stored.stream, &url));
                Ok(ok(api::ShownEventStreams::All(streams.collect())))
            }
        }
    }

    async fn create(&self, parts: Parts, body: RequestBody) -> Result<Response, Problem> {
        let request: api::EventStreamRequest = document(parts, body).await?;
        let terms = terms::of_request(request)?;
        let (client, actor) = (self.caller.id(), self.caller.actor());
        let stream = self
            .authority
            .create_event_stream(self.issuer, client, terms, &actor)
            .await?;
        Ok(created(shown(&stream, &self.issuer_url())))
    }

    /// PUT replaces what the receiver decides, PATCH only what it names.
    async fn change(&self, parts: Parts, body: RequestBody) -> Result<Response, Problem> {
        let is_whole = parts.method == Method::PUT;
        let change: api::EventStreamChange = document(parts, body).await?;
        let url = self.issuer_url();
        let id = change.stream_id.clone();
        let before = self.stream(&id).await?.stream;
        terms::check_fixed_members(&change, &shown(&before, &url))?;
        let change = match is_whole {
            true => terms::Change::whole(change)?,
            false => terms::Change::partial(change)?,
        };
        let (client, actor) = (self.caller.id(), self.caller.actor());
        let changed = self
            .authority
            .change_event_stream(self.issuer, client, &id, |stream| change.of(stream), &actor)
            .await?;
        Ok(ok(shown(&changed, &url)))
    }

    async fn delete(&self, parts: &Parts) -> Result<Response, Problem> {
        let EventStreamQuery { stream_id: id } = query(parts)?;
        let (client, actor) = (self.caller.id(), self.caller.actor());
        self.authority
            .delete_event_stream(self.issuer, client, &id, &actor)
            .await?;
        Ok(no_content())
    }

    async fn status(&self, parts: &Parts) -> Result<Response, Problem> {
        let EventStreamQuery { stream_id: id } = query(parts)?;
        Ok(ok(status_of(&self.stream(&id).await?.stream)))
    }

    async fn set_status(&self, parts: Parts, body: RequestBody) -> Result<Response, Problem> {
        let api::EventStreamStatus {
            stream_id,
            status,
            reason,
        } = document(parts, body).await?;
        terms::check_length("reason", reason.as_deref(), terms::LONGEST_TEXT)?;
        let (client, actor) = (self.caller.id(), self.caller.actor());
        let changed = self
            .authority
            .set_event_stream_status(self.issuer, client, &stream_id, (status, reason), &actor)
            .await?;
        Ok(ok(status_of(&changed)))
    }

    async fn verify(&self, parts: Parts, body: RequestBody) -> Result<Response, Problem> {
        let api::EventStreamVerification { stream_id, state } = document(parts, body).await?;
        terms::check_length("state", state.as_deref(), terms::LONGEST_STATE)?;
        self.authority
            .verify_event_stream(self.issuer, self.caller.id(), &stream_id, state)
            .await?;
        Ok(no_content())
    }

    /// What was taken is written down before anything is signed. It costs a signature of the client's rate.
    async fn poll(&self, parts: Parts, body: RequestBody) -> Result<Response, Problem> {
        let EventStreamQuery { stream_id: id } = query(&parts)?;
        let api::SetPoll {
            max_events,
            return_immediately,
            ack,
            set_errs,
        } = document(parts, body).await?;
        let set_errs = set_errs.unwrap_or_default();
        if set_errs.len() > api::MOST_ACKNOWLEDGED {
            return Err(terms::invalid("setErrs has more than 1,000 members"));
        }
        if self.stream(&id).await?.stream.method != DeliveryMethod::Poll {
            return Err(terms::invalid("the tokens of the stream are pushed"));
        }
        let taken = self.caller.live.take_signatures(NonZeroU32::MIN);
        taken.map_err(|(spent, budget)| Problem::rate_limited(spent, budget))?;
        let ack = ack.map(api::Entries::into_vec).unwrap_or_default();
        let is_taken = |jti: &str| ack.iter().any(|one| one == jti) || set_errs.contains_key(jti);
        let (issuer, client) = (self.issuer, self.caller.id());
        let taken = self.authority.take_events(issuer, client, &id, is_taken);
        let (mut stream, mut pending) = taken.await?;
        if pending.events.is_empty() && return_immediately != Some(true) && max_events != Some(0) {
            (stream, pending) = self.await_events((stream, pending)).await?;
        }
        let most = match stream.status {
            api::EventStreamStatusName::Enabled => max_events.unwrap_or(api::MOST_SETS),
            // They are kept until it is enabled, or there are none.
            api::EventStreamStatusName::Paused | api::EventStreamStatusName::Disabled => 0,
        };
        let most = usize::try_from(most.min(api::MOST_SETS)).unwrap_or(usize::MAX);
        let mut sets = BTreeMap::new();
        for event in pending.events.iter().take(most) {
            let token = issuer.sign_event(&stream, event).await?;
            sets.insert(event.jti.clone(), token);
        }
        let is_enabled = stream.status == api::EventStreamStatusName::Enabled;
        let is_cut = pending.events.len() > most || pending.has_more;
        Ok(ok(api::PolledSets {
            sets,
            more_available: is_enabled && is_cut,
        }))
    }
}

impl Receiver<'_> {
    /// Waits for events of a stream that has none, in no slot. Of one stream one request waits; another one is
    /// answered at once.
    async fn await_events(
        &self,
        known: (EventStream, PendingEvents),
    ) -> Result<(EventStream, PendingEvents), Problem> {
        let id = known.0.id.clone();
        let Some(_place) = self.waiting.enter(&id) else {
            return Ok(known);
        };
        if let Some(slot) = &self.slot {
            slot.release();
        }
        let client = self.caller.id();
        let awaited = self
            .authority
            .awaited_events(self.issuer, client, &id, self.longest_wait)
            .await?;
        if let Some(slot) = &self.slot {
            slot.enter(RouteClass::Signing, client)?;
        }
        // The client may have become another one meanwhile.
        let client = self.authority.client(client);
        let client = client.map_err(|_| Problem::bad_credential())?;
        require_receiver(&client.client, self.issuer)?;
        Ok(awaited)
    }
}

/// A stream as its receiver sees it, without what it is pushed with.
fn shown(stream: &EventStream, issuer: &str) -> api::EventStream {
    let delivered = stream.wants_sessions().then(|| SESSION_REVOKED.to_owned());
    api::EventStream {
        stream_id: stream.id.clone(),
        iss: issuer.to_owned(),
        aud: stream.client.clone(),
        events_supported: vec![SESSION_REVOKED.to_owned()],
        events_requested: stream.events_requested.clone(),
        events_delivered: delivered.into_iter().collect(),
        delivery: match &stream.method {
            DeliveryMethod::Push(url) => api::EventStreamDelivery {
                method: DeliveryMethod::PUSH.to_owned(),
                endpoint_url: url.clone(),
            },
            DeliveryMethod::Poll => api::EventStreamDelivery {
                method: DeliveryMethod::POLL.to_owned(),
                endpoint_url: EventStreamEndpoint::poll_url(issuer, &stream.id),
            },
        },
        description: stream.description.clone(),
    }
}

/// A stream whose receiver has failed for too long is paused, too.
fn status_of(stream: &EventStream) -> api::EventStreamStatus {
    let (status, reason) = match (&stream.delivery.state, stream.status) {
        (DeliveryState::Paused { reason, .. }, api::EventStreamStatusName::Enabled) => {
            (api::EventStreamStatusName::Paused, Some(reason.clone()))
        }
        (_, status) => (status, stream.reason.clone()),
    };
    api::EventStreamStatus {
        stream_id: stream.id.clone(),
        status,
        reason,
    }
}
