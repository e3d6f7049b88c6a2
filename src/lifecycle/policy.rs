//! An issuer's rules, and the inequalities that make them safe together.

use std::time::Duration;

pub use keywright_api::{
    AdoptionGate, CanaryPhase, Confirmation, OpenidConfigurationPolicy, RevocationFeed, TokenStatus,
};
use keywright_verifier::Algorithm;

use super::issuer::IssuerUrl;
use super::key_set::{MAX_PUBLISHED_BYTES, MAX_PUBLISHED_KEYS};
use super::schedule::Schedule;
use super::time::format_duration;
use super::timing::Timing;
use super::verifiers::verifiers_outpaced_by;

/// An issuer's rules. Those that are set have passed [`Policy::validate`]; those that were stored
/// may break a rule that has come since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The `iss` claim and the root of the public documents. Fixed once the issuer exists.
    pub url: IssuerUrl,
    /// The algorithms for which keys are kept, without duplicates. Default: ES256 and RS256.
    pub algorithms: Vec<Algorithm>,
    /// What signs when a request names no algorithm. Default: the first of `algorithms`.
    pub default_algorithm: Algorithm,
    /// Modulus length of generated RSA keys: 2048, 3072 or 4096 bits. Default: 2048.
    pub rsa_bits: u16,
    /// When keys rotate. Default: every 30 days.
    pub rotation: Schedule,
    /// How long a key is published before it signs. Default: 24 h, which outlasts every verifier
    /// that we know.
    pub lead: Duration,
    /// `max-age` of the published set. Default: 5 min.
    pub jwks_max_age: Duration,
    /// `stale-if-error` of the published set; zero leaves the directive out. Default: 1 h.
    pub stale_if_error: Duration,
    /// Lifetime of a token when a request names none. Default: 15 min.
    pub default_token_ttl: Duration,
    /// The longest lifetime that a request may name. Default: 1 h.
    pub max_token_ttl: Duration,
    /// How far the clocks of signer and verifiers may be apart. Default: 5 min.
    pub clock_skew: Duration,
    /// The largest finished token, in bytes. Default: 4096.
    pub max_token_bytes: u32,
    /// Who must agree to operations that may lock verifiers out. Default: no second person.
    pub confirmation: Confirmation,
    /// When there is an OpenID provider configuration. Default: with an RS256 key.
    pub openid_configuration: OpenidConfigurationPolicy,
    /// Who may read which tokens were taken back. Default: everyone.
    pub revocation_feed: RevocationFeed,
    /// How long a verifier may go by what it has read there, 5 s to 24 h. Default: 60 s.
    pub revocation_max_age: Duration,
    /// Whether tokens have an entry in a status list, unless their request says otherwise. Default: no.
    pub status: TokenStatus,
    /// Which share of the known verifiers must hold a successor before the schedule lets it sign, and for how long
    /// a rotation waits for them. Default: it does not wait.
    pub adoption: Option<AdoptionGate>,
    /// Which share of the tokens a successor signs first that the schedule puts to work, and for how long. Default:
    /// it signs all of them at once.
    pub canary: Option<CanaryPhase>,
    /// The targets of the configuration to which the key set is pushed, by name. Default: none.
    pub push: Vec<String>,
}

/// The most targets that a policy may name.
const MOST_PUSH_TARGETS: usize = 8;

/// The rule that a policy breaks, with its numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyViolation {
    /// A key would sign before the last set without it has gone stale.
    #[error(
        "lead must be at least jwks_max_age + stale_if_error + clock_skew: {} < {} + {} + {}{}",
        format_duration(*lead), format_duration(*max_age), format_duration(*stale),
        format_duration(*skew), outpaced(*lead)
    )]
    LeadTooShort {
        /// The policy's lead.
        lead: Duration,
        /// Its `jwks_max_age`.
        max_age: Duration,
        /// Its `stale_if_error`.
        stale: Duration,
        /// Its `clock_skew`.
        skew: Duration,
    },
    /// A successor could not wait out its lead and stand by for as long again.
    #[error(
        "the rotation interval must be at least 2 × lead: {} < 2 × {}",
        format_duration(*interval), format_duration(*lead)
    )]
    RotationTooFrequent {
        /// The shortest time between two rotations.
        interval: Duration,
        /// The policy's lead.
        lead: Duration,
    },
    /// A rotation that waits for verifiers and has a canary could fall together with the next one.
    #[error(
        "the rotation interval must be at least 2 × lead + adoption.within + canary.for: {} < 2 × {} + {} + {}",
        format_duration(*interval), format_duration(*lead), format_duration(*within), format_duration(*canary)
    )]
    RotationTooSlow {
        /// The shortest time between two rotations.
        interval: Duration,
        /// The policy's lead.
        lead: Duration,
        /// How long a rotation may wait for verifiers.
        within: Duration,
        /// How long its canary signs.
        canary: Duration,
    },
    /// The default is longer than the longest.
    #[error(
        "max_token_ttl must be at least default_token_ttl: {} < {}",
        format_duration(*max), format_duration(*default)
    )]
    DefaultTtlOverMaximum {
        /// The policy's `max_token_ttl`.
        max: Duration,
        /// Its `default_token_ttl`.
        default: Duration,
    },
    /// A duration that must not be zero is.
    #[error("{field} must be at least 1s")]
    Zero {
        /// The policy's member.
        field: &'static str,
    },
    /// No algorithm, or one of them twice.
    #[error("algorithms must name at least one algorithm, and each only once")]
    Algorithms,
    /// The default algorithm has no keys.
    #[error("default_algorithm {0} is not among algorithms")]
    DefaultNotListed(Algorithm),
    /// Another modulus length than those that every verifier takes and the engine signs with.
    #[error("rsa_bits must be 2048, 3072 or 4096, not {0}")]
    RsaBits(u64),
    /// A token limit that no token fits, or that no server would take in a header.
    #[error("max_token_bytes must lie between 512 and 65536, not {0}")]
    MaxTokenBytes(u64),
    /// A bound that no replica can keep to, or that bounds nothing.
    #[error("revocation_max_age must lie between 5s and 24h, not {}", format_duration(*.0))]
    RevocationMaxAge(Duration),
    /// A name that no target can have, a target twice, or too many.
    #[error(
        "push must name at most {MOST_PUSH_TARGETS} targets of the configuration, each only once: a name \
         has 1 to 63 characters of a-z, 0-9 and -"
    )]
    PushTargets,
    /// Retired keys would pile up past what verifiers accept.
    #[error(
        "the published set could grow to {keys} keys of {bytes} bytes; verifiers accept at most \
         {MAX_PUBLISHED_KEYS} keys and {MAX_PUBLISHED_BYTES} bytes: rotate less often or shorten \
         max_token_ttl"
    )]
    SetTooLarge {
        /// The most keys that this policy could publish at one time.
        keys: u64,
        /// Their size in bytes.
        bytes: u64,
    },
}

impl Policy {
    /// The default policy for an issuer URL.
    pub fn for_url(url: IssuerUrl) -> Self {
        Self {
            url,
            algorithms: vec![Algorithm::Es256, Algorithm::Rs256],
            default_algorithm: Algorithm::Es256,
            rsa_bits: 2048,
            rotation: Schedule::Every(Duration::from_secs(30 * 86_400)),
            lead: Duration::from_secs(86_400),
            jwks_max_age: Duration::from_secs(300),
            stale_if_error: Duration::from_secs(3600),
            default_token_ttl: Duration::from_secs(900),
            max_token_ttl: Duration::from_secs(3600),
            clock_skew: Duration::from_secs(300),
            max_token_bytes: 4096,
            confirmation: Confirmation::None,
            openid_configuration: OpenidConfigurationPolicy::WithRs256,
            revocation_feed: RevocationFeed::Public,
            revocation_max_age: Duration::from_secs(60),
            status: TokenStatus::Off,
            adoption: None,
            canary: None,
            push: Vec::new(),
        }
    }

    /// How long after it was served a set may still be used as fresh: `max-age` and the stale
    /// window together.
    pub fn freshness(&self) -> Duration {
        self.jwks_max_age + self.stale_if_error
    }

    /// How long a key stays published after it stopped, when no longer lifetime was ever allowed.
    pub fn retention(&self, timing: &Timing) -> Duration {
        timing.overlap() + self.max_token_ttl + self.clock_skew
    }

    /// Checks every rule that concerns the policy and the time that a change of it takes.
    ///
    /// # Errors
    /// The first [`PolicyViolation`] in the order of the fields.
    pub fn validate(&self, timing: &Timing) -> Result<(), PolicyViolation> {
        self.validate_algorithms()?;
        for (field, duration) in [
            ("lead", self.lead),
            ("jwks_max_age", self.jwks_max_age),
            ("default_token_ttl", self.default_token_ttl),
            ("max_token_ttl", self.max_token_ttl),
        ] {
            if duration.is_zero() {
                return Err(PolicyViolation::Zero { field });
            }
        }
        let (interval, _) = self.rotation.gaps();
        if interval.is_zero() {
            return Err(PolicyViolation::Zero {
                field: "rotation.every",
            });
        }
        if self.lead < self.freshness() + self.clock_skew {
            return Err(PolicyViolation::LeadTooShort {
                lead: self.lead,
                max_age: self.jwks_max_age,
                stale: self.stale_if_error,
                skew: self.clock_skew,
            });
        }
        if interval < self.lead * 2 {
            return Err(PolicyViolation::RotationTooFrequent {
                interval,
                lead: self.lead,
            });
        }
        let within = self.adoption.map_or(Duration::ZERO, |gate| gate.within.0);
        if self.adoption.is_some() && within.is_zero() {
            return Err(PolicyViolation::Zero {
                field: "adoption.within",
            });
        }
        let canary = self.canary.map_or(Duration::ZERO, |phase| phase.duration.0);
        if self.canary.is_some() && canary.is_zero() {
            return Err(PolicyViolation::Zero {
                field: "canary.for",
            });
        }
        if interval < self.lead * 2 + within + canary {
            return Err(PolicyViolation::RotationTooSlow {
                interval,
                lead: self.lead,
                within,
                canary,
            });
        }
        if self.max_token_ttl < self.default_token_ttl {
            return Err(PolicyViolation::DefaultTtlOverMaximum {
                max: self.max_token_ttl,
                default: self.default_token_ttl,
            });
        }
        if !(512..=65_536).contains(&self.max_token_bytes) {
            return Err(PolicyViolation::MaxTokenBytes(self.max_token_bytes.into()));
        }
        let bounds = Duration::from_secs(5)..=Duration::from_secs(86_400);
        if !bounds.contains(&self.revocation_max_age) {
            return Err(PolicyViolation::RevocationMaxAge(self.revocation_max_age));
        }
        self.validate_push_targets()?;
        // Of two rotations the first may be so much later than the schedule says.
        self.validate_set_size(interval.saturating_sub(within + canary), timing)
    }

    fn validate_push_targets(&self) -> Result<(), PolicyViolation> {
        let is_repeated = |index: usize, name: &String| {
            let mut before = self.push.iter().take(index);
            before.any(|other| other == name)
        };
        let mut targets = self.push.iter().enumerate();
        let is_wrong =
            targets.any(|(index, name)| is_repeated(index, name) || !is_push_target(name));
        match is_wrong || self.push.len() > MOST_PUSH_TARGETS {
            true => Err(PolicyViolation::PushTargets),
            false => Ok(()),
        }
    }

    fn validate_algorithms(&self) -> Result<(), PolicyViolation> {
        let mut distinct = self.algorithms.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.is_empty() || distinct.len() != self.algorithms.len() {
            return Err(PolicyViolation::Algorithms);
        }
        if !self.algorithms.contains(&self.default_algorithm) {
            return Err(PolicyViolation::DefaultNotListed(self.default_algorithm));
        }
        if ![2048, 3072, 4096].contains(&self.rsa_bits) {
            return Err(PolicyViolation::RsaBits(self.rsa_bits.into()));
        }
        Ok(())
    }

    /// Per algorithm at most: one active key, two successors (the next but one is published a
    /// lead before the next takes over), and one retired key for each rotation within a retention.
    fn validate_set_size(
        &self,
        interval: Duration,
        timing: &Timing,
    ) -> Result<(), PolicyViolation> {
        let retired = self
            .retention(timing)
            .as_millis()
            .div_ceil(interval.as_millis().max(1));
        // A canary that is stopped stays for a retention beside the others.
        let others = if self.canary.is_some() { 4 } else { 3 };
        let per_algorithm = u64::try_from(retired)
            .unwrap_or(u64::MAX)
            .saturating_add(others);
        let mut keys: u64 = 0;
        let mut bytes: u64 = 0;
        for algorithm in &self.algorithms {
            let size = published_bytes(*algorithm, self.rsa_bits) as u64;
            keys = keys.saturating_add(per_algorithm);
            bytes = bytes.saturating_add(per_algorithm.saturating_mul(size));
        }
        if keys > MAX_PUBLISHED_KEYS as u64 || bytes > MAX_PUBLISHED_BYTES as u64 {
            return Err(PolicyViolation::SetTooLarge { keys, bytes });
        }
        Ok(())
    }

    /// What is legal and still deserves a second thought, as sentences for people: a stored schedule
    /// that cannot be kept to, verifiers that the lead would break, and a key that signs for more than a year (NIST SP 800-57 part 1
    /// §5.3.6).
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::from_iter(self.rotation.warning());
        if verifiers_outpaced_by(self.lead).next().is_some() {
            warnings.push(format!(
                "lead {} is too short for verifiers in common use{}",
                format_duration(self.lead),
                outpaced(self.lead)
            ));
        }
        if self.openid_configuration == OpenidConfigurationPolicy::WithRs256
            && !self.algorithms.contains(&Algorithm::Rs256)
        {
            warnings.push(
                "without RS256 there is no openid-configuration (OpenID Connect Discovery §3): \
                 consumers that read no other metadata need openid_configuration = \"always\", or the \
                 URL of the key set"
                    .to_owned(),
            );
        }
        if let Some(gate) = self.adoption
            && gate.within.0 < self.freshness()
        {
            warnings.push(format!(
                "adoption.within {} is shorter than jwks_max_age + stale_if_error, {}: a replica that has just \
                 begun cannot tell by then who holds the successor, and the rotation does not wait for it",
                format_duration(gate.within.0),
                format_duration(self.freshness())
            ));
        }
        let (_, longest) = self.rotation.gaps();
        if longest > Duration::from_secs(366 * 86_400) {
            warnings.push(
                "a key would sign for more than a year; NIST SP 800-57 advises one to three years \
                 at most"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// Whether a target to which key sets are pushed may have this name.
pub fn is_push_target(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(is_usual)
}

/// How many bytes a generated key takes in the published set, with the comma that follows it.
pub(super) fn published_bytes(algorithm: Algorithm, rsa_bits: u16) -> usize {
    let thumbprint = 43;
    let members = match algorithm {
        Algorithm::Es256 => {
            let coordinate = 43;
            r#"{"kty":"EC","kid":"","use":"sig","alg":"ES256","crv":"P-256","x":"","y":""},"#.len()
                + 2 * coordinate
        }
        Algorithm::Rs256 => {
            let modulus = usize::from(rsa_bits / 8) * 4;
            r#"{"kty":"RSA","kid":"","use":"sig","alg":"RS256","n":"","e":"AQAB"},"#.len()
                + modulus.div_ceil(3)
        }
    };
    members + thumbprint
}

fn outpaced(lead: Duration) -> String {
    let names: Vec<String> = verifiers_outpaced_by(lead)
        .map(|verifier| format!("{} {}", verifier.name, verifier.habit))
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use keywright_verifier::{Jwk, PublicKey};
    use p256::elliptic_curve::Generate as _;
    use p256::elliptic_curve::sec1::ToSec1Point as _;
    use rsa::traits::PublicKeyParts as _;

    use super::*;

    fn bytes_with_comma(key: PublicKey) -> usize {
        Jwk::new(None, key).unwrap().to_json().len() + 1
    }

    #[test]
    fn the_estimated_size_is_that_of_generated_keys() {
        let secret = p256::SecretKey::try_generate_from_rng(&mut rand::rngs::SysRng).unwrap();
        let point = secret.public_key().to_sec1_point(false);
        let (x, y) = (point.x().unwrap(), point.y().unwrap());
        let key = PublicKey::p256((*x).into(), (*y).into()).unwrap();
        let estimate = published_bytes(Algorithm::Es256, 2048);
        assert_eq!(estimate, bytes_with_comma(key));

        let secret = rsa::PrivateKey::new(&mut rand::rngs::SysRng, 2048).unwrap();
        let (n, e) = (secret.n_bytes().into_vec(), secret.e_bytes().into_vec());
        let key = PublicKey::rsa(n, e).unwrap();
        let estimate = published_bytes(Algorithm::Rs256, 2048);
        assert_eq!(estimate, bytes_with_comma(key));
    }

    #[test]
    fn the_estimated_size_follows_the_length_of_the_modulus() {
        for bits in [2048, 3072, 4096] {
            // Generating the larger ones takes long; only the length matters.
            let key = PublicKey::rsa(vec![0xff; usize::from(bits / 8)], vec![1, 0, 1]).unwrap();
            let estimate = published_bytes(Algorithm::Rs256, bits);
            assert_eq!(estimate, bytes_with_comma(key), "{bits}");
        }
    }
}
