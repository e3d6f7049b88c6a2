//! `keywright guard`: the verification of keywright-verifier, for gateways.
//!
//! A gateway (nginx, Envoy, Traefik) asks before it forwards a request, and forwards it when the answer is
//! 200. The answer shows the claims as headers. So every service behind the gateway has revocations,
//! whatever it is written in.
//!
//! - The main listener answers *every* path with a verdict: 200, 401, 403 or 503, and nothing else,
//!   because nginx turns any other status into 500. So probes and metrics have a listener of their own.
//! - Every header of claims is in every 200, empty where the token lacks the claim. Otherwise a gateway
//!   would pass on the header of that name that a client has sent.
//! - No path and no header that a client can write decides what a token must have, or which request a
//!   DPoP proof must be for: the gateway sets those headers, and requirements are
//!   chosen by the first segment of the path, which the gateway puts there, and a path that none is for
//!   is refused.
//! - It has no store, no master key and no credential.

mod authorization;
mod claim_headers;
mod denial;
mod handler;
mod health;
mod issuers;
mod metrics;
mod original_request;
mod requirement;
mod response;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{self, ListenAddress};
use crate::http::{CertificateReloader, Listener, ListeningSocket, serve};
use crate::service::{Background, Request, ReservedSocket, Signals, tell_service_manager, url_of};
use crate::telemetry::Metrics;
use claim_headers::ClaimHeaders;
use handler::VerdictHandler;
use health::HealthHandler;
use issuers::FollowedIssuers;
use metrics::GuardMetrics;
use original_request::OriginalRequests;
use requirement::Requirements;

/// Runs a guard until the process is asked to end, then lets requests in progress end. A service manager
/// is told when it serves and when it ends.
///
/// # Errors
/// Whatever keeps it from starting, in one sentence for the operator.
pub async fn run(settings: &config::Guard, metrics: Arc<Metrics>) -> Result<(), Box<dyn Error>> {
    // First of all: what a signal asks for while the guard starts is done when it serves.
    let mut signals = Signals::listen()?;
    let clock = Clock::system();
    let headers = ClaimHeaders::new(&settings.headers)?;
    let requirements = Requirements::new(settings)?;
    let has_requirements = !settings.requirements.is_empty();
    let dpop = settings.dpop.as_ref();
    let original = dpop.map(|dpop| OriginalRequests::new(dpop, has_requirements));
    let original = original.transpose()?;
    let tls = match settings.tls_files() {
        Some(files) => {
            let reloader =
                CertificateReloader::start("guard", files, clock.clone(), Arc::clone(&metrics));
            Some(Arc::new(reloader.map_err(|error| format!("tls: {error}"))?))
        }
        None => None,
    };
    let socket = take("listen", &settings.listen, |address| {
        let is_protected = tls.is_some() || settings.allow_plaintext;
        is_protected || address.ip().is_loopback()
    })?;
    let health_socket = match &settings.health_listen {
        Some(address) => Some(take("health_listen", address, |_| true)?),
        None => None,
    };
    let issuers = Arc::new(FollowedIssuers::start(&settings.issuers)?);
    let guard_metrics = Arc::new(GuardMetrics::new(&metrics));

    let socket = socket.listen()?;
    let url = url_of(&socket, tls.as_deref())?;
    let health_socket = health_socket.map(ReservedSocket::listen).transpose()?;
    let health_url = match &health_socket {
        Some(socket) => url_of(socket, None)?,
        None => "none".to_owned(),
    };
    let (stop, stopped) = watch::channel(false);
    let background = Background { clock, metrics };
    let serve_until_stopped = |stopped: &watch::Receiver<bool>| {
        let stopped = stopped.clone();
        move |listener| serve(listener, stopped.clone())
    };
    let guard = Listener {
        name: "guard",
        socket: socket.into(),
        certificates: tls.as_deref().map(CertificateReloader::certificates),
        limits: settings.limits(),
        handler: VerdictHandler::new(
            Arc::clone(&issuers),
            requirements,
            headers,
            original,
            &settings.realm,
            Arc::clone(&guard_metrics),
        ),
    };
    let mut listeners = Vec::new();
    let run_guard = serve_until_stopped(&stopped);
    listeners.push(background.spawn("listener-guard", &Arc::new(guard), run_guard));
    if let Some(socket) = health_socket {
        let health = health_listener(settings, socket, HealthHandler::new(issuers, guard_metrics));
        let serve_health = move |listener| serve(listener, stopped.clone());
        listeners.push(background.spawn("listener-health", &Arc::new(health), serve_health));
    }
    if let Some(tls) = &tls {
        background.spawn("certificate-guard", tls, CertificateReloader::run);
    }
    tracing::info!(listen = url, health = health_url, "keywright guard serves");
    tell_service_manager(NotifyState::Ready);

    while signals.next().await == Request::Reload {
        tracing::info!("SIGHUP: looks for new certificates");
        if let Some(tls) = &tls {
            tls.look_now();
        }
    }
    tracing::info!("keywright guard drains");
    tell_service_manager(NotifyState::Stopping);
    stop.send_replace(true);
    for listener in listeners {
        listener.await?;
    }
    tracing::info!("keywright guard has ended");
    Ok(())
}

fn health_listener(
    settings: &config::Guard,
    socket: ListeningSocket,
    handler: HealthHandler,
) -> Listener<HealthHandler> {
    Listener {
        name: "health",
        socket: socket.into(),
        certificates: None,
        limits: settings.limits(),
        handler,
    }
}

/// Takes the address of a setting, if every address that it stands for may be listened on.
fn take(
    setting: &'static str,
    address: &ListenAddress,
    is_allowed: impl Fn(&SocketAddr) -> bool,
) -> Result<ReservedSocket, String> {
    let resolved = address
        .resolve()
        .map_err(|error| format!("cannot look up {setting} = \"{address}\": {error}"))?;
    if !resolved.iter().all(is_allowed) {
        return Err(format!(
            "{setting} = \"{address}\" is not a loopback address, and the guard has no certificate: \
             set tls.certificate and tls.key, or allow_plaintext = true where the network between \
             gateway and guard is trusted"
        ));
    }
    ReservedSocket::take(setting, address, &resolved)
}
