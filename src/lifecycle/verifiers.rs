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
    /// What a token with a `kid` that it does not hold makes it do.
    pub on_unknown_kid: OnUnknownKid,
    /// How long it may go on trusting a key that is no longer published; `None` when time alone
    /// does not make it forget, and only a restart or an unknown `kid` does.
    pub forgets_after: Option<Duration>,
}

/// What a verifier does with a token whose `kid` it does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknownKid {
    /// It refuses the token.
    Refuse,
    /// It fetches again, unless it has done so within this time. Anyone can send it a token with an
    /// invented `kid`, so that the time is over when a new key needs it, or has just begun.
    Fetch {
        /// Zero when it fetches each time.
        cool_down: Duration,
    },
}

impl KnownVerifier {
    /// How long after a key's publication it may still refuse the key's tokens.
    pub fn learns_after(&self) -> Duration {
        match self.on_unknown_kid {
            OnUnknownKid::Refuse => self.holds_for,
            OnUnknownKid::Fetch { cool_down } => self.holds_for.min(cool_down),
        }
    }
}

const fn fetch(cool_down_seconds: u64) -> OnUnknownKid {
    OnUnknownKid::Fetch {
        cool_down: Duration::from_secs(cool_down_seconds),
    }
}

const REFUSE: OnUnknownKid = OnUnknownKid::Refuse;

/// One whose copy ends by itself.
const fn caching(
    name: &'static str,
    holds_for_seconds: u64,
    habit: &'static str,
    on_unknown_kid: OnUnknownKid,
) -> KnownVerifier {
    let holds_for = Duration::from_secs(holds_for_seconds);
    KnownVerifier {
        name,
        holds_for,
        habit,
        on_unknown_kid,
        forgets_after: Some(holds_for),
    }
}

/// One that asks again only when it meets an unknown `kid`, this long after it last did.
const fn keeping(name: &'static str, cool_down_seconds: u64, habit: &'static str) -> KnownVerifier {
    KnownVerifier {
        name,
        holds_for: Duration::from_secs(cool_down_seconds),
        habit,
        on_unknown_kid: fetch(cool_down_seconds),
        forgets_after: None,
    }
}

/// The verifiers that we know, the quickest first.
pub const KNOWN_VERIFIERS: [KnownVerifier; 19] = [
    keeping("go-oidc", 0, "keeps keys until a miss"),
    keeping(
        "aws-jwt-verify",
        10,
        "keeps keys until a miss, waits 10s after a failed one",
    ),
    keeping(
        "Kong",
        30,
        "keeps keys until a miss, fetches every 30s at most",
    ),
    KnownVerifier {
        name: "get-jwks",
        holds_for: Duration::from_secs(60),
        habit: "caches each key 1m, and longer while its tokens come",
        on_unknown_kid: fetch(0),
        forgets_after: None,
    },
    caching(
        "go-jwt-middleware",
        60,
        "caches 1m, and uses the old set once more",
        REFUSE,
    ),
    caching("PyJWT", 300, "caches 5m", fetch(30)),
    caching("Nimbus", 300, "caches 5m", fetch(30)),
    caching("Spring Security", 300, "caches 5m", fetch(0)),
    caching("panva/jose", 600, "caches 10m", fetch(30)),
    caching("jwks-rsa", 600, "caches each key 10m", fetch(0)),
    caching("Envoy", 600, "caches 10m", REFUSE),
    keeping(
        "jwt-authorizer",
        600,
        "keeps keys until a miss, fetches every 10m at most",
    ),
    caching("lestrrat-go/jwx", 900, "caches at least 15m", REFUSE),
    caching("Istio", 1200, "polls every 20m", REFUSE),
    caching(
        "keyfunc",
        3600,
        "caches 1h, fetches for a miss every 5m at most",
        fetch(300),
    ),
    caching("jose4j", 3600, "caches 1h unless told otherwise", fetch(1)),
    caching("AWS HTTP APIs", 7200, "cache 2h", REFUSE),
    caching(
        "jwks-rsa for Java",
        36_000,
        "caches each key 10h, fetches for a miss every 1m at most",
        fetch(60),
    ),
    caching(
        "Microsoft.IdentityModel",
        43_200,
        "caches 12h, fetches for a miss every 5m at most",
        fetch(300),
    ),
];

/// The verifiers that would refuse tokens of a key that signs `lead` after its publication: they may
/// hold an older set, and an unknown `kid` does not make them fetch again by then.
pub fn verifiers_outpaced_by(lead: Duration) -> impl Iterator<Item = &'static KnownVerifier> {
    KNOWN_VERIFIERS
        .iter()
        .filter(move |verifier| verifier.learns_after() > lead)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outpaced(lead_seconds: u64) -> Vec<&'static str> {
        let outpaced = verifiers_outpaced_by(Duration::from_secs(lead_seconds));
        outpaced.map(|verifier| verifier.name).collect()
    }

    #[test]
    fn a_cool_down_counts_where_an_unknown_kid_makes_a_verifier_fetch() {
        assert_eq!(outpaced(7200), Vec::<&str>::new());
        assert_eq!(outpaced(599).first(), Some(&"Envoy"));
        assert!(outpaced(599).contains(&"jwt-authorizer"));
        assert!(!outpaced(600).contains(&"jwt-authorizer"));
        for name in ["keyfunc", "Microsoft.IdentityModel"] {
            assert!(outpaced(299).contains(&name), "{name}");
            assert!(!outpaced(300).contains(&name), "{name}");
        }
        assert!(outpaced(59).contains(&"jwks-rsa for Java"));
        assert!(outpaced(59).contains(&"go-jwt-middleware"));
        assert!(!outpaced(0).contains(&"go-oidc"));
    }

    #[test]
    fn the_quickest_stand_first() {
        assert!(KNOWN_VERIFIERS.is_sorted_by_key(|verifier| verifier.holds_for));
    }
}
