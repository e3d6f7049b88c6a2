//! From a caller's claims to a signed token.
//!
//! The caller says what is asserted; `iss`, `iat`, `exp`, `jti` and the whole header are ours.

mod batch;
mod checks;
mod document;
mod payload;
mod refusal;
mod request;

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::json::{AnyValue, BorrowedValue};
use keywright_verifier::revocation::ANCESTORS_CLAIM;
use keywright_verifier::status_list::STATUS_CLAIM;
use keywright_verifier::{Algorithm, Jwk, Kid, PublicKey, SINGLE_USE_CLAIM};
use serde_json::{Map, Value};

use super::schema_checks;
use super::snapshot::{LeasedSnapshot, SigningEntry};
use crate::access::claim_name;
use crate::access::limits::MOST_WORK_OF_BATCH;
use crate::access::{Asked, Client};
use crate::engine::{Signer, random_identifier};
use crate::lifecycle::TokenStatus;
use crate::oauth::TRANSACTION_TOKEN;
use crate::revocation::SigningVerdict;
use crate::store::Write;
use crate::telemetry::traces::child_span;
use checks::{check_registered_claims, check_reserved_claims, check_typ, lifetime};
use payload::{OwnClaims, Payload, StatusClaim};

pub use batch::Batch;
pub(super) use checks::is_reserved_type;
pub(super) use document::{sign_document, signer_for_others};
pub use refusal::SignRefusal;
pub use request::{Origin, SignRequest, Uses};

/// The type of a token whose request names none (RFC 7519 §5.1).
pub const DEFAULT_TYP: &str = "JWT";

/// The types whose headers are kept encoded: of tokens, and of access tokens (RFC 9068 §2.1).
pub const COMMON_TYPES: [&str; 2] = [DEFAULT_TYP, "at+jwt"];

/// The claims that the service alone sets.
const OWNED_CLAIMS: [&str; 5] = ["iss", "iat", "exp", "jti", ANCESTORS_CLAIM];

/// A signed token.
pub struct SignedToken {
    /// The compact JWS. It is a credential: it has no place in a log.
    pub token: String,
    /// The key that signed it.
    pub kid: Kid,
    /// Its identifier.
    pub jti: String,
    /// When it expires, in Unix seconds.
    pub expires_at: u64,
}

/// A token that may be signed, and lacks only its signature.
pub struct CheckedToken<'v> {
    snapshot: &'v LeasedSnapshot,
    prepared: Prepared<'v>,
}

/// A token as it would be signed.
pub struct JudgedToken {
    /// Its header.
    pub header: Map<String, Value>,
    /// Its claims, but for those that only a signed token has: `jti`, and `status` if it would have one.
    pub claims: Map<String, Value>,
}

/// A token that lacks only its signature.
struct Prepared<'v> {
    entry: &'v SigningEntry,
    signing_input: String,
    jti: String,
    expires_at: u64,
    /// The claims of the tokens that are exchanged for it.
    parents: Vec<Map<String, Value>>,
    /// What is written down before it is handed out.
    tracking: Vec<Write>,
    /// How often what was taken back had changed when it was asked about the token.
    judged_at_change: u64,
    /// Whether the service has given it its `status`.
    has_own_status: bool,
}

/// Signs one token with the snapshot's keys.
///
/// # Errors
/// [`SignRefusal`]; nothing has been signed then.
pub async fn sign(
    snapshot: &LeasedSnapshot,
    client: &Client,
    request: SignRequest<'_>,
) -> Result<SignedToken, SignRefusal> {
    check(snapshot, client, request).await?.sign().await
}

/// Checks a request for one token and makes it, but for its signature.
///
/// # Errors
/// [`SignRefusal`].
pub async fn check<'v>(
    snapshot: &'v LeasedSnapshot,
    client: &Client,
    request: SignRequest<'_>,
) -> Result<CheckedToken<'v>, SignRefusal> {
    let _step = child_span("check");
    let mut workspace = Workspace::new();
    let identifier = random_identifier();
    let prepared = prepare(snapshot, client, request, identifier, &mut workspace).await?;
    Ok(CheckedToken { snapshot, prepared })
}

/// Judges a request as [`sign`] does, and signs nothing: no entry of a status list is taken.
///
/// # Errors
/// [`SignRefusal`], as of a request that is signed.
pub async fn judge(
    snapshot: &LeasedSnapshot,
    client: &Client,
    request: SignRequest<'_>,
) -> Result<JudgedToken, SignRefusal> {
    let mut workspace = Workspace {
        status_entries: StatusEntries::Examples,
        ..Workspace::new()
    };
    let identifier = random_identifier();
    let prepared = prepare(snapshot, client, request, identifier, &mut workspace).await?;
    let mut parts = prepared.signing_input.split('.').map(read_members);
    let (Some(Some(header)), Some(Some(mut claims))) = (parts.next(), parts.next()) else {
        return Err(SignRefusal::EngineFailed);
    };
    claims.remove("jti");
    if prepared.has_own_status {
        claims.remove(STATUS_CLAIM);
    }
    Ok(JudgedToken { header, claims })
}

impl CheckedToken<'_> {
    /// Signs it.
    ///
    /// # Errors
    /// [`SignRefusal`]: what is true of the keys and of revocations has changed since, or the engine has
    /// failed.
    pub async fn sign(self) -> Result<SignedToken, SignRefusal> {
        let Self { snapshot, prepared } = self;
        let Prepared {
            entry,
            signing_input,
            jti,
            expires_at,
            parents,
            tracking,
            judged_at_change,
            has_own_status: _,
        } = prepared;
        snapshot.status_lists().track(tracking).await?;
        let step = child_span("sign");
        let token = complete(&*entry.signer, signing_input).await?;
        drop(step);
        if !snapshot.may_sign() {
            return Err(SignRefusal::SnapshotStale);
        }
        check_again(snapshot, &token, &parents, judged_at_change)?;
        Ok(SignedToken {
            token,
            kid: entry.kid.clone(),
            jti,
            expires_at,
        })
    }
}

/// Completes one token: here, or on the engine's threads if it takes long.
async fn complete(signer: &dyn Signer, mut signing_input: String) -> Result<String, SignRefusal> {
    if let Some(completed) = signer.complete_here(&mut signing_input) {
        completed?;
        return Ok(signing_input);
    }
    let token = signer.complete(vec![signing_input]).await?.pop();
    token.ok_or(SignRefusal::EngineFailed)
}

/// Where the entries of tokens with a status come from.
enum StatusEntries {
    /// Of lists: each is taken, and no other token has it.
    Lists,
    /// They are examples, because no token is signed.
    Examples,
}

/// What the requests of one call share.
struct Workspace {
    status_entries: StatusEntries,
    /// What is left of the work that checks against the client's schema may take.
    schema_budget: u64,
    /// Where a payload is written before it is encoded.
    payload: Vec<u8>,
}

/// Most payloads fit, so that they are not copied while they grow.
const USUAL_PAYLOAD_BYTES: usize = 512;

impl Workspace {
    fn new() -> Self {
        Self {
            status_entries: StatusEntries::Lists,
            schema_budget: MOST_WORK_OF_BATCH,
            payload: Vec::with_capacity(USUAL_PAYLOAD_BYTES),
        }
    }
}

/// Judges a request and makes its token, whose `jti` will be this identifier.
async fn prepare<'v>(
    snapshot: &'v LeasedSnapshot,
    client: &Client,
    request: SignRequest<'_>,
    identifier: [u8; 16],
    workspace: &mut Workspace,
) -> Result<Prepared<'v>, SignRefusal> {
    let policy = snapshot.set().policy();
    let SignRequest {
        claims,
        expires_in,
        typ,
        algorithm,
        origin,
        confirmation,
        uses,
        status,
    } = request;
    let single_use = (uses == Uses::Once).then_some(SINGLE_USE_CLAIM);
    if single_use.is_some() && !snapshot.consumes_tokens() {
        return Err(SignRefusal::SingleUseUnavailable);
    }
    let status = status.unwrap_or(policy.status);
    // Where all are tracked, what a revocation says of status lists holds of each token.
    let is_less = policy.status == TokenStatus::Tracked && status < policy.status;
    if status > policy.status || is_less {
        return Err(SignRefusal::StatusNotOffered(policy.status));
    }
    let has_status = status != TokenStatus::Off;
    let owned: Vec<&str> = OWNED_CLAIMS
        .into_iter()
        .chain(confirmation.map(|_| "cnf"))
        .chain(single_use)
        .chain(has_status.then_some(STATUS_CLAIM))
        .filter(|claim| claims.contains(claim))
        .collect();
    if !owned.is_empty() {
        return Err(SignRefusal::OwnedClaims(owned));
    }
    check_registered_claims(&claims)?;
    let typ = typ.as_deref().unwrap_or(DEFAULT_TYP);
    // No caller can name the type of a token that comes of others.
    if origin.is_none() || typ != TRANSACTION_TOKEN {
        check_typ(typ, &claims)?;
    }
    let limits = &client.terms.limits;
    let lifetime = lifetime(policy, limits, expires_in)?;
    let algorithm = algorithm.unwrap_or(policy.default_algorithm);
    let asked = Asked {
        claims: &claims,
        lifetime: Duration::from_secs(lifetime),
        algorithm,
        typ,
    };
    limits.check(&client.id, &asked)?;
    match &limits.claims_schema {
        None => {
            let mut names = claims.iter().map(|(name, _)| name);
            names.try_for_each(claim_name::check)?;
            check_reserved_claims(&claims, limits)?;
        }
        Some(schema) => {
            let copied = Map::from(claims.clone());
            claim_name::check_claims(&copied, Some(schema.names()))?;
            check_reserved_claims(&claims, limits)?;
            schema_checks::check(schema, copied, &mut workspace.schema_budget).await?;
        }
    }
    // Of the octets that make the token's identifier the last four decide: no caller chooses them.
    let random = identifier.last_chunk().copied().unwrap_or_default();
    let entry = snapshot
        .signer_by_chance(algorithm, u32::from_be_bytes(random))
        .ok_or(SignRefusal::AlgorithmNotActive(algorithm))?;
    if !snapshot.may_sign() {
        return Err(SignRefusal::SnapshotStale);
    }

    let issued_at = snapshot.issued_at().floor_seconds();
    let expires_at = issued_at.saturating_add(lifetime);
    let expires_at = origin
        .as_ref()
        .map_or(expires_at, |origin| expires_at.min(origin.ends_at));
    if expires_at <= issued_at {
        return Err(SignRefusal::OriginExpired);
    }
    let entry_taken = match (has_status, &workspace.status_entries) {
        (true, StatusEntries::Examples) => Some(snapshot.status_lists().example(expires_at)),
        (true, StatusEntries::Lists) => {
            let random = identifier.first_chunk().copied().unwrap_or_default();
            Some(snapshot.status_lists().take(expires_at, random).await?)
        }
        (false, _) => None,
    };
    let jti = match &entry_taken {
        Some(taken) => taken.jti.clone(),
        None => URL_SAFE_NO_PAD.encode(identifier),
    };
    let judged_at_change = snapshot.revocations_change();
    let own_jti = BorrowedValue::String(Cow::Borrowed(&jti));
    let of_origin = origin.as_ref().map(|origin| &origin.claims);
    let parents = origin.as_ref().map_or(&[][..], |origin| &origin.parents);
    check_parents(snapshot, parents)?;
    let claim = |name: &str| match name {
        "jti" => Some(&own_jti),
        other => of_origin
            .and_then(|own| own.get(other))
            .or_else(|| claims.get(other)),
    };
    check_revocations(snapshot, claim)?;
    let tracking = match &entry_taken {
        Some(taken) if status == TokenStatus::Tracked => {
            snapshot.tracking(claim, taken.entry, expires_at)?
        }
        _ => Vec::new(),
    };
    let own = OwnClaims {
        iss: policy.url.as_str(),
        iat: issued_at,
        exp: expires_at,
        jti: &jti,
        of_origin,
        cnf: confirmation,
        uses,
        status: entry_taken.map(|taken| StatusClaim::new(policy.url.as_str(), &taken)),
    };
    let payload = &mut workspace.payload;
    payload.clear();
    serde_json::to_writer(
        &mut *payload,
        &Payload {
            claims: &claims,
            own,
        },
    )
    .map_err(|_| SignRefusal::EngineFailed)?;

    let header = entry.header(typ);
    let encoded_payload = payload.len().saturating_mul(4).div_ceil(3);
    let bytes = header.len() + encoded_payload + entry.signature_length + 2;
    if bytes > usize::try_from(policy.max_token_bytes).unwrap_or(usize::MAX) {
        return Err(SignRefusal::TooLarge {
            bytes,
            maximum: policy.max_token_bytes,
        });
    }
    let mut signing_input = String::with_capacity(bytes);
    signing_input.push_str(&header);
    signing_input.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut signing_input);
    Ok(Prepared {
        entry,
        signing_input,
        jti,
        expires_at,
        parents: origin.map(|origin| origin.parents).unwrap_or_default(),
        tracking,
        judged_at_change,
        has_own_status: has_status,
    })
}

fn check_revocations<'c, V: AnyValue + 'c>(
    snapshot: &LeasedSnapshot,
    claim: impl Fn(&str) -> Option<&'c V>,
) -> Result<(), SignRefusal> {
    match snapshot.judge(claim)? {
        SigningVerdict::Allowed => Ok(()),
        SigningVerdict::Settling(_) => Err(SignRefusal::RevocationSettling),
        SigningVerdict::Banned => Err(SignRefusal::Banned),
    }
}

/// Refuses what comes of a token that was taken back, which the new token's own claims need not show:
/// it is issued after the second before which such tokens are refused.
fn check_parents(
    snapshot: &LeasedSnapshot,
    parents: &[Map<String, Value>],
) -> Result<(), SignRefusal> {
    match parents.iter().any(|claims| snapshot.refuses(claims)) {
        true => Err(SignRefusal::OriginTakenBack),
        false => Ok(()),
    }
}

/// Judges a token again before it is handed out, if anything has been taken back since: who was told
/// that a revocation is in force must get no token any more that it refuses.
fn check_again(
    snapshot: &LeasedSnapshot,
    token: &str,
    parents: &[Map<String, Value>],
    judged_at_change: u64,
) -> Result<(), SignRefusal> {
    if snapshot.revocations_change() == judged_at_change {
        return Ok(());
    }
    check_parents(snapshot, parents)?;
    let claims = token.split('.').nth(1).and_then(read_members);
    let claims = claims.ok_or(SignRefusal::EngineFailed)?;
    check_revocations(snapshot, |name| claims.get(name))
}

/// The members of a part of a token.
fn read_members(part: &str) -> Option<Map<String, Value>> {
    let text = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The encoded protected header: `alg`, `kid` and `typ`, and nothing else.
pub fn encode_header(algorithm: Algorithm, kid: &Kid, typ: &str) -> String {
    let header = serde_json::json!({ "alg": algorithm, "kid": kid, "typ": typ });
    URL_SAFE_NO_PAD.encode(header.to_string())
}

/// The length of an encoded signature of this key, in characters.
pub fn signature_length(jwk: &Jwk) -> usize {
    let bytes = match jwk.public_key() {
        PublicKey::P256 { .. } => 64,
        PublicKey::Rsa { n, .. } => n.len(),
    };
    (bytes * 4).div_ceil(3)
}
