//! How many live grants each client and each issuer has.
//!
//! They are counted in the store each minute, and in memory in between: with several replicas a limit is
//! exceeded by no more than what the others open in that minute.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::GrantError;
use crate::authority::Services;
use crate::lifecycle::IssuerName;
use crate::oauth::grant::KEPT_AFTER_END;
use crate::store::{Kind, StoreError};

type Counts = HashMap<(IssuerName, String), u64>;

/// The counts, once they are known.
#[derive(Default)]
pub(in crate::authority) struct GrantCounts {
    known: Arc<Mutex<Option<Counts>>>,
}

/// The place of a grant that is being opened. It is free again unless it is kept.
pub(super) struct GrantPlace {
    known: Arc<Mutex<Option<Counts>>>,
    counted: Option<(IssuerName, String)>,
}

impl GrantPlace {
    /// The grant is there.
    pub(super) fn keep(mut self) {
        self.counted = None;
    }
}

impl Drop for GrantPlace {
    fn drop(&mut self) {
        let Some(counted) = self.counted.take() else {
            return;
        };
        if let Some(count) = lock(&self.known)
            .as_mut()
            .and_then(|known| known.get_mut(&counted))
        {
            *count = count.saturating_sub(1);
        }
    }
}

fn lock(known: &Mutex<Option<Counts>>) -> MutexGuard<'_, Option<Counts>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GrantCounts {
    /// Counts what the store has.
    pub(super) async fn load(&self, services: &Services) -> Result<(), StoreError> {
        let ended_by = services.lease.time().after(KEPT_AFTER_END);
        let counts = services
            .store
            .count_by_client(Kind::Grant, ended_by)
            .await?;
        let counts = counts
            .into_iter()
            .map(|count| ((count.owner, count.client), count.records));
        let counts: Counts = counts.collect();
        let live = counts
            .iter()
            .map(|((issuer, _), count)| (issuer.as_str(), *count));
        services.metrics.grants().observe_live(live);
        *lock(&self.known) = Some(counts);
        Ok(())
    }

    /// The issuers that had live grants when they were counted last.
    pub(super) fn issuers(&self) -> BTreeSet<IssuerName> {
        let known = lock(&self.known);
        let owners = known.iter().flat_map(HashMap::keys);
        owners.map(|(issuer, _)| issuer.clone()).collect()
    }

    /// Takes a place for one more grant.
    pub(super) async fn take_place(
        &self,
        services: &Services,
        issuer: &IssuerName,
        client: &str,
    ) -> Result<GrantPlace, GrantError> {
        let is_known = lock(&self.known).is_some();
        if !is_known {
            self.load(services).await?;
        }
        let settings = &services.grants;
        let mut known = lock(&self.known);
        let known = known.get_or_insert_default();
        let of_issuer: u64 = known
            .iter()
            .filter(|((owner, _), _)| owner == issuer)
            .map(|(_, count)| count)
            .sum();
        if of_issuer >= settings.most_of_an_issuer {
            return Err(GrantError::TooMany(
                "the issuer",
                settings.most_of_an_issuer,
            ));
        }
        let counted = (issuer.clone(), client.to_owned());
        let count = known.entry(counted.clone()).or_default();
        if *count >= settings.most_of_a_client {
            return Err(GrantError::TooMany("the client", settings.most_of_a_client));
        }
        *count += 1;
        Ok(GrantPlace {
            known: Arc::clone(&self.known),
            counted: Some(counted),
        })
    }
}
