//! A call on a signing route or for a token at the OAuth endpoint, and its entries in the issuance log.
//!
//! Every response to a caller with the role `issuer` on the signing routes leaves entries: one for
//! each token, one for each refused item of a batch, and one for a request that was refused as a
//! whole.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use keywright_verifier::Algorithm;
use keywright_verifier::json::AnyValue;
use tokio::sync::OwnedSemaphorePermit;

use super::internal::{named, path_parameter};
use crate::access::Client;
use crate::authority::Authority;
use crate::authority::clients::ClientState;
use crate::authority::grants::algorithm;
use crate::authority::issuer::Issuer;
use crate::authority::signing::{self, SignRequest, SignedToken};
use crate::authority::snapshot::Snapshot;
use crate::authority::throttle::Budget;
use crate::clock::Stopwatch;
use crate::http::admission::REQUEST_ID;
use crate::http::authentication::{HasRole, role};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::slots::RequestSlot;
use crate::issuance_log::{Decision, Line, LoggedClaims};
use crate::lifecycle::{Policy, RuleViolation};
use crate::telemetry::traces::child_span;

/// The longest name of an issuer that a line repeats, in characters. No issuer has a longer one.
const LONGEST_NAME: usize = 63;

/// A request on a signing route by a caller with the role `issuer`.
pub(super) struct SigningCall {
    authority: Arc<Authority>,
    live: Arc<ClientState>,
    issuer: String,
    request_id: Option<HeaderValue>,
    slot: Option<RequestSlot>,
    is_answered: bool,
}

/// The parts of one requested token that the log records; empty when there is no log.
pub(super) struct RequestSummary(Option<LoggedRequest>);

#[derive(Default)]
struct LoggedRequest {
    claims: LoggedClaims,
    algorithm: Option<Algorithm>,
}

impl FromRequestParts<Arc<Authority>> for SigningCall {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        authority: &Arc<Authority>,
    ) -> Result<Self, Problem> {
        let mut call = Self::begin(parts, authority, String::new()).await?;
        match path_parameter(parts, "issuer").await {
            Ok(issuer) => call.issuer = issuer,
            Err(problem) => {
                let summary = call.summary();
                return call.end(&summary, Err(problem));
            }
        }
        Ok(call)
    }
}

impl SigningCall {
    /// A call for the issuer of this name, if its caller has the role `issuer`.
    pub(super) async fn begin(
        parts: &mut Parts,
        authority: &Arc<Authority>,
        issuer: String,
    ) -> Result<Self, Problem> {
        let HasRole { caller, .. } =
            HasRole::<role::Issuer>::from_request_parts(parts, authority).await?;
        Ok(Self::of(caller.live, parts, authority, issuer))
    }

    /// A call of a client that has the role `issuer`, for the issuer of this name.
    pub(super) fn of(
        live: Arc<ClientState>,
        parts: &Parts,
        authority: &Arc<Authority>,
        issuer: String,
    ) -> Self {
        Self {
            authority: Arc::clone(authority),
            live,
            issuer,
            request_id: parts.headers.get(REQUEST_ID).cloned(),
            slot: parts.extensions.get::<RequestSlot>().cloned(),
            is_answered: false,
        }
    }

    /// The issuer, if the caller may call it at all and it has not ended.
    pub(super) fn issuer(&self) -> Result<Arc<Issuer>, Problem> {
        signing_issuer(&self.authority, self.client(), &self.issuer)
    }

    /// The authority.
    pub(super) fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// The algorithm of the caller's access tokens.
    pub(super) fn algorithm(&self, policy: &Policy) -> Algorithm {
        algorithm(self.client(), policy)
    }

    /// The caller.
    pub(super) fn client(&self) -> &Client {
        &self.live.client
    }

    /// Takes so many signatures of the caller's.
    pub(super) fn take(&self, signatures: NonZeroU32) -> Result<Option<Budget>, Problem> {
        self.live
            .take_signatures(signatures)
            .map_err(|(spent, budget)| Problem::rate_limited(spent, budget))
    }

    /// Takes the rest of so many signatures, of which the first was taken before and left `first`.
    pub(super) fn take_rest(
        &self,
        signatures: NonZeroU32,
        first: Option<Budget>,
    ) -> Result<Option<Budget>, Problem> {
        self.live
            .take_further_signatures(signatures, first)
            .map_err(|(spent, budget)| Problem::rate_limited(spent, budget))
    }

    /// Waits for the caller's earlier batches, and returns what is held while this one is signed.
    pub(super) async fn await_turn_to_sign(
        &self,
        signatures: NonZeroU32,
    ) -> Option<OwnedSemaphorePermit> {
        match &self.slot {
            Some(slot) => slot.await_turn_to_sign(signatures).await,
            None => None,
        }
    }

    /// An empty summary of one requested token.
    pub(super) fn summary(&self) -> RequestSummary {
        let log = self.authority.issuance_log();
        RequestSummary(log.map(|_| LoggedRequest::default()))
    }

    /// Puts a token on the log. A token that the log does not take is not handed out.
    fn record(&self, summary: &RequestSummary, token: &SignedToken) -> Result<(), Problem> {
        let decision = Decision::Signed {
            kid: &token.kid,
            jti: &token.jti,
            expires_at: token.expires_at,
        };
        match self.put(summary, decision) {
            LogWrite::Done => Ok(()),
            LogWrite::Failed => Err(Problem::issuance_log_unavailable()),
        }
    }

    /// Puts a refusal on the log. The response does not depend on it: a refused caller has no token.
    pub(super) fn record_refusal(&self, summary: &RequestSummary, problem: &Problem) {
        if problem.code() == Code::IssuanceLogUnavailable.as_str() {
            return;
        }
        let decision = Decision::Refused {
            code: problem.code(),
            limit: problem.broken_limit(),
        };
        self.put(summary, decision);
    }

    /// The request has its response: a refusal of it as a whole leaves an entry.
    pub(super) fn end<T>(
        &mut self,
        summary: &RequestSummary,
        outcome: Result<T, Problem>,
    ) -> Result<T, Problem> {
        if let Err(problem) = &outcome {
            self.record_refusal(summary, problem);
        }
        self.is_answered = true;
        outcome
    }

    /// Signs one token, and puts it on the log.
    pub(super) async fn sign(
        &self,
        issuer: &Issuer,
        summary: &RequestSummary,
        request: SignRequest<'_>,
    ) -> Result<SignedToken, Problem> {
        let view = issuer.settled_snapshot(&request.claims).await;
        let algorithm = request.algorithm_under(view.set().policy());
        let stopwatch = Stopwatch::start();
        let outcome = signing::sign(&view, self.client(), request).await;
        let duration = stopwatch.elapsed();
        let _step = child_span("record");
        self.record_and_count(summary, &view, algorithm, duration, outcome, |token| token)
    }

    /// Puts the token of an outcome on the issuance log, without which it is not handed out, and counts it.
    pub(super) fn record_and_count<T>(
        &self,
        summary: &RequestSummary,
        view: &Snapshot,
        algorithm: Algorithm,
        duration: Duration,
        outcome: Result<T, impl Into<Problem>>,
        token_of: impl FnOnce(&T) -> &SignedToken,
    ) -> Result<T, Problem> {
        let recorded = outcome.map_err(Into::into).and_then(|issued| {
            self.record(summary, token_of(&issued))?;
            Ok(issued)
        });
        match (&recorded, view.signer(algorithm)) {
            (Ok(_), Some(entry)) => entry.metrics.count_signed(duration),
            (Ok(_), None) => {}
            (Err(problem), _) => {
                let issuer = view.set().issuer().as_str();
                let metrics = self.authority.metrics();
                metrics.count_refusal(issuer, algorithm, problem.code());
            }
        }
        recorded
    }

    fn put(&self, summary: &RequestSummary, decision: Decision<'_>) -> LogWrite {
        let (Some(log), Some(logged)) = (self.authority.issuance_log(), &summary.0) else {
            return LogWrite::Done;
        };
        let request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
        let shown = self.issuer.char_indices().nth(LONGEST_NAME);
        let issuer = shown.and_then(|(end, _)| self.issuer.get(..end));
        let line = Line {
            time: self.authority.now(),
            client: &self.client().id,
            issuer: issuer.unwrap_or(&self.issuer),
            algorithm: logged.algorithm,
            claims: &logged.claims,
            request_id: request_id.unwrap_or_default(),
            decision,
        };
        match log.put(&line) {
            Ok(()) => LogWrite::Done,
            Err(_) => LogWrite::Failed,
        }
    }
}

/// The issuer of this name, if the client may have it sign and it has not ended.
pub(super) fn signing_issuer(
    authority: &Authority,
    client: &Client,
    name: &str,
) -> Result<Arc<Issuer>, Problem> {
    let issuer = named(authority, &client.terms.limits, name)?;
    if issuer.snapshot().set().deleted_at().is_some() {
        return Err(RuleViolation::IssuerDeleted.into());
    }
    Ok(issuer)
}

/// Whether the log, if there is one, has taken an entry.
enum LogWrite {
    Done,
    Failed,
}

/// A request that is dropped without a response took too long, or its caller has disconnected.
impl Drop for SigningCall {
    fn drop(&mut self) {
        if !self.is_answered {
            self.record_refusal(&self.summary(), &Problem::timeout());
        }
    }
}

impl RequestSummary {
    /// Notes the subject and the audience that the token is to have.
    pub(super) fn note_claims<'c, V: AnyValue + 'c>(
        &mut self,
        claim: impl Fn(&str) -> Option<&'c V>,
    ) {
        if let Some(logged) = &mut self.0 {
            logged.claims = LoggedClaims::of(claim);
        }
    }

    /// Notes the algorithm that it is to be signed with.
    pub(super) fn note_algorithm(&mut self, algorithm: Algorithm) {
        if let Some(logged) = &mut self.0 {
            logged.algorithm = Some(algorithm);
        }
    }
}
