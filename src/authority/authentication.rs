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
//!
//! The OAuth endpoints take the first three as `client_secret_basic`, `client_secret_post` and
//! `client_assertion` ([`Proof`]).

mod assertion;
mod security_event;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use keywright_verifier::{InvalidRules, Jws, KeySource, Rules, Verifier};
use serde_json::Value;

use super::audit::{Actor, AuthenticationMethod};
use super::clients::{ClientMatch, ClientState, Clients, LARGEST_ASSERTION};
use super::key_wait::KeyWait;
use super::throttle::FailureLimiter;
use crate::access::Role;
use crate::access::certificate::PeerCertificate;
use crate::access::credential::{self, PREFIX};
use crate::clock::Clock;
use crate::lifecycle::Timestamp;
use assertion::ExpectedAudience;

pub use security_event::EventTokenRefusal;

/// What a request proves its client with.
#[derive(Clone, Copy)]
pub enum Proof<'r> {
    /// What follows `Authorization: Bearer`: a credential or a signed token.
    Bearer(&'r str),
    /// A client's id with its credential (RFC 6749 §2.3.1).
    Secret {
        /// `client_id`
        client_id: &'r str,
        /// `client_secret`
        secret: &'r str,
    },
    /// A signed token (RFC 7523 §2.2).
    Assertion {
        /// `client_id`, which may be absent.
        client_id: Option<&'r str>,
        /// `client_assertion`
        assertion: &'r str,
        /// The `aud` of an assertion that the client signs itself: only values of these.
        audiences: [&'r str; 2],
    },
}

/// What a request brings along.
#[derive(Clone, Copy, Default)]
pub struct RequestCredentials<'r> {
    /// What it proves its client with.
    pub proof: Option<Proof<'r>>,
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
    /// What its security event tokens must be.
    pub event_rules: Rules,
    /// Where its keys come from.
    pub keys: KeySource,
}

/// The trusted issuers' tokens, verified.
#[derive(Default)]
pub struct TrustedIssuers {
    verifier: Option<Verifier>,
    /// For their security event tokens, which are no proof of a caller.
    event_verifier: Option<Verifier>,
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
    pub fn new(issuers: impl IntoIterator<Item = TrustedIssuer>) -> Result<Self, InvalidRules> {
        let mut trusted = Self::default();
        for TrustedIssuer {
            name,
            issuer,
            rules,
            event_rules,
            keys,
        } in issuers
        {
            let verifier = trusted.verifier.take();
            trusted.verifier = Some(with_issuer(verifier, rules, keys.clone())?);
            let verifier = trusted.event_verifier.take();
            trusted.event_verifier = Some(with_issuer(verifier, event_rules, keys)?);
            let wait = KeyWait::default();
            trusted.by_url.insert(issuer, KnownIssuer { name, wait });
        }
        Ok(trusted)
    }
}

/// A verifier that takes the tokens of one more issuer.
fn with_issuer(
    verifier: Option<Verifier>,
    rules: Rules,
    keys: KeySource,
) -> Result<Verifier, InvalidRules> {
    let rules = rules.max_token_bytes(LARGEST_ASSERTION);
    match verifier {
        Some(verifier) => verifier.and(rules, keys),
        None => Verifier::new(rules, keys),
    }
}

/// Finds out who calls.
pub struct Authenticator {
    trusted: TrustedIssuers,
    /// The `aud` of assertions that clients sign for the internal API; without one there are none.
    audience: Option<String>,
    failures: FailureLimiter,
    /// Assertions from before are refused: whether they were used cannot be told.
    started_at: Timestamp,
    clock: Clock,
}

impl Authenticator {
    /// An authenticator that is open from now on.
    pub fn new(trusted: TrustedIssuers, audience: Option<String>, clock: Clock) -> Self {
        Self {
            trusted,
            audience,
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

    /// Counts a secret from an address that is no client's.
    ///
    /// # Errors
    /// [`Unauthenticated::TooManyFailures`].
    pub fn count_failure(&self, address: Option<IpAddr>) -> Result<(), Unauthenticated> {
        match address.is_some_and(|address| self.failures.record_failure(address)) {
            true => Err(Unauthenticated::TooManyFailures),
            false => Ok(()),
        }
    }

    /// Whether a token names a trusted issuer as its own. It is not verified.
    pub fn is_of_trusted_issuer(&self, token: &str) -> bool {
        let issuer = unverified_issuer(token);
        issuer.is_some_and(|issuer| self.trusted.by_url.contains_key(&issuer))
    }

    /// The client whose workload a token of a trusted issuer names, and the claims of the token.
    ///
    /// # Errors
    /// [`Unauthenticated`]; the answer says no more than that. The log says why a token was refused.
    pub async fn admit_workload(
        &self,
        clients: &Clients,
        token: &str,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(Caller, Value), Unauthenticated> {
        let issuer = unverified_issuer(token).ok_or(Unauthenticated::Invalid)?;
        match self.with_workload(clients, &issuer, token, now).await {
            Ok((live, via, claims)) => {
                let caller = Caller { live, via, address };
                Ok((caller, claims))
            }
            Err(refusal) if refusal.outcome == Unauthenticated::Invalid => {
                self.count_failure(address)?;
                refusal.log(address);
                Err(Unauthenticated::Invalid)
            }
            Err(refusal) => Err(refusal.outcome),
        }
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
        let found = match (presented.proof, presented.certificate) {
            (Some(Proof::Bearer(text)), _) if text.starts_with(PREFIX) => {
                with_credential(clients, None, text, now)
            }
            (Some(Proof::Secret { client_id, secret }), _) => {
                with_credential(clients, Some(client_id), secret, now)
            }
            (Some(Proof::Bearer(text)), _) => {
                let expected = ExpectedAudience::Contains(self.audience.as_deref());
                let found = self.with_assertion(clients, None, text, expected, now);
                found
                    .await
                    .map_err(|refused| refusal.insert(refused).outcome)
            }
            (
                Some(Proof::Assertion {
                    client_id,
                    assertion,
                    audiences,
                }),
                _,
            ) => {
                let expected = ExpectedAudience::Only(audiences);
                let found = self.with_assertion(clients, client_id, assertion, expected, now);
                found
                    .await
                    .map_err(|refused| refusal.insert(refused).outcome)
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
}

fn unverified_issuer(token: &str) -> Option<String> {
    let jws = Jws::parse(token, LARGEST_ASSERTION).ok()?;
    let claims = jws.unverified_claims().ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

/// The client of a credential, which is the one that is named, if one is.
fn with_credential(
    clients: &Clients,
    named: Option<&str>,
    text: &str,
    now: Timestamp,
) -> Result<(Arc<ClientState>, AuthenticationMethod), Unauthenticated> {
    let (id, secret) = credential::split(text).ok_or(Unauthenticated::Invalid)?;
    if named.is_some_and(|named| named != id) {
        return Err(Unauthenticated::Invalid);
    }
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
