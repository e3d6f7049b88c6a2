//! A long answer, read as it comes.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};

use crate::error::Error;

/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);

/// A long answer. It has ended well only when [`Download::chunk`] has returned `None`.
#[derive(Debug)]
pub struct Download {
    body: Incoming,
    url: String,
}

impl Download {
    pub(crate) fn new(body: Incoming, url: String) -> Self {
        Self { body, url }
    }

    /// What it is a download of.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when the connection ends before the answer does, and [`Error::Timeout`] when
    /// nothing comes for a minute.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = tokio::time::timeout(SILENCE, self.body.frame()).await;
            let frame = frame.map_err(|_| Error::Timeout {
                url: self.url.clone(),
            })?;
            let Some(frame) = frame.transpose().map_err(|error| Error::Unreachable {
                url: self.url.clone(),
                source: error.into(),
            })?
            else {
                return Ok(None);
            };
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
    }
}
