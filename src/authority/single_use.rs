//! Tokens that count once are used up here: exactly once, also where several processes share the store.
//!
//! The record of a used token can be created once. Uses are written together (`commit_queue`). A token that
//! was issued before a restore does not count: the store does not know whether it was used.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keywright_verifier::SINGLE_USE_CLAIM;
use keywright_verifier::revocation::MAX_SELECTOR_BYTES;
use serde_json::Value;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::issued_token::{InvalidToken, IssuedToken, NotActive};
use super::issuer::{Issuer, MAX_ATTEMPTS};
use super::{Authority, ChangeError};
use crate::lifecycle::Timestamp;
use crate::oauth::single_use::{
    IdempotencyKey, NOT_BEFORE_RECORD, TokenUse, not_before, record_id,
};
use crate::store::{
    Batch, CommitError, Content, Expectation, Kind, Query, Record, RecordIndex, RecordKey,
    StoreError, Token, Write,
};
use crate::telemetry::traces::carried;

/// The most uses of one batch, so that none waits long for others.
const MOST_OF_A_BATCH: usize = 128;

/// How much longer than the token its record is kept, so that no clock is so far off that the token could
/// count again.
const KEPT_AFTER_END: Duration = Duration::from_secs(300);

/// Why a token is not used up.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// It is none of the issuer.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// It may be used any number of times.
    #[error("the token has no claim single_use, and may be used any number of times")]
    NotSingleUse,
    /// Verifiers do not accept it.
    #[error("the token {0}")]
    NotActive(#[from] NotActive),
    /// It was used before.
    #[error("the token was used before")]
    AlreadyConsumed,
    /// It was issued before a restore.
    #[error("the token was issued before the store was restored, and counts as used")]
    BeforeRestore,
    /// The key is the token's identifier, which others know.
    #[error("Idempotency-Key is the jti of the token, which tells no attempt from another")]
    KeyIsIdentifier,
    /// It was not written.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<StoreError> for ConsumeError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// A token that was used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// Its identifier.
    pub jti: String,
    /// When it was used up.
    pub at: Timestamp,
    /// Whether this was said before.
    pub is_repeated: bool,
}

/// A use that is to be written.
pub(super) struct Attempt {
    issuer: Arc<Issuer>,
    token: IssuedToken,
    key: RecordKey,
    client: String,
    idempotency_key: IdempotencyKey,
    tell: oneshot::Sender<Result<Consumed, ConsumeError>>,
}

impl Attempt {
    /// It, if it is made now.
    fn at(&self, now: Timestamp) -> TokenUse {
        TokenUse::new(&self.client, &self.idempotency_key, now)
    }

    fn seconds(&self, claim: &str) -> u64 {
        let claim = self.token.claims.get(claim).and_then(Value::as_f64);
        // Saturates; rounded down.
        claim.unwrap_or_default() as u64
    }

    /// The write that uses the token up.
    fn write(&self, now: Timestamp) -> Write {
        let end = Timestamp::from_seconds(self.seconds("exp").saturating_add(1));
        let content = Content {
            index: RecordIndex {
                client: Some(self.client.clone()),
                kept_until: Some(end.after(KEPT_AFTER_END)),
                ..RecordIndex::default()
            },
            ..Content::of(self.at(now).to_document())
        };
        Write::Create(self.key.clone(), content)
    }

    fn consumed(&self, at: Timestamp, is_repeated: bool) -> Consumed {
        Consumed {
            jti: self.token.jti().unwrap_or_default().to_owned(),
            at,
            is_repeated,
        }
    }

    /// What a use that is written means for this one.
    fn judge(&self, written: &TokenUse, now: Timestamp) -> Result<Consumed, ConsumeError> {
        match written.is_repeated_by(&self.at(now)) {
            true => Ok(self.consumed(written.at, true)),
            false => Err(ConsumeError::AlreadyConsumed),
        }
    }
}

impl IssuedToken {
    /// Whether it counts once.
    pub fn is_single_use(&self) -> bool {
        self.claims.get(SINGLE_USE_CLAIM) == Some(&Value::Bool(true))
    }
}

impl Authority {
    /// Uses a token up for a client: the first time, and again for the same key of the same client.
    ///
    /// # Errors
    /// [`ConsumeError`]; the token is not used up then, unless it says that this is not known.
    pub async fn consume(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        token: IssuedToken,
        client: &str,
        idempotency_key: IdempotencyKey,
    ) -> Result<Consumed, ConsumeError> {
        if !token.is_single_use() {
            return Err(ConsumeError::NotSingleUse);
        }
        let jti = token.jti()?;
        if jti.is_empty() || jti.len() > MAX_SELECTOR_BYTES {
            return Err(InvalidToken::Unnamed.into());
        }
        if jti == idempotency_key.as_str() {
            return Err(ConsumeError::KeyIsIdentifier);
        }
        let key = RecordKey::owned(Kind::UsedToken, issuer.name(), record_id(jti));
        let (tell, told) = oneshot::channel();
        self.consumptions.add(Attempt {
            issuer: Arc::clone(issuer),
            token,
            key,
            client: client.to_owned(),
            idempotency_key,
            tell,
        });
        let authority = Arc::clone(self);
        // A caller that hangs up leaves others their answer. An answer waits for no turn but that of its batch.
        let written = async move {
            let write = |attempts| authority.write_uses(attempts);
            let queue = &authority.consumptions;
            queue.write_next(MOST_OF_A_BATCH, |_| 1, write).await;
        };
        tokio::spawn(carried(written.in_current_span()));
        // Without an answer the batch was not written to its end.
        told.await.unwrap_or(Err(ChangeError::Interrupted.into()))
    }

    /// Whether a token that counts once was used.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn is_used_up(
        &self,
        issuer: &Issuer,
        token: &IssuedToken,
    ) -> Result<bool, ConsumeError> {
        let key = RecordKey::owned(Kind::UsedToken, issuer.name(), record_id(token.jti()?));
        let found = self.read_uses([&key]).await?;
        let issued_at = token.claims.get("iat").and_then(Value::as_u64);
        let is_past = found
            .not_before(&key)?
            .is_some_and(|first| issued_at.is_none_or(|at| at < first));
        Ok(is_past || found.used(&key)?.is_some())
    }

    /// Writes the uses of one batch, and tells each what became of it.
    async fn write_uses(&self, mut attempts: Vec<Attempt>) {
        for _ in 0..MAX_ATTEMPTS {
            if attempts.is_empty() {
                return;
            }
            attempts = match self.try_to_write(attempts).await {
                Ok(()) => return,
                Err((left, None)) => left,
                Err((left, Some(error))) => {
                    // One of them has the source of the error.
                    let text = error.to_string();
                    let mut error = Some(error);
                    for attempt in left {
                        let error = error.take();
                        let error = error.unwrap_or_else(|| StoreError(text.clone().into()));
                        answer(attempt, Err(error.into()));
                    }
                    return;
                }
            };
        }
        for attempt in attempts {
            answer(attempt, Err(ChangeError::Contended.into()));
        }
    }

    /// Writes what can be written now. Those that are left are to be judged anew, or have failed.
    async fn try_to_write(
        &self,
        attempts: Vec<Attempt>,
    ) -> Result<(), (Vec<Attempt>, Option<StoreError>)> {
        let services = &self.services;
        let found = match self
            .read_uses(attempts.iter().map(|attempt| &attempt.key))
            .await
        {
            Ok(found) => found,
            Err(error) => return Err((attempts, Some(error))),
        };
        // Now no revocation of this process is committed in between.
        let writer = match services.store.writer().await {
            Ok(writer) => writer,
            Err(error) => return Err((attempts, Some(error))),
        };
        let now = services.lease.time();
        let mut batch = match services.new_batch() {
            Ok(batch) => batch,
            Err(error) => return Err((attempts, Some(StoreError(Box::new(error))))),
        };
        batch.not_after = Some(services.lease.timing().commit_deadline(now));
        // Of several for one token, the first is written; the others are judged when it is.
        let (mut firsts, mut others) = (Vec::new(), Vec::new());
        let mut keys = BTreeSet::new();
        for attempt in attempts {
            match self.judge(&attempt, &found, now) {
                Some(answered) => answer(attempt, answered),
                None if keys.insert(attempt.key.clone()) => firsts.push(attempt),
                None => others.push(attempt),
            }
        }
        if firsts.is_empty() {
            return Ok(());
        }
        batch
            .writes
            .extend(firsts.iter().map(|first| first.write(now)));
        found.expect(&firsts, &mut batch);
        let committed = services.commit_with(writer, batch).await;
        let all = |firsts: Vec<Attempt>, others| firsts.into_iter().chain(others).collect();
        match committed {
            Ok(_) => {
                for first in firsts {
                    let consumed = first.consumed(now, false);
                    answer(first, Ok(consumed));
                }
                match others.is_empty() {
                    true => Ok(()),
                    false => Err((others, None)),
                }
            }
            // What is stored tells what became of each.
            Err(CommitError::Conflict | CommitError::Late | CommitError::Unknown(_)) => {
                Err((all(firsts, others), None))
            }
            Err(CommitError::Store(error)) => Err((all(firsts, others), Some(error))),
            Err(error) => Err((all(firsts, others), Some(StoreError(Box::new(error))))),
        }
    }

    /// What an attempt is answered without a write; `None` if the token is there to be used.
    fn judge(
        &self,
        attempt: &Attempt,
        found: &FoundUses,
        now: Timestamp,
    ) -> Option<Result<Consumed, ConsumeError>> {
        let stored = found.used(&attempt.key);
        let first = found.not_before(&attempt.key);
        let (used, first) = match (stored, first) {
            (Ok(used), Ok(first)) => (used, first),
            (Err(error), _) | (_, Err(error)) => return Some(Err(error.into())),
        };
        if let Some(used) = used {
            return Some(attempt.judge(&used, now));
        }
        if let Err(error) = self.services.require_believed_time() {
            return Some(Err(error.into()));
        }
        if let Err(error) = self.require_active(&attempt.issuer, &attempt.token) {
            return Some(Err(error.into()));
        }
        let is_past = first.is_some_and(|first| attempt.seconds("iat") < first);
        is_past.then_some(Err(ConsumeError::BeforeRestore))
    }

    /// What is stored of these tokens, and of their issuers.
    async fn read_uses<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k RecordKey>,
    ) -> Result<FoundUses, StoreError> {
        let (mut owners, mut ids) = (BTreeSet::new(), BTreeSet::new());
        ids.insert(NOT_BEFORE_RECORD.to_owned());
        for key in keys {
            owners.insert(key.owner.clone());
            ids.insert(key.id.clone());
        }
        let query = Query {
            owners: Some(owners.into_iter().collect()),
            ids: Some(ids.into_iter().collect()),
            ..Query::all(Kind::UsedToken)
        };
        Ok(FoundUses(self.services.store.list(query).await?))
    }
}

fn answer(attempt: Attempt, answer: Result<Consumed, ConsumeError>) {
    // A caller that has hung up is told nothing.
    drop(attempt.tell.send(answer));
}

/// What is stored of some tokens.
struct FoundUses(Vec<Record>);

impl FoundUses {
    fn find(&self, key: &RecordKey) -> Option<&Record> {
        self.0.iter().find(|record| record.key == *key)
    }

    /// The record that says since when tokens of the same issuer count.
    fn not_before_key(key: &RecordKey) -> RecordKey {
        RecordKey {
            id: NOT_BEFORE_RECORD.to_owned(),
            ..key.clone()
        }
    }

    fn used(&self, key: &RecordKey) -> Result<Option<TokenUse>, StoreError> {
        let record = self.find(key);
        let used = record.map(|record| TokenUse::from_document(&record.document));
        used.transpose()
            .map_err(|error| StoreError(Box::new(error)))
    }

    /// Since which Unix second tokens of the same issuer count that were issued then.
    fn not_before(&self, key: &RecordKey) -> Result<Option<u64>, StoreError> {
        let record = self.find(&Self::not_before_key(key));
        let first = record.map(|record| not_before(&record.document));
        first
            .transpose()
            .map_err(|error| StoreError(Box::new(error)))
    }

    /// Lets a batch happen only if no restore has come in between.
    fn expect(&self, attempts: &[Attempt], batch: &mut Batch) {
        let keys: BTreeSet<RecordKey> = attempts
            .iter()
            .map(|attempt| Self::not_before_key(&attempt.key))
            .collect();
        batch.expectations.extend(keys.into_iter().map(|key| {
            let token: Option<Token> = self.find(&key).map(|record| record.token);
            Expectation::Is(key, token)
        }));
    }
}
