//! Going on without a master key that is lost.

use keywright_verifier::Kid;

use super::grants::delete_lost_grants;
use super::receivers::delete_lost_receivers;
use super::{CommitSealing, StoredSetting, setting_batch};
use crate::authority::audit::{self, Actor, Attribution, MasterKeyEvent};
use crate::authority::issuer::batch;
use crate::authority::load::LoadError;
use crate::authority::request::Request;
use crate::authority::{ChangeError, Services};
use crate::engine::Urgency;
use crate::lifecycle::{Adoption, Attestation, Command, Decision, IssuerName, KeySet, decide};
use crate::store::SetTokens;
use crate::store::documents::key_set;
use crate::store::seal::MasterKeys;
use crate::store::seal::check::{self, MasterKeyRotation};
use crate::store::{Expectation, StoredSet};

/// What became of one issuer's lost keys.
#[derive(Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The issuer.
    pub issuer: IssuerName,
    /// How many of its keys had no private half any more.
    pub lost: usize,
}

/// Retires every key whose private half none of the master keys opens, lets others take over, and
/// then has the first master key seal the store, unless what seals it is here. Nothing may serve
/// the store meanwhile. A crash anywhere leaves the rest to the next call: until the end the store
/// names the lost key, and nothing starts.
///
/// # Errors
/// [`ChangeError`]; what was committed stays.
pub async fn replace_lost_keys(
    services: &Services,
    actor: &Actor,
    reason: &str,
) -> Result<Vec<Replaced>, ChangeError> {
    let Services {
        store, master_keys, ..
    } = services;
    let setting = StoredSetting::read(&**store).await?;
    let sealing = setting
        .as_ref()
        .map(|setting| check::read(master_keys, &setting.value));
    let known = sealing.and_then(Result::ok);
    let key = known
        .as_ref()
        .map_or(master_keys.first(), |known| known.key);
    let token = setting.as_ref().map(|setting| setting.token);
    let sealing = CommitSealing {
        key,
        expectation: Expectation::Is(check::record_key(), token),
    };
    delete_lost_receivers(services).await?;
    let mut replaced = Vec::new();
    for stored in store.all_key_sets().await? {
        let set = key_set(&stored).map_err(LoadError::from)?;
        delete_lost_grants(services, set.issuer()).await?;
        let lost = replace_in(services, &set, &stored, &sealing, actor, reason).await?;
        if lost > 0 {
            let issuer = set.issuer().clone();
            replaced.push(Replaced { issuer, lost });
        }
    }
    if let (Some(before), None) = (&setting, known) {
        let event = MasterKeyEvent::MasterKeyReplaced {
            from: check::named(&before.value).map(|key| key.to_string()),
            to: key.fingerprint().to_string(),
        };
        let attribution = Attribution::from(actor.clone());
        let now = services.clock.now();
        let row = audit::row(&event, now, None, &attribution, Some(reason));
        let mut batch = setting_batch(services, before.token, key, MasterKeyRotation::Idle)?;
        batch.events.push(row);
        services.commit(batch).await?;
    }
    Ok(replaced)
}

/// Replaces what one issuer has lost. Answers how many keys that were.
async fn replace_in(
    services: &Services,
    set: &KeySet,
    stored: &StoredSet,
    sealing: &CommitSealing<'_>,
    actor: &Actor,
    reason: &str,
) -> Result<usize, ChangeError> {
    let lost = lost_keys(&services.master_keys, set, stored);
    let count = lost.len();
    if count == 0 {
        return Ok(0);
    }
    let mut request = Request::by(actor.clone()).asks(Command::Replace { lost });
    request.request.reason = Some(reason.to_owned());
    let (change, time) = loop {
        let time = services.lease.change_time();
        let (one, available) = (Attestation::OnePerson, &request.fresh.supply);
        let decision = decide(
            set,
            &request.command,
            one,
            time,
            available,
            &Adoption::default(),
        );
        let Decision { change, wanted } = decision.map_err(ChangeError::Refused)?;
        match change {
            Some(change) if wanted.is_empty() => break (change, time),
            None if wanted.is_empty() => return Ok(0),
            _ => {}
        }
        services
            .generate(wanted, Urgency::Immediate, &mut request.fresh)
            .await?;
    };
    let tokens = SetTokens::of(stored);
    let batch = batch(
        services,
        Some((set, &tokens)),
        &change,
        &request,
        time,
        Some(sealing),
    )?;
    services.commit(batch).await?;
    Ok(count)
}

/// The keys that should have a private half and have none that opens.
fn lost_keys(master_keys: &MasterKeys, set: &KeySet, stored: &StoredSet) -> Vec<Kid> {
    let opens = |kid: &Kid| {
        let mut records = stored.keys.iter();
        let record = records.find(|record| record.key.id == kid.as_str());
        let sealed = record.and_then(|record| record.sealed.as_deref());
        sealed.is_some_and(|sealed| master_keys.open(set.issuer(), kid, sealed).is_ok())
    };
    let sealed = set.keys().iter().filter(|key| key.holds_private_half());
    let kids = sealed.map(|key| key.kid().clone());
    kids.filter(|kid| !opens(kid)).collect()
}
