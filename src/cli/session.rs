//! What every command is given.

use super::client::Client;
use super::connection::ConnectionArguments;
use super::failure::Failure;
use super::output::Output;
use crate::lifecycle::Timestamp;

/// Where a command writes, what time it is, and how it would reach the service.
pub(super) struct Session {
    pub(super) output: Output,
    pub(super) now: Timestamp,
    pub(super) connection: ConnectionArguments,
}

impl Session {
    /// The service; commands that work offline never ask for it.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        self.connection.client()
    }
}
