//! The living service: issuers in memory, and everything that can be asked of them.
//!
//! ClockReading (a signature, a key set) takes a snapshot without a lock. Changing goes through
//! `issuer::Issuer::change` alone: decide, commit to the store, swap the snapshot. No lock or
//! transaction is held while a key is generated or a token is signed.

mod access;
pub mod approvals;
pub mod audit;
pub mod authentication;
pub mod backup;
mod changes;
pub mod clients;
mod error;
pub mod issuer;
pub mod lease;
pub mod load;
pub mod master_key;
pub mod publication;
mod readiness;
mod replay;
pub mod replication;
pub mod scheduler;
pub mod signing;
pub mod snapshot;
pub mod throttle;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tracing::Instrument as _;

use crate::access::approval::{Approval, Operation};
use crate::clock::Clock;
use crate::engine::{SigningEngine, Urgency};
use crate::issuance_log::IssuanceLog;
use crate::lifecycle::{
    DecisionError, IssuerName, IssuerOrigin, Policy, RuleViolation, Timestamp, Timing, create, plan,
};
use crate::store::seal::MasterKeys;
use crate::store::{KeyStore, versions};
use crate::telemetry::Metrics;
use approvals::ApprovalOutcome;
use audit::Actor;
use authentication::{Authenticator, Caller, RequestCredentials, TrustedIssuers, Unauthenticated};
use clients::Clients;
use issuer::{ChangeRequest, Committed, Issuer};
use lease::Lease;
use load::NewKeys;
use replication::{OwnReplica, ReplicationError};
use scheduler::WakeQueue;

pub use access::Issued;
pub use changes::{Exposure, Rotation};
pub use error::ChangeError;
pub use readiness::Unready;

/// What an authority stands on.
pub struct Services {
    /// Where key sets rest.
    pub store: Arc<dyn KeyStore>,
    /// Where private keys are used.
    pub engine: Arc<dyn SigningEngine>,
    /// What seals private keys at rest.
    pub master_keys: MasterKeys,
    /// What time it is.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whose tokens prove who a caller is.
    pub trusted: TrustedIssuers,
    /// The `aud` of assertions that clients sign themselves; without one there are none.
    pub audience: Option<String>,
    /// Where each token leaves a line.
    pub issuance_log: Option<Arc<IssuanceLog>>,
    /// For how long what is in memory may be used.
    pub lease: Arc<Lease>,
    /// What other processes on the same store and people are told of this one.
    pub identity: Map<String, Value>,
}

/// Every issuer of one deployment.
pub struct Authority {
    services: Services,
    directory: ArcSwap<Directory>,
    directory_writer: Mutex<()>,
    /// This process among others; `None` when nobody shares its store.
    replica: Option<OwnReplica>,
    origin: tokio::sync::Mutex<()>,
    access: tokio::sync::Mutex<access::Known>,
    clients: Clients,
    /// Whether the store had a client at the start, usable or not.
    had_clients: bool,
    authenticator: Authenticator,
    wakes: WakeQueue,
    /// Issuers whose last scheduled change failed.
    failed_schedules: Mutex<BTreeSet<IssuerName>>,
}

/// Issuers by name, and by the path under which they are published.
#[derive(Default, Clone)]
struct Directory {
    by_name: HashMap<IssuerName, Arc<Issuer>>,
    by_path: HashMap<String, Arc<Issuer>>,
    /// Issuers that the store has and that cannot be used, with the path of each.
    unusable: BTreeMap<IssuerName, String>,
}

impl Directory {
    /// An issuer that is deleted keeps its name, so that its history can be asked for, and is
    /// published nowhere.
    fn add(&mut self, issuer: Arc<Issuer>) {
        let snapshot = issuer.snapshot();
        let path = snapshot.set().policy().url.path();
        if snapshot.set().deleted_at().is_none() {
            self.by_path.insert(path.to_owned(), Arc::clone(&issuer));
        } else {
            self.by_path.remove(path);
        }
        self.unusable.remove(issuer.name());
        self.by_name.insert(issuer.name().clone(), issuer);
    }

    /// Its documents are then not gone but out of service.
    fn put_out_of_service(&mut self, name: IssuerName, path: String) {
        if self.by_name.remove(&name).is_some() {
            self.by_path.remove(&path);
        }
        self.unusable.insert(name, path);
    }
}

impl Authority {
    /// Loads every issuer and client. An issuer whose records cannot be used is left out, by name;
    /// the others serve.
    ///
    /// # Errors
    /// When the store does not answer, or this process cannot join others on it.
    pub async fn start(mut services: Services) -> Result<Self, ReplicationError> {
        let mut directory = Directory::default();
        let wakes = WakeQueue::default();
        let replica = OwnReplica::join(&services).await?;
        master_key::require_sealing_key(&services).await?;
        // What is committed while everything is loaded is asked for afterwards.
        let head = services.store.audit_head().await?;
        for name in services.store.issuers().await? {
            let Some(stored) = services.store.load(&name).await? else {
                continue;
            };
            match Issuer::load(&services, &stored) {
                Ok(issuer) => {
                    directory.add(Arc::new(issuer));
                    wakes.set(&name, services.clock.now());
                }
                Err(error) => {
                    tracing::error!(issuer = %name, %error, "issuer refused");
                    directory.put_out_of_service(name, stored.issuer.path);
                }
            }
        }
        let clients = Clients::new(services.audience.take());
        let rows = services.store.clients().await?;
        clients.replace(access::usable(&rows));
        clients.remember_uses(&services.store.last_uses().await?);
        let trusted = std::mem::take(&mut services.trusted);
        let authenticator = Authenticator::new(trusted, services.clock.now());
        if let (Some(replica), Some(head)) = (&replica, head) {
            replica.begin_after(head.sequence).await;
        }
        let authority = Self {
            services,
            directory: ArcSwap::from_pointee(directory),
            directory_writer: Mutex::default(),
            replica,
            origin: tokio::sync::Mutex::new(()),
            access: tokio::sync::Mutex::new(Some(versions(&rows))),
            clients,
            had_clients: !rows.is_empty(),
            authenticator,
            wakes,
            failed_schedules: Mutex::default(),
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

    /// Where each token leaves a line, if anywhere.
    pub fn issuance_log(&self) -> Option<&IssuanceLog> {
        self.services.issuance_log.as_deref()
    }

    /// The clients that may call.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Whether the store had any client when this began, usable or not.
    pub fn had_clients(&self) -> bool {
        self.had_clients
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

    /// Whether the store has any issuer, usable or not.
    pub fn has_issuers(&self) -> bool {
        let directory = self.directory.load();
        !directory.by_name.is_empty() || !directory.unusable.is_empty()
    }

    /// All issuers that are not deleted, in the order of their names.
    pub fn issuers(&self) -> Vec<Arc<Issuer>> {
        let directory = self.directory.load();
        let is_alive = |issuer: &&Arc<Issuer>| issuer.snapshot().set().deleted_at().is_none();
        let mut issuers: Vec<_> = directory
            .by_name
            .values()
            .filter(is_alive)
            .cloned()
            .collect();
        issuers.sort_by(|one, other| one.name().cmp(other.name()));
        issuers
    }

    /// The issuer that is published under a path (empty for the root).
    pub fn published_under(&self, path: &str) -> Option<Arc<Issuer>> {
        self.directory.load().by_path.get(path).cloned()
    }

    /// Whether an issuer that cannot be used was published under a path. Its documents are then
    /// not gone but out of service, and copies of them may go on being used.
    pub fn is_out_of_service(&self, path: &str) -> bool {
        let directory = self.directory.load();
        directory.unusable.values().any(|unusable| unusable == path)
    }

    /// The issuer with this name.
    ///
    /// # Errors
    /// [`ChangeError::UnknownIssuer`], or [`ChangeError::UnusableIssuer`] when the store has it and
    /// it cannot be used.
    pub fn issuer(&self, name: &str) -> Result<Arc<Issuer>, ChangeError> {
        let directory = self.directory.load();
        if let Some(issuer) = directory.by_name.get(name) {
            return Ok(Arc::clone(issuer));
        }
        match directory.unusable.get_key_value(name) {
            Some((name, _)) => Err(ChangeError::UnusableIssuer(name.clone())),
            None => Err(ChangeError::UnknownIssuer(name.chars().take(63).collect())),
        }
    }

    /// How long the processes of this store need to take a change over.
    pub fn timing(&self) -> Timing {
        self.services.lease.timing()
    }

    /// Creates an issuer, or replaces the policy of one that exists. `None` for the founding means
    /// that the request does not say: a new issuer is then a fresh one.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn set_issuer(
        self: &Arc<Self>,
        name: &IssuerName,
        policy: Policy,
        origin: Option<IssuerOrigin>,
        actor: Actor,
    ) -> Result<IssuerSet, ChangeError> {
        let (authority, name) = (Arc::clone(self), name.clone());
        run_to_completion(async move {
            let _founding = authority.origin.lock().await;
            match authority.issuer(name.as_str()) {
                Ok(issuer) => {
                    if origin.is_some_and(|asked| asked != issuer.snapshot().set().origin()) {
                        return Err(ChangeError::Refused(RuleViolation::IssuerOriginFixed));
                    }
                    let operation = Operation::SetPolicy(Box::new(policy));
                    match authority.ask(&issuer, operation, None, actor).await? {
                        ApprovalOutcome::Done(_) => Ok(IssuerSet::Replaced(issuer)),
                        ApprovalOutcome::Awaits(approval) => Ok(IssuerSet::Awaits(approval)),
                    }
                }
                Err(ChangeError::UnknownIssuer(_)) => {
                    let origin = origin.unwrap_or(IssuerOrigin::Fresh);
                    let issuer = authority.found(&name, policy, origin, &actor).await?;
                    Ok(IssuerSet::Created(issuer))
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn found(
        &self,
        name: &IssuerName,
        policy: Policy,
        origin: IssuerOrigin,
        actor: &Actor,
    ) -> Result<Arc<Issuer>, ChangeError> {
        if self.published_under(policy.url.path()).is_some() {
            return Err(ChangeError::PathTaken);
        }
        if !self.services.lease.holds() {
            return Err(ChangeError::SnapshotStale);
        }
        let mut fresh = NewKeys::default();
        let (change, time) = loop {
            let time = self.services.lease.change_time();
            match create(name.clone(), policy.clone(), origin, time, &fresh.supply) {
                Ok(change) => break (change, time),
                Err(DecisionError::Refused(refusal)) => return Err(ChangeError::Refused(refusal)),
                Err(DecisionError::NeedsKeys(wanted)) => {
                    for specification in wanted {
                        let engine = &self.services.engine;
                        let generated = engine.generate(specification, Urgency::Immediate);
                        fresh.add_generated(generated.await?);
                    }
                }
            }
        };
        let issuer = Arc::new(issuer::found(&self.services, actor, change, time, fresh).await?);
        self.edit_directory(|directory| directory.add(Arc::clone(&issuer)));
        self.schedule(&issuer);
        tracing::info!(issuer = %name, ?actor, "issuer created");
        self.on_all_replicas().await;
        Ok(issuer)
    }

    /// Deletes an issuer, and takes it out of what is published.
    async fn end_issuer(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        request: ChangeRequest,
    ) -> Result<(), ChangeError> {
        let (authority, issuer) = (Arc::clone(self), Arc::clone(issuer));
        run_to_completion(async move {
            let _founding = authority.origin.lock().await;
            authority.change(&issuer, request).await?;
            authority.edit_directory(|directory| directory.add(issuer));
            Ok(())
        })
        .await
    }

    /// Changes the directory, one at a time.
    fn edit_directory(&self, edit: impl FnOnce(&mut Directory)) {
        let _writer = self
            .directory_writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut directory = Directory::clone(&self.directory.load());
        edit(&mut directory);
        self.directory.store(Arc::new(directory));
    }

    /// Carries out an order, to its end.
    async fn change(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        request: ChangeRequest,
    ) -> Result<Option<Committed>, ChangeError> {
        let (authority, issuer) = (Arc::clone(self), Arc::clone(issuer));
        run_to_completion(async move {
            let (actor, is_asked_for) = (request.attribution.clone(), !request.is_scheduled());
            let mut outcome = issuer.change(&authority.services, request).await;
            if let Ok(Some(committed)) = &outcome {
                let version = committed.change.set.version();
                for event in &committed.change.events {
                    tracing::info!(issuer = %issuer.name(), version, ?actor, ?event, "key set changed");
                }
            }
            authority.schedule(&issuer);
            if let Ok(Some(committed)) = &mut outcome
                && is_asked_for
            {
                committed.on_all_replicas = authority.on_all_replicas().await;
            }
            outcome
        })
        .await
    }

    /// Sets when an issuer is looked at next. The plan is made anew: the one in the snapshot was
    /// made when the set changed, and may lie behind us without anything being due.
    fn schedule(&self, issuer: &Issuer) {
        let now = self.now();
        let plan = plan(issuer.snapshot().set(), now);
        let wake = if plan.steps.is_empty() && issuer.is_confirmed() {
            // What failed here, another replica may have done.
            let failed_schedules = self.failed_schedules.lock();
            let mut failed_schedules = failed_schedules.unwrap_or_else(PoisonError::into_inner);
            failed_schedules.remove(issuer.name());
            plan.next_wake
        } else {
            Some(now)
        };
        if let Some(wake) = wake {
            let start_delay = self.replica.as_ref().map(OwnReplica::start_delay);
            let wake = wake.after(start_delay.unwrap_or_default());
            self.wakes.set(issuer.name(), wake);
        }
    }
}

/// Runs a change to its end in a task of its own. A caller that hangs up or runs out of time drops
/// its future wherever that stands; between a commit and the swap of the snapshot that would leave
/// a revoked key published.
async fn run_to_completion<T: Send + 'static>(
    change: impl Future<Output = Result<T, ChangeError>> + Send + 'static,
) -> Result<T, ChangeError> {
    tokio::spawn(change.in_current_span())
        .await
        .unwrap_or(Err(ChangeError::Interrupted))
}

/// What a PUT of an issuer did.
pub enum IssuerSet {
    /// There was none of that name.
    Created(Arc<Issuer>),
    /// Its policy is now the one that was given.
    Replaced(Arc<Issuer>),
    /// The policy waits for a second person.
    Awaits(Box<Approval>),
}
