//! The living service: issuers in memory, and everything that can be asked of them.
//!
//! Reading (a signature, a key set) takes a snapshot without a lock. Changing goes through
//! [`issuer::Issuer::change`] alone: decide, commit to the store, swap the snapshot. No lock or
//! transaction is held while a key is generated or a token is signed.

pub mod audit;
pub mod clients;
pub mod issuer;
pub mod publication;
pub mod scheduler;
pub mod signing;
pub mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use keywright_verifier::{Algorithm, Jwk, Kid};
use serde_json::Value;

use crate::clock::Clock;
use crate::engine::{EngineError, KeyPair, RandomnessUnavailable, SigningEngine, Urgency};
use crate::lifecycle::{
    Command, Event, Founding, Halt, ImportAs, IssuerName, Occurrence, Policy, Proposal, Readiness,
    Refusal, State, Successor, Timestamp, found, rotation_due, simulate,
};
use crate::store::seal::MasterKey;
use crate::store::{ClientChange, CommitError, KeyStore, StoreError};
use crate::telemetry::Metrics;
use audit::{AccessEvent, Actor};
use clients::{Client, Clients, Credential, Role};
use issuer::{Committed, FreshKeys, Issuer, LoadError};
use scheduler::Wakes;

/// What an authority stands on.
pub struct Foundation {
    /// Where key sets rest.
    pub store: Arc<dyn KeyStore>,
    /// Where private keys are used.
    pub engine: Arc<dyn SigningEngine>,
    /// What seals private keys at rest.
    pub master_key: MasterKey,
    /// What time it is.
    pub clock: Clock,
}

/// Every issuer of one deployment.
pub struct Authority {
    foundation: Foundation,
    directory: ArcSwap<Directory>,
    /// Issuers that the store has and that cannot be used, with the reason.
    unusable: BTreeMap<IssuerName, String>,
    founding: tokio::sync::Mutex<()>,
    access: tokio::sync::Mutex<()>,
    clients: Clients,
    wakes: Wakes,
    /// Issuers whose last scheduled change failed.
    failing: Mutex<BTreeSet<IssuerName>>,
    metrics: Arc<Metrics>,
}

/// Issuers by name, and by the path under which they are published.
#[derive(Default, Clone)]
struct Directory {
    by_name: HashMap<IssuerName, Arc<Issuer>>,
    by_path: HashMap<String, Arc<Issuer>>,
}

impl Directory {
    fn add(&mut self, issuer: Arc<Issuer>) {
        let path = issuer.view().set().policy().url.path().to_owned();
        self.by_path.insert(path, Arc::clone(&issuer));
        self.by_name.insert(issuer.name().clone(), issuer);
    }
}

/// Why a change did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A rule forbids it; the caller can ask for something else.
    #[error(transparent)]
    Refused(Refusal),
    /// There is no such issuer.
    #[error("there is no issuer {0}")]
    UnknownIssuer(String),
    /// The issuer's stored records cannot be used; an operator must look.
    #[error("issuer {0} is out of service: its stored records cannot be used")]
    UnusableIssuer(IssuerName),
    /// There is no such client.
    #[error("there is no client {0}")]
    UnknownClient(String),
    /// Another issuer is published under the same path.
    #[error("another issuer has a url with the same path; the path alone tells issuers apart")]
    PathTaken,
    /// Other writers were faster every time; the caller can try again.
    #[error("the key set is being changed by others")]
    Contended,
    /// The store has no set for an issuer that is in memory.
    #[error("the store has lost the issuer")]
    Vanished,
    /// The store failed; the caller can try again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine failed; the caller can try again.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    /// The cipher refused.
    #[error("a private key could not be sealed")]
    Unsealable,
    /// A record cannot be used; an operator must look.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// What a rotation did for one algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The key that stopped, if one signed before.
    pub retired: Option<Kid>,
    /// The key that signs now.
    pub activated: Kid,
    /// The key that stands by now.
    pub successor: Option<Kid>,
    /// Whether verifiers may not know the new key yet.
    pub forced: bool,
}

/// Who is exposed by a key that was revoked, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The key that was asked for.
    pub kid: Kid,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Every key that was revoked, the one that was asked for first.
    pub revoked: Vec<Kid>,
    /// When.
    pub revoked_at: Timestamp,
    /// Whether a key signs now that verifiers may not know yet.
    pub forced: bool,
    /// The key that signs now.
    pub signs_now: Option<Kid>,
    /// Until when a cached copy of the set is fresh and may still be trusted. What a verifier
    /// keeps beyond our headers comes on top.
    pub cached_until: Timestamp,
    /// When the last token that the key may have signed would have expired.
    pub tokens_until: Timestamp,
}

/// Why the service is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// The store does not answer.
    #[error("the key store does not answer")]
    Store,
    /// An issuer has no key that signs with its default algorithm.
    #[error("issuer {0} has no active key")]
    NoActiveKey(IssuerName),
    /// An issuer's stored records cannot be used.
    #[error("issuer {0} is out of service: its stored records cannot be used")]
    Unusable(IssuerName),
    /// A rotation should have happened.
    #[error("a rotation of issuer {0} is overdue")]
    RotationOverdue(IssuerName),
}

/// How long after its time a rotation is called overdue, if nothing was reported to have failed.
const OVERDUE_AFTER: std::time::Duration = std::time::Duration::from_secs(60);

impl Authority {
    /// Loads every issuer and client. An issuer whose records cannot be used is left out, by name;
    /// the others serve.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn start(foundation: Foundation, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let mut directory = Directory::default();
        let mut unusable = BTreeMap::new();
        let wakes = Wakes::default();
        for name in foundation.store.issuers().await? {
            let Some(stored) = foundation.store.load(&name).await? else {
                continue;
            };
            match Issuer::load(&foundation, &stored) {
                Ok(issuer) => {
                    directory.add(Arc::new(issuer));
                    wakes.set(&name, foundation.clock.now());
                }
                Err(error) => {
                    tracing::error!(issuer = %name, %error, "issuer refused");
                    unusable.insert(name, error.to_string());
                }
            }
        }
        let clients = Clients::default();
        let rows = foundation.store.clients().await?;
        clients.replace(rows.iter().filter_map(|row| {
            let client = Client::from_row(row);
            if client.is_none() {
                tracing::error!(client = %row.id, "client refused: its stored record is corrupt");
            }
            client
        }));
        Ok(Self {
            foundation,
            directory: ArcSwap::from_pointee(directory),
            unusable,
            founding: tokio::sync::Mutex::new(()),
            access: tokio::sync::Mutex::new(()),
            clients,
            wakes,
            failing: Mutex::default(),
            metrics,
        })
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.foundation.clock.now()
    }

    /// The metrics that this authority reports to.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The clients that may call.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Whether the store has any issuer, usable or not.
    pub fn has_issuers(&self) -> bool {
        !self.directory.load().by_name.is_empty() || !self.unusable.is_empty()
    }

    /// All issuers, in the order of their names.
    pub fn issuers(&self) -> Vec<Arc<Issuer>> {
        let directory = self.directory.load();
        let mut issuers: Vec<_> = directory.by_name.values().cloned().collect();
        issuers.sort_by(|one, other| one.name().cmp(other.name()));
        issuers
    }

    /// The issuer that is published under a path (empty for the root).
    pub fn published_under(&self, path: &str) -> Option<Arc<Issuer>> {
        self.directory.load().by_path.get(path).cloned()
    }

    /// The issuer with this name.
    ///
    /// # Errors
    /// [`ChangeError::UnknownIssuer`], or [`ChangeError::UnusableIssuer`] when the store has it and
    /// it cannot be used.
    pub fn issuer(&self, name: &str) -> Result<Arc<Issuer>, ChangeError> {
        if let Some(issuer) = self.directory.load().by_name.get(name) {
            return Ok(Arc::clone(issuer));
        }
        match self.unusable.get_key_value(name) {
            Some((name, _)) => Err(ChangeError::UnusableIssuer(name.clone())),
            None => Err(ChangeError::UnknownIssuer(name.chars().take(63).collect())),
        }
    }

    /// Creates an issuer, or replaces the policy of one that exists. `None` for the founding means
    /// that the request does not say: a new issuer is then a fresh one.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn set_issuer(
        &self,
        name: &IssuerName,
        policy: Policy,
        founding: Option<Founding>,
        actor: &Actor,
    ) -> Result<IssuerSet, ChangeError> {
        let _founding = self.founding.lock().await;
        match self.issuer(name.as_str()) {
            Ok(issuer) => {
                if founding.is_some_and(|asked| asked != issuer.view().set().founding()) {
                    return Err(ChangeError::Refused(Refusal::FoundingFixed));
                }
                let command = Command::SetPolicy(policy);
                self.change(&issuer, actor, None, &command, FreshKeys::default())
                    .await?;
                Ok(IssuerSet::Replaced(issuer))
            }
            Err(ChangeError::UnknownIssuer(_)) => {
                let founding = founding.unwrap_or(Founding::Fresh);
                let issuer = self.found(name, policy, founding, actor).await?;
                Ok(IssuerSet::Created(issuer))
            }
            Err(error) => Err(error),
        }
    }

    async fn found(
        &self,
        name: &IssuerName,
        policy: Policy,
        founding: Founding,
        actor: &Actor,
    ) -> Result<Arc<Issuer>, ChangeError> {
        if self.published_under(policy.url.path()).is_some() {
            return Err(ChangeError::PathTaken);
        }
        let mut fresh = FreshKeys::default();
        let change = loop {
            let now = self.now();
            match found(name.clone(), policy.clone(), founding, now, &fresh.supply) {
                Ok(change) => break change,
                Err(Halt::Refused(refusal)) => return Err(ChangeError::Refused(refusal)),
                Err(Halt::NeedsKey(wanted)) => {
                    let generated = self.foundation.engine.generate(wanted, Urgency::Immediate);
                    fresh.add_generated(generated.await?);
                }
            }
        };
        let issuer = Arc::new(issuer::found(&self.foundation, actor, change, &fresh).await?);
        let mut directory = Directory::clone(&self.directory.load());
        directory.add(Arc::clone(&issuer));
        self.directory.store(Arc::new(directory));
        self.schedule(&issuer);
        tracing::info!(issuer = %name, "issuer created");
        Ok(issuer)
    }

    /// Lets the successors take over: of one algorithm, or of all, all or nothing.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn rotate(
        &self,
        issuer: &Issuer,
        algorithm: Option<Algorithm>,
        readiness: Readiness,
        actor: &Actor,
        reason: Option<&str>,
    ) -> Result<(u64, Vec<Rotation>), ChangeError> {
        let command = Command::Rotate {
            algorithm,
            readiness,
        };
        let committed = self
            .change(issuer, actor, reason, &command, FreshKeys::default())
            .await?;
        let Some(Committed { change, .. }) = committed else {
            return Ok((0, Vec::new()));
        };
        let rotations = change.events.iter().filter_map(|event| match event {
            Event::KeyActivated {
                kid,
                algorithm,
                forced,
                ..
            } => Some(Rotation {
                algorithm: *algorithm,
                retired: change.events.iter().find_map(|event| match event {
                    Event::KeyRetired {
                        kid,
                        algorithm: retired,
                        ..
                    } if retired == algorithm => Some(kid.clone()),
                    _ => None,
                }),
                activated: kid.clone(),
                successor: change
                    .set
                    .successors(*algorithm)
                    .first()
                    .map(|key| key.kid().clone()),
                forced: *forced,
            }),
            _ => None,
        });
        Ok((change.set.version(), rotations.collect()))
    }

    /// Distrusts a key, and says who is exposed until when.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn revoke(
        &self,
        issuer: &Issuer,
        kid: &Kid,
        successor: Successor,
        actor: &Actor,
        reason: &str,
    ) -> Result<Exposure, ChangeError> {
        let command = Command::Revoke {
            kid: kid.clone(),
            reason: reason.to_owned(),
            successor,
        };
        let committed = self
            .change(issuer, actor, Some(reason), &command, FreshKeys::default())
            .await?;
        let unknown = || ChangeError::Refused(Refusal::UnknownKey(kid.clone()));
        let Committed { before, change } = committed.ok_or_else(unknown)?;
        let algorithm = change.set.key(kid).ok_or_else(unknown)?.algorithm();
        let mut revoked = Vec::new();
        let mut tokens_until = change.at;
        for event in &change.events {
            if let Event::KeyRevoked {
                kid,
                tokens_until: until,
                ..
            } = event
            {
                revoked.push(kid.clone());
                tokens_until = tokens_until.max(Timestamp::from_seconds(*until));
            }
        }
        let served = change.at.after(before.set().policy().freshness());
        Ok(Exposure {
            kid: kid.clone(),
            algorithm,
            revoked,
            revoked_at: change.at,
            forced: audit::forced(&change),
            signs_now: change.set.active(algorithm).map(|key| key.kid().clone()),
            cached_until: served.max(change.set.served_fresh_until()),
            tokens_until,
        })
    }

    /// Brings in a private key of another system. As [`ImportAs::Retired`] only its public half is
    /// kept.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn import_private(
        &self,
        issuer: &Issuer,
        pair: KeyPair,
        state: ImportAs,
        actor: &Actor,
    ) -> Result<Kid, ChangeError> {
        let jwk = pair.jwk.clone();
        let mut fresh = FreshKeys::default();
        if state != ImportAs::Retired {
            fresh.add_imported(pair);
        }
        self.import(issuer, jwk, state, actor, fresh).await
    }

    /// Brings in a public key of another system, to verify for one retention.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn import_public(
        &self,
        issuer: &Issuer,
        jwk: Jwk,
        actor: &Actor,
    ) -> Result<Kid, ChangeError> {
        self.import(issuer, jwk, ImportAs::Retired, actor, FreshKeys::default())
            .await
    }

    async fn import(
        &self,
        issuer: &Issuer,
        jwk: Jwk,
        state: ImportAs,
        actor: &Actor,
        fresh: FreshKeys,
    ) -> Result<Kid, ChangeError> {
        let kid = jwk.kid().clone();
        let command = Command::Import { jwk, state };
        self.change(issuer, actor, None, &command, fresh).await?;
        Ok(kid)
    }

    /// What will happen to an issuer until then, as it is or under another policy.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] when the policy cannot be set.
    pub fn foresee(
        &self,
        issuer: &Issuer,
        policy: Option<Policy>,
        until: Timestamp,
    ) -> Result<Vec<Occurrence>, ChangeError> {
        let command = policy.map_or(Command::Tick, Command::SetPolicy);
        let proposal = Proposal::Change(Box::new(issuer.view().set().clone()), command);
        simulate(&proposal, self.now(), until).map_err(ChangeError::Refused)
    }

    /// Does what is due for one issuer.
    async fn tick(&self, issuer: &Issuer) -> Result<(), ChangeError> {
        let change = self.change(
            issuer,
            &Actor::Scheduler,
            None,
            &Command::Tick,
            FreshKeys::default(),
        );
        change.await.map(drop)
    }

    async fn change(
        &self,
        issuer: &Issuer,
        actor: &Actor,
        reason: Option<&str>,
        command: &Command,
        fresh: FreshKeys,
    ) -> Result<Option<Committed>, ChangeError> {
        let outcome = issuer
            .change(&self.foundation, actor, reason, command, fresh)
            .await;
        if let Ok(Some(committed)) = &outcome {
            for event in &committed.change.events {
                tracing::info!(
                    issuer = %issuer.name(),
                    version = committed.change.set.version(),
                    event = ?event,
                    "key set changed"
                );
            }
        }
        self.schedule(issuer);
        outcome
    }

    fn schedule(&self, issuer: &Issuer) {
        if let Some(wake) = issuer.view().next_wake() {
            self.wakes.set(issuer.name(), wake);
        }
    }

    /// Creates a client. Its credential is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn create_client(
        &self,
        name: String,
        roles: BTreeSet<Role>,
        actor: &Actor,
    ) -> Result<(Client, Credential), ChangeError> {
        let (client, credential) = Client::create(name, roles, self.now())?;
        self.admit_client(&client, actor).await?;
        Ok((client, credential))
    }

    /// Lets a client in that was made before, for whoever must put its credential away first.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn admit_client(&self, client: &Client, actor: &Actor) -> Result<(), ChangeError> {
        let event = AccessEvent::ClientCreated {
            client: client.id.clone(),
            name: client.name.clone(),
            roles: client.roles.iter().map(|role| role.as_str()).collect(),
        };
        self.change_access(
            ClientChange::Create(client.row()),
            &event,
            actor,
            |clients| {
                clients.push(client.clone());
            },
        )
        .await
        .map_err(|error| match error {
            CommitError::Store(error) => error.into(),
            CommitError::Conflict | CommitError::PathTaken => ChangeError::Contended,
        })
    }

    /// Ends a client's access, at once.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn delete_client(&self, id: &str, actor: &Actor) -> Result<(), ChangeError> {
        let event = AccessEvent::ClientDeleted {
            client: id.to_owned(),
        };
        self.change_access(
            ClientChange::Delete(id.to_owned()),
            &event,
            actor,
            |clients| {
                clients.retain(|client| client.id != id);
            },
        )
        .await
        .map_err(|error| match error {
            CommitError::Store(error) => error.into(),
            CommitError::Conflict | CommitError::PathTaken => {
                ChangeError::UnknownClient(id.chars().take(64).collect())
            }
        })
    }

    async fn change_access(
        &self,
        change: ClientChange,
        event: &AccessEvent,
        actor: &Actor,
        swap: impl FnOnce(&mut Vec<Client>),
    ) -> Result<(), CommitError> {
        let _access = self.access.lock().await;
        let row = audit::row(event, self.now(), None, actor, None);
        self.foundation.store.commit_client(change, row).await?;
        let mut clients: Vec<Client> = self
            .clients
            .all()
            .iter()
            .map(|client| Client::clone(client))
            .collect();
        swap(&mut clients);
        self.clients.replace(clients);
        Ok(())
    }

    /// At most `limit` audit events after the one numbered `after`, as the API shows them.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn events(
        &self,
        issuer: Option<&IssuerName>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Value>, StoreError> {
        let events = self.foundation.store.events(issuer, after, limit).await?;
        Ok(events.iter().map(audit::shown).collect())
    }

    /// Whether the service can do everything that it is for.
    ///
    /// An issuer that takes over another system's set and has not signed anything yet does not
    /// count as lacking a key: it waits, and the others serve.
    ///
    /// # Errors
    /// The first reason why not.
    pub async fn readiness(&self) -> Result<(), Unready> {
        if let Some(name) = self.unusable.keys().next() {
            return Err(Unready::Unusable(name.clone()));
        }
        self.foundation
            .store
            .setting("master-key-check")
            .await
            .map_err(|_| Unready::Store)?;
        let now = self.now();
        let failing = self
            .failing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for issuer in self.issuers() {
            let name = issuer.name();
            let view = issuer.view();
            let set = view.set();
            let waits = set.founding() == Founding::TakesOver
                && set.keys().iter().all(|key| key.activated_at().is_none());
            if !waits && set.active(set.policy().default_algorithm).is_none() {
                return Err(Unready::NoActiveKey(name.clone()));
            }
            let overdue = set.policy().algorithms.iter().any(|algorithm| {
                rotation_due(set, *algorithm).is_some_and(|due| due.after(OVERDUE_AFTER) < now)
            });
            if overdue || failing.contains(name) {
                return Err(Unready::RotationOverdue(name.clone()));
            }
        }
        Ok(())
    }

    /// What the gauges show: the age of every active key and the time to the next rotation.
    pub fn measure(&self) {
        let now = self.now();
        for issuer in self.issuers() {
            let view = issuer.view();
            for key in view.set().keys() {
                if let State::Active(active) = key.state() {
                    let algorithm = key.algorithm();
                    let age = now.since(active.activated_at);
                    let due = rotation_due(view.set(), algorithm);
                    let left = due.map(|due| due.since(now));
                    self.metrics
                        .observe_key(issuer.name().as_str(), algorithm, age, left);
                }
            }
        }
    }
}

/// What a PUT of an issuer did.
pub enum IssuerSet {
    /// There was none of that name.
    Created(Arc<Issuer>),
    /// Its policy is now the one that was given.
    Replaced(Arc<Issuer>),
}
