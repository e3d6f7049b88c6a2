//! Who asks for signatures, and what the issuance log learns of it.
//!
//! Whatever a caller with the role `issuer` is answered on the signing routes leaves its lines: one
//! for each token, one for each item of a batch that was refused, and one for a request that was
//! refused as a whole.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use keywright_verifier::Algorithm;
use serde_json::{Map, Value};

use super::{named, path_parameter};
use crate::access::Client;
use crate::authority::Authority;
use crate::authority::authentication::Caller;
use crate::authority::issuer::Issuer;
use crate::authority::signing::SignedToken;
use crate::authority::throttle::Budget;
use crate::http::authentication::{As, role};
use crate::http::code::Code;
use crate::http::guard::REQUEST_ID;
use crate::http::problem::Problem;
use crate::issuance_log::{Asserted, Decision, Line};
use crate::lifecycle::RuleViolation;

/// The longest name of an issuer that a line repeats, in characters. No issuer has a longer one.
const LONGEST_NAME: usize = 63;

/// A request on a signing route by a caller with the role `issuer`, before its body is read.
pub(super) struct Asking {
    pub(super) authority: Arc<Authority>,
    caller: Caller,
    issuer: String,
    request_id: Option<HeaderValue>,
    is_decided: bool,
}

/// What the log learns of an item before it is signed; nothing when there is no log.
pub(super) struct Wish(Option<Wished>);

#[derive(Default)]
struct Wished {
    asserted: Asserted,
    algorithm: Option<Algorithm>,
}

impl FromRequestParts<Arc<Authority>> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        authority: &Arc<Authority>,
    ) -> Result<Self, Problem> {
        let As { caller, .. } = As::<role::Issuer>::from_request_parts(parts, authority).await?;
        let mut asking = Self {
            authority: Arc::clone(authority),
            caller,
            issuer: String::new(),
            request_id: parts.headers.get(REQUEST_ID).cloned(),
            is_decided: false,
        };
        match path_parameter(parts, "issuer").await {
            Ok(issuer) => asking.issuer = issuer,
            Err(problem) => {
                asking.record_refusal(&asking.wish(), &problem);
                asking.decided();
                return Err(problem);
            }
        }
        Ok(asking)
    }
}

impl Asking {
    /// The issuer, if the caller may call it at all and it has not ended.
    pub(super) fn issuer(&self) -> Result<Arc<Issuer>, Problem> {
        let issuer = named(&self.authority, &self.caller, &self.issuer)?;
        if issuer.snapshot().set().deleted_at().is_some() {
            return Err(RuleViolation::IssuerDeleted.into());
        }
        Ok(issuer)
    }

    /// The caller.
    pub(super) fn client(&self) -> &Client {
        &self.caller.live.client
    }

    /// Takes so many signatures of the caller's.
    pub(super) fn take(&self, signatures: NonZeroU32) -> Result<Option<Budget>, Problem> {
        self.caller
            .take_signatures(signatures)
            .map_err(|(spent, budget)| Problem::rate_limited(spent, budget))
    }

    /// What the log will learn of one item: nothing yet.
    pub(super) fn wish(&self) -> Wish {
        let log = self.authority.issuance_log();
        Wish(log.map(|_| Wished::default()))
    }

    /// Puts a token on the log. What it does not take is not handed out.
    pub(super) fn record(&self, wish: &Wish, token: SignedToken) -> Result<SignedToken, Problem> {
        let decision = Decision::Signed {
            kid: &token.kid,
            jti: &token.jti,
            expires_at: token.expires_at,
        };
        match self.put(wish, decision) {
            Written::Yes => Ok(token),
            Written::No => Err(Problem::issuance_log_unavailable()),
        }
    }

    /// Puts a refusal on the log. It is answered in any case: whoever is refused has no token.
    pub(super) fn record_refusal(&self, wish: &Wish, problem: &Problem) {
        if problem.code() == Code::IssuanceLogUnavailable.as_str() {
            return;
        }
        let decision = Decision::Refused {
            code: problem.code(),
            limit: problem.broken_limit(),
        };
        self.put(wish, decision);
    }

    /// The request has its answer, and every item its line.
    pub(super) fn decided(&mut self) {
        self.is_decided = true;
    }

    fn put(&self, wish: &Wish, decision: Decision<'_>) -> Written {
        let (Some(log), Some(wished)) = (self.authority.issuance_log(), &wish.0) else {
            return Written::Yes;
        };
        let request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
        let shown = self.issuer.char_indices().nth(LONGEST_NAME);
        let issuer = shown.and_then(|(end, _)| self.issuer.get(..end));
        let line = Line {
            time: self.authority.now(),
            client: &self.client().id,
            issuer: issuer.unwrap_or(&self.issuer),
            algorithm: wished.algorithm,
            asserted: &wished.asserted,
            request_id: request_id.unwrap_or_default(),
            decision,
        };
        match log.put(&line) {
            Ok(()) => Written::Yes,
            Err(_) => Written::No,
        }
    }
}

/// Whether the log, if there is one, has taken a line.
enum Written {
    Yes,
    No,
}

/// A request that is dropped before it is decided took too long, or its caller has hung up.
impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_decided {
            self.record_refusal(&self.wish(), &Problem::timeout());
        }
    }
}

impl Wish {
    /// Notes whom the token is to be about and for.
    pub(super) fn note_claims(&mut self, claims: &Map<String, Value>) {
        if let Some(wished) = &mut self.0 {
            wished.asserted = Asserted::by(claims);
        }
    }

    /// Notes what it is to be signed with.
    pub(super) fn note_algorithm(&mut self, algorithm: Algorithm) {
        if let Some(wished) = &mut self.0 {
            wished.algorithm = Some(algorithm);
        }
    }
}
