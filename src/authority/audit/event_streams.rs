//! Changes of streams of security events. Who receives them is the actor, and where may be a secret.

use serde::Serialize;

/// A change of a stream of security events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventStreamEvent {
    /// A receiver is told of sessions that end from then on.
    EventStreamCreated {
        /// The stream's identifier.
        stream: String,
    },
    /// Its terms or its status are others.
    EventStreamChanged {
        /// The stream's identifier.
        stream: String,
    },
    /// The receiver is told of nothing any more.
    EventStreamDeleted {
        /// The stream's identifier.
        stream: String,
    },
    /// The receiver has accepted nothing for too long, or is gone: nothing is sent to it.
    EventStreamPaused {
        /// The stream's identifier.
        stream: String,
    },
}
