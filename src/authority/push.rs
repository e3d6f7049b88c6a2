//! Copies of key sets, pushed to where the configuration says, for verifiers that do not ask this service.
//!
//! `pushing` makes the pushes; a target knows how to look at a copy and how to replace it. What is known of
//! each copy is a record: any process of the store goes on where another has ended.

mod config_map;
mod credentials;
mod file;
mod pushing;
mod remote;
mod s3;
mod sigv4;
mod stored;

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::issuer::Issuer;
use super::publication::{cache_control, jwks};
use super::{Authority, ChangeError};
use crate::clock::Clock;
use crate::config::{self, ConfigMap, ISSUER_PLACEHOLDER, S3Bucket};
use crate::lifecycle::{IssuerName, KeySet, Policy, Timestamp};
use crate::push::{CopyMark, KeySetCopy};
use config_map::{ConfigMapState, CopyValue};
use file::CopyFile;
use s3::{CopyObject, ObjectState};

pub use pushing::{CopyPusher, PUSHED_WITHIN};

/// How many copies are pushed to one target at a time.
const PUSHES_AT_A_TIME: usize = 8;

/// How often an answer looks whether copies were pushed, and how many times.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const MOST_LOOKS: u32 = 20;

/// Why a copy could not be looked at or replaced, in a sentence for operators. It has no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PushError(String);

/// The targets of the configuration, by name.
#[derive(Default)]
pub struct PushTargets(BTreeMap<String, PushTarget>);

/// A place for the copy of each issuer's key set.
struct PushTarget {
    issuer: Option<IssuerName>,
    delay: Duration,
    kind: TargetKind,
    permits: Semaphore,
}

/// Places have the issuer's placeholder.
enum TargetKind {
    File(String),
    S3(Box<S3Bucket>),
    ConfigMap(Box<ConfigMap>),
}

/// What was found at a place.
struct Found {
    /// Which set it is said to be.
    mark: Option<CopyMark>,
    /// Whether it is that set.
    is_intact: bool,
    precondition: Precondition,
}

/// What a copy must still be when it is replaced.
enum Precondition {
    /// No other process writes while this is held.
    Lock(File),
    Object(ObjectState),
    ConfigMap(ConfigMapState),
}

impl Found {
    /// What is there, if a push has brought it.
    fn digest(&self) -> Option<&str> {
        let mark = self.mark.as_ref().filter(|_| self.is_intact);
        mark.map(|mark| mark.digest.as_str())
    }
}

impl PushTargets {
    /// Those of the configuration, which is valid.
    pub fn of(targets: &BTreeMap<String, config::PushTarget>) -> Self {
        let targets = targets.iter().filter_map(|(name, target)| {
            let issuer = target.issuer.as_deref().map(IssuerName::parse);
            let kind = match (&target.file, &target.s3, &target.config_map) {
                (Some(file), ..) => TargetKind::File(file.to_str()?.to_owned()),
                (_, Some(bucket), _) => TargetKind::S3(Box::new(bucket.clone())),
                (.., map) => TargetKind::ConfigMap(Box::new(map.clone()?)),
            };
            let target = PushTarget {
                issuer: issuer.transpose().ok()?,
                delay: target.delay(),
                kind,
                permits: Semaphore::new(PUSHES_AT_A_TIME),
            };
            Some((name.clone(), target))
        });
        Self(targets.collect())
    }

    /// The target of a policy of this issuer.
    fn target(&self, issuer: &IssuerName, name: &str) -> Option<&PushTarget> {
        let target = self.0.get(name)?;
        let takes = target.issuer.as_ref().is_none_or(|one| one == issuer);
        takes.then_some(target)
    }

    /// How long after a push the last reader of a copy may be given the one before.
    pub(super) fn delay(&self, issuer: &IssuerName, policy: &Policy) -> Duration {
        let targets = policy.push.iter();
        let targets = targets.filter_map(|name| self.target(issuer, name));
        targets.map(|target| target.delay).max().unwrap_or_default()
    }

    /// Refuses a policy of an issuer that names a target which there is not.
    ///
    /// # Errors
    /// [`ChangeError::UnknownPushTarget`].
    pub(super) fn check(&self, issuer: &IssuerName, policy: &Policy) -> Result<(), ChangeError> {
        let mut named = policy.push.iter();
        let Some(unknown) = named.find(|name| self.target(issuer, name).is_none()) else {
            return Ok(());
        };
        let known = self.0.keys();
        let known = known.filter(|name| self.target(issuer, name).is_some());
        Err(ChangeError::UnknownPushTarget {
            name: unknown.clone(),
            known: known.cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

impl PushTarget {
    fn place_of(place: &str, issuer: &IssuerName) -> String {
        place.replace(ISSUER_PLACEHOLDER, issuer.as_str())
    }

    /// Where the copy of an issuer is, for people and for comparing.
    fn place(&self, issuer: &IssuerName) -> String {
        match &self.kind {
            TargetKind::File(path) => Self::place_of(path, issuer),
            TargetKind::S3(bucket) => {
                let object = Self::object(bucket, issuer);
                format!("{} {}/{}", bucket.endpoint, bucket.bucket, object.key)
            }
            TargetKind::ConfigMap(map) => {
                let CopyValue { name, key, .. } = Self::value(map, issuer);
                format!("{} {}/{name} {key}", map.api_server, map.namespace)
            }
        }
    }

    fn object<'b>(bucket: &'b S3Bucket, issuer: &IssuerName) -> CopyObject<'b> {
        let key = Self::place_of(&bucket.key, issuer);
        CopyObject { bucket, key }
    }

    fn value<'c>(map: &'c ConfigMap, issuer: &IssuerName) -> CopyValue<'c> {
        CopyValue {
            map,
            name: Self::place_of(&map.name, issuer),
            key: Self::place_of(&map.key, issuer),
        }
    }

    /// What is there.
    async fn look(&self, issuer: &IssuerName, clock: &Clock) -> Result<Found, PushError> {
        match &self.kind {
            TargetKind::File(path) => {
                CopyFile::at(&Self::place_of(path, issuer))
                    .look(clock)
                    .await
            }
            TargetKind::S3(bucket) => Self::object(bucket, issuer).look(clock.now()).await,
            TargetKind::ConfigMap(map) => Self::value(map, issuer).look().await,
        }
    }

    /// Puts a copy in the place of what was found.
    async fn replace(
        &self,
        issuer: &IssuerName,
        found: Precondition,
        copy: KeySetCopy,
        clock: &Clock,
    ) -> Result<(), PushError> {
        match (&self.kind, found) {
            (TargetKind::File(path), Precondition::Lock(lock)) => {
                let file = CopyFile::at(&Self::place_of(path, issuer));
                let written = tokio::task::spawn_blocking(move || file.write(lock, &copy));
                let interrupted = |_| Err(PushError("the push was interrupted".to_owned()));
                written.await.unwrap_or_else(interrupted)
            }
            (TargetKind::S3(bucket), Precondition::Object(state)) => {
                let object = Self::object(bucket, issuer);
                object.write(&state, copy, clock.now()).await
            }
            (TargetKind::ConfigMap(map), Precondition::ConfigMap(state)) => {
                Self::value(map, issuer).write(state, &copy).await
            }
            // What was found was found by this very target.
            _ => Err(PushError("the target is another one now".to_owned())),
        }
    }
}

/// The copy of a set as it should be at `now`.
fn copy_of(set: &KeySet, now: Timestamp) -> KeySetCopy {
    let policy = set.policy();
    KeySetCopy::new(
        set.issuer(),
        set.version(),
        set.latest(),
        jwks(set.published(now)),
        cache_control(policy.jwks_max_age, policy.stale_if_error),
    )
}

/// What is known of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStatus {
    /// The issuer.
    pub issuer: IssuerName,
    /// The target.
    pub target: String,
    /// From when on it has not been the issuer's key set; `None` while it is.
    pub behind_since: Option<Timestamp>,
    /// Why the last push has failed, or none is made.
    pub reason: Option<String>,
}

impl Authority {
    /// The copies of all issuers, as of a moment ago.
    pub fn copies(&self) -> Vec<CopyStatus> {
        self.health.copies()
    }

    /// What an operator should know who has the key set pushed to targets that it was not pushed to before.
    pub fn warn_of_new_copies(&self, issuer: &IssuerName, policy: &Policy) -> Option<String> {
        let known = self.issuer(issuer.as_str()).ok();
        let known = known.map(|issuer| issuer.snapshot().set().policy().push.clone());
        let known = known.unwrap_or_default();
        let new = policy.push.iter().filter(|target| !known.contains(target));
        let new: Vec<&str> = new.map(String::as_str).collect();
        (!new.is_empty()).then(|| {
            format!(
                "{} may lack the keys that sign now until the first push: whoever reads a copy there \
                 refuses tokens until then. Successors wait for it",
                new.join(" and ")
            )
        })
    }

    /// Until when readers of each copy of an issuer may use a key that the set does not have any more, and that
    /// was published under `before`; `None` for a copy that has not been pushed since. It waits for pushes for
    /// a second at most.
    pub(super) async fn exposed_copies(
        &self,
        issuer: &Issuer,
        before: &Policy,
    ) -> Vec<(String, Option<Timestamp>)> {
        let mut exposed = self.exposed_copies_now(issuer, before).await;
        for _ in 0..MOST_LOOKS {
            if exposed.iter().all(|(_, until)| until.is_some()) {
                break;
            }
            self.services.clock.sleep(LOOK_EVERY).await;
            exposed = self.exposed_copies_now(issuer, before).await;
        }
        exposed
    }

    async fn exposed_copies_now(
        &self,
        issuer: &Issuer,
        before: &Policy,
    ) -> Vec<(String, Option<Timestamp>)> {
        let services = &self.services;
        let (snapshot, name) = (issuer.snapshot(), issuer.name());
        let set = snapshot.set();
        let now = services.lease.time();
        let wanted = copy_of(set, now);
        let mut exposed = Vec::new();
        for target in &set.policy().push {
            // Of a store that does not answer nothing is known either.
            let known = self.stored_copy(name, target, String::new()).await.ok();
            let known = known.filter(|known| known.copy.has(&wanted.mark.digest));
            let until = known.and_then(|known| {
                let replaced = known.copy.replaced_freshness(now);
                let fresh_for = before.freshness().max(replaced);
                let delay = services.push.target(name, target)?.delay;
                Some(known.copy.content?.pushed_at.after(fresh_for + delay))
            });
            exposed.push((target.clone(), until));
        }
        exposed
    }
}
