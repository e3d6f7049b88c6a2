//! The issuers whose tokens are accepted, with their keys and revocations.

use std::path::PathBuf;

use keywright_verifier::{
    Algorithm, InvalidCredential, InvalidRevocations, InvalidRules, RemoteKeys, RemoteKeysError,
    RevocationFeed, Revocations, Rules, UnknownAlgorithm, Verifier,
};

use crate::config::GuardIssuer;

/// The issuers whose tokens are accepted. Their keys and revocations are kept fresh in the background.
pub(super) struct FollowedIssuers {
    verifier: Verifier,
    issuers: Vec<FollowedIssuer>,
}

/// An issuer whose tokens are accepted.
pub(super) struct FollowedIssuer {
    /// Its `iss`.
    pub(super) name: String,
    /// Its keys.
    pub(super) keys: RemoteKeys,
    /// What it has revoked; `None` when that is ignored.
    pub(super) revocations: Option<Revocations>,
}

/// Why the tokens of an issuer cannot be accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidIssuer {
    #[error("no issuer is named: set --issuer and --audience, or [[issuers]] in the file")]
    None,
    #[error("issuers: \"{issuer}\": {reason}")]
    Issuer { issuer: String, reason: Reason },
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("audiences is empty: name what the tokens are meant for")]
    NoAudience,
    #[error(
        "vouched_within, danger_without_bound and danger_ignore_revocations exclude one another"
    )]
    Bound,
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    #[error("cannot read {path}: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("feed_credential_file: {0}")]
    Credential(#[from] InvalidCredential),
    #[error(transparent)]
    Remote(#[from] RemoteKeysError),
    #[error(transparent)]
    Rules(#[from] InvalidRules),
    #[error(transparent)]
    Revocations(#[from] InvalidRevocations),
}

impl FollowedIssuers {
    /// Starts following issuers, in the tokio runtime that this is called in. Waits for none of them: one
    /// that is down does not keep the guard from starting.
    ///
    /// # Errors
    /// [`InvalidIssuer`].
    pub(super) fn start(configured: &[GuardIssuer]) -> Result<Self, InvalidIssuer> {
        let mut verifier = None;
        let mut issuers = Vec::new();
        for issuer in configured {
            let invalid = |reason| InvalidIssuer::Issuer {
                issuer: issuer.issuer.clone(),
                reason,
            };
            let (with_it, keys) = follow(verifier, issuer).map_err(invalid)?;
            issuers.push(FollowedIssuer {
                name: issuer.issuer.clone(),
                keys,
                revocations: with_it.revocations(&issuer.issuer).cloned(),
            });
            verifier = Some(with_it);
        }
        let verifier = verifier.ok_or(InvalidIssuer::None)?;
        Ok(Self { verifier, issuers })
    }

    /// Verifies the tokens of all of them.
    pub(super) const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FollowedIssuer> {
        self.issuers.iter()
    }

    /// Whether the tokens of all of them can be judged, whatever their age.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn readiness(&self) -> Result<(), String> {
        self.iter().try_for_each(FollowedIssuer::readiness)
    }
}

impl FollowedIssuer {
    fn readiness(&self) -> Result<(), String> {
        let name = &self.name;
        if !self.keys.has_keys() {
            return Err(format!("the keys of {name} are not available"));
        }
        match &self.revocations {
            Some(revocations) if !revocations.has_head() => Err(format!(
                "the revocations of {name} have not been fetched yet"
            )),
            Some(revocations) if !revocations.is_fresh() => Err(format!(
                "the revocations of {name} could not be refreshed for too long"
            )),
            _ => Ok(()),
        }
    }
}

/// Adds an issuer to a verifier.
fn follow(
    verifier: Option<Verifier>,
    issuer: &GuardIssuer,
) -> Result<(Verifier, RemoteKeys), Reason> {
    let mut keys = RemoteKeys::of_issuer(&issuer.issuer);
    let mut feed = RevocationFeed::of_issuer(&issuer.issuer);
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| Reason::File {
            path: path.clone(),
            source,
        })
    };
    if let Some(path) = &issuer.feed_credential_file {
        let credential = String::from_utf8_lossy(&read(path)?).into_owned();
        feed = feed.credential(credential.trim())?;
    }
    if let Some(path) = &issuer.ca {
        let pem = read(path)?;
        keys = keys.trust_only_certificates(&pem)?;
        feed = feed.trust_only_certificates(&pem)?;
    }
    let keys = keys.start()?;
    let rules = rules(issuer)?;
    let verifier = match verifier {
        Some(verifier) => verifier.and(rules, keys.clone())?,
        None => Verifier::new(rules, keys.clone())?,
    };
    let name = &issuer.issuer;
    let feed = match (
        issuer.vouched_within,
        issuer.danger_without_bound,
        issuer.danger_ignore_revocations,
    ) {
        (None, false, false) => feed,
        (Some(bound), false, false) => feed.bound(bound),
        (None, true, false) => {
            tracing::warn!(
                issuer = name,
                "revoked tokens are accepted while the feed cannot be reached"
            );
            feed.danger_without_bound()
        }
        (None, false, true) => {
            tracing::warn!(
                issuer = name,
                "revocations are ignored: revoked tokens are accepted"
            );
            return Ok((verifier, keys));
        }
        _ => return Err(Reason::Bound),
    };
    Ok((verifier.with_revocations(feed)?, keys))
}

fn rules(issuer: &GuardIssuer) -> Result<Rules, Reason> {
    let algorithms = if issuer.algorithms.is_empty() {
        Algorithm::ALL.to_vec()
    } else {
        let parsed = issuer.algorithms.iter().map(|name| name.parse());
        parsed.collect::<Result<Vec<Algorithm>, _>>()?
    };
    let (first, more) = issuer.audiences.split_first().ok_or(Reason::NoAudience)?;
    let mut rules = Rules::new(&issuer.issuer, first, algorithms)
        .leeway(issuer.leeway)
        .require(&issuer.required_claims);
    for audience in more {
        rules = rules.or_audience(audience);
    }
    Ok(match &issuer.typ {
        Some(typ) => rules.typ(typ),
        None => rules,
    })
}
