//! The whole service, from its configuration to its end.

mod bootstrap;
mod check;
mod console;
mod first_start;
mod listen;
mod offline;
mod ownership;
mod replacement;
mod signals;
mod traces;
mod trust;

use std::sync::Arc;

use sd_notify::NotifyState;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::authority::event_streams::EventStreamTransmitter;
use crate::authority::lease::Lease;
use crate::authority::push::{CopyPusher, PushTargets};
use crate::authority::revocations::RevocationSecret;
use crate::authority::status_lists::StatusSecrets;
use crate::authority::webhooks::{Sender, WebhookDeliverer};
use crate::authority::{Authority, Services, health, replication, revocations, scheduler, upkeep};
use crate::clock::Clock;
use crate::config::{self, Config, InternalListenAddress};
use crate::data_folder::DataFolder;
use crate::engine::Entropy;
use crate::engine::software::SoftwareEngine;
use crate::http::{
    AdmissionControl, AdmittedService, CertificateReloader, Listener, ListeningSocket,
    MtlsEndpoints, Oauth, Public, TlsFiles, serve,
};
use crate::issuance_log::IssuanceLog;
use crate::lifecycle::Timestamp;
use crate::master_key;
use crate::store::seal::check as seal_check;
use crate::store::{self, Store, StoreLocation};
use crate::supervision::supervise;
use crate::telemetry::Metrics;

use check::Addresses;
pub use check::{Checked, UNCHECKED, check};
pub use first_start::FirstStart;
pub use offline::{Copied, CopyError, RestoreRequest, StoreAddress, copy, copy_store, restore};
pub use replacement::replace_lost_keys;
use traces::Traces;

pub(crate) use listen::ReservedSocket;
pub(crate) use signals::{Request, Signals};

/// The name of the issuer that an empty store receives.
const DEFAULT_ISSUER: &str = "default";

/// Whether the service may begin with a store that has nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewStore {
    /// Not where a store is expected: the data folder shows that there was one, or the configuration
    /// says so.
    RefusedBesideTraces,
    /// Whatever the signs.
    Allowed,
}

/// Runs the service until the process is asked to end, then lets requests in progress end. A service
/// manager is told when it serves and when it ends. `on_first_start` is called when this start has
/// made the first client of the store.
///
/// # Errors
/// Whatever keeps it from starting, in one sentence for the operator.
pub async fn run(
    config: &Config,
    new_store: NewStore,
    metrics: Arc<Metrics>,
    on_first_start: impl FnOnce(&FirstStart),
) -> Result<(), Box<dyn std::error::Error>> {
    // First of all: what a signal asks for while the service starts is done when it serves.
    let mut signals = Signals::listen()?;
    let Checked {
        addresses,
        trusted,
        master_keys: sources,
        declared,
        ..
    } = check(config)?;
    let clock = Clock::system();
    let entropy = Entropy::system();
    let reloader = |listener, setting: &str, files: Option<TlsFiles>| {
        files
            .map(|files| {
                CertificateReloader::start(listener, files, clock.clone(), Arc::clone(&metrics))
            })
            .transpose()
            .map(|renewal| renewal.map(Arc::new))
            .map_err(|error| format!("{setting}: {error}"))
    };
    let public_tls = reloader("public", "public.tls", config.public.tls_files())?;
    let internal_tls = reloader("internal", "internal.tls", config.internal.tls_files())?;
    let mtls = config.oauth.mtls.as_ref().filter(|_| config.oauth.enabled);
    let mtls_tls = reloader("mtls", "oauth.mtls", mtls.map(config::Mtls::tls_files))?;
    let folder = DataFolder::open(&config.data_dir)?;
    // A start that cannot listen leaves no store and no keys behind.
    let Addresses {
        public,
        internal,
        mtls: mtls_addresses,
    } = &addresses;
    let public = ReservedSocket::take("public.listen", &config.public.listen, public)?;
    let internal = match &config.internal.listen {
        InternalListenAddress::Network(address) => {
            ReservedSocket::take("internal.listen", address, internal)?
        }
        address @ InternalListenAddress::Unix(path) => {
            let setting = format!("internal.listen = \"{address}\"");
            ReservedSocket::take_file(setting, path, config.internal.socket_access)?
        }
    };
    let mtls_socket =
        mtls.map(|mtls| ReservedSocket::take("oauth.mtls.listen", &mtls.listen, mtls_addresses));
    let mtls_socket = mtls_socket.transpose()?;
    let store = open_store(config, new_store, &folder, &clock, &metrics).await?;
    let master_keys = master_key::open(&sources, &folder, &*store, &clock, &entropy).await?;
    let issuance_log = match config.issuance_log.destination(&folder) {
        Some(destination) => Some(Arc::new(
            IssuanceLog::start(
                destination,
                config.issuance_log.room(),
                clock.clone(),
                Arc::clone(&metrics),
            )
            .map_err(|error| format!("issuance_log: cannot write there: {error}"))?,
        )),
        None => None,
    };
    let traces = Traces::of(&config.telemetry, &metrics)?;
    let services = Services {
        store: Arc::clone(&store),
        engine: Arc::new(SoftwareEngine::start()?),
        lease: Arc::new(Lease::on(
            &*store,
            clock.clone(),
            config.store.max_staleness,
        )),
        master_keys,
        clock: clock.clone(),
        entropy,
        metrics: Arc::clone(&metrics),
        tracer: traces.tracer(),
        trusted,
        audience: config.internal.audience.clone(),
        oauth: config.oauth.endpoints(),
        grants: config.oauth.grants(),
        push: PushTargets::of(&config.push),
        issuance_log: issuance_log.clone(),
        revocation_secret: RevocationSecret::default(),
        status_secrets: StatusSecrets::default(),
        identity: identity(config),
    };
    let authority = Arc::new(Authority::start(services).await?);
    let is_first_start = bootstrap::run(&authority, config, &declared, &folder).await?;

    let (public, internal) = (public.listen()?, internal.listen()?);
    let public_url = url_of(&public, public_tls.as_deref())?;
    let internal_url = url_of(&internal, internal_tls.as_deref())?;
    let mtls_socket = mtls_socket.map(ReservedSocket::listen).transpose()?;
    let mtls_url = match &mtls_socket {
        Some(socket) => Some(url_of(socket, mtls_tls.as_deref())?),
        None => None,
    };
    let addresses = match &mtls_url {
        Some(url) => json!({ "public": public_url, "internal": internal_url, "mtls": url }),
        None => json!({ "public": public_url, "internal": internal_url }),
    };
    folder.write(&folder.listen_file(), &format!("{addresses}\n"))?;

    // What the first look makes is there before anything is served.
    store.check().await?;
    let (stop, stopped) = watch::channel(false);
    let background = Background { clock, metrics };
    let traces = traces.start(&background);
    let scheduler = background.spawn("scheduler", &authority, scheduler::run);
    let access = background.spawn("access-upkeep", &authority, scheduler::run_access_upkeep);
    let issuer_check = background.spawn("issuer-check", &authority, health::watch_issuers);
    let revocations = background.spawn("revocations", &authority, revocations::run);
    let upkeep = background.spawn("upkeep", &authority, upkeep::run);
    let sender = Sender::new(config.webhooks.allowed_networks.clone());
    let deliverer = WebhookDeliverer::new(Arc::clone(&authority), sender);
    let webhooks = background.spawn("webhooks", &Arc::new(deliverer), WebhookDeliverer::run);
    let sender = Sender::new(config.webhooks.allowed_networks.clone());
    let transmitter = EventStreamTransmitter::new(Arc::clone(&authority), sender);
    let event_streams = background.spawn(
        "event-streams",
        &Arc::new(transmitter),
        EventStreamTransmitter::run,
    );
    let pusher = CopyPusher::new(Arc::clone(&authority));
    let copies = background.spawn("copies", &Arc::new(pusher), CopyPusher::run);
    let store_task = if authority.has_shared_store() {
        background.spawn("replication", &authority, replication::run)
    } else {
        background.spawn("store-check", &authority, health::watch_store)
    };
    let admission = AdmissionControl::new(
        config.internal.request_limits(),
        Arc::clone(&background.metrics),
    );
    let oauth = config.oauth.enabled.then(|| {
        let origins = config.oauth.allowed_origins.iter();
        let origins = origins.map(ToString::to_string);
        let (authority, admission) = (Arc::clone(&authority), Arc::clone(&admission));
        Oauth::new(authority, admission, origins, config.oauth.dpop_nonces())
    });
    let mtls_endpoints = match (mtls, &oauth) {
        (Some(mtls), Some(oauth)) => {
            let oauth = oauth.behind_mtls(mtls.url.as_str().into());
            Some(MtlsEndpoints::new(Arc::clone(&authority), oauth))
        }
        _ => None,
    };
    let mtls = mtls_socket
        .zip(mtls_endpoints)
        .map(|(socket, handler)| Listener {
            name: "mtls",
            socket: socket.into(),
            certificates: mtls_tls.as_deref().map(CertificateReloader::certificates),
            limits: config.public.limits(),
            handler,
        });
    let public = Listener {
        name: "public",
        socket: public.into(),
        certificates: public_tls.as_deref().map(CertificateReloader::certificates),
        limits: config.public.limits(),
        handler: Public::new(Arc::clone(&authority), config.public.limits(), oauth),
    };
    let console = console::router(config, &internal, &authority, &admission)?;
    let internal = Listener {
        name: "internal",
        socket: internal.into(),
        certificates: internal_tls
            .as_deref()
            .map(CertificateReloader::certificates),
        limits: config.internal.limits(),
        handler: AdmittedService::new(Arc::clone(&authority), admission, console),
    };
    let renewals = [
        ("certificate-public", &public_tls),
        ("certificate-internal", &internal_tls),
        ("certificate-mtls", &mtls_tls),
    ];
    for (name, renewal) in renewals {
        if let Some(renewal) = renewal {
            background.spawn(name, renewal, CertificateReloader::run);
        }
    }
    let until_stopped = stopped.clone();
    let serve_public = move |listener| serve(listener, until_stopped.clone());
    let until_stopped = stopped.clone();
    let serve_mtls = move |listener| serve(listener, until_stopped.clone());
    let serve_internal = move |listener| serve(listener, stopped.clone());
    let mut listeners = vec![
        background.spawn("listener-public", &Arc::new(public), serve_public),
        background.spawn("listener-internal", &Arc::new(internal), serve_internal),
    ];
    if let Some(mtls) = mtls {
        listeners.push(background.spawn("listener-mtls", &Arc::new(mtls), serve_mtls));
    }
    tracing::info!(
        public = public_url,
        internal = internal_url,
        mtls = mtls_url,
        "keywright serves"
    );
    if is_first_start {
        let location = config.store.location(folder.database());
        on_first_start(&FirstStart::of(
            &folder,
            &location,
            &public_url,
            &internal_url,
        ));
    }
    tell_service_manager(NotifyState::Ready);

    while signals.next().await == Request::Reload {
        tracing::info!("SIGHUP: looks for new certificates");
        let renewals = [&public_tls, &internal_tls, &mtls_tls];
        for renewal in renewals.into_iter().flatten() {
            renewal.look_now();
        }
    }
    tracing::info!("keywright drains");
    tell_service_manager(NotifyState::Stopping);
    authority.drain();
    stop.send_replace(true);
    for listener in listeners {
        listener.await?;
    }
    if let Some(issuance_log) = issuance_log {
        issuance_log.end().await;
    }
    for task in [
        &scheduler,
        &access,
        &issuer_check,
        &revocations,
        &upkeep,
        &webhooks,
        &event_streams,
        &copies,
    ] {
        task.abort();
    }
    // A change that is being committed ends, whole or not at all, before the store is closed.
    let _ = scheduler.await;
    if let Err(error) = authority.store_witness().await {
        tracing::warn!(%error, "the latest time was not written down");
    }
    if let Err(error) = authority.store_last_uses(Timestamp::default()).await {
        tracing::warn!(%error, "the last uses of credentials were not written down");
    }
    store_task.abort();
    let _ = store_task.await;
    if let Err(error) = authority.leave().await {
        tracing::warn!(%error, "the other replicas were not told that this one has ended");
    }
    store.close().await;
    traces.end().await;
    tracing::info!("keywright has ended");
    Ok(())
}

/// Opens the store. One that has nothing yet is refused where another one is expected, and nothing is
/// left of it: what lies beside a database that is put back later would spoil it.
async fn open_store(
    config: &Config,
    new_store: NewStore,
    folder: &DataFolder,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Store>, Box<dyn std::error::Error>> {
    let expected = match new_store {
        NewStore::Allowed => None,
        NewStore::RefusedBesideTraces => why_expected(config, folder),
    };
    let refusal = expected.map(|why| {
        format!(
            "the store is new, but {why}: put the database back, or set the right one; to begin \
             with a new store, run `keywright serve --new`"
        )
    });
    let location = config.store.location(folder.database());
    if let (StoreLocation::Sqlite(file), Some(refusal)) = (&location, &refusal)
        && !file.try_exists()?
    {
        return Err(refusal.as_str().into());
    }
    let store = store::open(&location, clock, metrics).await?;
    if let Some(refusal) = refusal
        && store.get(&seal_check::record_key()).await?.is_none()
    {
        store.close().await;
        return Err(refusal.into());
    }
    Ok(store)
}

/// Why there should be a store already, if there should.
fn why_expected(config: &Config, folder: &DataFolder) -> Option<String> {
    if config.expect_store {
        return Some("`expect_store` is set".to_owned());
    }
    let traces = folder.traces();
    let traces: Vec<_> = traces
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    (!traces.is_empty()).then(|| format!("a service has run here before ({})", traces.join(", ")))
}

/// What tasks of the background run with.
pub(crate) struct Background {
    /// Times the pauses after a panic.
    pub(crate) clock: Clock,
    /// Shows how the tasks are doing.
    pub(crate) metrics: Arc<Metrics>,
}

impl Background {
    /// Runs a task under supervision, on what it works with.
    pub(crate) fn spawn<S, T>(
        &self,
        name: &'static str,
        subject: &Arc<S>,
        run: impl Fn(Arc<S>) -> T + Send + Sync + 'static,
    ) -> JoinHandle<()>
    where
        S: Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let subject = Arc::clone(subject);
        let run = move || run(Arc::clone(&subject));
        let (clock, metrics) = (self.clock.clone(), Arc::clone(&self.metrics));
        tokio::spawn(supervise(name, clock, metrics, run))
    }
}

/// What the other replicas and people are told of this process.
fn identity(config: &Config) -> Map<String, Value> {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let mut identity = Map::new();
    identity.insert("host".to_owned(), host.into());
    identity.insert(
        "data_dir".to_owned(),
        config.data_dir.display().to_string().into(),
    );
    identity
}

/// Where no service manager waits, nothing happens (sd_notify(3)).
pub(crate) fn tell_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

/// Where a listener is reached.
pub(crate) fn url_of(
    listener: &ListeningSocket,
    tls: Option<&CertificateReloader>,
) -> std::io::Result<String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    match listener {
        ListeningSocket::Tcp(socket) => Ok(format!("{scheme}://{}", socket.local_addr()?)),
        ListeningSocket::Unix(_, file) => {
            let path = file.path().to_owned();
            Ok(InternalListenAddress::Unix(path).to_string())
        }
    }
}
