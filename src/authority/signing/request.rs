//! What is asked to be signed.

use std::borrow::Cow;

use keywright_verifier::json::Members;
use keywright_verifier::{Algorithm, Confirmation};
use serde_json::{Map, Value};

use crate::lifecycle::{Policy, TokenStatus};

/// A request for one token.
#[derive(Debug, Clone)]
pub struct SignRequest<'t> {
    /// What is asserted, without the claims that the service sets.
    pub claims: Members<'t>,
    /// The lifetime in seconds; the policy's default when absent.
    pub expires_in: Option<u64>,
    /// The token's type; `JWT` when absent.
    pub typ: Option<Cow<'t, str>>,
    /// The algorithm; the policy's default when absent.
    pub algorithm: Option<Algorithm>,
    /// What it comes of, if that is a grant or other tokens.
    pub origin: Option<Origin>,
    /// What it is bound to: the token's `cnf`, which the caller's limits say nothing about.
    pub confirmation: Option<Confirmation>,
    /// How often it counts.
    pub uses: Uses,
    /// Whether it has an entry in a status list; what the policy says when absent.
    pub status: Option<TokenStatus>,
}

/// How often a token counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uses {
    /// Until it expires.
    Unlimited,
    /// Once: the token has the claim `single_use`.
    Once,
}

/// What a token comes of: a grant, or tokens that are exchanged for it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// What the service says of it, which the caller's limits say nothing about, such as `sid` and `act`.
    pub claims: Members<'static>,
    /// When the token expires at the latest, in Unix seconds.
    pub ends_at: u64,
    /// The claims of the issuer's tokens that are exchanged. Once one of them is taken back, the token is
    /// not handed out.
    pub parents: Vec<Map<String, Value>>,
}

impl SignRequest<'_> {
    /// The algorithm that it is signed with under a policy.
    pub fn algorithm_under(&self, policy: &Policy) -> Algorithm {
        self.algorithm.unwrap_or(policy.default_algorithm)
    }
}
