//! How long the verifiers of this world keep a key set, whatever our headers say.
//!
//! The figures are the defaults that each project documents. They decide our own defaults, and a
//! policy whose lead one of them outlasts is answered with its name.

use std::time::Duration;

/// A verifier and the longest that it may go on using a set without asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownVerifier {
    /// What it calls itself.
    pub name: &'static str,
    /// How long it may hold a set before it sees a new key by itself.
    pub holds_for: Duration,
    /// What it does, in the words of a sentence that begins with its name.
    pub habit: &'static str,
    /// Whether a token with a `kid` that it does not hold makes it fetch again.
    pub refetches_unknown_kid: bool,
    /// How long it may go on trusting a key that is no longer published; `None` when time alone
    /// does not make it forget, and only a restart or an unknown `kid` does.
    pub forgets_after: Option<Duration>,
}

/// One whose copy ends by itself.
const fn caching(
    name: &'static str,
    holds_for_seconds: u64,
    habit: &'static str,
    refetches_unknown_kid: bool,
) -> KnownVerifier {
    let holds_for = Duration::from_secs(holds_for_seconds);
    KnownVerifier {
        name,
        holds_for,
        habit,
        refetches_unknown_kid,
        forgets_after: Some(holds_for),
    }
}

/// One that asks again only when it meets an unknown `kid`.
const fn keeping(name: &'static str, holds_for_seconds: u64, habit: &'static str) -> KnownVerifier {
    KnownVerifier {
        name,
        holds_for: Duration::from_secs(holds_for_seconds),
        habit,
        refetches_unknown_kid: true,
        forgets_after: None,
    }
}

/// The verifiers that we know, the quickest first.
pub const KNOWN_VERIFIERS: [KnownVerifier; 13] = [
    keeping("go-oidc", 0, "keeps keys until a miss"),
    keeping(
        "Kong",
        30,
        "keeps keys until a miss, fetches every 30s at most",
    ),
    caching("PyJWT", 300, "caches 5m", true),
    caching("Nimbus", 300, "caches 5m", true),
    caching("Spring Security", 300, "caches 5m", true),
    caching("panva/jose", 600, "caches 10m", true),
    caching("jwks-rsa", 600, "caches each key 10m", true),
    caching("Envoy", 600, "caches 10m", false),
    caching("lestrrat-go/jwx", 900, "caches at least 15m", false),
    caching("Istio", 1200, "polls every 20m", false),
    caching("keyfunc", 3600, "caches 1h", true),
    caching("AWS HTTP APIs", 7200, "cache 2h", false),
    caching("Microsoft.IdentityModel", 43_200, "caches 12h", true),
];

/// The verifiers that would refuse tokens of a key that signs `lead` after its publication: they
/// hold a set for longer than that, and an unknown `kid` does not make them ask again.
pub fn verifiers_outpaced_by(lead: Duration) -> impl Iterator<Item = &'static KnownVerifier> {
    KNOWN_VERIFIERS
        .iter()
        .filter(move |verifier| verifier.holds_for > lead && !verifier.refetches_unknown_kid)
}
