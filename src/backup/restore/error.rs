//! Why a backup was not restored.

use keywright_verifier::Kid;

use crate::backup::file::BackupError;
use crate::engine::{EngineError, RandomnessUnavailable};
use crate::lifecycle::{IssuerName, RegisterMismatch, RuleViolation};
use crate::store::documents::CorruptRecord;
use crate::store::seal::UnsealError;
use crate::store::transfer::FillError;

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A record of an issuer has no legal name.
    #[error("the backup has an issuer without a legal name")]
    UnnamedIssuer,
    /// The backup cannot be used.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A set in it cannot be read.
    #[error("{0}; the backup cannot be restored while it has that record")]
    Corrupt(#[from] CorruptRecord),
    /// The register says nothing of what came after the backup.
    #[error(
        "the register is older than the backup: its audit log ends with event {register}, and the \
         backup's with event {backup}"
    )]
    OldRegister {
        /// The register's last event.
        register: u64,
        /// The backup's.
        backup: u64,
    },
    /// The register is of another deployment, or of another past.
    #[error("the register is not one of this deployment: {0}")]
    ForeignRegister(String),
    /// The register and the backup contradict each other.
    #[error("issuer {issuer}: {source}")]
    RegisterMismatch {
        /// The issuer.
        issuer: IssuerName,
        /// What does not fit.
        source: RegisterMismatch,
    },
    /// The register says nothing of an issuer, whose records could not be read when it was written.
    #[error(
        "the register says nothing of issuer {0}, whose records could not be read when it was \
         written: restore without it, and name what was revoked"
    )]
    SilentRegister(IssuerName),
    /// Grants are to come back that the restore itself takes back.
    #[error(
        "grants cannot be kept: it is not known which tokens were taken back since, so that all of before \
         are, and their grants with them; give a register of after that, or say that nothing was revoked"
    )]
    GrantsTakenBack,
    /// A key was named that is not in the backup.
    #[error(
        "neither the backup nor the register has a key {0}: check the kid; a key that was made \
         later does not come back, and need not be named"
    )]
    UnknownKey(Kid),
    /// An issuer was named that is not in the backup.
    #[error("neither the backup nor the register has an issuer {0}")]
    UnknownIssuer(IssuerName),
    /// A private half in the backup cannot be used.
    #[error("the private half of key {kid} of issuer {issuer} does not open with the master key")]
    PrivateHalf {
        /// The issuer.
        issuer: IssuerName,
        /// The key.
        kid: Kid,
    },
    /// The master key that seals what is new is not here.
    #[error(transparent)]
    Sealing(#[from] UnsealError),
    /// A rule of the lifecycle stands in the way.
    #[error("issuer {issuer}: {source}")]
    Refused {
        /// The issuer.
        issuer: IssuerName,
        /// The rule.
        source: RuleViolation,
    },
    /// A fresh key could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    /// A fresh key could not be sealed.
    #[error("a fresh key could not be sealed")]
    Unsealable,
    /// The store was not filled.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// The backup changed between the first and the second reading.
    #[error("the backup was replaced while it was read")]
    Replaced,
}
