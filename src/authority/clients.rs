//! The clients as of now, each with what lives only in memory: its bucket of signatures, the
//! assertions that it has used up, and when its credentials were last used.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use keywright_verifier::{Algorithm, Rules, Verifier};

use super::replay::UsedAssertions;
use super::throttle::{Bucket, Budget, RateExceeded};
use crate::access::Client;
use crate::access::certificate::{CertificateRule, PeerCertificate};
use crate::access::limits::ClaimsSchema;
use crate::lifecycle::Timestamp;
use crate::store::{LastUse, Token};

/// A client in memory.
pub struct ClientState {
    /// What the store has of it.
    pub client: Client,
    /// The token of its record.
    pub token: Token,
    /// How many signatures it may still ask for; `None` when its rate is not limited.
    pub bucket: Option<Arc<Bucket>>,
    /// Verifies the assertions that it signs itself.
    pub(super) assertions: Option<Verifier>,
    pub(super) used: Arc<UsedAssertions>,
    uses: Arc<Uses>,
}

/// When each credential was last used, in milliseconds since the Unix epoch.
type Uses = BTreeMap<String, AtomicU64>;

impl ClientState {
    /// Takes so many signatures from the client's bucket, and answers what is left; `None` when its
    /// rate is not limited.
    ///
    /// # Errors
    /// [`RateExceeded`], with the bucket as it is; nothing has been taken then.
    pub fn take_signatures(
        &self,
        count: NonZeroU32,
    ) -> Result<Option<Budget>, (RateExceeded, Budget)> {
        let Some(bucket) = &self.bucket else {
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
        let (Some(bucket), Some(first)) = (&self.bucket, first) else {
            return Ok(None);
        };
        let taken = bucket.take_rest(count, first).map(Some);
        taken.map_err(|exceeded| bucket.exceeded(exceeded))
    }

    /// When a credential was last used.
    pub fn last_used(&self, credential: &str) -> Option<Timestamp> {
        let millis = self.uses.get(credential)?.load(Ordering::Relaxed);
        (millis > 0).then(|| Timestamp::from_millis(millis))
    }

    pub(super) fn note_use(&self, credential: &str, now: Timestamp) {
        if let Some(at) = self.uses.get(credential) {
            at.fetch_max(now.millis(), Ordering::Relaxed);
        }
    }
}

/// The clients as of now, read without a lock.
#[derive(Default)]
pub struct Clients {
    directory: ArcSwap<Directory>,
}

#[derive(Default)]
struct Directory {
    by_id: BTreeMap<String, Arc<ClientState>>,
    by_certificate: HashMap<CertificateRule, Arc<ClientState>>,
    by_workload: HashMap<String, Vec<Arc<ClientState>>>,
}

/// No client, one, or several, which counts as none.
pub(super) enum ClientMatch {
    None,
    One(Arc<ClientState>),
    Several,
}

impl Clients {
    /// Replaces the clients. What lives only in memory stays with those that stay.
    pub fn replace(&self, clients: impl IntoIterator<Item = (Client, Token)>) {
        let before = self.directory.load_full();
        let mut directory = Directory::default();
        for (client, token) in clients {
            let known = before.by_id.get(&client.id);
            let live = Arc::new(build_state(client, token, known));
            for rule in &live.client.terms.certificates {
                let (rule, live) = (rule.clone(), Arc::clone(&live));
                directory.by_certificate.insert(rule, live);
            }
            for rule in &live.client.terms.workloads {
                let of_issuer = directory.by_workload.entry(rule.issuer.clone());
                let of_issuer = of_issuer.or_default();
                if !of_issuer.iter().any(|known| Arc::ptr_eq(known, &live)) {
                    of_issuer.push(Arc::clone(&live));
                }
            }
            directory.by_id.insert(live.client.id.clone(), live);
        }
        self.directory.store(Arc::new(directory));
    }

    /// All clients, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<ClientState>> {
        self.directory.load().by_id.values().cloned().collect()
    }

    /// The client with this id.
    pub fn find(&self, id: &str) -> Option<Arc<ClientState>> {
        self.directory.load().by_id.get(id).cloned()
    }

    /// Whether another client than this one has the same certificate.
    pub(super) fn holder(&self, rule: &CertificateRule) -> Option<Arc<ClientState>> {
        self.directory.load().by_certificate.get(rule).cloned()
    }

    /// The client that a certificate names. Each of its names may be another one's.
    pub(super) fn with_certificate(&self, certificate: &PeerCertificate) -> ClientMatch {
        let directory = self.directory.load();
        let names = certificate.dns_names.iter().cloned();
        let uris = certificate.uris.iter().cloned();
        let rules = std::iter::once(CertificateRule::Thumbprint(certificate.thumbprint))
            .chain(names.map(CertificateRule::Dns))
            .chain(uris.map(CertificateRule::Uri));
        let holders = rules.filter_map(|rule| directory.by_certificate.get(&rule));
        only(holders)
    }

    /// The client whose workload a verified token of a trusted issuer names.
    pub(super) fn with_workload(&self, issuer: &str, claims: &serde_json::Value) -> ClientMatch {
        let directory = self.directory.load();
        let of_issuer = directory.by_workload.get(issuer).into_iter().flatten();
        only(of_issuer.filter(|live| {
            let workloads = &live.client.terms.workloads;
            workloads
                .iter()
                .any(|rule| rule.issuer == issuer && rule.matches(claims))
        }))
    }

    /// When every credential was last used that has been used.
    pub fn last_uses(&self) -> Vec<LastUse> {
        let directory = self.directory.load();
        let uses = directory.by_id.values().flat_map(|live| {
            live.uses.iter().map(|(credential, at)| LastUse {
                client: live.client.id.clone(),
                credential: credential.clone(),
                at: at.load(Ordering::Relaxed),
            })
        });
        uses.filter(|used| used.at > 0).collect()
    }

    /// Takes over what the store knows of uses before this process began.
    pub fn remember_uses(&self, uses: &[LastUse]) {
        for used in uses {
            if let Some(live) = self.find(&used.client) {
                live.note_use(&used.credential, Timestamp::from_millis(used.at));
            }
        }
    }
}

fn build_state(client: Client, token: Token, known: Option<&Arc<ClientState>>) -> ClientState {
    let limits = &client.terms.limits;
    let schema = limits.claims_schema.as_ref();
    if let Some(fault) = schema.and_then(ClaimsSchema::fault)
        && known.is_none_or(|known| known.token != token)
    {
        tracing::warn!(client = %client.id, %fault, "the stored claims_schema of a client is not \
            accepted; nothing is signed for the client until an admin replaces the schema");
    }
    let rate = limits.rate;
    let kept = known.filter(|known| known.client.terms.limits.rate == rate);
    let bucket = match kept {
        Some(known) => known.bucket.clone(),
        None => rate.map(|rate| Arc::new(Bucket::new(rate))),
    };
    let uses = client.credentials.iter().map(|credential| {
        let at = known.and_then(|known| known.last_used(&credential.id));
        let at = at.map_or(0, Timestamp::millis);
        (credential.id.clone(), AtomicU64::new(at))
    });
    ClientState {
        uses: Arc::new(uses.collect()),
        used: known.map_or_else(Arc::default, |known| Arc::clone(&known.used)),
        assertions: verifier(&client),
        bucket,
        token,
        client,
    }
}

/// `iss` and `sub` of an assertion are the client's id (RFC 7523 §3, OpenID Connect Core §9). For whom it
/// must be depends on where it is presented, and is checked there.
fn verifier(client: &Client) -> Option<Verifier> {
    let keys = client.terms.keys.as_ref()?;
    let has = |algorithm: &Algorithm| keys.keys().iter().any(|key| key.algorithm() == *algorithm);
    let algorithms = Algorithm::ALL.into_iter().filter(has);
    let rules = Rules::new(&client.id, "", algorithms)
        .danger_accept_any_audience()
        .require(["sub", "aud", "iat", "jti"])
        .max_token_bytes(LARGEST_ASSERTION);
    let verifier = Verifier::new(rules, keys.clone()).ok()?;
    // An assertion is accepted once.
    Some(verifier.signature_cache(0))
}

/// The largest assertion, in bytes.
pub(super) const LARGEST_ASSERTION: usize = 8 * 1024;

fn only<'a>(mut found: impl Iterator<Item = &'a Arc<ClientState>>) -> ClientMatch {
    let Some(first) = found.next() else {
        return ClientMatch::None;
    };
    if found.all(|other| Arc::ptr_eq(first, other)) {
        ClientMatch::One(Arc::clone(first))
    } else {
        ClientMatch::Several
    }
}
