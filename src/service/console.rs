//! Whether the console is served, and by which names.

use std::io;
use std::sync::Arc;

use axum::Router;

use crate::authority::Authority;
use crate::config::Config;
use crate::console::{self, Settings};
use crate::http::{AdmissionControl, InProcessApi, ListeningSocket};

/// The console on the internal listener, if the configuration wants it there: by default where the
/// address is a loopback one, which no browser of another machine reaches.
///
/// # Errors
/// When the socket does not say its address.
pub(super) fn router(
    config: &Config,
    internal: &ListeningSocket,
    authority: &Arc<Authority>,
    admission: &AdmissionControl,
) -> io::Result<Option<Router>> {
    let is_loopback = match internal {
        ListeningSocket::Tcp(socket) => socket.local_addr()?.ip().is_loopback(),
        ListeningSocket::Unix(..) => false,
    };
    if !config.console.enabled.unwrap_or(is_loopback) {
        return Ok(None);
    }
    let settings = Settings {
        is_loopback,
        is_tls: config.internal.tls.is_some(),
        hosts: config.console.hosts.clone(),
        environment: config.console.environment.clone(),
    };
    let api = InProcessApi::new(Arc::clone(authority), admission);
    Ok(Some(console::router(Arc::clone(authority), api, settings)))
}
