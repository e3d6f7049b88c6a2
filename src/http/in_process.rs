//! Calls of the API from within the process, for a caller that is known already: what the console reads and
//! does, it reads and does as any client would, through the same routes with the same roles, limits and slots.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest as _, Request};
use axum::http::header::{ACCEPT, CONTENT_TYPE, IF_MATCH};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::admission::{AdmissionControl, REQUEST_ID};
use super::authentication::KnownCaller;
use super::body::PageFormBody;
use super::connection::Peer;
use super::internal;
use super::problem::Problem;
use super::response::until_sent;
use super::slots::{RequestSlot, RouteClass, Slots};
use crate::authority::authentication::Caller;
use crate::authority::{Authority, ChangeError};
use crate::oauth::Form;

/// The routes of the internal listener, for requests that come over no connection.
#[derive(Clone)]
pub struct InProcessApi {
    router: Router,
    slots: Arc<Slots>,
}

/// A request.
pub struct InProcessRequest<'r> {
    /// The method.
    pub method: Method,
    /// The path, with its query.
    pub path: &'r str,
    /// The JSON that it brings, if any.
    pub body: Option<String>,
    /// The entity tag of the record that it replaces, if it must still be that one (RFC 9110 §13.1.1).
    pub if_match: Option<&'r str>,
}

impl InProcessApi {
    /// The routes, with the slots of `admission`.
    pub fn new(authority: Arc<Authority>, admission: &AdmissionControl) -> Self {
        Self {
            router: internal::router(authority),
            slots: admission.slots(),
        }
    }

    /// Makes a request as `caller`. It takes a slot of the route's class, as one over a connection does.
    /// `page` are the headers of the request that it is made for.
    pub async fn send(
        &self,
        caller: &Caller,
        page: &HeaderMap,
        request: InProcessRequest<'_>,
    ) -> Response {
        let InProcessRequest {
            method,
            path,
            body,
            if_match,
        } = request;
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        match path.parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => return Problem::not_found().into_response(),
        }
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json.clone());
        if let Some(body) = body {
            request.headers_mut().insert(CONTENT_TYPE, json);
            *request.body_mut() = Body::from(body);
        }
        if let Some(tag) = if_match {
            match HeaderValue::from_str(tag) {
                Ok(tag) => drop(request.headers_mut().insert(IF_MATCH, tag)),
                Err(_) => return Problem::from(ChangeError::PreconditionFailed).into_response(),
            }
        }
        if let Some(id) = page.get(REQUEST_ID) {
            request.headers_mut().insert(REQUEST_ID, id.clone());
        }
        let slot = self.slots.new_request();
        request.extensions_mut().insert(slot.clone());
        request.extensions_mut().insert(KnownCaller(caller.clone()));
        match self.router.clone().oneshot(request).await {
            Ok(response) => until_sent(response, slot),
            Err(infallible) => match infallible {},
        }
    }
}

/// Takes a slot for a request whose form is read: as `caller`, or by address while no client is known.
///
/// # Errors
/// The answer when there is none.
pub fn take_slot_for_form(
    extensions: &Extensions,
    caller: Option<&Caller>,
) -> Result<(), Box<Response>> {
    let Some(slot) = extensions.get::<RequestSlot>() else {
        return Ok(());
    };
    let class = RouteClass::Administration;
    let address = extensions.get::<Peer>().map(|peer| peer.address.ip());
    let taken = match caller {
        Some(caller) => slot.enter(class, caller.id()),
        None => slot.enter_by_address(class, address),
    };
    taken.map_err(|problem| Box::new(problem.into_response()))
}

/// Gives back what [`take_slot_for_form`] has taken: the calls that follow take their own.
pub fn release_slot(extensions: &Extensions) {
    if let Some(slot) = extensions.get::<RequestSlot>() {
        slot.release();
    }
}

/// Reads the form of a page that a request brings, of at most 64 KiB.
///
/// # Errors
/// The answer when it is none.
pub async fn read_form(request: Request) -> Result<Form, Box<Response>> {
    let read = PageFormBody::from_request(request, &()).await;
    let read = read.map(|PageFormBody(form)| form);
    read.map_err(|problem| Box::new(problem.into_response()))
}

/// The whole body of an answer, of at most `limit` bytes.
pub async fn read_answer(response: Response, limit: usize) -> Option<bytes::Bytes> {
    let body = http_body_util::Limited::new(response.into_body(), limit);
    body.collect().await.ok().map(|body| body.to_bytes())
}
