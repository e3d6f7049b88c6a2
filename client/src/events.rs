//! Events as they happen (HTML §9.2).

use serde::de::DeserializeOwned;

use crate::download::Download;
use crate::error::Error;

/// The longest event that is read, in bytes.
const LONGEST_EVENT: usize = 1024 * 1024;

/// The audit log as it grows. When it ends, ask for it again after [`Events::last`]: nothing is missed.
#[derive(Debug)]
pub struct Events {
    download: Download,
    /// What has come and is no whole event yet.
    rest: Vec<u8>,
    last: Option<u64>,
}

impl Events {
    pub(crate) const fn new(download: Download, after: Option<u64>) -> Self {
        Self {
            download,
            rest: Vec::new(),
            last: after,
        }
    }

    /// The number of the last event that was returned, or after which this began.
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// The next event: a [`keywright_api::AuditEvent`], or the members of one as they are. `None` when the
    /// service has ended the stream, as it does after an hour.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when the connection ends, [`Error::Timeout`] when nothing comes for a minute, and
    /// [`Error::UnexpectedAnswer`] for what is no event.
    pub async fn next<E: DeserializeOwned>(&mut self) -> Result<Option<E>, Error> {
        loop {
            if let Some(part) = self.take_part() {
                if let Some(event) = self.read(&part)? {
                    return Ok(Some(event));
                }
                continue;
            }
            match self.download.chunk().await? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None => return Ok(None),
            }
            if self.rest.len() > LONGEST_EVENT {
                return Err(self.unexpected(format!("an event of more than {LONGEST_EVENT} bytes")));
            }
        }
    }

    /// What has come up to the next empty line.
    fn take_part(&mut self) -> Option<Vec<u8>> {
        let end = self.rest.windows(2).position(|two| two == b"\n\n")?;
        let rest = self.rest.split_off(end + 2);
        Some(std::mem::replace(&mut self.rest, rest))
    }

    /// The event of a part; a comment has none.
    fn read<E: DeserializeOwned>(&mut self, part: &[u8]) -> Result<Option<E>, Error> {
        let text = str::from_utf8(part);
        let text = text.map_err(|_| self.unexpected("what is no text".to_owned()))?;
        let mut data = None;
        let mut id = None;
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("data", value)) => data = Some(value),
                Some(("id", value)) => id = value.parse().ok(),
                _ => {}
            }
        }
        let Some(data) = data else {
            return Ok(None);
        };
        let event = serde_json::from_str(data).map_err(|error| {
            self.unexpected(format!("another document than expected ({error})"))
        })?;
        self.last = id.or(self.last);
        Ok(Some(event))
    }

    fn unexpected(&self, what: String) -> Error {
        Error::UnexpectedAnswer {
            url: self.download.url().to_owned(),
            what,
        }
    }
}
