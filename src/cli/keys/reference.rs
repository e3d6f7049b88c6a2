//! Which key is meant: by its kid, by a token that it has signed, or by a file that has the key.

use std::path::Path;

use keywright_api::{History, Key, PastKey};
use keywright_verifier::{Algorithm, Jwk, JwkSet, Jws, Kid, PublicKey};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::json_text::printable;
use crate::cli::repetition::is_refused_with;
use crate::engine::{import_private_key, read_certificate_key, read_public_key};
use crate::lifecycle::{IssuerName, Timestamp};

/// The largest token that is read, in bytes.
const LARGEST_TOKEN: usize = 65_536;

/// The members of a JWK that are secret (RFC 7518 §6). They are dropped before anything is compared.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What an argument says about the key that it means.
pub(super) enum KeyReference {
    Kid(Kid),
    /// A token, whose header names the key.
    Token(Zeroizing<String>),
    /// The public halves of the keys that a file has. A private half is not kept.
    PublicKeys(Vec<Jwk>),
}

/// A key of one of the service's issuers.
pub(super) struct FoundKey {
    pub(super) issuer: IssuerName,
    pub(super) key: Key,
    /// Whether the key has signed the token; `None` where no token was given.
    pub(super) signed_it: Option<bool>,
}

impl KeyReference {
    /// Reads an argument: a token, the name of a file, `-` for standard input, or a kid.
    pub(super) fn read(argument: &str) -> Result<Self, Failure> {
        if is_token(argument) {
            return Ok(Self::Token(Zeroizing::new(argument.to_owned())));
        }
        if argument == "-" || Path::new(argument).is_file() {
            return Self::of_file(argument);
        }
        Kid::parse(argument).map(Self::Kid).map_err(|error| {
            Failure::Usage(format!(
                "neither a kid ({error}), nor a token, nor a file that exists"
            ))
        })
    }

    fn of_file(path: &str) -> Result<Self, Failure> {
        let text = input::text(path)?;
        let text = text.trim();
        if is_token(text) {
            return Ok(Self::Token(Zeroizing::new(text.to_owned())));
        }
        let keys = if text.starts_with('{') {
            of_json(input::parse_object(text.as_bytes(), path)?)
        } else {
            of_pem(text)
        };
        if keys.is_empty() {
            return Err(Failure::rejected(
                "no-key-in-file",
                format!(
                    "{path} has no token and no key for ES256 or RS256: PEM with a private key, a \
                     public key or a certificate, a JWK, or a JWKS"
                ),
            ));
        }
        Ok(Self::PublicKeys(keys))
    }
}

fn is_token(text: &str) -> bool {
    text.starts_with("ey") && text.matches('.').count() == 2
}

fn of_json(mut object: Map<String, Value>) -> Vec<Jwk> {
    let keys = match object.remove("keys") {
        Some(Value::Array(keys)) => keys,
        _ => vec![object.into()],
    };
    let public = keys.into_iter().filter_map(|mut key| {
        let members = key.as_object_mut()?;
        for private in PRIVATE_MEMBERS {
            members.remove(private);
        }
        Jwk::from_value(key).ok()
    });
    public.collect()
}

/// The keys of the blocks of a text, whatever stands around them.
fn of_pem(text: &str) -> Vec<Jwk> {
    let mut keys = Vec::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let Some((body, _)) = block.split_once("-----END ") else {
            continue;
        };
        let label = body.split("-----").next().unwrap_or_default();
        let block = Zeroizing::new(format!("-----BEGIN {body}-----END {label}-----\n"));
        let private = Algorithm::ALL
            .into_iter()
            .find_map(|algorithm| import_private_key(algorithm, &block, None).ok());
        let public = || {
            let key: PublicKey = read_public_key(&block)
                .map(|jwk| jwk.public_key().clone())
                .ok()
                .or_else(|| read_certificate_key(&block))?;
            Jwk::new(None, key).ok()
        };
        keys.extend(private.map(|pair| pair.jwk).or_else(public));
    }
    keys
}

/// The names of the issuers that the caller may call, deleted ones included.
pub(super) fn issuers(client: &Client) -> Result<Vec<IssuerName>, Failure> {
    let list = client.wait(client.list_issuers())?.read()?;
    Ok(list.issuers.into_iter().map(|issuer| issuer.name).collect())
}

/// The keys that are meant, of one issuer or of all, whatever has become of them.
pub(super) fn find(
    client: &Client,
    reference: &KeyReference,
    issuer: Option<&IssuerName>,
    now: Timestamp,
) -> Result<Vec<FoundKey>, Failure> {
    let issuers = match issuer {
        Some(issuer) => vec![issuer.clone()],
        None => issuers(client)?,
    };
    let mut found = Vec::new();
    for issuer in issuers {
        let list = client.wait(client.list_keys(&issuer))?.read()?;
        let published = PublicHalves::published(client, &issuer, now)?;
        for key in list.keys {
            let jwk = |key: &Key| published.of(client, &issuer, key);
            let signed_it = match reference {
                KeyReference::Kid(kid) if *kid == key.kid => None,
                KeyReference::Token(token) => match signed(token, &key, jwk)? {
                    None => continue,
                    signed => signed,
                },
                KeyReference::PublicKeys(meant) if is_one_of(meant, &key, jwk)? => None,
                KeyReference::Kid(_) | KeyReference::PublicKeys(_) => continue,
            };
            found.push(FoundKey {
                issuer: issuer.clone(),
                key,
                signed_it,
            });
        }
    }
    Ok(found)
}

/// Whether a key has signed a token; `None` where the token names another one.
fn signed(
    token: &str,
    key: &Key,
    jwk: impl Fn(&Key) -> Result<Option<Jwk>, Failure>,
) -> Result<Option<bool>, Failure> {
    let jws =
        Jws::parse(token, LARGEST_TOKEN).map_err(|error| Failure::rejected(error.code(), error))?;
    if jws.kid().is_some_and(|kid| *kid != key.kid) {
        return Ok(None);
    }
    let Some(jwk) = jwk(key)? else {
        return Ok(jws.kid().map(|_| false));
    };
    let verifies = jwk.algorithm() == jws.algorithm()
        && jws.verify(&JwkSet::new(vec![jwk]), &Algorithm::ALL).is_ok();
    // Without a kid the signature alone tells which key is meant.
    Ok((jws.kid().is_some() || verifies).then_some(verifies))
}

fn is_one_of(
    meant: &[Jwk],
    key: &Key,
    jwk: impl Fn(&Key) -> Result<Option<Jwk>, Failure>,
) -> Result<bool, Failure> {
    if meant
        .iter()
        .any(|one| one.thumbprint().as_str() == key.kid.as_str())
    {
        return Ok(true);
    }
    let of_algorithm = |one: &Jwk| one.algorithm() == key.algorithm;
    if !meant.iter().any(of_algorithm) {
        return Ok(false);
    }
    let jwk = jwk(key)?;
    Ok(jwk.is_some_and(|jwk| meant.iter().any(|one| one.public_key() == jwk.public_key())))
}

/// The public halves of an issuer's keys, as verifiers were served them.
struct PublicHalves(Vec<Jwk>);

impl PublicHalves {
    /// Those that are published now.
    fn published(client: &Client, issuer: &IssuerName, now: Timestamp) -> Result<Self, Failure> {
        Ok(Self(match past_at(client, issuer, now)? {
            Past::Known { published, .. } => published,
            Past::BeforeIssuer | Past::Ahead => Vec::new(),
        }))
    }

    /// The public half of any key; `None` where the service does not show it any more.
    fn of(&self, client: &Client, issuer: &IssuerName, key: &Key) -> Result<Option<Jwk>, Failure> {
        let of_key = |keys: &[Jwk]| keys.iter().find(|jwk| *jwk.kid() == key.kid).cloned();
        if let Some(jwk) = of_key(&self.0) {
            return Ok(Some(jwk));
        }
        // It was published in the second that is shown, and may have been revoked in it as well:
        // the time in between is found by halves.
        let mut from = key.published_at.0.saturating_mul(1000);
        let mut until = from.saturating_add(999);
        let mut at = until;
        while from <= until {
            match past_at(client, issuer, Timestamp::from_millis(at))? {
                Past::Known { published, .. } if of_key(&published).is_some() => {
                    return Ok(of_key(&published));
                }
                // It is revoked by then.
                Past::Known { keys, .. } if keys.iter().any(|past| past.kid == key.kid) => {
                    until = at.saturating_sub(1);
                }
                Past::Ahead => until = at.saturating_sub(1),
                Past::Known { .. } | Past::BeforeIssuer => from = at.saturating_add(1),
            }
            at = from.midpoint(until);
        }
        Ok(None)
    }
}

/// An issuer at another time.
enum Past {
    Known {
        published: Vec<Jwk>,
        keys: Vec<PastKey>,
    },
    /// The issuer came later.
    BeforeIssuer,
    /// The service's clock has not come so far.
    Ahead,
}

fn past_at(client: &Client, issuer: &IssuerName, at: Timestamp) -> Result<Past, Failure> {
    let history = client.wait(client.read_history(issuer, at.millis()));
    let History { jwks, keys, .. } = match history {
        Err(failure) if is_refused_with(&failure, "invalid-query") => return Ok(Past::Ahead),
        Err(failure) if is_refused_with(&failure, "before-issuer") => {
            return Ok(Past::BeforeIssuer);
        }
        answer => answer?.read()?,
    };
    let set = JwkSet::parse(jwks.get().as_bytes())
        .map_err(|error| Failure::rejected("invalid-jwks", error))?;
    let published = set.keys().to_vec();
    Ok(Past::Known { published, keys })
}

/// The one key that is to be revoked, and its issuer.
pub(super) fn resolve(
    client: &Client,
    reference: &KeyReference,
    issuer: Option<&IssuerName>,
    default: &IssuerName,
    now: Timestamp,
) -> Result<(IssuerName, Kid), Failure> {
    if let KeyReference::Kid(kid) = reference {
        let issuer_of_kid = match issuer {
            Some(issuer) => Some(issuer),
            None => {
                let key = client.wait(client.read_key(default, kid));
                key.ok().map(|_| default)
            }
        };
        if let Some(issuer) = issuer_of_kid {
            return Ok((issuer.clone(), kid.clone()));
        }
    }
    let mut found = find(client, reference, issuer, now)?;
    if found.iter().any(|one| one.signed_it.is_some()) {
        found.retain(|one| one.signed_it == Some(true));
        if found.is_empty() {
            return Err(Failure::rejected(
                "token-not-signed",
                "the key that the token names has not signed it, so that the token proves no leak; \
                 to revoke the key all the same, name its kid",
            ));
        }
    }
    let mut each = found.into_iter();
    match (each.next(), each.next()) {
        (None, _) => Err(not_found()),
        (Some(FoundKey { issuer, key, .. }), None) => Ok((issuer, key.kid)),
        (Some(first), Some(second)) => {
            let mut all = vec![first, second];
            all.extend(each);
            let names = all
                .iter()
                .map(|one| format!("{} in {}", one.key.kid, one.issuer));
            let names = names.collect::<Vec<_>>().join(", ");
            Err(Failure::Usage(format!(
                "several keys are meant; revoke each by its kid, with --issuer: {}",
                printable(&names)
            )))
        }
    }
}

pub(super) fn not_found() -> Failure {
    Failure::rejected(
        "key-not-found",
        "no issuer that this client may read has or had this key",
    )
}
