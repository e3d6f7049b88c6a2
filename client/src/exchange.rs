//! What every request has in common: its limits, and how its answer is read.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::address::Endpoint;
use crate::connector::Connector;
use crate::error::Error;
use crate::tls::{InvalidTls, Tls};

/// How long an answer may take, from the request to its last byte.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The largest document that is read, in bytes.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// How long an idle connection is kept. The service keeps it longer.
const IDLE_CONNECTION: Duration = Duration::from_secs(10);

pub(crate) const USER_AGENT_NAME: &str = concat!("keywright-client/", env!("CARGO_PKG_VERSION"));

pub(crate) type Http = HttpClient<Connector, Full<Bytes>>;

/// A pool of connections to one place.
pub(crate) fn http(endpoint: Endpoint, tls: &Tls) -> Result<Http, InvalidTls> {
    Ok(HttpClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .build(Connector::new(endpoint, tls)?))
}

/// The whole body of an answer; `url` names it in an error.
pub(crate) async fn text(body: Incoming, url: &str) -> Result<String, Error> {
    let unexpected = |what: String| Error::UnexpectedAnswer {
        url: url.to_owned(),
        what,
    };
    let read = Limited::new(body, LARGEST_ANSWER).collect().await;
    let bytes = read.map_err(|error| match error.is::<LengthLimitError>() {
        true => unexpected(format!("more than {LARGEST_ANSWER} bytes")),
        false => Error::Unreachable {
            url: url.to_owned(),
            source: error,
        },
    })?;
    String::from_utf8(bytes.to_bytes().into()).map_err(|_| unexpected("what is no text".to_owned()))
}
