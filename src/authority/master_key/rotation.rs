//! Letting another key seal, and sealing anew what the one before has sealed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{StoredSetting, setting_batch};
use crate::authority::audit::{self, Actor, Attribution, MasterKeyEvent, Subject, log_event};
use crate::authority::issuer::MAX_ATTEMPTS;
use crate::authority::{Authority, ChangeError, Services, run_to_completion};
use crate::lifecycle::IssuerName;
use crate::store::seal::check::{self, MasterKeyRotation, SealingKey};
use crate::store::seal::{Fingerprint, MasterKey, UnsealError};
use crate::store::{CommitError, Kind, Query, Record, Store, StoreError, Write};

/// How many records one call seals anew, so that its answer comes in time.
pub(super) const RESEALED_AT_A_TIME: usize = 500;

/// Which master keys a store needs.
#[derive(Debug, PartialEq, Eq)]
pub struct MasterKeyState {
    /// The key that seals what is new.
    pub sealing: Fingerprint,
    /// Whether everything else is being sealed anew with it.
    pub rotating: bool,
    /// How many records each key has sealed: of the keys that this process has, and of the others
    /// that records name.
    pub records: BTreeMap<Fingerprint, usize>,
    /// The keys that this process has.
    pub here: Vec<Fingerprint>,
    /// How many records are corrupt: none of the keys opens them, and they name no other.
    pub unopenable: usize,
}

/// What a call has done for a rotation of the master key.
#[derive(Debug, PartialEq, Eq)]
pub struct RotationReport {
    /// The key that seals what is new.
    pub sealing: Fingerprint,
    /// How many records were sealed anew by this call.
    pub resealed: usize,
    /// How many at least are left to be sealed anew; ask again.
    pub left: usize,
    /// How many records are corrupt and stay as they are.
    pub unopenable: usize,
}

impl Authority {
    /// The fingerprints of the master keys that this process has, for others to see.
    pub fn master_keys(&self) -> Vec<Fingerprint> {
        self.services.master_keys.fingerprints()
    }

    /// Which master keys the store needs.
    ///
    /// # Errors
    /// When the store does not answer, or is sealed with a key that this process does not have.
    pub async fn master_key_state(&self) -> Result<MasterKeyState, ChangeError> {
        let keys = &self.services.master_keys;
        let setting = StoredSetting::read(&*self.services.store).await?;
        let (sealing, progress) = match &setting {
            Some(setting) => {
                let sealing = check::read(keys, &setting.value)?;
                (sealing.key.fingerprint(), sealing.rotation)
            }
            None => (keys.first().fingerprint(), MasterKeyRotation::Idle),
        };
        let here = keys.fingerprints();
        let mut records: BTreeMap<_, _> = here.iter().map(|key| (*key, 0)).collect();
        let mut unopenable = 0;
        let mut count = |sealed: Sealed| match sealed {
            Sealed::With(key) => *records.entry(key).or_default() += 1,
            Sealed::Corrupt => unopenable += 1,
            Sealed::Not => {}
        };
        self.each_record(&mut count).await?;
        Ok(MasterKeyState {
            sealing,
            rotating: progress == MasterKeyRotation::Running,
            records,
            here,
            unopenable,
        })
    }

    /// Lets another master key seal what is new, and seals everything else anew with it, or goes
    /// on where a rotation was interrupted. Without `to` it goes on, if there is one to go on with,
    /// and otherwise takes the one other key that this process has.
    ///
    /// # Errors
    /// [`ChangeError`]. Whatever was sealed anew stays so; ask again.
    pub async fn rotate_master_key(
        self: &Arc<Self>,
        to: Option<Fingerprint>,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<RotationReport, ChangeError> {
        let authority = Arc::clone(self);
        run_to_completion(async move {
            let told = Telling { actor, reason };
            let to = authority.begin_rotation(to, &told).await?;
            let rotation = authority.reseal(to).await?;
            if rotation.left == 0 {
                authority.finish_rotation(to, &told).await?;
            }
            Ok(rotation)
        })
        .await
    }

    /// Changes what seals, unless it is so already. Answers the key that seals from now on.
    async fn begin_rotation(
        &self,
        to: Option<Fingerprint>,
        told: &Telling,
    ) -> Result<Fingerprint, ChangeError> {
        let Services {
            store, master_keys, ..
        } = &self.services;
        let setting = StoredSetting::read(&**store).await?;
        let setting = setting.ok_or(ChangeError::Contended)?;
        let sealing = check::read(master_keys, &setting.value)?;
        let from = sealing.key.fingerprint();
        let to = match (to, sealing.rotation) {
            (Some(to), _) => to,
            (None, MasterKeyRotation::Running) => from,
            (None, MasterKeyRotation::Announced(next)) => next,
            (None, MasterKeyRotation::Idle) => self.only_other(from)?,
        };
        if to == from {
            return Ok(to);
        }
        let key = master_keys.find(to);
        let key = key.ok_or(ChangeError::UnknownMasterKey(to))?;
        let setting = self.announce(setting, &sealing, key).await?;
        if let Err(refusal) = require_everywhere(&**store, to).await {
            let idle = MasterKeyRotation::Idle;
            let withdrawal = setting_batch(&self.services, setting.token, sealing.key, idle)?;
            self.services.commit(withdrawal).await?;
            return Err(refusal);
        }
        let event = MasterKeyEvent::MasterKeyRotationStarted {
            from: from.to_string(),
            to: to.to_string(),
        };
        self.replace_check(&setting, key, MasterKeyRotation::Running, &event, told)
            .await?;
        Ok(to)
    }

    /// Lets every process that starts from here on require the key that is to seal next. Only then
    /// are the others asked whether they have it: one that joins in between sees the announcement.
    async fn announce(
        &self,
        setting: StoredSetting,
        sealing: &SealingKey<'_>,
        next: &MasterKey,
    ) -> Result<StoredSetting, ChangeError> {
        let announced = MasterKeyRotation::Announced(next.fingerprint());
        if sealing.rotation == announced {
            return Ok(setting);
        }
        // It leaves no event, so that the record itself has to say whether it was written.
        let batch = setting_batch(&self.services, setting.token, sealing.key, announced)?;
        let written = self.services.commit(batch).await;
        let Services {
            store, master_keys, ..
        } = &self.services;
        let setting = StoredSetting::read(&**store).await?;
        let setting = setting.ok_or(ChangeError::Contended)?;
        if check::read(master_keys, &setting.value)?.rotation == announced {
            return Ok(setting);
        }
        written?;
        Err(ChangeError::Contended)
    }

    fn only_other(&self, sealing: Fingerprint) -> Result<Fingerprint, ChangeError> {
        let mut others = self.master_keys();
        others.retain(|key| *key != sealing);
        match others.as_slice() {
            [other] => Ok(*other),
            others => Err(ChangeError::UnclearMasterKey(others.len())),
        }
    }

    /// Writes down that no other key is needed any more, once.
    async fn finish_rotation(&self, to: Fingerprint, told: &Telling) -> Result<(), ChangeError> {
        let Services {
            store, master_keys, ..
        } = &self.services;
        let Some(setting) = StoredSetting::read(&**store).await? else {
            return Ok(());
        };
        let sealing = check::read(master_keys, &setting.value)?;
        if sealing.key.fingerprint() != to || sealing.rotation == MasterKeyRotation::Idle {
            return Ok(());
        }
        let mut records = 0;
        let mut count = |sealed| records += usize::from(matches!(sealed, Sealed::With(_)));
        self.each_record(&mut count).await?;
        let event = MasterKeyEvent::MasterKeyRotationFinished {
            to: to.to_string(),
            records,
        };
        let settled =
            self.replace_check(&setting, sealing.key, MasterKeyRotation::Idle, &event, told);
        match settled.await {
            // Another call has finished it, or a further rotation has begun.
            Err(ChangeError::Contended) => Ok(()),
            outcome => outcome,
        }
    }

    async fn replace_check(
        &self,
        before: &StoredSetting,
        key: &MasterKey,
        progress: MasterKeyRotation,
        event: &MasterKeyEvent,
        told: &Telling,
    ) -> Result<(), ChangeError> {
        let attribution = Attribution::from(told.actor.clone());
        let reason = told.reason.as_deref();
        let row = audit::row(event, self.now(), None, &attribution, reason);
        let mut batch = setting_batch(&self.services, before.token, key, progress)?;
        batch.events.push(row);
        self.services.commit(batch).await?;
        log_event(
            "master key changed",
            Subject::default(),
            &attribution,
            event,
        );
        Ok(())
    }

    /// Seals records anew that another key has sealed.
    async fn reseal(&self, to: Fingerprint) -> Result<RotationReport, ChangeError> {
        let key = self.services.master_keys.find(to);
        let key = key.ok_or(ChangeError::UnknownMasterKey(to))?;
        let mut rotation = RotationReport {
            sealing: to,
            resealed: 0,
            left: 0,
            unopenable: 0,
        };
        for issuer in self.services.store.list(Query::all(Kind::Issuer)).await? {
            let Ok(name) = IssuerName::parse(&issuer.key.id) else {
                continue;
            };
            self.reseal_issuer(&name, key, &mut rotation).await?;
            self.reseal_grants(&name, key, &mut rotation).await?;
        }
        let receivers = self.reseal_receivers(key).await?;
        rotation.resealed += receivers.resealed;
        rotation.left += receivers.left;
        rotation.unopenable += receivers.unopenable;
        self.services.store.clear_erased().await;
        Ok(rotation)
    }

    /// Seals the records of one issuer anew, all of them in one batch.
    async fn reseal_issuer(
        &self,
        issuer: &IssuerName,
        key: &MasterKey,
        rotation: &mut RotationReport,
    ) -> Result<(), ChangeError> {
        let store = &*self.services.store;
        for _ in 0..MAX_ATTEMPTS {
            let mut batch = self.services.new_batch()?;
            let (mut left, mut unopenable) = (0, 0);
            for record in store.list(Query::owned(Kind::Key, issuer)).await? {
                match self.sealed_with(&record) {
                    Sealed::With(fingerprint) if fingerprint == key.fingerprint() => {}
                    Sealed::Not => {}
                    Sealed::Corrupt => unopenable += 1,
                    Sealed::With(_)
                        if rotation.resealed + batch.writes.len() >= RESEALED_AT_A_TIME =>
                    {
                        left += 1;
                    }
                    Sealed::With(_) => match self.resealed(issuer, record, key)? {
                        Some(write) => batch.writes.push(write),
                        None => left += 1,
                    },
                }
            }
            let resealed = batch.writes.len();
            if resealed > 0 {
                match self.services.commit(batch).await {
                    Ok(_) => {}
                    Err(CommitError::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            rotation.resealed += resealed;
            rotation.left += left;
            rotation.unopenable += unopenable;
            return Ok(());
        }
        Err(ChangeError::Contended)
    }

    /// What writes a record sealed with another key; `None` where the key that opens it is missing.
    fn resealed(
        &self,
        issuer: &IssuerName,
        record: Record,
        key: &MasterKey,
    ) -> Result<Option<Write>, ChangeError> {
        let Ok(kid) = record.key.id.parse() else {
            return Ok(None);
        };
        let before = record.sealed.as_deref().unwrap_or_default();
        let Ok(private) = self.services.master_keys.open(issuer, &kid, before) else {
            return Ok(None);
        };
        let after = key.seal(issuer, &kid, &private, self.services.entropy.bytes()?);
        let after = after.ok_or(ChangeError::Unsealable)?;
        Ok(Some(Write::reseal(record, after)))
    }

    /// Tells what has sealed each record: private keys, and keys of grants.
    async fn each_record(&self, look: &mut impl FnMut(Sealed)) -> Result<(), StoreError> {
        let store = &self.services.store;
        let records = store.list(Query::all(Kind::Key)).await?;
        for record in &records {
            look(self.sealed_with(record));
        }
        for issuer in store.list(Query::all(Kind::Issuer)).await? {
            if let Ok(name) = IssuerName::parse(&issuer.key.id) {
                self.each_grant(&name, |sealed| look(sealed.into())).await?;
            }
        }
        self.each_receiver(|sealed| look(sealed.into())).await?;
        Ok(())
    }

    fn sealed_with(&self, record: &Record) -> Sealed {
        let key = &record.key;
        let (Some(sealed), Some(issuer), Ok(kid)) =
            (record.sealed.as_deref(), &key.owner, key.id.parse())
        else {
            return Sealed::Not;
        };
        match self.services.master_keys.open_with(issuer, &kid, sealed) {
            Ok((key, _)) => Sealed::With(key.fingerprint()),
            Err(error) => Err(error).into(),
        }
    }
}

impl From<Result<Fingerprint, UnsealError>> for Sealed {
    fn from(opened: Result<Fingerprint, UnsealError>) -> Self {
        match opened {
            Ok(key) | Err(UnsealError::MissingKey(key)) => Self::With(key),
            Err(UnsealError::DoesNotOpen | UnsealError::UnknownFormat) => Self::Corrupt,
        }
    }
}

/// Who changes the master key, and why.
struct Telling {
    actor: Actor,
    reason: Option<String>,
}

/// What has sealed a record.
enum Sealed {
    /// This key.
    With(Fingerprint),
    /// None of ours, and it names no other.
    Corrupt,
    /// There is no private half.
    Not,
}

/// Every process of a shared store must have the key before anything is sealed with it.
async fn require_everywhere(
    store: &dyn Store,
    fingerprint: Fingerprint,
) -> Result<(), ChangeError> {
    #[derive(Deserialize)]
    struct Document {
        master_keys: Vec<String>,
    }
    let Some(shared) = store.replicas() else {
        return Ok(());
    };
    let name = fingerprint.to_string();
    let replicas = shared.replicas().await?;
    let lacks_it = |document: &str| {
        let document = serde_json::from_str::<Document>(document);
        !document.is_ok_and(|document| document.master_keys.contains(&name))
    };
    let replicas: Vec<String> = replicas
        .live()
        .filter(|replica| lacks_it(&replica.heartbeat.document))
        .map(|replica| replica.heartbeat.replica.clone())
        .collect();
    if replicas.is_empty() {
        return Ok(());
    }
    Err(ChangeError::MasterKeyNotEverywhere {
        fingerprint,
        replicas,
    })
}
