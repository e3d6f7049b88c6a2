//! Three ways in, one caller out.
//!
//! | what is presented | who it is |
//! | --- | --- |
//! | `Authorization: Bearer kw_…` | the client whose credential it is |
//! | `Authorization: Bearer <JWT>` of a client that has keys | that client, by its signature; each assertion once |
//! | `Authorization: Bearer <JWT>` of a trusted issuer | the one client whose workload rule its claims meet |
//! | a TLS certificate, and no `Authorization` | the one client that is named by it |
//!
//! What is presented in `Authorization` decides; a certificate counts only where there is none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use keywright_verifier::{Fault, Jws, JwsError, KeySource, Rules, Verifier, VerifyError};
use serde::Deserialize;
use serde_json::Value;

use super::audit::{Actor, AuthenticationMethod};
use super::clients::{ClientMatch, ClientState, Clients, LARGEST_ASSERTION};
use super::key_wait::KeyWait;
use super::replay::Consumption;
use super::throttle::{Budget, FailureLimiter, RateExceeded};
use crate::access::Role;
use crate::access::certificate::PeerCertificate;
use crate::access::credential::{self, PREFIX};
use crate::clock::Clock;
use crate::lifecycle::Timestamp;
use crate::printable::{is_hidden, push_escape};

/// The longest life of an assertion that a client signs itself.
pub const LONGEST_ASSERTION: Duration = Duration::from_secs(300);

/// How far the `iat` of an assertion may lie ahead, for clocks that are not quite the same.
const MOST_AHEAD: Duration = Duration::from_secs(5);

/// The longest `jti`, in bytes.
const LONGEST_JTI: usize = 128;

/// What a request brings along.
#[derive(Clone, Copy, Default)]
pub struct RequestCredentials<'r> {
    /// What follows `Authorization: Bearer`.
    pub bearer: Option<&'r str>,
    /// The certificate that the connection was opened with, verified.
    pub certificate: Option<&'r PeerCertificate>,
    /// Where the connection comes from.
    pub address: Option<IpAddr>,
}

/// Who calls, whichever way it came in.
#[derive(Clone)]
pub struct Caller {
    /// The client.
    pub live: Arc<ClientState>,
    /// How it proved that.
    pub via: AuthenticationMethod,
    /// Where it calls from.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// The client's identifier.
    pub fn id(&self) -> &str {
        &self.live.client.id
    }

    /// Whether the client has a role.
    pub fn has(&self, role: Role) -> bool {
        self.live.client.has(role)
    }

    /// Takes so many signatures from the client's bucket, and answers what is left; `None` when its
    /// rate is not limited.
    ///
    /// # Errors
    /// [`RateExceeded`], with the bucket as it is; nothing has been taken then.
    pub fn take_signatures(
        &self,
        count: NonZeroU32,
    ) -> Result<Option<Budget>, (RateExceeded, Budget)> {
        let Some(bucket) = &self.live.bucket else {
            return Ok(None);
        };
        let taken = bucket.take(count).map(Some);
        taken.map_err(|exceeded| bucket.exceeded(exceeded))
    }

    /// Takes the rest of so many signatures, of which the first was taken before and left `first`.
    ///
    /// # Errors
    /// As for [`take_signatures`](Self::take_signatures); the first is given back then.
    pub fn take_further_signatures(
        &self,
        count: NonZeroU32,
        first: Option<Budget>,
    ) -> Result<Option<Budget>, (RateExceeded, Budget)> {
        let (Some(bucket), Some(first)) = (&self.live.bucket, first) else {
            return Ok(None);
        };
        let taken = bucket.take_rest(count, first).map(Some);
        taken.map_err(|exceeded| bucket.exceeded(exceeded))
    }

    /// The caller as the audit log names it.
    pub fn actor(&self) -> Actor {
        Actor::Client {
            id: self.live.client.id.clone(),
            name: self.live.client.terms.name.clone(),
            via: self.via.clone(),
            address: self.address,
        }
    }
}

/// Why no client is identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthenticated {
    /// Nothing was presented.
    Missing,
    /// The proof matches no client, or no longer does.
    Invalid,
    /// Too many proofs that match no client have come from that address.
    TooManyFailures,
    /// The keys that would tell are not there.
    Undecidable,
    /// Who may call may have changed: the store has not been reached for too long.
    Stale,
}

/// A trusted issuer, as it is configured.
pub struct TrustedIssuer {
    /// Its name in the configuration and in the rules of clients.
    pub name: String,
    /// Its `iss`.
    pub issuer: String,
    /// What its tokens must be.
    pub rules: Rules,
    /// Where its keys come from.
    pub keys: KeySource,
}

/// The trusted issuers' tokens, verified.
#[derive(Default)]
pub struct TrustedIssuers {
    verifier: Option<Verifier>,
    by_url: HashMap<String, KnownIssuer>,
}

struct KnownIssuer {
    name: String,
    wait: KeyWait,
}

impl TrustedIssuers {
    /// Trusts these issuers.
    ///
    /// # Errors
    /// When two have the same `iss`, or the rules of one cannot be meant.
    pub fn new(
        issuers: impl IntoIterator<Item = TrustedIssuer>,
    ) -> Result<Self, keywright_verifier::InvalidRules> {
        let mut trusted = Self::default();
        for TrustedIssuer {
            name,
            issuer,
            rules,
            keys,
        } in issuers
        {
            let rules = rules.max_token_bytes(LARGEST_ASSERTION);
            trusted.verifier = Some(match trusted.verifier.take() {
                Some(verifier) => verifier.and(rules, keys)?,
                None => Verifier::new(rules, keys)?,
            });
            let wait = KeyWait::default();
            trusted.by_url.insert(issuer, KnownIssuer { name, wait });
        }
        Ok(trusted)
    }
}

/// Finds out who calls.
pub struct Authenticator {
    trusted: TrustedIssuers,
    failures: FailureLimiter,
    /// Assertions from before are refused: whether they were used cannot be told.
    started_at: Timestamp,
    clock: Clock,
}

#[derive(Deserialize)]
struct Assertion {
    sub: String,
    jti: String,
    iat: u64,
    exp: u64,
}

impl Authenticator {
    /// An authenticator that is open from now on.
    pub fn new(trusted: TrustedIssuers, clock: Clock) -> Self {
        Self {
            trusted,
            failures: FailureLimiter::default(),
            started_at: clock.now(),
            clock,
        }
    }

    /// Whether an issuer of this name is trusted.
    pub fn trusts(&self, name: &str) -> bool {
        let mut trusted = self.trusted.by_url.values();
        trusted.any(|trusted| trusted.name == name)
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// [`Unauthenticated`]; the answer says no more than that. The log says why a token was refused.
    pub async fn admit(
        &self,
        clients: &Clients,
        presented: RequestCredentials<'_>,
        now: Timestamp,
    ) -> Result<Caller, Unauthenticated> {
        let mut refusal = None;
        let found = match (presented.bearer, presented.certificate) {
            (Some(text), _) if text.starts_with(PREFIX) => with_credential(clients, text, now),
            (Some(text), _) => {
                let found = self.with_assertion(clients, text, now).await;
                found.map_err(|refused| refusal.insert(refused).outcome)
            }
            (None, Some(certificate)) => with_certificate(clients, certificate),
            (None, None) => return Err(Unauthenticated::Missing),
        };
        match found {
            Ok((live, via)) => Ok(Caller {
                live,
                via,
                address: presented.address,
            }),
            Err(Unauthenticated::Invalid)
                if presented
                    .address
                    .is_some_and(|address| self.failures.record_failure(address)) =>
            {
                Err(Unauthenticated::TooManyFailures)
            }
            Err(reason) => {
                // Not of an address with too many failures, which would fill the log.
                if let Some(refusal) = refusal {
                    refusal.log(presented.address);
                }
                Err(reason)
            }
        }
    }

    /// The issuer that a token names without proof decides whose keys are tried, and nothing else.
    async fn with_assertion(
        &self,
        clients: &Clients,
        text: &str,
        now: Timestamp,
    ) -> Result<(Arc<ClientState>, AuthenticationMethod), RefusedToken> {
        let claims = Jws::parse(text, LARGEST_ASSERTION).and_then(|jws| jws.unverified_claims());
        let claims = claims.map_err(|error| RefusedToken::verification(None, &error.into()))?;
        let Some(issuer) = claims.get("iss").and_then(Value::as_str) else {
            return Err(RefusedToken::invalid(None, "no-issuer", "it has no iss"));
        };
        if let Some(live) = clients.find(issuer) {
            return self.with_own_assertion(live, text, now).await;
        }
        let trusted = &self.trusted;
        let (Some(known), Some(verifier)) = (trusted.by_url.get(issuer), &trusted.verifier) else {
            let detail = format!(
                "no client and no trusted issuer has its iss {}",
                shown(issuer)
            );
            return Err(RefusedToken::invalid(None, "wrong-issuer", detail));
        };
        let KnownIssuer { name, wait } = known;
        let at = UNIX_EPOCH + Duration::from_millis(now.millis());
        let verified = match verifier.verify_with_held_keys::<Value>(text, at) {
            Err(error @ (VerifyError::Keys(_) | VerifyError::Token(JwsError::UnknownKey))) => {
                let fetched = wait
                    .wait_for(verifier.verify_at::<Value>(text, at), now)
                    .await;
                fetched.ok_or_else(|| RefusedToken {
                    outcome: Unauthenticated::Undecidable,
                    ..RefusedToken::verification(Some(name), &error)
                })?
            }
            decided => decided,
        };
        let verified = verified.map_err(|error| RefusedToken::verification(Some(name), &error));
        let claims = verified?.claims;
        let subject = claims.get("sub").and_then(Value::as_str);
        match clients.with_workload(name, &claims) {
            ClientMatch::One(live) => {
                let subject = subject.map(|subject| subject.chars().take(256).collect());
                let via = AuthenticationMethod::Workload {
                    issuer: name.clone(),
                    subject,
                };
                Ok((live, via))
            }
            ClientMatch::None => {
                let subject = shown(subject.unwrap_or_default());
                let detail = format!("no client's workloads match its claims (sub {subject})");
                Err(RefusedToken::invalid(Some(name), "no-client", detail))
            }
            ClientMatch::Several => {
                let detail = "the workloads of several clients match its claims";
                Err(RefusedToken::invalid(Some(name), "several-clients", detail))
            }
        }
    }

    /// `private_key_jwt`: RFC 7523 §3 with `sub` = `iss` = the client, short-lived, and used once.
    ///
    /// The memory of what was used is this process's, so an assertion must count as one from before
    /// the next start once it has been used. One that was issued a little ahead waits until then.
    async fn with_own_assertion(
        &self,
        live: Arc<ClientState>,
        text: &str,
        now: Timestamp,
    ) -> Result<(Arc<ClientState>, AuthenticationMethod), RefusedToken> {
        let id = live.client.id.clone();
        let refuse = |code, detail: &str| RefusedToken::invalid(Some(&id), code, detail);
        let Some(verifier) = live.assertions.as_ref() else {
            return Err(refuse("no-keys", "the client has no jwks"));
        };
        let at = UNIX_EPOCH + Duration::from_millis(now.millis());
        let verified = verifier.verify_with_held_keys(text, at);
        let verified = verified.map_err(|error| RefusedToken::verification(Some(&id), &error));
        let Assertion { sub, jti, iat, exp } = verified?.claims;
        let begin = iat.min(now.floor_seconds());
        let ahead = Timestamp::from_seconds(iat).since(now);
        if sub != id {
            return Err(refuse("wrong-subject", "its sub is not its iss"));
        }
        if exp.saturating_sub(begin) > LONGEST_ASSERTION.as_secs() {
            return Err(refuse(
                "lives-too-long",
                "it is valid for more than 5 minutes",
            ));
        }
        // A second has two halves: what was issued in the second of the start may be from before.
        if iat <= self.started_at.floor_seconds() {
            return Err(refuse(
                "before-start",
                "it was issued before this process started",
            ));
        }
        if ahead > MOST_AHEAD {
            return Err(refuse(
                "token-not-yet-valid",
                "its iat is more than 5 s ahead",
            ));
        }
        if !(1..=LONGEST_JTI).contains(&jti.len()) {
            return Err(refuse(
                "invalid-jti",
                "its jti does not have 1 to 128 bytes",
            ));
        }
        match live.used.consume(&jti, Timestamp::from_seconds(exp), now) {
            Consumption::Accepted => {
                self.clock.wait_for(ahead).await;
                Ok((live, AuthenticationMethod::Assertion { jti }))
            }
            Consumption::Replayed => Err(refuse("replayed", "its jti was used before")),
            Consumption::Full => Err(RefusedToken {
                outcome: Unauthenticated::Undecidable,
                ..refuse("too-many-assertions", "no more jti can be remembered")
            }),
        }
    }
}

/// A token that proves nothing, and why: for the log alone, so that an attacker learns nothing.
struct RefusedToken {
    outcome: Unauthenticated,
    /// The name of the trusted issuer or the id of the client, where one is known.
    issuer: Option<String>,
    code: &'static str,
    detail: String,
}

impl RefusedToken {
    fn invalid(issuer: Option<&str>, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            outcome: Unauthenticated::Invalid,
            issuer: issuer.map(str::to_owned),
            code,
            detail: detail.into(),
        }
    }

    fn verification(issuer: Option<&str>, error: &VerifyError) -> Self {
        let outcome = match error.fault() {
            Fault::Keys => Unauthenticated::Undecidable,
            _ => Unauthenticated::Invalid,
        };
        Self {
            outcome,
            ..Self::invalid(issuer, error.code(), error.to_string())
        }
    }

    /// One that cannot be decided costs its author nothing, so that it is logged for debugging alone;
    /// the fetch that failed has been logged.
    fn log(self, address: Option<IpAddr>) {
        if self.outcome == Unauthenticated::Undecidable {
            tracing::debug!(code = self.code, "a caller's token cannot be decided on");
            return;
        }
        tracing::info!(
            issuer = self.issuer,
            code = self.code,
            detail = self.detail,
            address = address.map(tracing::field::display),
            "a caller's token is refused"
        );
    }
}

/// A text of a token for the log: at most 200 characters, in quotes, none of them hidden.
fn shown(text: &str) -> String {
    let mut shown = String::from("\"");
    for character in text.chars().take(200) {
        if is_hidden(character) {
            push_escape(&mut shown, character);
        } else {
            shown.push(character);
        }
    }
    shown.push('"');
    shown
}

fn with_credential(
    clients: &Clients,
    text: &str,
    now: Timestamp,
) -> Result<(Arc<ClientState>, AuthenticationMethod), Unauthenticated> {
    let (id, secret) = credential::split(text).ok_or(Unauthenticated::Invalid)?;
    let live = clients.find(id).ok_or(Unauthenticated::Invalid)?;
    let credentials = &live.client.credentials;
    let record = credentials
        .iter()
        .find(|record| record.is_of(secret) && record.is_valid(now))
        .ok_or(Unauthenticated::Invalid)?;
    live.note_use(&record.id, now);
    let via = AuthenticationMethod::Credential {
        credential: record.id.clone(),
    };
    Ok((Arc::clone(&live), via))
}

fn with_certificate(
    clients: &Clients,
    certificate: &PeerCertificate,
) -> Result<(Arc<ClientState>, AuthenticationMethod), Unauthenticated> {
    match clients.with_certificate(certificate) {
        ClientMatch::One(live) => {
            let via = AuthenticationMethod::Certificate {
                sha256: certificate.thumbprint_text(),
            };
            Ok((live, via))
        }
        ClientMatch::None => Err(Unauthenticated::Invalid),
        ClientMatch::Several => {
            tracing::warn!("a certificate names several clients, and is refused");
            Err(Unauthenticated::Invalid)
        }
    }
}
