//! The living service: issuers in memory, and everything that can be asked of them.
//!
//! A request that only reads (a signature, a key set) takes a [`snapshot`] without a lock. A change
//! of a key set goes through `issuer::Issuer::change`, which acts in one order: lock, stamp, decide,
//! commit, install. Then the caller is answered, and what is left to tidy up follows. No lock and no
//! transaction is held while a key is generated or a token is signed.
//!
//! [`Authority`] owns the parts: the directory of issuers, the clients, what wakes the [`scheduler`],
//! and this process's place among the replicas ([`lease`], [`replication`]). Each file adds the
//! methods of one subject: `issuers`, `keys`, [`approvals`], `access`, [`master_key`], [`health`].

mod access;
mod adoption;
pub mod approvals;
pub mod audit;
pub mod authentication;
pub mod backup;
pub mod clients;
mod commit_queue;
mod directory;
mod error;
pub mod event_streams;
pub mod grants;
pub mod health;
pub mod introspection;
pub mod issued_token;
pub mod issuer;
mod issuers;
mod key_wait;
mod keys;
pub mod lease;
pub mod live_tokens;
pub mod load;
pub mod master_key;
pub mod permit;
pub mod publication;
pub mod push;
mod replay;
pub mod replication;
pub mod request;
pub mod revocations;
pub mod scheduler;
mod schema_checks;
mod security_events;
pub mod sessions;
pub mod signing;
pub mod single_use;
pub mod snapshot;
pub mod status_lists;
mod store_watch;
pub mod throttle;
pub mod upkeep;
pub mod verifiers;
pub mod webhooks;
mod witness;

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::engine::{Entropy, RandomnessUnavailable, SigningEngine};
use crate::issuance_log::IssuanceLog;
use crate::lifecycle::{IssuerName, Timestamp};
use crate::oauth::Endpoints;
use crate::oauth::grant::GrantSettings;
use crate::store::chain::LogHead;
use crate::store::seal::MasterKeys;
use crate::store::{
    Batch, BatchId, CommitError, Kind, Query, Store, StoreError, StoredSet, Writer,
    commit_and_settle,
};
use crate::telemetry::traces::{carried, child_span};
use crate::telemetry::{Metrics, Tracer};
use authentication::{Authenticator, Caller, RequestCredentials, TrustedIssuers, Unauthenticated};
use clients::Clients;
use commit_queue::CommitQueue;
use directory::IssuerDirectory;
use grants::GrantCounts;
use health::Health;
use issuer::Issuer;
use lease::Lease;
use push::PushTargets;
use replication::{OwnReplica, ReplicationError};
use revocations::RevocationSecret;
use scheduler::{Generating, WakeQueue};
use single_use::Attempt;
use status_lists::StatusSecrets;
use verifiers::VerifierLog;

pub use access::Issued;
pub use error::ChangeError;
pub use health::{IssuerFault, Unready};
pub use issuers::IssuerSet;
pub use keys::{Exposure, Rotation};
pub use witness::ClockCorrection;

/// What an authority stands on.
pub struct Services {
    /// Where key sets rest.
    pub store: Arc<dyn Store>,
    /// Where private keys are used.
    pub engine: Arc<dyn SigningEngine>,
    /// What seals private keys at rest.
    pub master_keys: MasterKeys,
    /// What time it is.
    pub clock: Clock,
    /// Where random bytes come from.
    pub entropy: Entropy,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is traced.
    pub tracer: Tracer,
    /// Whose tokens prove who a caller is.
    pub trusted: TrustedIssuers,
    /// The `aud` of assertions that clients sign for the internal API; without one there are none.
    pub audience: Option<String>,
    /// Whether metadata names the OAuth endpoints.
    pub oauth: Endpoints,
    /// What holds for all grants.
    pub grants: GrantSettings,
    /// Where key sets are pushed.
    pub push: PushTargets,
    /// Where each token leaves a line.
    pub issuance_log: Option<Arc<IssuanceLog>>,
    /// For how long what is in memory may be used.
    pub lease: Arc<Lease>,
    /// What the feeds' salts and the audit log's hashes are made of; it is read at the start.
    pub revocation_secret: RevocationSecret,
    /// What status lists are made with; they are read at the start.
    pub status_secrets: StatusSecrets,
    /// What other processes on the same store and people are told of this one.
    pub identity: Map<String, Value>,
}

impl Services {
    /// Refuses a change while this process may not stamp one.
    ///
    /// # Errors
    /// [`ChangeError::SnapshotStale`] without a lease, [`ChangeError::ClockDoubted`] while the clock
    /// has just jumped ahead.
    fn require_believed_time(&self) -> Result<(), ChangeError> {
        if !self.lease.holds() {
            return Err(ChangeError::SnapshotStale);
        }
        if !self.clock.is_believed() {
            return Err(ChangeError::ClockDoubted);
        }
        Ok(())
    }

    /// A batch that does nothing yet.
    fn new_batch(&self) -> Result<Batch, RandomnessUnavailable> {
        Ok(Batch::new(BatchId(self.entropy.bytes()?)))
    }

    /// Writes a batch that was decided on before.
    async fn commit(&self, batch: Batch) -> Result<LogHead, CommitError> {
        let writer = self.store.writer().await?;
        self.commit_with(writer, batch).await
    }

    /// Writes a batch that was decided on before. Whether what it expects was still so.
    async fn commit_if_unchanged(&self, batch: Batch) -> Result<bool, ChangeError> {
        match self.commit(batch).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a batch, and remembers the event that memory rests on then: where the log ends.
    async fn commit_with(
        &self,
        writer: Box<dyn Writer + '_>,
        batch: Batch,
    ) -> Result<LogHead, CommitError> {
        let _step = child_span("commit");
        let head = commit_and_settle(&*self.store, writer, batch).await?;
        self.lease.rests_on(head);
        Ok(head)
    }

    /// The records of one issuer and of its keys, which memory rests on then.
    async fn load(&self, issuer: &IssuerName) -> Result<Option<StoredSet>, StoreError> {
        let Some(shared) = self.store.replicas() else {
            return self.store.key_set(issuer).await;
        };
        loop {
            let rounds = self.lease.rounds();
            let (set, head) = shared.load(issuer).await?;
            if self.lease.rounds() == rounds {
                self.lease.rests_on(head);
                return Ok(set);
            }
        }
    }
}

/// Every issuer of one deployment.
pub struct Authority {
    services: Services,
    directory: IssuerDirectory,
    /// This process among others; `None` when it has its store for itself.
    replica: Option<OwnReplica>,
    access: tokio::sync::Mutex<access::KnownClients>,
    clients: Clients,
    /// Whether the store had a client at the start, usable or not.
    had_clients: bool,
    authenticator: Authenticator,
    wakes: WakeQueue,
    /// Issuers for which keys are generated.
    generating: Arc<Generating>,
    health: Health,
    /// How many grants are live.
    grants: GrantCounts,
    /// Who fetches key sets.
    verifiers: VerifierLog,
    /// Tokens that are being used up.
    consumptions: CommitQueue<Attempt>,
    /// Told when a receiver has asked for an event that is in no log.
    verification_requested: tokio::sync::Notify,
}

impl Authority {
    /// Loads every issuer and client. An issuer whose records cannot be used is left out, by name;
    /// the others serve.
    ///
    /// # Errors
    /// When the store does not answer, or this process cannot join others on it.
    pub async fn start(mut services: Services) -> Result<Self, ReplicationError> {
        let directory = IssuerDirectory::default();
        let wakes = WakeQueue::default();
        let replica = OwnReplica::join(&services).await?;
        master_key::require_sealing_key(&services).await?;
        witness::load(&services).await?;
        services.revocation_secret = revocations::load_secret(&services).await?;
        services.status_secrets = status_lists::load_secrets(&services).await?;
        // What is committed while everything is loaded is asked for afterwards.
        let head = services.store.log_head().await?;
        let mut loaded = Vec::new();
        let mut refused = Vec::new();
        for stored in services.store.all_key_sets().await? {
            match Issuer::load(&services, &stored) {
                Ok(issuer) => {
                    wakes.set(issuer.name(), services.clock.now());
                    loaded.push(Arc::new(issuer));
                }
                Err(error) => refused.push((stored, error)),
            }
        }
        let (records, known_through) = services
            .read_revocations(Query::all(Kind::Revocation))
            .await?;
        let mut records = revocations::by_issuer(records);
        for issuer in &loaded {
            let records = records.remove(issuer.name()).unwrap_or_default();
            issuer
                .revocations()
                .load(&services, &records, known_through);
        }
        directory.edit(|issuers| {
            loaded.into_iter().for_each(|issuer| issuers.add(issuer));
            for (stored, error) in &refused {
                issuers.refuse(stored, error);
            }
        });
        let clients = Clients::default();
        let records = services.store.list(Query::all(Kind::Client)).await?;
        clients.replace(access::usable(&records));
        clients.remember_uses(&services.store.last_uses().await?);
        let trusted = std::mem::take(&mut services.trusted);
        let audience = services.audience.take();
        let authenticator = Authenticator::new(trusted, audience, services.clock.clone());
        if let Some(replica) = &replica {
            replica.begin_after(head).await;
        }
        let now = services.clock.now();
        let authority = Self {
            health: Health::new(services.clock.clone()),
            services,
            directory,
            replica,
            access: tokio::sync::Mutex::new(access::KnownClients::of(&records)),
            clients,
            had_clients: !records.is_empty(),
            authenticator,
            wakes,
            generating: Arc::default(),
            grants: GrantCounts::default(),
            verifiers: VerifierLog::beginning_at(now),
            consumptions: CommitQueue::default(),
            verification_requested: tokio::sync::Notify::new(),
        };
        authority.catch_up().await?;
        Ok(authority)
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.services.clock.now()
    }

    /// The metrics that this authority reports to.
    pub fn metrics(&self) -> &Metrics {
        &self.services.metrics
    }

    /// What is traced.
    pub fn tracer(&self) -> &Tracer {
        &self.services.tracer
    }

    /// Where each token leaves a line, if anywhere.
    pub fn issuance_log(&self) -> Option<&IssuanceLog> {
        self.services.issuance_log.as_deref()
    }

    /// What the nonces of DPoP proofs are made of. All processes of a store have the same.
    pub fn nonce_secret(&self) -> [u8; 32] {
        self.services.revocation_secret.nonce_secret()
    }

    /// The clients that may call.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Whether the store had any client when this began, usable or not.
    pub fn had_clients(&self) -> bool {
        self.had_clients
    }

    /// For how many seconds something is valid that expires at this Unix second.
    pub fn seconds_until(&self, expires_at: u64) -> u64 {
        expires_at.saturating_sub(self.now().floor_seconds())
    }

    /// Counts a secret from an address that is no client's.
    ///
    /// # Errors
    /// [`Unauthenticated::TooManyFailures`].
    pub fn count_failure(&self, address: Option<IpAddr>) -> Result<(), Unauthenticated> {
        self.authenticator.count_failure(address)
    }

    /// Whether a token names a trusted issuer as its own. It is not verified.
    pub fn is_of_trusted_issuer(&self, token: &str) -> bool {
        self.authenticator.is_of_trusted_issuer(token)
    }

    /// The client whose workload a token of a trusted issuer names, and the claims of the token.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub async fn admit_workload(
        &self,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<(Caller, serde_json::Value), Unauthenticated> {
        if !self.services.lease.holds() {
            return Err(Unauthenticated::Stale);
        }
        self.authenticator
            .admit_workload(&self.clients, token, address, self.now())
            .await
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub async fn admit(
        &self,
        presented: RequestCredentials<'_>,
    ) -> Result<Caller, Unauthenticated> {
        if !self.services.lease.holds() {
            return Err(Unauthenticated::Stale);
        }
        self.authenticator
            .admit(&self.clients, presented, self.now())
            .await
    }
}

/// Runs a change to its end in a task of its own. A caller that hangs up or runs out of time drops
/// its future wherever that stands; between a commit and the swap of the snapshot that would leave
/// a revoked key published.
async fn run_to_completion<T: Send + 'static>(
    change: impl Future<Output = Result<T, ChangeError>> + Send + 'static,
) -> Result<T, ChangeError> {
    tokio::spawn(carried(change.in_current_span()))
        .await
        .unwrap_or(Err(ChangeError::Interrupted))
}
