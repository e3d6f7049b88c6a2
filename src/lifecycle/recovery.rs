//! What a key set becomes when it is restored from a backup.
//!
//! A backup is the past. What happened after it is told by a register, which is every set without
//! its private halves as it was later; where there is none, the operator says what was revoked,
//! and everything else that may have happened is reckoned with:
//!
//! - revoked and removed keys stay so, whichever source says it;
//! - a key that verifiers know and whose private half is lost comes back to verify, for one
//!   retention from now: it is not known until when it signed;
//! - a key that the register shows active goes on signing. Without a register the active keys
//!   retire: they may have retired since, and the operator may have forgotten one that leaked;
//! - without a register it is not known which sets were served in the meantime, so that every
//!   pending key counts as unknown until the last of them that may have been is stale;
//! - an algorithm that had a key which signs has one afterwards, if need be a fresh one.
//!
//! A key that begins to sign before verifiers can be sure to know it is `forced` in its event.

use std::collections::BTreeSet;

use keywright_api::Share;
use keywright_verifier::Kid;

use super::adoption::Adoption;
use super::available_keys::AvailableKeys;
use super::command::{DecisionError, finish_with_all_keys};
use super::earlier_heads::EarlierHeads;
use super::event::Event;
use super::issuer::IssuerName;
use super::key::{Key, KeyOrigin, State};
use super::key_set::{IssuerOrigin, KeySet};
use super::key_set_update::{Change, KeySetUpdate, known_ready_at};
use super::timing::ChangeTime;

/// What is known of a set that is restored.
#[derive(Debug, Clone, Copy)]
pub enum RestoreSources<'a> {
    /// The backup alone: no register says what came after it.
    Backup(&'a KeySet),
    /// The backup, and the set as a register showed it later.
    Both {
        /// The set as it was when the backup was taken.
        backup: &'a KeySet,
        /// The set as it was later.
        register: &'a KeySet,
    },
    /// The register alone: the issuer was created after the backup.
    Register(&'a KeySet),
}

/// What the operator says beside it.
#[derive(Debug, Clone)]
pub struct OperatorStatements<'a> {
    /// Keys that were revoked. Those of other sets do not matter.
    pub revoked: &'a BTreeSet<Kid>,
    /// Issuers that were deleted.
    pub deleted: &'a BTreeSet<IssuerName>,
    /// What is written down as the reason.
    pub reason: &'a str,
}

/// Why a register is not one of what became of a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterMismatch {
    /// The set had changed more often when the backup was taken.
    #[error("the register has version {register} of the key set, and the backup has {backup}")]
    Older {
        /// The register's version.
        register: u64,
        /// The backup's.
        backup: u64,
    },
    /// No key is ever forgotten.
    #[error("the register does not have key {0}")]
    LacksKey(Kid),
    /// One name means one key.
    #[error("the register has another key under the name {0}")]
    OtherKey(Kid),
    /// No key goes back.
    #[error("key {kid} is {register} in the register and {backup} in the backup")]
    WentBack {
        /// The key.
        kid: Kid,
        /// Its state in the register.
        register: &'static str,
        /// Its state in the backup.
        backup: &'static str,
    },
    /// An issuer keeps its URL, and stays deleted.
    #[error("the register and the backup are not of one issuer")]
    OtherIssuer,
}

impl RestoreSources<'_> {
    /// Holds the register against the backup.
    ///
    /// # Errors
    /// [`RegisterMismatch`] when the one cannot have become the other.
    pub fn check(&self) -> Result<(), RegisterMismatch> {
        let Self::Both { backup, register } = self else {
            return Ok(());
        };
        if register.version < backup.version {
            return Err(RegisterMismatch::Older {
                register: register.version,
                backup: backup.version,
            });
        }
        let revived = backup.deleted_at.is_some() && register.deleted_at.is_none();
        if register.policy.url != backup.policy.url || revived {
            return Err(RegisterMismatch::OtherIssuer);
        }
        backup
            .keys
            .iter()
            .try_for_each(|before| follows(before, register.key(before.kid())))
    }

    /// The issuer.
    pub fn issuer(&self) -> &IssuerName {
        &self.latest().issuer
    }

    /// The latest that is known of the set.
    fn latest(&self) -> &KeySet {
        match self {
            Self::Backup(set) | Self::Register(set) => set,
            Self::Both { register, .. } => register,
        }
    }

    fn backup(&self) -> Option<&KeySet> {
        match self {
            Self::Backup(set) | Self::Both { backup: set, .. } => Some(set),
            Self::Register(_) => None,
        }
    }

    /// Whether the backup has the private half of a key.
    fn holds_private_half(&self, kid: &Kid) -> bool {
        let key = self.backup().and_then(|backup| backup.key(kid));
        key.is_some_and(Key::holds_private_half)
    }
}

fn follows(before: &Key, after: Option<&Key>) -> Result<(), RegisterMismatch> {
    let kid = before.kid().clone();
    let Some(after) = after else {
        return Err(RegisterMismatch::LacksKey(kid));
    };
    if after.jwk != before.jwk {
        return Err(RegisterMismatch::OtherKey(kid));
    }
    let goes_on = match (&before.state, &after.state) {
        (State::Removed(_), state) => matches!(state, State::Removed(_)),
        (State::Revoked(_), state) => matches!(state, State::Revoked(_)),
        (State::Retired(_), state) => !matches!(
            state,
            State::Pending(_) | State::Canary(_) | State::Active(_)
        ),
        (State::Active(_), state) => !matches!(state, State::Pending(_) | State::Canary(_)),
        (State::Canary(_), state) => !matches!(state, State::Pending(_)),
        (State::Pending(_), _) => true,
    };
    if goes_on {
        return Ok(());
    }
    Err(RegisterMismatch::WentBack {
        kid,
        register: after.state.name(),
        backup: before.state.name(),
    })
}

/// Restores a set. The version only grows and no stamp goes back behind the latest source; the events are those by which
/// the set differs from the one in the backup.
///
/// # Errors
/// [`DecisionError::NeedsKeys`] until every key that the set wants is available.
pub fn recover(
    testimony: &RestoreSources<'_>,
    remembered: &OperatorStatements<'_>,
    time: impl Into<ChangeTime>,
    available: &AvailableKeys,
) -> Result<Change, DecisionError> {
    let mut set = testimony.latest().clone();
    give_reasons(&mut set, testimony.backup(), remembered.reason);
    // The register's stamp stands, also where it is earlier: the clock was ahead when the backup was taken, and was
    // corrected.
    if let Some(backup) = testimony.backup() {
        set.served_fresh_until = set.served_fresh_until.max(backup.served_fresh_until);
        set.earlier_heads = EarlierHeads::of_both(set.earlier_heads, backup.earlier_heads);
    }
    let adoption = Adoption::default();
    let mut update = KeySetUpdate::of(&set, time.into(), available, &adoption);
    tell_what_happened(&mut update, testimony);
    update.doubt_tracking();
    if set.deleted_at.is_some() {
        return Ok(update.finish());
    }
    if remembered.deleted.contains(&set.issuer) {
        update.delete(remembered.reason)?;
        return Ok(update.finish());
    }
    for kid in kids(&set, |key| {
        remembered.revoked.contains(key.kid()) && key.is_trusted()
    }) {
        update.revoke(&kid, remembered.reason)?;
    }
    if let RestoreSources::Backup(_) = testimony {
        update.reset_readiness();
    }
    for kid in kids(update.set(), |key| match testimony {
        RestoreSources::Backup(_) => key.signs(),
        _ => key.holds_private_half() && !testimony.holds_private_half(key.kid()),
    }) {
        update.end_signing(&kid)?;
    }
    finish_with_all_keys(update)
}

/// A register has no reasons: those that the backup knows come back.
fn give_reasons(set: &mut KeySet, backup: Option<&KeySet>, otherwise: &str) {
    for key in &mut set.keys {
        let has_none = matches!(&key.state, State::Revoked(revoked) if revoked.reason.is_empty());
        let before = backup.and_then(|backup| backup.key(key.jwk.kid()));
        if has_none && let State::Revoked(revoked) = &mut key.state {
            revoked.reason = match before.map(|before| &before.state) {
                Some(State::Revoked(before)) => before.reason.clone(),
                _ => otherwise.to_owned(),
            };
        }
    }
}

fn kids(set: &KeySet, wanted: impl Fn(&Key) -> bool) -> Vec<Kid> {
    let keys = set.keys.iter().filter(|key| wanted(key));
    keys.map(|key| key.kid().clone()).collect()
}

/// Records what the register shows and the log of the backup does not say.
fn tell_what_happened(update: &mut KeySetUpdate<'_>, testimony: &RestoreSources<'_>) {
    let backup = testimony.backup();
    let set = testimony.latest();
    let document = set.policy.to_document();
    match backup.map(|backup| &backup.policy) {
        None => update.record(Event::IssuerCreated {
            policy: document,
            takes_over: set.origin == IssuerOrigin::TakesOver,
        }),
        Some(before) if *before != set.policy => update.record(Event::PolicyChanged {
            before: before.to_document(),
            after: document,
        }),
        Some(_) => {}
    }
    for key in &set.keys {
        let before = backup.and_then(|backup| backup.key(key.kid()));
        let known = before.map(|before| before.state.name());
        if known != Some(key.state.name()) {
            update.record(what_became_of(key, known.unwrap_or("pending"), set));
        }
    }
    let lived = backup.is_none_or(|backup| backup.deleted_at.is_none());
    if set.deleted_at.is_some() && lived {
        update.record(Event::IssuerDeleted {});
    }
}

fn what_became_of(key: &Key, from: &'static str, set: &KeySet) -> Event {
    let (kid, algorithm) = (key.kid().clone(), key.algorithm());
    let imported = key.origin == KeyOrigin::Imported;
    match &key.state {
        State::Pending(_) => Event::KeyPublished {
            kid,
            algorithm,
            imported,
            ready_at: known_ready_at(key, &set.policy),
        },
        State::Canary(canary) => Event::KeyCanaryStarted {
            kid,
            algorithm,
            share: (set.policy.canary).map_or(Share::ALL, |phase| phase.share),
            until: set
                .canary_until(key.algorithm())
                .unwrap_or(canary.counted_from)
                .ceil_seconds(),
        },
        State::Active(_) => Event::KeyActivated {
            kid,
            algorithm,
            imported,
            forced: false,
        },
        State::Retired(retired) => Event::KeyRetired {
            kid,
            algorithm,
            imported,
            published_until: retired.published_until.ceil_seconds(),
        },
        State::Removed(_) => Event::KeyRemoved { kid, algorithm },
        State::Revoked(revoked) => Event::KeyRevoked {
            kid,
            algorithm,
            from,
            tokens_until: revoked
                .published_until
                .unwrap_or(revoked.revoked_at.after(set.policy.max_token_ttl))
                .ceil_seconds(),
        },
    }
}
