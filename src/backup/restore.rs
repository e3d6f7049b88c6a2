//! The way back: a store from a backup, held against a register.
//!
//! The backup is read twice. The first time it is opened to its end, and every set in it becomes
//! what [`recover`] says; nothing is written until all of that has come out well. The second time
//! its rows go into the empty store in one transaction, with the recovered sets in the place of the
//! old ones and, after the last event of the backup, the events that say what the restore has
//! changed.

mod error;
mod revocations;
mod single_use;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};

use keywright_verifier::Kid;

use super::file::{BackupError, Header, Reader};
use super::register::Register;
use crate::authority::audit::{self, Actor, Restored, RevocationEvent};
use crate::authority::revocations::RevocationSecret;
use crate::authority::status_lists;
use crate::engine::{Entropy, KeyPair, SigningEngine, Urgency};
use crate::lifecycle::{
    AvailableKeys, Change, ChangeTime, DecisionError, Event, IssuerName, KeySet,
    OperatorStatements, RestoreSources, State, Timestamp, recover,
};
use crate::revocation::Revocation;
use crate::revocation::status_list::renewed_secrets;
use crate::store::chain::{BrokenLink, HeadSource, LogHead, Verification, line};
use crate::store::documents;
use crate::store::seal::{MasterKey, MasterKeys, check};
use crate::store::transfer::{Entry, StoredHead};
use crate::store::{EventRow, Kind, Record, Store, StoredSet, key_sets};

use revocations::Revocations;
use write::{ReplacementRows, write};

pub use error::RestoreError;

/// What is restored, and what is known of the time after the backup.
pub struct Plan<'a> {
    /// The backup.
    pub backup: File,
    /// The register, if there is one.
    pub register: Option<Register>,
    /// Keys that were revoked since.
    pub revoked: BTreeSet<Kid>,
    /// Issuers that were deleted since.
    pub deleted: BTreeSet<IssuerName>,
    /// Whether nothing was revoked since the register, or since the backup where there is none.
    /// Otherwise every token of before is taken back, because it is not known which ones were.
    pub nothing_revoked: bool,
    /// Whether grants come back. Refresh tokens that were issued since the backup end theirs.
    pub keep_grants: bool,
    /// The master keys that open the backup.
    pub master_keys: &'a MasterKeys,
    /// Who restores.
    pub actor: Actor,
    /// Where fresh keys are made.
    pub engine: &'a dyn SigningEngine,
    /// Where random bytes come from.
    pub entropy: Entropy,
    /// What time it is, and how the processes of the store that is filled take changes over.
    pub time: ChangeTime,
}

/// What a restore did.
#[derive(Debug)]
pub struct Outcome {
    /// What the backup says of itself.
    pub backup: Header,
    /// How each set has changed.
    pub issuers: Vec<Change>,
    /// The issuers of which every token of before is taken back.
    pub taken_back: Vec<IssuerName>,
    /// How many grants of the backup have not come back.
    pub ended_grants: u64,
    /// Where the audit log ends now.
    pub head: LogHead,
    /// What is wrong with the audit log of the backup, which came back as it was.
    pub broken: Option<BrokenLink>,
}

/// What is written down as the reason of what a restore revokes.
const REASON: &str = "revoked after the backup that was restored";

/// A restore of which everything is decided and nothing is written.
pub struct Prepared<'a> {
    plan: Plan<'a>,
    lines: Vec<u8>,
    replacement: ReplacementRows,
    outcome: Outcome,
}

/// Reads a backup to its end and decides what comes back.
///
/// # Errors
/// [`RestoreError`].
pub async fn prepare(plan: Plan<'_>) -> Result<Prepared<'_>, RestoreError> {
    let contents = read(&plan)?;
    check_names(&plan, &contents)?;
    let recovered = recover_all(&plan, &contents).await?;
    let revocations = Revocations::of(&plan, &recovered)?;
    if plan.keep_grants && !revocations.opened.is_empty() {
        return Err(RestoreError::GrantsTakenBack);
    }
    let mut replaced = revocations.replaced_kinds();
    replaced.push(Kind::UsedToken);
    let first_uses = single_use::records(&plan, &recovered);
    // Who was signed in then is not now.
    replaced.push(Kind::Session);
    let ended_grants = match plan.keep_grants {
        true => 0,
        false => {
            replaced.push(Kind::Grant);
            contents.grants
        }
    };
    // No list of before is continued: what was leased and taken back since the backup is not known.
    replaced.push(Kind::StatusList);
    let secrets = renewed_secrets(contents.status_secrets.as_deref(), plan.entropy.bytes()?);
    let secrets = Record {
        sealed: Some(secrets),
        ..Record::unwritten(status_lists::secrets_record_key(), 1, String::new())
    };
    let mut head = contents.end;
    let events: Vec<Entry> = events_of(&plan, &contents, &recovered, &revocations.opened)
        .into_iter()
        .map(|event| Entry::Event(head.append(event).into()))
        .collect();
    let stored_head = StoredHead {
        sequence: i64::try_from(head.sequence).unwrap_or(i64::MAX),
        hash: head.hash.as_bytes().to_vec(),
    };
    let (changes, sets): (_, Vec<_>) = recovered
        .into_iter()
        .map(|set| (set.change, set.stored))
        .unzip();
    let records = sets.into_iter().flat_map(|set: StoredSet| {
        let keys = set.keys.into_iter();
        std::iter::once(set.issuer).chain(keys)
    });
    let opened = revocations.opened.iter();
    let taken_back = opened.map(|(issuer, _)| issuer.clone()).collect();
    let replacement = ReplacementRows {
        head: stored_head,
        replaced,
        replaced_setting: secrets.key.clone(),
        records: records
            .chain(revocations.into_records())
            .chain(first_uses)
            .chain([secrets])
            .collect(),
        events,
    };
    Ok(Prepared {
        plan,
        lines: contents.lines,
        replacement,
        outcome: Outcome {
            backup: contents.header,
            issuers: changes,
            taken_back,
            ended_grants,
            head,
            broken: contents.broken,
        },
    })
}

impl Prepared<'_> {
    /// Writes it into an empty store, all or nothing.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing was written then, unless it says that this is not known.
    pub async fn write(self, store: &dyn Store) -> Result<Outcome, RestoreError> {
        write(&self.plan, &self.lines, self.replacement, store).await?;
        Ok(self.outcome)
    }
}

/// What the first reading finds.
struct Contents {
    header: Header,
    lines: Vec<u8>,
    /// What says which master key seals what is new.
    check: Option<Vec<u8>>,
    sets: BTreeMap<IssuerName, StoredSet>,
    /// How many grants there are.
    grants: u64,
    /// What status lists were made with.
    status_secrets: Option<Vec<u8>>,
    /// Where the log is continued.
    end: LogHead,
    broken: Option<BrokenLink>,
}

fn reader<'a>(plan: &'a Plan<'_>) -> Result<Reader<BufReader<&'a File>>, BackupError> {
    let mut file = &plan.backup;
    file.seek(SeekFrom::Start(0))?;
    Reader::begin(BufReader::new(file), |fingerprint| {
        plan.master_keys.find(fingerprint)
    })
}

fn read(plan: &Plan<'_>) -> Result<Contents, RestoreError> {
    let mut reader = reader(plan)?;
    let (mut issuers, mut keys) = (Vec::new(), Vec::new());
    let (mut head, mut last_event, mut check, mut grants) = (None, 0, None, 0);
    let mut status_secrets = None;
    let mut log = Verification::begin(LogHead::BEGINNING, []);
    while let Some(entry) = reader.next_row()? {
        match entry {
            Entry::Head(StoredHead { sequence, hash }) => {
                let stored = LogHead::of_stored(sequence, &hash, 0);
                log = Verification::begin(LogHead::BEGINNING, [(HeadSource::Service, stored)]);
                head = Some((sequence, hash));
            }
            Entry::Record(record) => match record.key.kind {
                Kind::Setting if record.key == check::record_key() => check = record.sealed,
                Kind::Setting if record.key == status_lists::secrets_record_key() => {
                    status_secrets = record.sealed;
                }
                Kind::Issuer => issuers.push(record),
                Kind::Key => keys.push(record),
                Kind::Grant => grants += 1,
                _ => {}
            },
            Entry::Event(event) => {
                last_event = last_event.max(event.sequence);
                let line = line(&event.read());
                log = log.and_then(|mut log| {
                    log.read(line.as_bytes())?;
                    Ok(log)
                });
            }
            _ => {}
        }
    }
    let (sequence, hash) = head.unwrap_or_default();
    let sets = key_sets(issuers, keys).into_iter().map(|stored| {
        let name = IssuerName::parse(&stored.issuer.key.id);
        Ok((name.map_err(|_| RestoreError::UnnamedIssuer)?, stored))
    });
    let sets = sets.collect::<Result<_, RestoreError>>()?;
    Ok(Contents {
        header: reader.header().clone(),
        lines: reader.lines().to_vec(),
        check,
        sets,
        grants,
        status_secrets,
        end: LogHead::of_stored(sequence, &hash, last_event),
        broken: log.and_then(Verification::finish).err(),
    })
}

/// The operator must have meant what is there.
fn check_names(plan: &Plan<'_>, contents: &Contents) -> Result<(), RestoreError> {
    let registered = plan.register.iter().flat_map(|register| &register.sets);
    let registered: BTreeMap<_, _> = registered.collect();
    for kid in &plan.revoked {
        let stored = |set: &StoredSet| set.keys.iter().any(|record| record.key.id == kid.as_str());
        let is_known = contents.sets.values().any(stored)
            || registered.values().any(|set| set.key(kid).is_some());
        if !is_known {
            return Err(RestoreError::UnknownKey(kid.clone()));
        }
    }
    let is_unknown =
        |name: &&IssuerName| !contents.sets.contains_key(*name) && !registered.contains_key(*name);
    match plan.deleted.iter().find(is_unknown) {
        Some(name) => Err(RestoreError::UnknownIssuer(name.clone())),
        None => Ok(()),
    }
}

/// A set as it comes back.
struct Recovered {
    change: Change,
    stored: StoredSet,
}

async fn recover_all(plan: &Plan<'_>, contents: &Contents) -> Result<Vec<Recovered>, RestoreError> {
    if let Some(register) = &plan.register {
        let (register, backup) = (register.head, contents.header.head);
        if register.sequence < backup.sequence {
            return Err(RestoreError::OldRegister {
                register: register.sequence,
                backup: backup.sequence,
            });
        }
        if register.sequence == backup.sequence && register.hash != backup.hash {
            let what = "its audit log ends with another event".to_owned();
            return Err(RestoreError::ForeignRegister(what));
        }
    }
    let sealing = sealing(plan, contents)?;
    let mut recovered = Vec::new();
    for (name, stored) in &contents.sets {
        let backup = documents::key_set(stored)?;
        let register = match &plan.register {
            Some(register) => Some(register_of(register, name)?),
            None => None,
        };
        let testimony = match register {
            Some(register) => RestoreSources::Both {
                backup: &backup,
                register,
            },
            None => RestoreSources::Backup(&backup),
        };
        recovered.push(recover_one(plan, sealing, &testimony, Some(stored)).await?);
    }
    let registered = plan.register.iter().flat_map(|register| &register.sets);
    for (_, set) in registered.filter(|(name, _)| !contents.sets.contains_key(*name)) {
        recovered.push(recover_one(plan, sealing, &RestoreSources::Register(set), None).await?);
    }
    recovered.sort_by(|one, other| one.change.set.issuer().cmp(other.change.set.issuer()));
    Ok(recovered)
}

fn register_of<'a>(register: &'a Register, name: &IssuerName) -> Result<&'a KeySet, RestoreError> {
    register.sets.get(name).ok_or_else(|| {
        if register.unusable.contains(name) {
            RestoreError::SilentRegister(name.clone())
        } else {
            RestoreError::ForeignRegister(format!("it does not have issuer {name}"))
        }
    })
}

async fn recover_one(
    plan: &Plan<'_>,
    sealing: &MasterKey,
    testimony: &RestoreSources<'_>,
    stored: Option<&StoredSet>,
) -> Result<Recovered, RestoreError> {
    let issuer = testimony.issuer().clone();
    testimony
        .check()
        .map_err(|source| RestoreError::RegisterMismatch {
            issuer: issuer.clone(),
            source,
        })?;
    let remembered = OperatorStatements {
        revoked: &plan.revoked,
        deleted: &plan.deleted,
        reason: REASON,
    };
    let (mut supply, mut fresh) = (AvailableKeys::default(), Vec::new());
    let change = loop {
        match recover(testimony, &remembered, plan.time, &supply) {
            Ok(change) => break change,
            Err(DecisionError::Refused(source)) => {
                return Err(RestoreError::Refused { issuer, source });
            }
            Err(DecisionError::NeedsKeys(wanted)) => {
                for specification in wanted {
                    let generated = plan.engine.generate(specification, Urgency::Immediate);
                    let pair = generated.await?;
                    supply.add(pair.jwk.clone());
                    fresh.push(pair);
                }
            }
        }
    };
    let mut sealed = sealed_halves(plan, &change.set, stored)?;
    for pair in &fresh {
        let kid = pair.jwk.kid().clone();
        sealed.insert(kid, seal(sealing, &issuer, pair, &plan.entropy)?);
    }
    let stored = documents::records(&change.set, sealed);
    // What is written must be what a start can read.
    documents::key_set(&stored)?;
    Ok(Recovered { change, stored })
}

/// The private halves that the recovered set keeps, each of which must open.
fn sealed_halves(
    plan: &Plan<'_>,
    set: &KeySet,
    stored: Option<&StoredSet>,
) -> Result<BTreeMap<Kid, Vec<u8>>, RestoreError> {
    let mut halves = BTreeMap::new();
    for key in set.keys().iter().filter(|key| key.holds_private_half()) {
        let mut rows = stored.into_iter().flat_map(|stored| &stored.keys);
        let row = rows.find(|record| record.key.id == key.kid().as_str());
        let Some(sealed) = row.and_then(|record| record.sealed.as_ref()) else {
            continue;
        };
        let opened = plan.master_keys.open(set.issuer(), key.kid(), sealed);
        if opened.is_err() {
            return Err(RestoreError::PrivateHalf {
                issuer: set.issuer().clone(),
                kid: key.kid().clone(),
            });
        }
        halves.insert(key.kid().clone(), sealed.clone());
    }
    Ok(halves)
}

fn seal(
    master_key: &MasterKey,
    issuer: &IssuerName,
    pair: &KeyPair,
    entropy: &Entropy,
) -> Result<Vec<u8>, RestoreError> {
    let (kid, private) = (pair.jwk.kid(), pair.private.pkcs8());
    master_key
        .seal(issuer, kid, private, entropy.bytes()?)
        .ok_or(RestoreError::Unsealable)
}

/// The master key that seals what is new in the store that was backed up.
fn sealing<'a>(plan: &'a Plan<'_>, contents: &Contents) -> Result<&'a MasterKey, RestoreError> {
    match &contents.check {
        Some(setting) => Ok(check::read(plan.master_keys, setting)?.key),
        None => Ok(plan.master_keys.first()),
    }
}

/// What the restore has changed, as the log says it: that it happened, then issuer after issuer.
fn events_of(
    plan: &Plan<'_>,
    contents: &Contents,
    recovered: &[Recovered],
    revocations: &[(IssuerName, Revocation)],
) -> Vec<EventRow> {
    let latest = recovered.iter().map(|set| set.change.at);
    let at = latest.fold(plan.time.reading, Timestamp::max);
    let register = plan.register.as_ref();
    let event = Restored {
        backup_at: contents.header.created_at.floor_seconds(),
        backup_head: contents.header.head.to_string(),
        register_at: register.map(|register| register.created_at.floor_seconds()),
        register_head: register.map(|register| register.head.to_string()),
        revoked: plan.revoked.iter().cloned().collect(),
        deleted: plan.deleted.iter().map(ToString::to_string).collect(),
    };
    let attribution = plan.actor.clone().into();
    let mut rows = vec![audit::row(&event, at, None, &attribution, None)];
    for set in recovered {
        rows.extend(audit::rows(&set.change, &attribution, None));
    }
    // The selector names no person, so that its hash needs no secret.
    let secret = RevocationSecret::default();
    for (issuer, revocation) in revocations {
        let event = RevocationEvent::opened(revocation, &secret);
        let reason = revocation.reason.as_deref();
        rows.push(audit::row(&event, at, Some(issuer), &attribution, reason));
    }
    rows
}

impl Outcome {
    /// The keys that sign before verifiers can be sure to know them.
    pub fn forced(&self) -> impl Iterator<Item = (&IssuerName, &Kid)> {
        self.issuers.iter().flat_map(|change| {
            let events = change.events.iter();
            events.filter_map(|event| match event {
                Event::KeyActivated {
                    kid, forced: true, ..
                } => {
                    let state = change.set.key(kid).map(|key| key.state());
                    matches!(state, Some(State::Active(_))).then_some((change.set.issuer(), kid))
                }
                _ => None,
            })
        })
    }
}
