//! How keys change: what is committed and what follows from it, and what security teams ask for:
//! rotations, revocations, imports, and a look ahead.

use std::collections::BTreeSet;
use std::sync::Arc;

use keywright_verifier::{Algorithm, Jwk, Kid};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::audit::{Actor, Subject, log_event};
use super::issuer::Issuer;
use super::load::NewKeys;
use super::request::{ChangeRequest, Changed, Committed, Request};
use super::{Authority, ChangeError, run_to_completion};
use crate::engine::{KeyPair, Urgency};
use crate::lifecycle::{
    Adoption, Attestation, AvailableKeys, Change, Command, Event, ImportAs, KeySet,
    KeySpecification, PlannedEvent, Policy, Readiness, RuleViolation, SimulationStart, Successor,
    Timestamp, decide, simulate,
};
use crate::telemetry::traces::{carried, child_span};

/// Keys that are being generated and published.
type Replenishing = JoinHandle<Result<Option<Committed>, ChangeError>>;

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
    /// Until when the readers of each copy that is pushed may trust it; `None` while the copy has not been
    /// pushed without it.
    pub copies: Vec<(String, Option<Timestamp>)>,
    /// When the last token that the key may have signed would have expired.
    pub tokens_until: Timestamp,
    /// From when on no replica signs with the key or serves it as fresh, also one that has lost
    /// touch with the store. It has come already where every replica that lives has taken the
    /// revocation over.
    pub in_force_everywhere_at: Timestamp,
}

/// What a revocation exposes; `None` where the set does not have the key.
fn exposure(
    kid: &Kid,
    before: &KeySet,
    change: &Change,
    in_force_everywhere_at: Timestamp,
) -> Option<Exposure> {
    let algorithm = change.set.key(kid)?.algorithm();
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
    let served = in_force_everywhere_at.after(before.policy().freshness());
    let is_forced = |event: &Event| matches!(event, Event::KeyActivated { forced: true, .. });
    Some(Exposure {
        kid: kid.clone(),
        algorithm,
        revoked,
        revoked_at: change.at,
        forced: change.events.iter().any(is_forced),
        signs_now: change.set.active(algorithm).map(|key| key.kid().clone()),
        cached_until: served.max(change.set.served_fresh_until()),
        copies: (change.set.policy().push.iter())
            .map(|target| (target.clone(), None))
            .collect(),
        tokens_until,
        in_force_everywhere_at,
    })
}

fn both(first: Option<Committed>, next: Option<Committed>) -> Option<Committed> {
    match (first, next) {
        (Some(first), Some(next)) => Some(first.and(next)),
        (first, next) => first.or(next),
    }
}

fn of_algorithm(wanted: &[KeySpecification], algorithm: Algorithm) -> Vec<KeySpecification> {
    let mut wanted = wanted.to_vec();
    wanted.retain(|specification| specification.algorithm == algorithm);
    wanted
}

impl Authority {
    /// Carries out a request, to its end. Keys that the set wants then are generated without any
    /// lock and published by a change of their own: after a revocation without waiting for it, in
    /// the background for the schedule, and otherwise before the answer.
    pub(super) async fn change(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        request: ChangeRequest,
    ) -> Result<Option<Committed>, ChangeError> {
        let (authority, of) = (Arc::clone(self), Arc::clone(issuer));
        let changed = run_to_completion(async move {
            let issuer = of;
            let outcome = authority.commit(&issuer, &request).await;
            let wanted = outcome.as_ref().map(|changed| changed.wanted.clone());
            let wanted = wanted.unwrap_or_default();
            let tasks = authority.replenish(&issuer, &wanted, request.urgency());
            authority.schedule(&issuer);
            let mut committed = outcome?.committed;
            if !wanted.is_empty() && request.waits_for_keys() {
                let next = authority.replenished(&issuer, wanted, tasks).await;
                committed = match (committed, next) {
                    (None, next) => next?,
                    // What has been committed stays so, and the schedule makes up for the rest.
                    (first, next) => both(first, next.ok().flatten()),
                };
            }
            if let Some(committed) = &mut committed
                && !request.is_scheduled()
            {
                let _step = child_span("wait for replicas");
                committed.on_all_replicas = authority.on_all_replicas().await;
            }
            Ok(committed)
        })
        .await;
        // What a panic has left unknown is settled by the schedule, if no request does so before.
        if matches!(changed, Err(ChangeError::Interrupted)) {
            self.schedule(issuer);
        }
        changed
    }

    /// Commits a request, and says what has happened.
    async fn commit(
        &self,
        issuer: &Issuer,
        request: &ChangeRequest,
    ) -> Result<Changed, ChangeError> {
        let outcome = issuer
            .change(&self.services, request, &self.adoption(issuer))
            .await;
        if let Ok(Changed {
            committed: Some(Committed { change, .. }),
            ..
        }) = &outcome
        {
            let subject = Subject {
                issuer: Some(issuer.name()),
                version: Some(change.set.version()),
            };
            for event in &change.events {
                log_event(
                    "key set changed",
                    subject,
                    &request.request.attribution,
                    event,
                );
            }
            self.clear_erased();
        }
        outcome
    }

    /// Begins to generate the keys that a set wants, and to publish them: each algorithm in a task
    /// of its own, unless there is one already, so that none waits for a key of another.
    fn replenish(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        wanted: &[KeySpecification],
        urgency: Urgency,
    ) -> Vec<Replenishing> {
        let begin = |algorithm| {
            let wanted = of_algorithm(wanted, algorithm);
            if wanted.is_empty() {
                return None;
            }
            let generation = self.generating.begin(issuer.name(), algorithm)?;
            let (authority, issuer) = (Arc::clone(self), Arc::clone(issuer));
            let replenished = async move {
                let (working, of) = (Arc::clone(&authority), Arc::clone(&issuer));
                let outcome = run_to_completion(async move {
                    working
                        .publish_wanted(&of, algorithm, wanted, urgency)
                        .await
                })
                .await;
                drop(generation);
                match &outcome {
                    Ok(_) => authority.schedule(&issuer),
                    Err(error) => authority.schedule_failed(&issuer, error),
                }
                outcome
            };
            Some(tokio::spawn(carried(replenished.in_current_span())))
        };
        Algorithm::ALL.into_iter().filter_map(begin).collect()
    }

    /// Waits until the keys that a set wants are published, also where they were being generated
    /// already.
    async fn replenished(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        mut wanted: Vec<KeySpecification>,
        mut tasks: Vec<Replenishing>,
    ) -> Result<Option<Committed>, ChangeError> {
        let mut total = None;
        loop {
            let algorithms: BTreeSet<_> = wanted.iter().map(|key| key.algorithm).collect();
            let is_all = tasks.len() == algorithms.len();
            for task in tasks {
                let next = task.await.unwrap_or(Err(ChangeError::Interrupted))?;
                total = both(total, next);
            }
            if is_all {
                return Ok(total);
            }
            self.generating.wait_for(issuer.name(), None).await;
            let changed = self.commit(issuer, &ChangeRequest::scheduled()).await?;
            total = both(total, changed.committed);
            wanted = changed.wanted;
            tasks = self.replenish(issuer, &wanted, Urgency::Immediate);
        }
    }

    async fn publish_wanted(
        &self,
        issuer: &Issuer,
        algorithm: Algorithm,
        mut wanted: Vec<KeySpecification>,
        urgency: Urgency,
    ) -> Result<Option<Committed>, ChangeError> {
        let mut request = ChangeRequest::scheduled();
        let mut total: Option<Committed> = None;
        while !wanted.is_empty() {
            let _permit = self.generating.permit(urgency).await;
            let step = child_span("generate keys");
            let generate = self.services.generate(wanted, urgency, &mut request.fresh);
            generate.await?;
            drop(step);
            let changed = self.commit(issuer, &request).await?;
            total = both(total, changed.committed);
            wanted = of_algorithm(&changed.wanted, algorithm);
        }
        Ok(total)
    }

    /// Lets the store tidy up what a commit has left behind. No caller waits for it.
    pub(super) fn clear_erased(&self) {
        let store = Arc::clone(&self.services.store);
        tokio::spawn(async move { store.clear_erased().await });
    }

    /// Lets the successors take over: of one algorithm, or of all, all or nothing. It waits for those
    /// that are being generated.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn rotate(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        algorithm: Option<Algorithm>,
        readiness: Readiness,
        request: Request,
    ) -> Result<(u64, Vec<Rotation>), ChangeError> {
        let command = Command::Rotate {
            algorithm,
            readiness,
        };
        // The successor may be on its way, as after a revocation.
        self.generating.wait_for(issuer.name(), algorithm).await;
        let committed = self.change(issuer, request.asks(command)).await?;
        let Some(Committed { change, .. }) = committed else {
            return Ok((0, Vec::new()));
        };
        // A key that was being generated already has been published by another change.
        let snapshot = issuer.snapshot();
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
                successor: (snapshot.set().successors(*algorithm).first())
                    .map(|key| key.kid().clone()),
                forced: *forced,
            }),
            _ => None,
        });
        Ok((change.set.version(), rotations.collect()))
    }

    /// Takes back the canary of one algorithm, or all. The keys that were canaries.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn stop_canary(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        algorithm: Option<Algorithm>,
        request: Request,
    ) -> Result<Vec<Kid>, ChangeError> {
        let command = Command::StopCanary { algorithm };
        let committed = self.change(issuer, request.asks(command)).await?;
        let events = committed.map(|committed| committed.change.events);
        let stopped = events
            .into_iter()
            .flatten()
            .filter_map(|event| match event {
                Event::KeyCanaryStopped { kid, .. } => Some(kid),
                _ => None,
            });
        Ok(stopped.collect())
    }

    /// Distrusts a key, and says who is exposed until when.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn revoke(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        kid: &Kid,
        successor: Successor,
        request: Request,
    ) -> Result<Exposure, ChangeError> {
        if successor == Successor::Discard {
            // An attacker who has read the successor may have read what this process has in reserve.
            self.services.engine.forget_reserve();
        }
        let command = Command::Revoke {
            kid: kid.clone(),
            reason: request.reason.clone().unwrap_or_default(),
            successor,
        };
        let committed = self.change(issuer, request.asks(command)).await?;
        let unknown = || ChangeError::Refused(RuleViolation::UnknownKey(kid.clone()));
        let Committed {
            before,
            change,
            installed_at,
            on_all_replicas,
        } = committed.ok_or_else(unknown)?;
        let in_force_everywhere_at = match self.services.lease.max_staleness() {
            None => installed_at,
            Some(_) if on_all_replicas => self.now().max(installed_at),
            Some(max_staleness) => self.now().max(installed_at).after(max_staleness),
        };
        let exposure = exposure(kid, before.set(), &change, in_force_everywhere_at);
        Ok(Exposure {
            copies: self.exposed_copies(issuer, before.set().policy()).await,
            ..exposure.ok_or_else(unknown)?
        })
    }

    /// Who would be exposed if a key were revoked now. Nothing is changed. Of replicas the slowest
    /// is counted on.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] when the key could not be revoked.
    pub fn exposure_if_revoked(
        &self,
        issuer: &Issuer,
        kid: &Kid,
        successor: Successor,
    ) -> Result<Exposure, ChangeError> {
        let command = Command::Revoke {
            kid: kid.clone(),
            reason: String::new(),
            successor,
        };
        let (snapshot, none) = (issuer.snapshot(), AvailableKeys::default());
        let time = self.services.lease.change_time();
        let decision = decide(
            snapshot.set(),
            &command,
            Attestation::TwoPeople,
            time,
            &none,
            &Adoption::default(),
        )
        .map_err(ChangeError::Refused)?;
        let unknown = || ChangeError::Refused(RuleViolation::UnknownKey(kid.clone()));
        let change = decision.change.ok_or_else(unknown)?;
        let staleness = self.services.lease.max_staleness().unwrap_or_default();
        let in_force_everywhere_at = change.at.after(staleness);
        exposure(kid, snapshot.set(), &change, in_force_everywhere_at).ok_or_else(unknown)
    }

    /// Brings in a private key of another system. As [`ImportAs::Retired`] only its public half is
    /// kept.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn import_private(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        pair: KeyPair,
        state: ImportAs,
        actor: Actor,
    ) -> Result<Kid, ChangeError> {
        let jwk = pair.jwk.clone();
        let mut fresh = NewKeys::default();
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
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        jwk: Jwk,
        actor: Actor,
    ) -> Result<Kid, ChangeError> {
        self.import(issuer, jwk, ImportAs::Retired, actor, NewKeys::default())
            .await
    }

    async fn import(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        jwk: Jwk,
        state: ImportAs,
        actor: Actor,
        fresh: NewKeys,
    ) -> Result<Kid, ChangeError> {
        let kid = jwk.kid().clone();
        let command = Command::Import { jwk, state };
        let request = ChangeRequest {
            fresh,
            ..Request::by(actor).asks(command)
        };
        self.change(issuer, request).await?;
        Ok(kid)
    }

    /// What will happen to an issuer until then, as it is or under another policy.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] when the policy cannot be set.
    pub fn simulate(
        &self,
        issuer: &Issuer,
        policy: Option<Policy>,
        until: Timestamp,
    ) -> Result<Vec<PlannedEvent>, ChangeError> {
        let snapshot = issuer.snapshot();
        let in_force = policy.as_ref().unwrap_or(snapshot.set().policy());
        let delay = self.services.push.delay(issuer.name(), in_force);
        let command = policy.map_or(Command::ApplyPlan, |policy| {
            Command::SetPolicy(policy.into())
        });
        let proposal = SimulationStart::Change(Box::new(snapshot.set().clone()), command);
        let (time, adoption) = (self.services.lease.change_time(), self.adoption(issuer));
        simulate(&proposal, time, &adoption, until, delay).map_err(ChangeError::Refused)
    }
}
