//! What requests to targets are authenticated with. It is read for each push, so that a secret that is rotated
//! is the next push's, and it is in no error and no log.

use std::path::Path;

use zeroize::Zeroizing;

use super::PushError;
use crate::config::{S3Bucket, secret_variable};

/// The longest secret, in bytes.
const LONGEST: usize = 16 * 1024;

/// Credentials of S3-compatible storage. It has no `Debug`.
pub(super) struct S3Credentials {
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) session_token: Option<Zeroizing<String>>,
}

impl S3Credentials {
    /// Reads them.
    pub(super) fn read(bucket: &S3Bucket) -> Result<Self, PushError> {
        let missing = |what: &str| PushError(format!("{what} is not there"));
        let id = match (&bucket.access_key_id, &bucket.access_key_id_variable) {
            (Some(id), _) => id.clone(),
            (None, Some(name)) => secret_variable(name)
                .ok_or_else(|| missing(name))?
                .to_string(),
            (None, None) => return Err(missing("access_key_id")),
        };
        let secret = match (
            &bucket.secret_access_key_file,
            &bucket.secret_access_key_variable,
        ) {
            (Some(file), _) => read_secret(file)?,
            (None, Some(name)) => secret_variable(name).ok_or_else(|| missing(name))?,
            (None, None) => return Err(missing("secret_access_key_file")),
        };
        let session_token = match (&bucket.session_token_file, &bucket.session_token_variable) {
            (Some(file), _) => Some(read_secret(file)?),
            (None, Some(name)) => Some(secret_variable(name).ok_or_else(|| missing(name))?),
            (None, None) => None,
        };
        Ok(Self {
            id: id.trim().to_owned(),
            secret,
            session_token,
        })
    }
}

/// The one line of a file with a secret.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, PushError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    // The kind alone: what was read may be the secret.
    let text = text
        .map_err(|error| PushError(format!("cannot read {}: {}", path.display(), error.kind())))?;
    let secret = text.trim();
    match !secret.is_empty() && secret.len() <= LONGEST {
        true => Ok(Zeroizing::new(secret.to_owned())),
        false => Err(PushError(format!("{} has no secret", path.display()))),
    }
}
