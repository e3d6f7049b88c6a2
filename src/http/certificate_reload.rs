//! The certificate of a listener while it serves: read again when its files change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::Notify;

use super::tls::{ClientCertificateMode, ClientRoots, Contents, Identity, TlsError, TlsFiles};
use crate::clock::Clock;
use crate::lifecycle::Timestamp;
use crate::telemetry::Metrics;

/// How often the files are looked at. Their content is compared, and not their time: neither the
/// clock of a file system nor a symbolic link that changes hides a new content.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Days before a certificate's end from which on the log warns, once a day.
const WARNING_DAYS: u64 = 14;

const MILLIS_PER_DAY: u64 = 86_400_000;

/// How long a TLS handshake may take, unless a connection may be idle for less.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The same where a client must have a certificate: what has not shown one is a stranger's.
const REQUIRED_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// What a listener speaks TLS with now. A connection takes it once and stays with it.
pub struct Certificates {
    config: ArcSwap<ServerConfig>,
    handshake_timeout: Duration,
}

impl Certificates {
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    pub(super) const fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }
}

/// Watches the certificate files of one listener, and loads them again when they change.
pub struct CertificateReloader {
    listener: &'static str,
    files: TlsFiles,
    certificates: Arc<Certificates>,
    state: Mutex<State>,
    /// Told when the files are to be looked at before the time has come.
    look_now: Notify,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What it has found so far.
struct State {
    expires_at: Timestamp,
    last_read: LastRead,
    /// The number of days that the last warning named.
    warned: Option<u64>,
}

/// The result of the last read of the files. The same result again is neither tried nor logged.
#[derive(PartialEq, Eq)]
enum LastRead {
    Content([u8; 32]),
    Unreadable(String),
}

impl CertificateReloader {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn start(
        listener: &'static str,
        files: TlsFiles,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TlsError> {
        let contents = files.read()?;
        let Identity { config, expires_at } = files.identity(&contents)?;
        let is_required = |clients: &ClientRoots| clients.mode == ClientCertificateMode::Required;
        let handshake_timeout = if files.clients.as_ref().is_some_and(is_required) {
            REQUIRED_HANDSHAKE_TIMEOUT
        } else {
            HANDSHAKE_TIMEOUT
        };
        let state = State {
            expires_at,
            last_read: LastRead::Content(contents.digest()),
            warned: None,
        };
        let reloader = Self {
            listener,
            files,
            certificates: Arc::new(Certificates {
                config: ArcSwap::new(config),
                handshake_timeout,
            }),
            state: Mutex::new(state),
            look_now: Notify::new(),
            clock,
            metrics,
        };
        reloader.metrics.report_tls_success(listener);
        reloader.observe();
        Ok(reloader)
    }

    /// The certificate, for the listener.
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// Has the files looked at without delay.
    pub fn look_now(&self) {
        self.look_now.notify_one();
    }

    /// Looks at the files again and again. What cannot be used replaces nothing.
    pub async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.clock.wait_for(LOOK_EVERY) => {}
                () = self.look_now.notified() => {}
            }
            let files = self.files.clone();
            // Files may lie on a network, and waiting for them here would hold connections up.
            if let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await {
                self.look(read);
            }
            self.observe();
        }
    }

    fn look(&self, read: Result<Contents, TlsError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let last_read = match &read {
            Ok(contents) => LastRead::Content(contents.digest()),
            Err(error) => LastRead::Unreadable(error.to_string()),
        };
        if last_read == state.last_read {
            return;
        }
        let listener = self.listener;
        let now = self.clock.now();
        match read.and_then(|contents| self.identity(&contents, state.expires_at, now)) {
            Ok(Identity { config, expires_at }) => {
                self.certificates.config.store(config);
                *state = State {
                    expires_at,
                    last_read,
                    warned: None,
                };
                self.metrics.report_tls_success(listener);
                tracing::info!(
                    listener,
                    days_left = days_until(expires_at, now),
                    "certificate replaced; new connections get it"
                );
            }
            Err(error) => {
                state.last_read = last_read;
                self.metrics.report_tls_failure(listener);
                tracing::error!(
                    listener,
                    %error,
                    "certificate not replaced; the one before stays in use"
                );
            }
        }
    }

    /// What the files have, unless it has expired and what is in use has not.
    fn identity(
        &self,
        contents: &Contents,
        used_until: Timestamp,
        now: Timestamp,
    ) -> Result<Identity, TlsError> {
        let identity = self.files.identity(contents)?;
        if identity.expires_at <= now && used_until > now {
            return Err(TlsError::Expired(self.files.certificate.clone()));
        }
        Ok(identity)
    }

    /// Shows how long the certificate is still good for, and warns when it is not for long.
    fn observe(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (listener, now) = (self.listener, self.clock.now());
        self.metrics
            .observe_tls_certificate(listener, state.expires_at, now);
        let days_left = days_until(state.expires_at, now);
        if days_left >= WARNING_DAYS || state.warned == Some(days_left) {
            return;
        }
        state.warned = Some(days_left);
        if state.expires_at <= now {
            tracing::error!(listener, "the certificate has expired: clients refuse it");
        } else {
            tracing::warn!(listener, days_left, "the certificate expires soon");
        }
    }
}

fn days_until(end: Timestamp, now: Timestamp) -> u64 {
    end.millis().saturating_sub(now.millis()) / MILLIS_PER_DAY
}
