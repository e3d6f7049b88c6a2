//! Why a request is refused.

use keywright_verifier::{Algorithm, Kid};

use super::adoption::AdoptionWait;
use super::time::Timestamp;

/// The rule that a request breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleViolation {
    /// No key of the issuer has this name.
    #[error("there is no key {0}")]
    UnknownKey(Kid),
    /// The policy has no such algorithm.
    #[error("the policy has no {0} keys")]
    AlgorithmNotInPolicy(Algorithm),
    /// The successor has not been published for long enough.
    #[error(
        "the {algorithm} successor {kid} is not ready until {ready_at}: verifiers may hold sets \
         without it",
        ready_at = ready_at.rounded_up()
    )]
    SuccessorNotReady {
        /// The algorithm.
        algorithm: Algorithm,
        /// The successor.
        kid: Kid,
        /// When it will be ready.
        ready_at: Timestamp,
    },
    /// Not enough verifiers hold the successor.
    #[error(
        "the {algorithm} successor {kid} is held by {holders} of {verifiers} known verifiers, and the policy \
         wants {share} of them, until {until}",
        algorithm = .0.algorithm, kid = .0.kid, holders = .0.holders.holders,
        verifiers = .0.holders.verifiers, share = .0.gate.share, until = .0.until.rounded_up()
    )]
    SuccessorNotAdopted(Box<AdoptionWait>),
    /// Not every copy of the key set is known to have the successor.
    #[error(
        "the {algorithm} successor {kid} waits since {since} until every copy has it to which the \
         policy has the key set pushed: whoever reads a copy may not know it"
    )]
    SuccessorUnconfirmed {
        /// The algorithm.
        algorithm: Algorithm,
        /// The successor.
        kid: Kid,
        /// Since when.
        since: Timestamp,
    },
    /// No pending key stands by, because the published set is full.
    #[error("no {0} successor stands by")]
    NoSuccessor(Algorithm),
    /// The state graph has no such edge.
    #[error("key {kid} is {from} and cannot become {to}")]
    IllegalTransition {
        /// The key.
        kid: Kid,
        /// Its state.
        from: &'static str,
        /// The state that was asked for.
        to: &'static str,
    },
    /// The key, or its name, was here before.
    #[error("key {kid} is known here already, as {state}; neither a kid nor a key comes twice")]
    KeyKnown {
        /// The key that stands in the way.
        kid: Kid,
        /// Its state.
        state: &'static str,
    },
    /// One more key would make the set larger than verifiers accept.
    #[error("the published set is full; wait until a retired key is removed")]
    SetFull,
    /// Only an issuer that takes over continues a foreign signing key.
    #[error("an active key can be imported only into an issuer that was created with takes_over")]
    NotTakingOver,
    /// Something of the algorithm has signed here already.
    #[error("an active key can be imported only while no {0} key has signed here")]
    AlreadySigning(Algorithm),
    /// The issuer URL stands in every token.
    #[error("the url of an issuer is fixed; create another issuer")]
    UrlFixed,
    /// Nothing of the new default signs yet.
    #[error("default_algorithm {0} has no active key yet; add it first and wait out its lead")]
    DefaultNotActive(Algorithm),
    /// The issuer has ended; its name and its URL are not used again.
    #[error("the issuer is deleted; its name and its url are not used again")]
    IssuerDeleted,
    /// One person must not lock verifiers out.
    #[error("the issuer's policy wants a second person to confirm this")]
    NeedsConfirmation,
    /// The founding of an issuer cannot be changed afterwards.
    #[error("takes_over can be set only when the issuer is created")]
    IssuerOriginFixed,
}
