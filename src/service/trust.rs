//! The issuers whose tokens prove who a caller is, as the configuration names them.

use keywright_verifier::{
    Algorithm, InvalidRules, KeyFile, KeyFileError, KeySource, RemoteKeys, RemoteKeysError, Rules,
    UnknownAlgorithm,
};

use crate::authority::authentication::{TrustedIssuer, TrustedIssuers};
use crate::config;

/// Why a trusted issuer cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[error("trusted_issuers: \"{name}\": {reason}")]
pub(super) struct InvalidTrust {
    name: String,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("its name has 1 to 64 characters, and no other has the same")]
    Name,
    #[error("name one of jwks_url and jwks_file, or neither; ca goes with a URL")]
    Keys,
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    #[error("cannot read {path}: {source}")]
    Certificates {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    File(#[from] KeyFileError),
    #[error(transparent)]
    Remote(#[from] RemoteKeysError),
    #[error(transparent)]
    Rules(#[from] InvalidRules),
}

/// Opens the trusted issuers' keys. Keys from elsewhere are fetched when they are first needed, so
/// that an issuer which is down does not keep the service from starting.
pub(super) fn trusted_issuers(
    configured: &[config::TrustedIssuer],
) -> Result<TrustedIssuers, InvalidTrust> {
    let mut issuers = Vec::new();
    for (index, issuer) in configured.iter().enumerate() {
        let invalid = |reason| InvalidTrust {
            name: issuer.name.clone(),
            reason,
        };
        let known = configured.iter().take(index);
        let is_taken = known.clone().any(|known| known.name == issuer.name);
        if !(1..=64).contains(&issuer.name.len()) || is_taken {
            return Err(invalid(Reason::Name));
        }
        issuers.push(open(issuer).map_err(invalid)?);
    }
    TrustedIssuers::new(issuers).map_err(|error| InvalidTrust {
        name: configured
            .iter()
            .map(|issuer| issuer.name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        reason: error.into(),
    })
}

fn open(issuer: &config::TrustedIssuer) -> Result<TrustedIssuer, Reason> {
    let algorithms = if issuer.algorithms.is_empty() {
        Algorithm::ALL.to_vec()
    } else {
        let parsed = issuer.algorithms.iter().map(|name| name.parse());
        parsed.collect::<Result<Vec<Algorithm>, _>>()?
    };
    let event_rules = Rules::security_events(&issuer.issuer, &issuer.audience, algorithms.clone());
    let event_rules = event_rules.leeway(issuer.leeway);
    let mut rules = Rules::new(&issuer.issuer, &issuer.audience, algorithms).leeway(issuer.leeway);
    if let Some(typ) = &issuer.typ {
        rules = rules.typ(typ);
    }
    let keys: KeySource = match (&issuer.jwks_url, &issuer.jwks_file, &issuer.ca) {
        (None, Some(path), None) => KeyFile::open(path)?.into(),
        (url, None, ca) => {
            let keys = match url {
                Some(url) => RemoteKeys::at(url),
                None => RemoteKeys::of_issuer(&issuer.issuer),
            };
            let keys = match ca {
                Some(path) => {
                    let unreadable = |source| Reason::Certificates {
                        path: path.clone(),
                        source,
                    };
                    keys.trust_certificates(&std::fs::read(path).map_err(unreadable)?)?
                }
                None => keys,
            };
            keys.start()?.into()
        }
        _ => return Err(Reason::Keys),
    };
    Ok(TrustedIssuer {
        name: issuer.name.clone(),
        issuer: issuer.issuer.clone(),
        rules,
        event_rules,
        keys,
    })
}
