//! A grant: what an issuer's service opens for a user who has logged in, and as it is stored.

use std::time::Duration;

use keywright_api::{Binding, GrantEndCause};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::refresh::TokenLine;
use super::refresh_token::TokenHash;
use super::{GrantBinding, Scope, Target};
use crate::lifecycle::Timestamp;
use crate::stored_document::{Format, InvalidRecord, RecordName};

/// The word that stands for no client of ours, and the `client_id` of such a grant's tokens unless its
/// claims have another one.
pub const PUBLIC: &str = "public";

/// How long a grant may be unused, unless its request says otherwise.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(12 * 3600);

/// How long a grant lasts at most, unless its request says otherwise.
pub const DEFAULT_ABSOLUTE: Duration = Duration::from_secs(30 * DAY);

/// The longest that a request may say.
pub const LONGEST_ABSOLUTE: Duration = Duration::from_secs(366 * DAY);

const DAY: u64 = 86_400;

/// For how long the record of a grant that has ended is kept, so that its client is told why.
pub const KEPT_AFTER_END: Duration = Duration::from_secs(DAY);

/// What a record is kept until is rounded up to whole hours, so that most renewals change no index.
const KEPT_IN_STEPS: u64 = 3600;

/// What holds for all grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantSettings {
    /// For how long the refresh token before the current one is answered again.
    pub grace: Duration,
    /// The most live grants that one client has opened on one issuer.
    pub most_of_a_client: u64,
    /// The most live grants of one issuer.
    pub most_of_an_issuer: u64,
}

impl Default for GrantSettings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            most_of_a_client: 1_000_000,
            most_of_an_issuer: 2_000_000,
        }
    }
}

/// A grant.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// Its identifier, which is the `sid` of its access tokens.
    pub id: String,
    /// What its access tokens say, without `sid` and what the service sets in every token.
    pub claims: Map<String, Value>,
    /// Who may renew it.
    pub holder: GrantHolder,
    /// The lifetime of its access tokens in seconds; the policy's default if `None`.
    pub expires_in: Option<u64>,
    /// How long it may be unused.
    pub idle: Duration,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
    /// When it was opened: what takes back tokens that were issued before some time takes back the grants
    /// that were opened before it.
    pub opened_at: Timestamp,
    /// When its claims were last changed.
    pub changed_at: Timestamp,
    /// The client that opened it or has changed its claims last: its limits hold for every renewal.
    pub by: String,
    /// What its refresh tokens are bound to, if they are.
    pub binding: Option<GrantBinding>,
    /// Its refresh tokens.
    pub line: TokenLine,
    /// Whether it was ended before its time.
    pub ended: Option<GrantEnd>,
}

/// Who may renew a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantHolder {
    /// The holder of its refresh token, such as a page or an app.
    Public,
    /// A client, which authenticates each time.
    Client(String),
}

/// The end of a grant before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantEnd {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// Why.
    pub cause: GrantEndCause,
}

/// Whether a grant can be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// It can.
    Live,
    /// It was unused for too long, or has reached its end.
    Expired,
    /// It was ended.
    Ended(GrantEndCause),
}

/// What a renewal asks for is outside of its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutsideGrant {
    /// `scope` has a token that the grant does not have (RFC 6749 §6).
    #[error("scope has a token that the grant does not have")]
    Scope,
    /// The target is not an audience of the grant.
    #[error("the target is not an audience of the grant")]
    Target,
}

impl Grant {
    /// When it ends if it is not renewed.
    pub fn expires_at(&self) -> Timestamp {
        self.line.rotated_at.after(self.idle).min(self.ends_at)
    }

    /// Whether it can be renewed.
    pub fn state(&self, now: Timestamp) -> GrantState {
        match &self.ended {
            Some(end) => GrantState::Ended(end.cause),
            None if now >= self.expires_at() => GrantState::Expired,
            None => GrantState::Live,
        }
    }

    /// From when on its record may be deleted.
    pub fn kept_until(&self) -> Timestamp {
        let end = match &self.ended {
            Some(end) => Timestamp::from_millis(end.at),
            None => self.expires_at(),
        };
        let hours = end
            .after(KEPT_AFTER_END)
            .ceil_seconds()
            .div_ceil(KEPT_IN_STEPS);
        Timestamp::from_seconds(hours.saturating_mul(KEPT_IN_STEPS))
    }

    /// The subject, if it has one.
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(Value::as_str)
    }

    /// The `client_id` of its tokens.
    pub fn client_id(&self) -> &str {
        match &self.holder {
            GrantHolder::Client(id) => id,
            GrantHolder::Public => client_id_of_public(&self.claims),
        }
    }

    /// The claims of an access token for this scope and target, which the grant must have. Without one
    /// it has all of the grant.
    ///
    /// # Errors
    /// [`OutsideGrant`].
    pub fn claims_for(
        &self,
        scope: Option<&Scope>,
        target: Option<&Target>,
    ) -> Result<Map<String, Value>, OutsideGrant> {
        let mut claims = self.claims.clone();
        if let Some(scope) = scope {
            let granted = claims.get("scope").and_then(Value::as_str);
            let granted: Vec<&str> = granted.unwrap_or_default().split(' ').collect();
            if !scope
                .as_str()
                .split(' ')
                .all(|token| granted.contains(&token))
            {
                return Err(OutsideGrant::Scope);
            }
            claims.insert("scope".to_owned(), scope.as_str().into());
        }
        if let Some(target) = target {
            let is_target = |value: &Value| value.as_str() == Some(target.as_str());
            let is_granted = match claims.get("aud") {
                Some(Value::Array(audiences)) => audiences.iter().any(is_target),
                Some(audience) => is_target(audience),
                None => false,
            };
            if !is_granted {
                return Err(OutsideGrant::Target);
            }
            claims.insert("aud".to_owned(), target.as_str().into());
        }
        claims.insert("client_id".to_owned(), self.client_id().into());
        Ok(claims)
    }

    /// The same, ended before its time.
    pub fn ended_by(&self, cause: GrantEndCause, at: Timestamp) -> Self {
        Self {
            ended: Some(GrantEnd {
                at: at.millis(),
                cause,
            }),
            ..self.clone()
        }
    }

    /// The claims by which revocations match it: those of its access tokens.
    pub fn revocable_claims(&self) -> Map<String, Value> {
        let mut claims = self.claims.clone();
        claims.insert("client_id".to_owned(), self.client_id().into());
        claims.insert("sid".to_owned(), self.id.as_str().into());
        claims
    }
}

/// The `client_id` of a public grant with these claims.
fn client_id_of_public(claims: &Map<String, Value>) -> &str {
    claims
        .get("client_id")
        .and_then(Value::as_str)
        .unwrap_or(PUBLIC)
}

/// Instants in milliseconds, durations in seconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: Format<1>,
    claims: Map<String, Value>,
    /// `None` for a public grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    idle: u64,
    ends_at: u64,
    opened_at: u64,
    changed_at: u64,
    by: String,
    number: u32,
    current: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    rotated_at: u64,
    repeats: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bind: Option<BindingDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<GrantEnd>,
}

/// What the tokens are bound to.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BindingDocument {
    by: Binding,
    /// `None` before the first proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<BoundDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoundDocument {
    thumbprint: String,
    since: u32,
}

impl Grant {
    /// As it is stored.
    pub fn to_document(&self) -> String {
        let document = Document {
            format: Format,
            claims: self.claims.clone(),
            client: match &self.holder {
                GrantHolder::Public => None,
                GrantHolder::Client(id) => Some(id.clone()),
            },
            expires_in: self.expires_in,
            idle: self.idle.as_secs(),
            ends_at: self.ends_at.millis(),
            opened_at: self.opened_at.millis(),
            changed_at: self.changed_at.millis(),
            by: self.by.clone(),
            number: self.line.number,
            current: self.line.current.encoded(),
            previous: self.line.previous.map(|hash| hash.encoded()),
            rotated_at: self.line.rotated_at.millis(),
            repeats: self.line.repeats,
            bind: self.binding.map(|binding| BindingDocument {
                by: binding.by(),
                to: match binding {
                    GrantBinding::FirstProof(_) => None,
                    GrantBinding::Bound {
                        thumbprint, since, ..
                    } => Some(BoundDocument {
                        thumbprint: thumbprint.to_string(),
                        since,
                    }),
                },
            }),
            ended: self.ended.clone(),
        };
        // Text, numbers and JSON values always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads what was stored under this id.
    ///
    /// # Errors
    /// [`InvalidRecord`].
    pub fn from_document(id: &str, document: &str) -> Result<Self, InvalidRecord> {
        let record = RecordName { kind: "grant", id };
        let document: Document = record.read(document)?;
        let hash = |text: &str| {
            let hash = TokenHash::decode(text);
            hash.ok_or_else(|| record.invalid("a hash is not one"))
        };
        Ok(Self {
            id: id.to_owned(),
            line: TokenLine {
                number: document.number,
                current: hash(&document.current)?,
                previous: document.previous.as_deref().map(hash).transpose()?,
                rotated_at: Timestamp::from_millis(document.rotated_at),
                repeats: document.repeats,
            },
            binding: match document.bind {
                None => None,
                Some(BindingDocument { by, to: None }) => Some(GrantBinding::FirstProof(by)),
                Some(BindingDocument {
                    by,
                    to: Some(bound),
                }) => Some(GrantBinding::Bound {
                    by,
                    thumbprint: (bound.thumbprint.parse())
                        .map_err(|_| record.invalid("a thumbprint is not one"))?,
                    since: bound.since,
                }),
            },
            claims: document.claims,
            holder: match document.client {
                None => GrantHolder::Public,
                Some(id) => GrantHolder::Client(id),
            },
            expires_in: document.expires_in,
            idle: Duration::from_secs(document.idle),
            ends_at: Timestamp::from_millis(document.ends_at),
            opened_at: Timestamp::from_millis(document.opened_at),
            changed_at: Timestamp::from_millis(document.changed_at),
            by: document.by,
            ended: document.ended,
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
