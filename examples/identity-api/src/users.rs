//! Who the users are, and whether a password is theirs.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tokio::sync::Semaphore;

/// How many passwords are checked at once. Each check takes 19 MiB and a core, so that without a
/// bound a crowd at the door would take the machine.
const CHECKS_AT_ONCE: usize = 4;

/// A user who may log in.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    /// The name, which becomes `sub` of the token.
    pub(crate) name: String,
    /// As `printf %s PASSWORD | argon2 SALT -id -t 2 -k 19456 -p 1 -e` prints it.
    #[serde(deserialize_with = "password_hash")]
    password_hash: PasswordHash,
    /// All that the user may ever ask for.
    pub(crate) scope: BTreeSet<String>,
}

fn password_hash<'de, D: Deserializer<'de>>(text: D) -> Result<PasswordHash, D::Error> {
    PasswordHash::new(&String::deserialize(text)?).map_err(D::Error::custom)
}

/// All users, and a check of a password that takes as long for an unknown user as for a known one.
pub(crate) struct Users {
    users: Vec<User>,
    /// Stands in for the hash of a user that does not exist.
    decoy: PasswordHash,
    checks: Arc<Semaphore>,
}

impl Users {
    /// Reads the users from a JSON file.
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let users: Vec<User> = serde_json::from_slice(&std::fs::read(path)?)?;
        let decoy = Argon2::default().hash_password(b"nobody")?;
        let cost = |hash: &PasswordHash| (hash.algorithm, hash.params.clone());
        // A cheaper hash would answer sooner than the decoy, and so tell that its user exists.
        if let Some(User { name, .. }) = users
            .iter()
            .find(|user| cost(&user.password_hash) != cost(&decoy))
        {
            return Err(format!("the hash of {name} is not argon2id with m=19456,t=2,p=1").into());
        }
        Ok(Self {
            users,
            decoy,
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
        })
    }

    /// The user of this name, if this is the user's password. `Err` when it could not be checked.
    pub(crate) async fn log_in(
        &self,
        name: &str,
        password: String,
    ) -> Result<Option<User>, Box<dyn Error + Send + Sync>> {
        let user = self.users.iter().find(|user| user.name == name).cloned();
        let hash = user
            .as_ref()
            .map_or(&self.decoy, |user| &user.password_hash);
        let hash = hash.clone();
        let permit = Arc::clone(&self.checks).acquire_owned().await?;
        // Tens of milliseconds of work, which no thread of the server is to be held up by.
        let is_right = tokio::task::spawn_blocking(move || {
            // Held until the work is done, even when the client has hung up.
            let _permit = permit;
            let outcome = Argon2::default().verify_password(password.as_bytes(), &hash);
            outcome.is_ok()
        });
        let is_right = is_right.await?;
        Ok(user.filter(|_| is_right))
    }
}
