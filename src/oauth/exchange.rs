//! Token exchange (RFC 8693), the grant `jwt-bearer` (RFC 7523 §2.1), and transaction tokens: one token
//! is traded in for another one that says less and lives no longer.
//!
//! What holds of every exchange:
//!
//! - The audience is within the limits of the client, the scope within those and within that of the
//!   subject token, and the new token expires no later than each token that was shown.
//! - Only a client that is in the subject token's `aud`, or that its `may_act` names, may trade it in.
//! - The new token has the `sid` of the subject token, and the `jti` of everything that it comes of
//!   ([`ANCESTORS_CLAIM`]): what takes back one of them takes back the new token.
//! - Who acts is written down (`act`, RFC 8693 §4.1). A token about another subject than its client never
//!   hides the client: there is no impersonation.

mod delegation;
mod lineage;
mod request;
#[cfg(test)]
mod tests;
mod transaction;

use keywright_verifier::Confirmation;
use keywright_verifier::revocation::ANCESTORS_CLAIM;
use serde_json::{Map, Value};

use super::{FormError, GrantRefusal, RequestProof, Scope, Target};
use crate::access::Client;

pub use delegation::{ActTooDeep, Actor};
pub use lineage::TooManyAncestors;
pub use request::{ExchangeForm, ExchangeGrant, IssuedType, TokenParameter};
pub(super) use transaction::LARGEST_CONTEXT;
pub use transaction::{TRANSACTION_TOKEN, TransactionContext};

/// The claims of a subject token that the new one may not repeat: the service or this exchange sets
/// them, or they are about the subject token alone.
const NOT_CARRIED_OVER: [&str; 20] = [
    "iss",
    "iat",
    "exp",
    "nbf",
    "jti",
    "sub",
    "aud",
    "scope",
    "client_id",
    "sid",
    "act",
    "may_act",
    "cnf",
    "status",
    "single_use",
    "txn",
    "req_wl",
    "tctx",
    "rctx",
    ANCESTORS_CLAIM,
];

/// A token that was shown and is valid.
#[derive(Debug, Clone, PartialEq)]
pub enum ShownToken {
    /// One of the issuer's own.
    Own(Map<String, Value>),
    /// One of a trusted issuer, whose workload is the client that shows it.
    Workload {
        /// Its identifier, if it has one.
        jti: Option<String>,
        /// When it expires, in Unix seconds.
        expires_at: u64,
    },
}

/// A request, with its tokens verified.
pub struct Exchange<'a> {
    /// The form, without its tokens.
    pub form: ExchangeForm,
    /// Whose token is traded in.
    pub subject: ShownToken,
    /// Who acts; without it the client does.
    pub actor: Option<ShownToken>,
    /// What the request proves besides its client.
    pub proof: &'a RequestProof,
    /// The `iss` of the issuer.
    pub issuer: &'a str,
    /// Identifies the transaction, if this begins one.
    pub transaction: String,
}

/// What is to be signed.
#[derive(Debug, Clone, PartialEq)]
pub struct ExchangedToken {
    /// The claims that the client's limits are about.
    pub claims: Map<String, Value>,
    /// Those that the service sets.
    pub own: Map<String, Value>,
    /// When the token expires at the latest, in Unix seconds.
    pub ends_at: u64,
    /// The claims of the issuer's own tokens among those that were shown.
    pub parents: Vec<Map<String, Value>>,
}

/// Why a token is not exchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeRefusal {
    /// A parameter is missing, or cannot be read.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The scope or the target cannot be read, or is missing.
    #[error(transparent)]
    Request(#[from] GrantRefusal),
    /// The scope is beyond that of the subject token.
    #[error("scope asks for more than the token that is traded in has")]
    WiderScope,
    /// None of the scopes of the subject token is within the client's limits.
    #[error("no scope of the token that is traded in is within the limits of this client")]
    NoScope,
    /// A transaction token needs a scope.
    #[error("a transaction token needs a scope")]
    ScopeMissing,
    /// A shown token is not what can be exchanged.
    #[error("{parameter} {why}")]
    Token {
        /// Which one.
        parameter: TokenParameter,
        /// What is wrong.
        why: &'static str,
    },
    /// The token is not for the client.
    #[error(
        "{0} is not for this client: its aud has neither the id of the client nor an audience that the \
         client's limits name, and its may_act does not name the client"
    )]
    OtherAudience(TokenParameter),
    /// `may_act` names another actor.
    #[error("may_act of the subject token names another actor")]
    OtherActor,
    /// Too many have acted already.
    #[error(transparent)]
    ActTooDeep(#[from] ActTooDeep),
    /// The token comes of too many others.
    #[error(transparent)]
    TooManyAncestors(#[from] TooManyAncestors),
    /// A shown token is bound to a key, and the request does not prove that it has it.
    #[error("{0} is bound to a key or certificate, and the request has no proof of it")]
    Unproven(TokenParameter),
}

impl Exchange<'_> {
    /// What the new token says, if there is one for this client.
    ///
    /// # Errors
    /// [`ExchangeRefusal`]. The client's limits are checked when the token is signed.
    pub fn decide(self, client: &Client) -> Result<ExchangedToken, ExchangeRefusal> {
        let Self {
            form,
            subject,
            actor,
            proof,
            issuer,
            transaction,
        } = self;
        let shown = [
            (form.grant.subject(), Some(&subject)),
            (TokenParameter::Actor, actor.as_ref()),
        ];
        for (parameter, token) in shown {
            if let Some(token) = token {
                token.check(parameter, client, proof)?;
            }
        }
        let mut own = Map::new();
        let acting = Actor::of(actor.as_ref(), client, issuer)?;
        if let Some(act) = delegation::act(&subject, &acting, client, issuer)? {
            own.insert("act".to_owned(), act);
        }
        let ancestors = lineage::ancestors([Some(&subject), actor.as_ref()])?;
        if !ancestors.is_empty() {
            own.insert(ANCESTORS_CLAIM.to_owned(), ancestors.into());
        }
        // Who may act does not change when a client has acted.
        for name in ["sid", "may_act"] {
            if let Some(value) = subject.claim(name) {
                own.insert(name.to_owned(), value.clone());
            }
        }
        let mut claims = subject.carried_over(client);
        let named = [
            ("sub", subject.subject(client)),
            ("client_id", &client.id),
            ("aud", Target::or_only_one(form.target.as_ref(), client)?),
        ];
        for (name, value) in named {
            claims.insert(name.to_owned(), value.into());
        }
        if let Some(scope) = subject.narrowed(form.scope.as_ref(), client)? {
            claims.insert("scope".to_owned(), scope.as_str().into());
        }
        if let IssuedType::TransactionToken(context) = form.issued {
            if !claims.contains_key("scope") {
                return Err(ExchangeRefusal::ScopeMissing);
            }
            own.extend(context.claims(client, transaction));
        }
        let shown = [Some(subject), actor];
        let expiries = shown.iter().flatten().map(ShownToken::expires_at);
        let ends_at = expiries.min().unwrap_or_default();
        let parents = shown.into_iter().flatten().filter_map(|token| match token {
            ShownToken::Own(claims) => Some(claims),
            ShownToken::Workload { .. } => None,
        });
        Ok(ExchangedToken {
            claims,
            own,
            ends_at,
            parents: parents.collect(),
        })
    }
}

impl ShownToken {
    fn claim(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Own(claims) => claims.get(name),
            Self::Workload { .. } => None,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claim(name).and_then(Value::as_str)
    }

    /// Whom a new token is about: a workload is its client.
    fn subject<'a>(&'a self, client: &'a Client) -> &'a str {
        self.text("sub").unwrap_or(&client.id)
    }

    /// In Unix seconds.
    fn expires_at(&self) -> u64 {
        match self {
            // Rounded down.
            Self::Own(claims) => claims.get("exp").and_then(Value::as_f64).unwrap_or(0.0) as u64,
            Self::Workload { expires_at, .. } => *expires_at,
        }
    }

    /// Whether a client may show it at all.
    fn check(
        &self,
        parameter: TokenParameter,
        client: &Client,
        proof: &RequestProof,
    ) -> Result<(), ExchangeRefusal> {
        let Self::Own(claims) = self else {
            return Ok(());
        };
        let wrong = |why| Err(ExchangeRefusal::Token { parameter, why });
        if self.text("sub").is_none() {
            return wrong("has no sub");
        }
        if self.text("jti").is_none() {
            return wrong("has no jti, so that what comes of it could not be taken back");
        }
        if claims.contains_key("single_use") {
            return wrong("is for one use, which is not this one");
        }
        // What is not known here is not proven either.
        let is_proven = || {
            let bound = Confirmation::of(&claims.clone().into());
            bound.is_ok_and(|bound| bound.is_none_or(|bound| proof.proves(&bound)))
        };
        if claims.contains_key("cnf") && !is_proven() {
            return Err(ExchangeRefusal::Unproven(parameter));
        }
        let may_show = match parameter {
            TokenParameter::Subject | TokenParameter::Assertion => {
                is_for(claims, client) || delegation::names(claims.get("may_act"), &client.id)
            }
            // A client acts by a token of its own, too.
            TokenParameter::Actor => {
                is_for(claims, client) || self.text("client_id") == Some(client.id.as_str())
            }
        };
        match may_show {
            true => Ok(()),
            false => Err(ExchangeRefusal::OtherAudience(parameter)),
        }
    }

    /// The claims that the limits of the client name, as the token has them.
    fn carried_over(&self, client: &Client) -> Map<String, Value> {
        let (Self::Own(claims), Some(allowed)) = (self, &client.terms.limits.claims) else {
            return Map::new();
        };
        let carried_over = claims.iter().filter(|(name, _)| {
            allowed.contains(*name) && !NOT_CARRIED_OVER.contains(&name.as_str())
        });
        carried_over
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The scope that is asked for, or all that both the token and the limits of the client have. A
    /// platform's token has none of ours: those of the client are the only bound.
    fn narrowed(
        &self,
        asked: Option<&Scope>,
        client: &Client,
    ) -> Result<Option<Scope>, ExchangeRefusal> {
        let limit = client.terms.limits.scopes.as_ref();
        let Self::Own(claims) = self else {
            return Ok(asked.cloned().or_else(|| limit.and_then(Scope::of)));
        };
        let held = match claims.get("scope") {
            None => None,
            Some(scope) => {
                let scope = scope.as_str().map(Scope::parse);
                Some(scope.and_then(Result::ok).ok_or(ExchangeRefusal::Token {
                    parameter: TokenParameter::Subject,
                    why: "has a scope that cannot be read",
                })?)
            }
        };
        match (held, asked) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(ExchangeRefusal::WiderScope),
            (Some(held), Some(asked)) => match asked.is_within(&held) {
                true => Ok(Some(asked.clone())),
                false => Err(ExchangeRefusal::WiderScope),
            },
            (Some(held), None) => {
                let is_allowed = |token: &str| limit.is_none_or(|limit| limit.contains(token));
                let both = held.only(is_allowed);
                both.map(Some).ok_or(ExchangeRefusal::NoScope)
            }
        }
    }
}

/// Whether a token is for a client: its `aud` has the client's id, or an audience that the client's limits
/// name. A client without that limit is no audience but its own id.
fn is_for(claims: &Map<String, Value>, client: &Client) -> bool {
    let audience = claims.get("aud");
    let values = match audience {
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    let has_id = values.iter().any(|value| *value == *client.id);
    let limits = &client.terms.limits;
    has_id || (limits.audiences.is_some() && limits.has_audience(audience))
}
