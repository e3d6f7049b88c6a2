//! How a grant is renewed: the next refresh token, and an access token.

use std::sync::Arc;

use super::{
    Authority, GrantError, IssuedGrant, StoredGrant, record_key, scope_of, sign_request, signing,
};
use crate::access::Client;
use crate::authority::ChangeError;
use crate::authority::audit::Actor;
use crate::authority::issuer::{Issuer, MAX_ATTEMPTS};
use crate::authority::snapshot::LeasedSnapshot;
use crate::oauth::{
    BindingRefusal, Grant, GrantEndCause, GrantKey, RefreshRefusal, RefreshToken, RequestProof,
    Scope, Target,
};
use crate::store::CommitError;
use crate::store::seal::{SealedRow, UnsealError};

/// A grant together with a token that was issued for it once.
pub struct PresentedGrant {
    /// The grant.
    pub stored: StoredGrant,
    /// The token.
    pub token: RefreshToken,
    key: GrantKey,
}

/// What a renewal asks for.
pub struct RenewalRequest {
    /// Less than the scope of the grant, if it is named.
    pub scope: Option<Scope>,
    /// One audience of the grant, if it is named.
    pub target: Option<Target>,
    /// What the request proves.
    pub proof: RequestProof,
    /// Who asks.
    pub actor: Actor,
}

impl PresentedGrant {
    /// Whether the token is the current one, or the one before it that is still answered.
    fn is_current(&self) -> bool {
        let line = &self.stored.grant.line;
        line.number == self.token.number() && line.current == self.token.hash()
    }
}

impl Authority {
    /// The grant of a refresh token, if the token was ever issued.
    ///
    /// # Errors
    /// [`GrantError::NeverIssued`], or when the store or its master key does not answer.
    pub async fn presented_grant(
        &self,
        issuer: &Issuer,
        text: &str,
    ) -> Result<PresentedGrant, GrantError> {
        let token = RefreshToken::parse(text).ok_or(GrantError::NeverIssued)?;
        let key = record_key(issuer.name(), token.grant());
        let record = self.services.store.get(&key).await?;
        let stored = StoredGrant::read(record.ok_or(GrantError::NeverIssued)?)?;
        let (id, sealed) = (&stored.grant.id, &stored.sealed);
        let opened = self
            .services
            .master_keys
            .open_row(SealedRow::Grant(issuer.name(), id), sealed);
        let (_, key) = opened.map_err(|error: UnsealError| ChangeError::Sealing(error))?;
        let key = GrantKey::new(&key);
        match token.is_of(&key) {
            true => Ok(PresentedGrant { stored, token, key }),
            false => Err(GrantError::NeverIssued),
        }
    }

    /// A snapshot that may sign a token of a grant that can be renewed, when what is being taken back has
    /// settled.
    ///
    /// # Errors
    /// [`GrantError::Ended`] or [`GrantError::Expired`]. No caller waits to be told that.
    pub async fn snapshot_for(
        &self,
        issuer: &Issuer,
        grant: &Grant,
    ) -> Result<LeasedSnapshot, GrantError> {
        self.require_live(issuer, grant, self.services.lease.time())?;
        Ok(issuer
            .settled_snapshot(&grant.revocable_claims().into())
            .await)
    }

    /// Whether a refresh token would be answered now with a successor that is new.
    pub fn is_renewable(&self, issuer: &Issuer, presented: &PresentedGrant) -> bool {
        let now = self.services.lease.time();
        presented.is_current()
            && self
                .require_live(issuer, &presented.stored.grant, now)
                .is_ok()
    }

    /// Renews a grant by a token that was issued for it, within the limits of the client that opened it.
    /// A token that was used before ends the grant.
    ///
    /// # Errors
    /// [`GrantError`]. Nothing has changed then, unless the grant was ended, or the signing engine or the
    /// store has failed.
    pub async fn renew(
        self: &Arc<Self>,
        issuer: &Issuer,
        view: &LeasedSnapshot,
        client: &Client,
        presented: &PresentedGrant,
        request: &RenewalRequest,
    ) -> Result<IssuedGrant, GrantError> {
        let services = &self.services;
        let now = view.issued_at();
        let mut stored = presented.stored.clone();
        for _ in 0..MAX_ATTEMPTS {
            self.require_live(issuer, &stored.grant, now)?;
            let grace = services.grants.grace;
            let (token, line) = (&presented.token, &stored.grant.line);
            let bound = stored.grant.bound_by(token.number(), &request.proof);
            if bound == Err(BindingRefusal::Unproven) {
                return Err(GrantError::Unproven);
            }
            let (renewal, binding) = match (line.renew(token, &presented.key, grace, now), bound) {
                (Ok(renewal), Ok(binding)) => (renewal, binding),
                (Err(RefreshRefusal::NeverIssued), _) => return Err(GrantError::NeverIssued),
                (outcome, _) => {
                    let cause = match outcome {
                        Err(RefreshRefusal::Ahead) => GrantEndCause::StoreWentBack,
                        _ => GrantEndCause::Reused,
                    };
                    match self
                        .end_stored(issuer, &stored, cause, &request.actor)
                        .await
                    {
                        Ok(()) => return Err(GrantError::Reused),
                        // It was changed in between: the token is judged again.
                        Err(ChangeError::Contended) => {
                            stored = self.grant(issuer, &stored.grant.id).await?;
                            continue;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            };
            let claims =
                (stored.grant).claims_for(request.scope.as_ref(), request.target.as_ref())?;
            let scope = scope_of(&claims);
            let (confirmation, policy) = (request.proof.confirmation(), view.set().policy());
            let asked = sign_request(&stored.grant, claims, confirmation, client, policy);
            // What is refused from here on has changed nothing.
            let checked = signing::check(view, client, asked).await?;
            services.require_believed_time()?;
            let grant = Grant {
                line: renewal.line,
                binding,
                ..stored.grant.clone()
            };
            let mut batch = services.new_batch().map_err(ChangeError::Randomness)?;
            batch.not_after = Some(services.lease.timing().commit_deadline(now));
            batch.writes.push(stored.replaced_by(issuer.name(), &grant));
            match services.commit(batch).await {
                Ok(_) => {
                    let access = checked.sign().await?;
                    return Ok(IssuedGrant {
                        grant,
                        access,
                        confirmation,
                        scope,
                        refresh: renewal.successor,
                    });
                }
                // Another renewal was faster, or the grant was changed or ended.
                Err(CommitError::Conflict) => stored = self.grant(issuer, &grant.id).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended.into())
    }
}
