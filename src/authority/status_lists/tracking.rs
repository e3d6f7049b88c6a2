//! Tokens that are tracked: whom each is about is written down before it is handed out, so that the entries
//! are found of all tokens of a subject or a session that is taken back.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::{SERVED_AFTER, StatusLists, StatusUnavailable};
use crate::authority::revocations::{Revocations, Sought};
use crate::lifecycle::{Policy, Timestamp};
use crate::revocation::status_list::{TrackedToken, subject_text};
use crate::store::{
    Batch, BatchId, CommitError, Content, Kind, Query, Record, RecordIndex, RecordKey, StoreError,
    Write, commit,
};

/// The most records of one commit, if no request has more.
const MOST_OF_A_BATCH: usize = 1024;

/// The most subjects that are looked for at a time.
const SUBJECTS_AT_A_TIME: usize = 256;

/// The most records that are read at a time.
const RECORDS_AT_A_TIME: u32 = 1000;

/// What one request has written down.
pub(super) struct TrackingRequest {
    writes: Vec<Write>,
    tell: oneshot::Sender<Result<(), StatusUnavailable>>,
}

impl StatusLists {
    /// The writes that track a token until no verifier accepts it any more.
    pub(in crate::authority) fn tracking(
        &self,
        token: Vec<TrackedToken>,
        expires_at: u64,
        policy: &Policy,
    ) -> Vec<Write> {
        let expired = Timestamp::from_seconds(expires_at).after(policy.clock_skew);
        let write = |name: TrackedToken| {
            let content = Content {
                index: RecordIndex {
                    subject: Some(name.subject()),
                    client: None,
                    kept_until: Some(expired.after(SERVED_AFTER)),
                },
                ..Content::of(name.to_document())
            };
            let key = RecordKey::owned(Kind::TrackedToken, &self.issuer, name.id());
            Write::Create(key, content)
        };
        token.into_iter().map(write).collect()
    }

    /// Writes down tokens that are handed out afterwards, together with those of other requests.
    ///
    /// # Errors
    /// [`StatusUnavailable`]; the tokens must not be handed out then.
    pub(in crate::authority) async fn track(
        self: &Arc<Self>,
        writes: Vec<Write>,
    ) -> Result<(), StatusUnavailable> {
        if writes.is_empty() {
            return Ok(());
        }
        let (tell, told) = oneshot::channel();
        self.tracked.add(TrackingRequest { writes, tell });
        let lists = Arc::clone(self);
        // A caller that hangs up leaves others their tokens.
        let written = async move {
            let size = |request: &TrackingRequest| request.writes.len();
            let write = |requests| lists.write_tracked(requests);
            lists.tracked.write_next(MOST_OF_A_BATCH, size, write).await;
        };
        tokio::spawn(written.in_current_span());
        // Without an answer the process ends.
        told.await.unwrap_or(Err(StatusUnavailable::Stale))
    }

    /// Writes what is asked for in one commit, and tells each request what became of it.
    async fn write_tracked(&self, mut requests: Vec<TrackingRequest>) {
        let writes = requests.iter_mut();
        let writes = writes.flat_map(|request| std::mem::take(&mut request.writes));
        let outcome = self.commit_tracked(writes.collect()).await;
        for request in requests {
            // A caller that has hung up is told nothing.
            drop(request.tell.send(outcome.clone()));
        }
    }

    async fn commit_tracked(&self, writes: Vec<Write>) -> Result<(), StatusUnavailable> {
        let mut batch = Batch::new(BatchId(self.entropy.bytes()?));
        batch.writes = writes;
        match commit(&*self.store, batch).await {
            Ok(_) => Ok(()),
            // After a fail-over that lost commits, an entry may have been given out before.
            Err(CommitError::Conflict) => Err(StatusUnavailable::Contended),
            Err(CommitError::Store(error) | CommitError::Unknown(error)) => Err(error.into()),
            Err(error) => Err(StoreError(Box::new(error)).into()),
        }
    }

    /// Finds the entries of the tracked tokens that revocations take back which have come since the last look.
    pub(super) async fn find_tracked(&self, revocations: &Revocations) -> Result<(), StoreError> {
        let mut left: Vec<_> = revocations.sought().into_iter().collect();
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(SUBJECTS_AT_A_TIME));
            let sought: Sought = std::mem::replace(&mut left, rest).into_iter().collect();
            self.find_some(revocations, &sought).await?;
            revocations.all_found(sought.values().flatten());
        }
        Ok(())
    }

    async fn find_some(
        &self,
        revocations: &Revocations,
        sought: &Sought,
    ) -> Result<(), StoreError> {
        let subjects: Vec<String> = sought.keys().map(subject_text).collect();
        let first = self.find_page(revocations, sought, subjects.clone(), None);
        if first.await?.is_none() {
            return Ok(());
        }
        // One by one, an index has them in the order of the pages.
        for subject in subjects {
            let mut after = None;
            loop {
                let subject = vec![subject.clone()];
                let page = self.find_page(revocations, sought, subject, after);
                after = page.await?;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Finds the tokens of a page. Answers with its last identifier, if it is full.
    async fn find_page(
        &self,
        revocations: &Revocations,
        sought: &Sought,
        subjects: Vec<String>,
        after: Option<String>,
    ) -> Result<Option<String>, StoreError> {
        let query = Query {
            subjects: Some(subjects),
            ..Query::page(Kind::TrackedToken, &self.issuer, after, RECORDS_AT_A_TIME)
        };
        let mut records = self.store.list(query).await?;
        let tokens: Vec<TrackedToken> = records.iter().filter_map(read).collect();
        revocations.found(sought, &tokens);
        let is_full = records.len() >= RECORDS_AT_A_TIME as usize;
        Ok(records.pop().filter(|_| is_full).map(|last| last.key.id))
    }
}

/// A tracked token. One that does not read is passed over.
fn read(record: &Record) -> Option<TrackedToken> {
    let subject = record.index.subject.as_deref().unwrap_or_default();
    TrackedToken::from_document(&record.key.id, subject, &record.document)
        .inspect_err(|error| tracing::error!(%error, "a tracked token is passed over"))
        .ok()
}
