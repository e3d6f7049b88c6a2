//! Grants: what an issuer's service opens for a user who has logged in, how it is changed and ended,
//! and how its tokens are renewed.
//!
//! There may be a million of them, so that none is in memory: each is read by its identifier when it is
//! asked for. A renewal is one batch on the grant's record; of two that race, one moves the line of tokens
//! on, and the other finds the token that it has as the one before.

mod counts;
mod ending;
mod renewal;
mod upkeep;

use std::time::Duration;

use keywright_verifier::json::Members;
use keywright_verifier::{Algorithm, Confirmation};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::issuer::{Issuer, MAX_ATTEMPTS};
use super::master_key::CommitSealing;
use super::signing::{self, Origin, SignRefusal, SignRequest, SignedToken, Uses};
use super::snapshot::LeasedSnapshot;
use super::{Authority, ChangeError};
use crate::access::Client;
use crate::lifecycle::{IssuerName, Policy};
use crate::oauth::refresh_token::{GRANT_KEY_BYTES, SECRET_BYTES};
use crate::oauth::{
    ACCESS_TOKEN, Grant, GrantBinding, GrantEndCause, GrantHolder, GrantKey, GrantState,
    OutsideGrant, RefreshToken, TokenLine,
};
use crate::store::seal::SealedRow;
use crate::store::{
    CommitError, Content, Kind, Query, Record, RecordIndex, RecordKey, SealedChange, StoreError,
    Token, Write,
};
use crate::stored_document::InvalidRecord;

pub(super) use counts::GrantCounts;
pub use renewal::{PresentedGrant, RenewalRequest};

/// What is asked to be opened.
pub struct GrantDraft {
    /// What its access tokens say.
    pub claims: Map<String, Value>,
    /// Who may renew it.
    pub holder: GrantHolder,
    /// The lifetime of its access tokens in seconds; the policy's default if `None`.
    pub expires_in: Option<u64>,
    /// How long it may be unused.
    pub idle: Duration,
    /// How long it lasts at most.
    pub absolute: Duration,
    /// What its refresh tokens are bound to, if they are.
    pub binding: Option<GrantBinding>,
}

/// A grant as the store has it.
#[derive(Debug, Clone)]
pub struct StoredGrant {
    /// What it is.
    pub grant: Grant,
    token: Token,
    sealed: Vec<u8>,
}

/// A grant with tokens for it.
pub struct IssuedGrant {
    /// The grant.
    pub grant: Grant,
    /// An access token.
    pub access: SignedToken,
    /// What the access token is bound to, if it is.
    pub confirmation: Option<Confirmation>,
    /// The scope of the access token, if it has one.
    pub scope: Option<String>,
    /// The refresh token that the client uses next.
    pub refresh: RefreshToken,
}

/// Why a grant is not opened, changed or renewed.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// There is none with this identifier.
    #[error("there is no grant {0}; one that has ended is deleted after a day")]
    Unknown(String),
    /// The client or the issuer has as many as it may.
    #[error("{0} has {1} live grants, which is the most that it may have")]
    TooMany(&'static str, u64),
    /// `client` is no client.
    #[error("client is neither \"public\" nor the id of a client")]
    UnknownHolder,
    /// A change would give it to another subject.
    #[error("a grant keeps its sub; open another one for another subject")]
    SubjectFixed,
    /// It was ended before its time.
    #[error("the grant was ended: {}", .0.as_str())]
    Ended(GrantEndCause),
    /// It was unused for too long, or has reached its end.
    #[error("the grant has expired")]
    Expired,
    /// The refresh token was never issued here.
    #[error("the refresh token is not one of this issuer's")]
    NeverIssued,
    /// The refresh token was used before, and the grant has ended because of it.
    #[error("the refresh token was used before: the grant is ended, and its session taken back")]
    Reused,
    /// The refresh token is bound to what the request does not prove. The grant goes on.
    #[error(
        "the refresh token is bound to a key or a certificate, and the request does not prove that it has it"
    )]
    Unproven,
    /// The client whose limits hold is gone.
    #[error("the client that opened the grant is gone")]
    OpenerGone,
    /// More is asked for than the grant has.
    #[error(transparent)]
    Outside(#[from] OutsideGrant),
    /// No access token is signed.
    #[error(transparent)]
    Sign(#[from] SignRefusal),
    /// It was not written.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<CommitError> for GrantError {
    fn from(error: CommitError) -> Self {
        Self::Change(error.into())
    }
}

impl From<StoreError> for GrantError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

impl From<InvalidRecord> for GrantError {
    fn from(error: InvalidRecord) -> Self {
        StoreError(Box::new(error)).into()
    }
}

fn record_key(issuer: &IssuerName, id: &str) -> RecordKey {
    RecordKey::owned(Kind::Grant, issuer, id)
}

impl StoredGrant {
    fn read(record: Record) -> Result<Self, InvalidRecord> {
        Ok(Self {
            grant: Grant::from_document(&record.key.id, &record.document)?,
            token: record.token,
            sealed: record.sealed.unwrap_or_default(),
        })
    }

    /// The write that puts a grant into the place of this one.
    fn replaced_by(&self, issuer: &IssuerName, grant: &Grant) -> Write {
        let key = record_key(issuer, &grant.id);
        Write::Replace(key, self.token, content(grant, SealedChange::Keep))
    }
}

/// What the store is given of a grant. One that has ended counts against no client.
fn content(grant: &Grant, sealed: SealedChange) -> Content {
    let client = grant.ended.is_none().then(|| grant.by.clone());
    Content {
        document: grant.to_document(),
        sealed,
        index: RecordIndex {
            subject: grant.subject().map(str::to_owned),
            client,
            kept_until: Some(grant.kept_until()),
        },
        ..Content::default()
    }
}

/// What an access token of a grant is signed from.
fn sign_request(
    grant: &Grant,
    claims: Map<String, Value>,
    confirmation: Option<Confirmation>,
    client: &Client,
    policy: &Policy,
) -> SignRequest<'static> {
    SignRequest {
        claims: claims.into(),
        expires_in: grant.expires_in,
        typ: Some(ACCESS_TOKEN.into()),
        algorithm: Some(algorithm(client, policy)),
        origin: Some(Origin {
            claims: session(&grant.id),
            ends_at: grant.ends_at.floor_seconds(),
            parents: Vec::new(),
        }),
        confirmation,
        uses: Uses::Unlimited,
        status: None,
    }
}

/// The claim that every access token of a grant has.
fn session(grant: &str) -> Members<'static> {
    Map::from_iter([("sid".to_owned(), grant.into())]).into()
}

fn scope_of(claims: &Map<String, Value>) -> Option<String> {
    let scope = claims.get("scope").and_then(Value::as_str);
    scope.map(str::to_owned)
}

/// The algorithm of a client's access tokens: the issuer's default, or the first of the client's if it
/// may not use that one.
pub fn algorithm(client: &Client, policy: &Policy) -> Algorithm {
    let default = policy.default_algorithm;
    match client.terms.limits.algorithms.as_deref() {
        Some(allowed) if !allowed.contains(&default) => allowed.first().copied().unwrap_or(default),
        _ => default,
    }
}

impl Authority {
    /// Opens a grant within the limits of a client, and issues its first tokens.
    ///
    /// # Errors
    /// [`GrantError`]. Nothing was opened then, unless the signing engine or the store has failed.
    pub async fn open_grant(
        &self,
        issuer: &Issuer,
        client: &Client,
        draft: GrantDraft,
    ) -> Result<IssuedGrant, GrantError> {
        let services = &self.services;
        if let GrantHolder::Client(id) = &draft.holder
            && self.clients.find(id).is_none()
        {
            return Err(GrantError::UnknownHolder);
        }
        let place = self.grants.take_place(services, issuer.name(), &client.id);
        let place = place.await?;
        let id = services
            .entropy
            .name::<16>()
            .map_err(ChangeError::Randomness)?;
        let key = services.entropy.bytes::<GRANT_KEY_BYTES>();
        let key = Zeroizing::new(key.map_err(ChangeError::Randomness)?);
        let secret = services.entropy.bytes::<SECRET_BYTES>();
        let secret = secret.map_err(ChangeError::Randomness)?;
        let refresh = RefreshToken::first(&id, &GrantKey::new(&*key), secret);
        let mut grant = Grant {
            id,
            claims: draft.claims,
            holder: draft.holder,
            expires_in: draft.expires_in,
            idle: draft.idle,
            ends_at: services.lease.time(),
            opened_at: services.lease.time(),
            changed_at: services.lease.time(),
            by: client.id.clone(),
            binding: draft.binding,
            line: TokenLine::begin(&refresh, services.lease.time()),
            ended: None,
        };
        let view = issuer
            .settled_snapshot(&grant.revocable_claims().into())
            .await;
        let now = view.issued_at();
        grant.opened_at = now;
        grant.changed_at = now;
        grant.line.rotated_at = now;
        grant.ends_at = now.after(draft.absolute).rounded_up();
        let checked = self.check(&view, &grant, client).await?;
        services.require_believed_time()?;
        self.create_grant(issuer, &grant, key.as_slice()).await?;
        place.keep();
        let access = checked.sign().await?;
        Ok(IssuedGrant {
            confirmation: grant.confirmation(),
            scope: scope_of(&grant.claims),
            grant,
            access,
            refresh,
        })
    }

    /// Writes a new grant. Its key is sealed under the master key that seals now; if another one takes over
    /// before the commit, it is sealed anew, so that a rotation leaves no grant behind.
    async fn create_grant(
        &self,
        issuer: &Issuer,
        grant: &Grant,
        key: &[u8],
    ) -> Result<(), GrantError> {
        let services = &self.services;
        for _ in 0..MAX_ATTEMPTS {
            let sealing = CommitSealing::now(services).await?;
            let nonce = services.entropy.bytes().map_err(ChangeError::Randomness)?;
            let sealed = sealing
                .key
                .seal_row(SealedRow::Grant(issuer.name(), &grant.id), key, nonce)
                .ok_or(ChangeError::Unsealable)?;
            let mut batch = services.new_batch().map_err(ChangeError::Randomness)?;
            batch.not_after = Some(services.lease.timing().commit_deadline(grant.opened_at));
            batch.expectations.push(sealing.expectation);
            batch.writes.push(Write::Create(
                record_key(issuer.name(), &grant.id),
                content(grant, SealedChange::Set(sealed)),
            ));
            match services.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended.into())
    }

    /// Checks an access token for all of a grant.
    async fn check<'v>(
        &self,
        view: &'v LeasedSnapshot,
        grant: &Grant,
        client: &Client,
    ) -> Result<signing::CheckedToken<'v>, GrantError> {
        let owned = ["sid", "cnf"].into_iter();
        let owned: Vec<&str> = owned
            .filter(|name| grant.claims.contains_key(*name))
            .collect();
        if !owned.is_empty() {
            return Err(SignRefusal::OwnedClaims(owned).into());
        }
        let named = grant.claims.get("client_id");
        if named.is_some_and(|named| *named != grant.client_id()) {
            let expected = "that of the client of the grant, or left out";
            return Err(SignRefusal::ClaimType {
                claim: "client_id",
                expected,
            }
            .into());
        }
        let claims = grant.claims_for(None, None)?;
        let policy = view.set().policy();
        let request = sign_request(grant, claims, grant.confirmation(), client, policy);
        Ok(signing::check(view, client, request).await?)
    }

    /// The grant with this identifier.
    ///
    /// # Errors
    /// [`GrantError::Unknown`], or when the store does not answer.
    pub async fn grant(&self, issuer: &Issuer, id: &str) -> Result<StoredGrant, GrantError> {
        let key = record_key(issuer.name(), id);
        let record = self.services.store.get(&key).await?;
        let record = record.ok_or_else(|| {
            let shown = id.chars().take(64).collect();
            GrantError::Unknown(shown)
        })?;
        Ok(StoredGrant::read(record)?)
    }

    /// At most so many grants of an issuer, in the order of their identifiers: of one subject or of all.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn grants(
        &self,
        issuer: &Issuer,
        subject: Option<String>,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Grant>, GrantError> {
        let query = Query {
            subjects: subject.map(|subject| vec![subject]),
            ..Query::page(Kind::Grant, issuer.name(), after, limit)
        };
        let records = self.services.store.list(query).await?.into_iter();
        let grants = records.map(|record| Ok(StoredGrant::read(record)?.grant));
        grants.collect()
    }

    /// Changes what the access tokens of a grant say from the next renewal on, within the limits of the
    /// client that asks, which hold from then on.
    ///
    /// # Errors
    /// [`GrantError`]; nothing has changed then.
    pub async fn change_grant(
        &self,
        issuer: &Issuer,
        client: &Client,
        mut stored: StoredGrant,
        claims: Map<String, Value>,
        expires_in: Option<u64>,
    ) -> Result<Grant, GrantError> {
        for _ in 0..MAX_ATTEMPTS {
            let mut grant = stored.grant.clone();
            grant.claims.clone_from(&claims);
            grant.expires_in = expires_in.or(grant.expires_in);
            grant.by.clone_from(&client.id);
            if grant.subject() != stored.grant.subject() {
                return Err(GrantError::SubjectFixed);
            }
            let view = issuer
                .settled_snapshot(&grant.revocable_claims().into())
                .await;
            let now = view.issued_at();
            grant.changed_at = now;
            self.require_live(issuer, &stored.grant, now)?;
            drop(self.check(&view, &grant, client).await?);
            self.services.require_believed_time()?;
            let mut batch = self.services.new_batch().map_err(ChangeError::Randomness)?;
            batch.not_after = Some(self.services.lease.timing().commit_deadline(now));
            batch.writes.push(stored.replaced_by(issuer.name(), &grant));
            match self.services.commit(batch).await {
                Ok(_) => return Ok(grant),
                // It was renewed, changed or ended in between.
                Err(CommitError::Conflict) => stored = self.grant(issuer, &grant.id).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended.into())
    }

    /// Refuses a grant that cannot be renewed, whatever is presented for it.
    fn require_live(
        &self,
        issuer: &Issuer,
        grant: &Grant,
        now: crate::lifecycle::Timestamp,
    ) -> Result<(), GrantError> {
        match grant.state(now) {
            GrantState::Ended(cause) => return Err(GrantError::Ended(cause)),
            GrantState::Expired => return Err(GrantError::Expired),
            GrantState::Live => {}
        }
        let opened_at = grant.opened_at.floor_seconds();
        match issuer
            .revocations()
            .takes_back(&grant.revocable_claims(), opened_at)
        {
            true => Err(GrantError::Ended(GrantEndCause::Revoked)),
            false => Ok(()),
        }
    }
}
