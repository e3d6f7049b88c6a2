//! The service, as a command asks it: one call after the other.

use std::future::Future;
use std::io::{self, Read};
use std::ops::Deref;
use std::time::Duration;

use keywright_client::{Answer, Call, Download, Error};
use tokio::runtime::Runtime;

use super::failure::Failure;
use crate::clock::Clock;

/// The internal listener of one service. Its operations are those of [`keywright_client::Client`].
pub(super) struct Client {
    runtime: Runtime,
    service: keywright_client::Client,
}

impl Client {
    pub(super) fn new(service: keywright_client::Client) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self { runtime, service })
    }

    /// Waits for an answer.
    pub(super) fn wait<T>(&self, call: Call<'_, T>) -> Result<Answer<T>, Failure> {
        Ok(self.runtime.block_on(call.answer())?)
    }

    /// Waits for what is no single answer.
    pub(super) fn wait_for<T>(
        &self,
        what: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(what)
    }

    /// Lets time pass before the next call.
    pub(super) fn pause(&self, clock: &Clock, length: Duration) {
        self.runtime.block_on(clock.sleep(length));
    }

    /// Waits for the beginning of a long answer, and reads it as it comes.
    pub(super) fn stream(
        &self,
        beginning: impl Future<Output = Result<Download, Error>>,
    ) -> Result<Stream<'_>, Failure> {
        let download = self.runtime.block_on(beginning)?;
        Ok(Stream {
            runtime: &self.runtime,
            download,
            rest: Vec::new().into(),
        })
    }
}

impl Deref for Client {
    type Target = keywright_client::Client;

    fn deref(&self) -> &Self::Target {
        &self.service
    }
}

/// A long answer.
pub(super) struct Stream<'a> {
    runtime: &'a Runtime,
    download: Download,
    /// What has come and was not read yet.
    rest: bytes::Bytes,
}

impl Stream<'_> {
    /// What it is an answer to.
    pub(super) fn url(&self) -> String {
        self.download.url().to_owned()
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.runtime.block_on(self.download.chunk()) {
                Ok(Some(bytes)) => self.rest = bytes,
                Ok(None) => return Ok(0),
                Err(error) => return Err(io::Error::other(Failure::from(error).to_string())),
            }
        }
        let length = buffer.len().min(self.rest.len());
        let (target, read) = (buffer.iter_mut(), self.rest.split_to(length));
        target.zip(read).for_each(|(to, from)| *to = from);
        Ok(length)
    }
}
