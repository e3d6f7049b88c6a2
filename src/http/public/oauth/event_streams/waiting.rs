//! Receivers that wait for events (RFC 8936 §2.4): one request of each stream, so that all of them together are
//! no more than there are streams.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The streams whose receivers wait at this process.
#[derive(Clone, Default)]
pub(in crate::http::public::oauth) struct WaitingReceivers(Arc<Mutex<BTreeSet<String>>>);

/// The place of a request that waits, until it is dropped.
pub(super) struct WaitingPlace {
    receivers: WaitingReceivers,
    stream: String,
}

impl WaitingReceivers {
    /// A place for the receiver of a stream, if none of its requests waits.
    pub(super) fn enter(&self, stream: &str) -> Option<WaitingPlace> {
        let is_first = self.streams().insert(stream.to_owned());
        is_first.then(|| WaitingPlace {
            receivers: self.clone(),
            stream: stream.to_owned(),
        })
    }

    fn streams(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        self.receivers.streams().remove(&self.stream);
    }
}
