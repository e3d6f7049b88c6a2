//! What becomes of grants: those that a revocation matches are ended before the revocation is forgotten, and
//! those of a deleted issuer are deleted.

use super::{Authority, Kind, StoredGrant};
use crate::authority::issuer::{Issuer, MAX_ATTEMPTS};
use crate::authority::upkeep::{MOST_AT_A_TIME, delete_all};
use crate::oauth::GrantEndCause;
use crate::store::{CommitError, Query, Record, StoreError, Write};

impl Authority {
    /// Counts the live ones, and deletes those of deleted issuers. It is called each minute.
    pub(in crate::authority) async fn look_after_grants(&self) {
        if let Err(error) = self.grants.load(&self.services).await {
            tracing::warn!(%error, "the live grants were not counted");
            return;
        }
        if let Err(error) = self.delete_grants_of_deleted_issuers().await {
            tracing::warn!(%error, "grants of deleted issuers stay in the store for now");
        }
    }

    /// Only the issuers that have live grants are looked at: names of deleted issuers are kept for good,
    /// and a query for each of them would cost more every year. The grants of a deleted issuer that have
    /// ended are deleted a day later, like all others.
    async fn delete_grants_of_deleted_issuers(&self) -> Result<(), StoreError> {
        for name in self.grants.issuers() {
            let issuer = self.directory.find(name.as_str());
            if issuer.is_ok_and(|issuer| issuer.snapshot().set().deleted_at().is_some()) {
                let of_issuer = Query::page(Kind::Grant, &name, None, MOST_AT_A_TIME);
                delete_all(&self.services, &of_issuer).await?;
            }
        }
        Ok(())
    }

    /// Ends the grants that revocations of an issuer match: from then on the store says it of each, and
    /// the revocations may be forgotten.
    ///
    /// # Errors
    /// When the store does not answer, or others change the same grants again and again.
    pub(in crate::authority) async fn end_revoked_grants(
        &self,
        issuer: &Issuer,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let query = Query::page(Kind::Grant, issuer.name(), after, MOST_AT_A_TIME);
            let Some(last) = self.end_revoked_of_page(issuer, query).await? else {
                return Ok(());
            };
            after = Some(last);
            // Others have their turn in between.
            tokio::task::yield_now().await;
        }
    }

    /// Ends those of one page, and answers the last identifier in it.
    async fn end_revoked_of_page(
        &self,
        issuer: &Issuer,
        query: Query,
    ) -> Result<Option<String>, StoreError> {
        let services = &self.services;
        for _ in 0..MAX_ATTEMPTS {
            let records = services.store.list(query.clone()).await?;
            let Some(last) = records.last().map(|record| record.key.id.clone()) else {
                return Ok(None);
            };
            let mut batch = services.new_batch().map_err(failed)?;
            let revoked = records.into_iter();
            let revoked = revoked.filter_map(|record| self.revoked(issuer, record));
            batch.writes.extend(revoked);
            let Some(count) = u64::try_from(batch.writes.len())
                .ok()
                .filter(|count| *count > 0)
            else {
                return Ok(Some(last));
            };
            match services.commit(batch).await {
                Ok(_) => {
                    let revoked = GrantEndCause::Revoked.as_str();
                    services.metrics.grants().count_ended(revoked, count);
                    return Ok(Some(last));
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Store(error) | CommitError::Unknown(error)) => return Err(error),
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(CommitError::Conflict))
    }

    /// What ends a grant that a revocation matches.
    fn revoked(&self, issuer: &Issuer, record: Record) -> Option<Write> {
        let stored = StoredGrant::read(record).ok()?;
        let grant = &stored.grant;
        let opened_at = grant.opened_at.floor_seconds();
        let is_revoked = grant.ended.is_none()
            && (issuer.revocations()).takes_back(&grant.revocable_claims(), opened_at);
        is_revoked.then(|| {
            let ended = grant.ended_by(GrantEndCause::Revoked, self.services.lease.time());
            stored.replaced_by(issuer.name(), &ended)
        })
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError(Box::new(error))
}
