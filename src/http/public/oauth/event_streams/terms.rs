//! What receivers decide of their streams, from documents.

use axum::http::HeaderValue;
use keywright_api as api;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::authority::event_streams::{AuthorizationChange, EventStreamTerms};
use crate::event_stream::{DeliveryMethod, EventStream};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::webhook::check_url;

/// The longest description, and the longest reason, in characters.
pub(super) const LONGEST_TEXT: usize = 256;

/// The longest state of a verification, in characters.
pub(super) const LONGEST_STATE: usize = 1024;

/// The longest type of an event, in bytes.
const LONGEST_EVENT_TYPE: usize = 512;

/// The longest value of `Authorization`, in bytes.
const LONGEST_AUTHORIZATION: usize = 2048;

pub(super) fn invalid(detail: &str) -> Problem {
    Problem::new(Code::InvalidEventStream, detail)
}

pub(super) fn check_length(
    member: &str,
    text: Option<&str>,
    longest: usize,
) -> Result<(), Problem> {
    match text.is_some_and(|text| text.chars().count() > longest) {
        true => Err(invalid(&format!(
            "{member} has more than {longest} characters"
        ))),
        false => Ok(()),
    }
}

/// How tokens are to be delivered.
struct Delivery {
    method: DeliveryMethod,
    authorization: Option<Zeroizing<String>>,
}

impl Delivery {
    fn of(request: api::EventStreamDeliveryRequest) -> Result<Self, Problem> {
        let api::EventStreamDeliveryRequest {
            method,
            endpoint_url,
            authorization_header,
        } = request;
        let authorization = authorization_header.map(Zeroizing::new);
        match (method.as_str(), endpoint_url) {
            (DeliveryMethod::PUSH, Some(url)) => {
                check_url(&url).map_err(|error| invalid(&format!("delivery.endpoint_{error}")))?;
                if let Some(value) = &authorization {
                    check_authorization(value)?;
                }
                Ok(Self {
                    method: DeliveryMethod::Push(url),
                    authorization,
                })
            }
            (DeliveryMethod::PUSH, None) => Err(invalid(
                "delivery.endpoint_url is missing, to which tokens are pushed",
            )),
            (DeliveryMethod::POLL, _) if authorization.is_some() => Err(invalid(
                "delivery.authorization_header is for push: the receiver authenticates as a client when it \
                 polls",
            )),
            // Where tokens are fetched the service says.
            (DeliveryMethod::POLL, _) => Ok(Self {
                method: DeliveryMethod::Poll,
                authorization: None,
            }),
            _ => Err(invalid(
                "delivery.method is neither urn:ietf:rfc:8935 nor urn:ietf:rfc:8936",
            )),
        }
    }

    /// What becomes of the value of `Authorization`. One that was given for a URL is not sent to another.
    fn authorization_after(&self, before: Option<&EventStream>) -> AuthorizationChange {
        let is_same = before.is_some_and(|stream| stream.method == self.method);
        match &self.authorization {
            Some(value) => AuthorizationChange::Set(value.clone()),
            None if is_same => AuthorizationChange::Keep,
            None => AuthorizationChange::Erase,
        }
    }
}

fn check_authorization(value: &str) -> Result<(), Problem> {
    let is_sent = (1..=LONGEST_AUTHORIZATION).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && value.trim() == value
        && HeaderValue::from_str(value).is_ok();
    match is_sent {
        true => Ok(()),
        false => Err(invalid(
            "delivery.authorization_header is no text of 1 to 2,048 printable ASCII characters",
        )),
    }
}

fn events_of<const LEAST: usize, const MOST: usize>(
    requested: Option<api::Entries<String, LEAST, MOST>>,
) -> Result<Option<Vec<String>>, Problem> {
    let requested = requested.map(api::Entries::into_vec);
    let mut events = requested.iter().flatten();
    match events.any(|event| event.len() > LONGEST_EVENT_TYPE) {
        true => Err(invalid(
            "events_requested has a type of more than 512 bytes",
        )),
        false => Ok(requested),
    }
}

/// The terms of a stream to be created.
pub(super) fn of_request(request: api::EventStreamRequest) -> Result<EventStreamTerms, Problem> {
    let api::EventStreamRequest {
        delivery,
        events_requested,
        description,
    } = request;
    check_length("description", description.as_deref(), LONGEST_TEXT)?;
    let delivery = delivery.map(Delivery::of).transpose()?.unwrap_or(POLLED);
    Ok(EventStreamTerms {
        authorization: delivery.authorization_after(None),
        method: delivery.method,
        events_requested: events_of(events_requested)?,
        description,
    })
}

/// How tokens are delivered where nothing is said.
const POLLED: Delivery = Delivery {
    method: DeliveryMethod::Poll,
    authorization: None,
};

/// A change of the terms of a stream; `None` where they stay.
pub(super) struct Change {
    delivery: Option<Delivery>,
    events_requested: Option<Option<Vec<String>>>,
    description: Option<Option<String>>,
}

impl Change {
    /// What is not named becomes what it is where nothing is said.
    pub(super) fn whole(change: api::EventStreamChange) -> Result<Self, Problem> {
        check_length("description", change.description.as_deref(), LONGEST_TEXT)?;
        let delivery = change.delivery.map(Delivery::of).transpose()?;
        Ok(Self {
            delivery: Some(delivery.unwrap_or(POLLED)),
            events_requested: Some(events_of(change.events_requested)?),
            description: Some(change.description),
        })
    }

    /// What is not named stays.
    pub(super) fn partial(change: api::EventStreamChange) -> Result<Self, Problem> {
        check_length("description", change.description.as_deref(), LONGEST_TEXT)?;
        Ok(Self {
            delivery: change.delivery.map(Delivery::of).transpose()?,
            events_requested: events_of(change.events_requested)?.map(Some),
            description: change.description.map(Some),
        })
    }

    /// The terms of a stream after it.
    pub(super) fn of(&self, stream: &EventStream) -> EventStreamTerms {
        let requested = self.events_requested.clone();
        let description = self.description.clone();
        EventStreamTerms {
            authorization: match &self.delivery {
                Some(delivery) => delivery.authorization_after(Some(stream)),
                None => AuthorizationChange::Keep,
            },
            method: match &self.delivery {
                Some(delivery) => delivery.method.clone(),
                None => stream.method.clone(),
            },
            events_requested: requested.unwrap_or_else(|| stream.events_requested.clone()),
            description: description.unwrap_or_else(|| stream.description.clone()),
        }
    }
}

/// What the service decides may be repeated in a change, and is not changed (SSF 1.0 §8.1.1.3).
pub(super) fn check_fixed_members(
    change: &api::EventStreamChange,
    stream: &api::EventStream,
) -> Result<(), Problem> {
    let audience = match &change.aud {
        // One audience may stand in an array.
        Some(Value::Array(audiences)) if audiences.len() == 1 => audiences.first(),
        audience => audience.as_ref(),
    };
    let delivered = json!(stream.events_delivered);
    for (member, named, is) in [
        ("iss", change.iss.as_ref(), json!(stream.iss)),
        ("aud", audience, json!(stream.aud)),
        (
            "events_supported",
            change.events_supported.as_ref(),
            json!(stream.events_supported),
        ),
        (
            "events_delivered",
            change.events_delivered.as_ref(),
            delivered,
        ),
    ] {
        if named.is_some_and(|named| *named != is) {
            return Err(invalid(&format!(
                "{member} is not what the service has decided"
            )));
        }
    }
    Ok(())
}
