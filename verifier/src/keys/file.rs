//! Keys in a file, for a service that cannot reach the issuer.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::file::{self, ReadError};
use crate::{JwkSet, JwkSetError, MAX_JWK_SET_BYTES, clock};

/// How often the file is looked at, unless [`KeyFile::check_every`] says otherwise.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A JWK set in a file that may be replaced while it is in use.
///
/// The file is read again while tokens are verified, at most once a second, and whole: neither the
/// clock of a file system nor a symbolic link that changes (as in a mounted Kubernetes secret) hides a
/// new content. A content that is no set of keys, cut or empty, replaces nothing; the keys that were
/// read last stay, [`KeyFile::last_error`] says why, and a warning is logged. Replace the file by
/// renaming another one over it, and no half of it is ever seen.
///
/// A file has no age: the operator who replaces it decides how long a revoked key stays in use here.
///
/// Clones share what has been read.
#[derive(Clone, Debug)]
pub struct KeyFile {
    shared: Arc<Shared>,
    check_every: Duration,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    state: RwLock<State>,
    /// Locked by the one that reads the file; the others go on with what there is.
    reading: Mutex<()>,
}

#[derive(Clone, Debug)]
struct State {
    keys: Arc<JwkSet>,
    content: Arc<[u8]>,
    checked_at: Instant,
    error: Option<Arc<KeyFileError>>,
}

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]: it cannot be read, or holds no usable key.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let path = path.into();
        let checked_at = clock::monotonic();
        let content = read(&path)?;
        let state = State {
            keys: Arc::new(JwkSet::parse_usable(&content)?),
            content: content.into(),
            checked_at,
            error: None,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                state: RwLock::new(state),
                reading: Mutex::new(()),
            }),
            check_every: CHECK_EVERY,
        })
    }

    /// Looks at the file this often while tokens are verified. Default: every second. With
    /// [`Duration::ZERO`] it is read for each token.
    #[must_use]
    pub const fn check_every(mut self, interval: Duration) -> Self {
        self.check_every = interval;
        self
    }

    /// Why the file is not in use as it is now; `None` when it is.
    pub fn last_error(&self) -> Option<Arc<KeyFileError>> {
        self.state().error
    }

    pub(super) fn cached(&self) -> Arc<JwkSet> {
        let state = self.state();
        if !self.is_due(&state) {
            return state.keys;
        }
        let Ok(_reading) = self.shared.reading.try_lock() else {
            return state.keys;
        };
        // Anew: another thread may have read the file since, and going on from before that would bring
        // back the keys that it replaced.
        let state = self.state();
        if !self.is_due(&state) {
            return state.keys;
        }
        let next = state.after(&self.shared.path, clock::monotonic());
        let keys = Arc::clone(&next.keys);
        *self
            .shared
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner) = next;
        keys
    }

    fn is_due(&self, state: &State) -> bool {
        clock::monotonic().saturating_duration_since(state.checked_at) >= self.check_every
    }

    fn state(&self) -> State {
        self.shared
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl State {
    /// The state once the file has been looked at.
    fn after(self, path: &Path, now: Instant) -> Self {
        let looked = Self {
            checked_at: now,
            ..self
        };
        match looked.with_content_of(path) {
            Ok(next) => next,
            Err(error) => {
                let is_new = looked
                    .error
                    .as_ref()
                    .is_none_or(|known| known.to_string() != error.to_string());
                if is_new {
                    tracing::warn!(
                        path = %path.display(),
                        error = &error as &dyn std::error::Error,
                        "the key file is not in use, the keys that were read before are"
                    );
                }
                Self {
                    error: Some(Arc::new(error)),
                    ..looked
                }
            }
        }
    }

    fn with_content_of(&self, path: &Path) -> Result<Self, KeyFileError> {
        let content = read(path)?;
        let (keys, content) = if *content == *self.content {
            (Arc::clone(&self.keys), Arc::clone(&self.content))
        } else {
            (Arc::new(JwkSet::parse_usable(&content)?), content.into())
        };
        Ok(Self {
            keys,
            content,
            checked_at: self.checked_at,
            error: None,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    file::read(path, MAX_JWK_SET_BYTES).map_err(|error| match error {
        ReadError::Unreadable(source) => KeyFileError::Unreadable {
            path: path.to_owned(),
            source,
        },
        ReadError::NoFile => KeyFileError::NoFile {
            path: path.to_owned(),
        },
    })
}

/// Why a file is not used as keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{} is no regular file", path.display())]
    NoFile {
        /// Its path.
        path: PathBuf,
    },
    /// It holds no JWK set, or none with a key that a token can be verified with.
    #[error(transparent)]
    Set(#[from] JwkSetError),
}
