//! A policy as the JSON document of the interfaces and of the store.

use keywright_api::{
    DurationText, Policy as PolicyDocument, PolicyInForce, ReadError, Rotation, read,
};
use serde_json::Value;

use super::issuer::{InvalidIssuerUrl, IssuerUrl};
use super::policy::{Policy, PolicyViolation};
use super::schedule::{InvalidSchedule, Schedule};
use super::timing::Timing;

/// Why a document is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A member is missing, unknown, of the wrong type or of the wrong form.
    #[error(transparent)]
    Form(#[from] ReadError),
    /// The `url` breaks a rule.
    #[error("url: {0}")]
    Url(#[from] InvalidIssuerUrl),
    /// The rotation's crontab line or time zone does not read.
    #[error("rotation: {0}")]
    Schedule(#[from] InvalidSchedule),
    /// The rotation names neither or both of an interval and a crontab line.
    #[error("rotation must have either \"every\" or \"cron\" with \"timezone\"")]
    RotationKind,
    /// The values do not fit together.
    #[error(transparent)]
    Violation(#[from] PolicyViolation),
}

impl Policy {
    /// Reads a policy document. Only `url` is required; every other member has the default of
    /// [`Policy::for_url`]. `default_algorithm` defaults to the first of `algorithms`.
    ///
    /// # Errors
    /// [`PolicyError`] names the member and the rule that it breaks.
    pub fn from_document(document: Value, timing: &Timing) -> Result<Self, PolicyError> {
        Self::new(read(document, "policy")?, timing)
    }

    /// Reads a policy that was set before. It may break a rule that has come since, or name a time
    /// zone that has gone: an issuer goes on with what it has. [`validate`](Self::validate) and
    /// [`warnings`](Self::warnings) tell.
    ///
    /// # Errors
    /// [`PolicyError`] when the document has not the form of a policy.
    pub fn from_record(document: Value) -> Result<Self, PolicyError> {
        let recorded = |line: &str, zone: &str| Ok(Schedule::cron_from_record(line, zone));
        Self::of(read(document, "policy")?, recorded)
    }

    /// The policy of a document, if it keeps the rules.
    ///
    /// # Errors
    /// As [`Policy::from_document`].
    pub fn new(document: PolicyDocument, timing: &Timing) -> Result<Self, PolicyError> {
        let policy = Self::of(document, Schedule::cron)?;
        policy.validate(timing)?;
        Ok(policy)
    }

    fn of(
        document: PolicyDocument,
        cron: impl Fn(&str, &str) -> Result<Schedule, InvalidSchedule>,
    ) -> Result<Self, PolicyError> {
        let mut policy = Self::for_url(IssuerUrl::parse(&document.url)?);
        if let Some(algorithms) = document.algorithms {
            let first = algorithms.first().copied();
            policy.default_algorithm = first.ok_or(PolicyViolation::Algorithms)?;
            policy.algorithms = algorithms;
        }
        if let Some(algorithm) = document.default_algorithm {
            policy.default_algorithm = algorithm;
        }
        if let Some(bits) = document.rsa_bits {
            policy.rsa_bits = u16::try_from(bits).map_err(|_| PolicyViolation::RsaBits(bits))?;
        }
        if let Some(rotation) = document.rotation {
            policy.rotation = schedule(rotation, cron)?;
        }
        for (given, target) in [
            (document.lead, &mut policy.lead),
            (document.jwks_max_age, &mut policy.jwks_max_age),
            (document.stale_if_error, &mut policy.stale_if_error),
            (document.default_token_ttl, &mut policy.default_token_ttl),
            (document.max_token_ttl, &mut policy.max_token_ttl),
            (document.clock_skew, &mut policy.clock_skew),
            (document.revocation_max_age, &mut policy.revocation_max_age),
        ] {
            if let Some(DurationText(duration)) = given {
                *target = duration;
            }
        }
        if let Some(bytes) = document.max_token_bytes {
            policy.max_token_bytes =
                u32::try_from(bytes).map_err(|_| PolicyViolation::MaxTokenBytes(bytes))?;
        }
        policy.confirmation = document.confirmation.unwrap_or(policy.confirmation);
        policy.openid_configuration = document
            .openid_configuration
            .unwrap_or(policy.openid_configuration);
        policy.revocation_feed = document.revocation_feed.unwrap_or(policy.revocation_feed);
        policy.status = document.status.unwrap_or(policy.status);
        policy.adoption = document.adoption;
        policy.canary = document.canary;
        policy.push = document.push.unwrap_or(policy.push);
        Ok(policy)
    }

    /// The whole policy as a document that [`Policy::from_document`] reads.
    pub fn to_document(&self) -> Value {
        // Text, numbers and lists always serialise.
        serde_json::to_value(PolicyInForce::from(self)).unwrap_or_default()
    }
}

/// Members that a build without them takes for a mistake, and their defaults. `adoption` and `canary` are
/// others: they are absent unless they are set.
const LATER_MEMBERS: [(&str, Value); 2] = [
    ("status", Value::Bool(false)),
    ("push", Value::Array(Vec::new())),
];

impl Policy {
    /// The policy as a record. What came later and has its default is left out, so that replicas of an earlier
    /// build go on reading it while they are replaced one by one.
    pub fn to_record(&self) -> Value {
        let mut document = self.to_document();
        if let Value::Object(members) = &mut document {
            for (member, default) in &LATER_MEMBERS {
                if members.get(*member) == Some(default) {
                    members.remove(*member);
                }
            }
        }
        document
    }
}

impl From<&Policy> for PolicyInForce {
    fn from(policy: &Policy) -> Self {
        let duration = |duration| Some(DurationText(duration));
        Self(PolicyDocument {
            url: policy.url.as_str().to_owned(),
            algorithms: Some(policy.algorithms.clone()),
            default_algorithm: Some(policy.default_algorithm),
            rsa_bits: Some(policy.rsa_bits.into()),
            rotation: Some((&policy.rotation).into()),
            lead: duration(policy.lead),
            jwks_max_age: duration(policy.jwks_max_age),
            stale_if_error: duration(policy.stale_if_error),
            default_token_ttl: duration(policy.default_token_ttl),
            max_token_ttl: duration(policy.max_token_ttl),
            clock_skew: duration(policy.clock_skew),
            max_token_bytes: Some(policy.max_token_bytes.into()),
            confirmation: Some(policy.confirmation),
            openid_configuration: Some(policy.openid_configuration),
            revocation_feed: Some(policy.revocation_feed),
            revocation_max_age: duration(policy.revocation_max_age),
            status: Some(policy.status),
            adoption: policy.adoption,
            canary: policy.canary,
            push: Some(policy.push.clone()),
        })
    }
}

impl From<&Schedule> for Rotation {
    fn from(schedule: &Schedule) -> Self {
        match schedule {
            Schedule::Every(interval) => Self {
                every: Some(DurationText(*interval)),
                ..Self::default()
            },
            Schedule::Cron(crontab) => Self {
                cron: Some(crontab.line().to_owned()),
                timezone: Some(crontab.zone().to_owned()),
                ..Self::default()
            },
        }
    }
}

fn schedule(
    rotation: Rotation,
    cron: impl Fn(&str, &str) -> Result<Schedule, InvalidSchedule>,
) -> Result<Schedule, PolicyError> {
    match (rotation.every, rotation.cron, rotation.timezone) {
        (Some(DurationText(every)), None, None) => Ok(Schedule::Every(every)),
        (None, Some(line), zone) => Ok(cron(&line, zone.as_deref().unwrap_or("UTC"))?),
        _ => Err(PolicyError::RotationKind),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(document: Value) -> String {
        Policy::from_document(document, &Timing::single())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_policy_reads_as_it_is_written() {
        let document = json!({
            "url": "https://id.example.com", "algorithms": ["RS256", "ES256"],
            "default_algorithm": "RS256", "rsa_bits": 3072,
            "rotation": {"cron": "0 3 1 * *", "timezone": "Europe/Berlin"}, "lead": "24h",
            "jwks_max_age": "5m", "stale_if_error": "1h", "default_token_ttl": "15m",
            "max_token_ttl": "1h", "clock_skew": "5m", "max_token_bytes": 4096,
            "confirmation": "second-person", "openid_configuration": "always",
            "revocation_feed": "authenticated", "revocation_max_age": "8s", "status": true,
            "push": ["cdn", "cluster-1"]
        });
        assert_eq!(
            Policy::from_document(document.clone(), &Timing::single())
                .unwrap()
                .to_document(),
            document
        );
    }

    #[test]
    fn tokens_have_a_status_or_none_or_are_tracked() {
        let url = "https://id.example.com";
        for (status, in_record) in [
            (json!(false), None),
            (json!(true), Some(json!(true))),
            (json!("tracked"), Some(json!("tracked"))),
        ] {
            let document = json!({"url": url, "status": status});
            let policy = Policy::from_document(document, &Timing::single()).unwrap();
            assert_eq!(policy.to_document()["status"], status);
            let record = policy.to_record();
            assert_eq!(record.get("status"), in_record.as_ref());
            assert_eq!(Policy::from_record(record), Ok(policy));
        }
        for wrong in [json!("true"), json!(1), json!(null)] {
            let told = refusal(json!({"url": url, "status": wrong}));
            assert_eq!(told, "status must be false, true or \"tracked\"");
        }
    }

    #[test]
    fn everything_but_the_url_has_a_default() {
        let policy =
            Policy::from_document(json!({"url": "https://id.example.com"}), &Timing::single())
                .unwrap();
        assert_eq!(
            policy.to_document(),
            json!({
                "url": "https://id.example.com", "algorithms": ["ES256", "RS256"],
                "default_algorithm": "ES256", "rsa_bits": 2048, "rotation": {"every": "30d"},
                "lead": "24h", "jwks_max_age": "5m", "stale_if_error": "1h",
                "default_token_ttl": "15m", "max_token_ttl": "1h", "clock_skew": "5m",
                "max_token_bytes": 4096, "confirmation": "none", "openid_configuration": "with-rs256",
                "revocation_feed": "public", "revocation_max_age": "1m", "status": false, "push": []
            })
        );
        assert_eq!(policy.warnings(), Vec::<String>::new());
    }

    #[test]
    fn unsafe_combinations_are_refused_with_the_inequality_and_its_numbers() {
        let url = "https://id.example.com";
        for (document, expected) in [
            (
                json!({"url": url, "lead": "10m"}),
                "lead must be at least jwks_max_age + stale_if_error + clock_skew: 10m < 5m + 1h + 5m \
                 (lestrrat-go/jwx caches at least 15m, Istio polls every 20m, AWS HTTP APIs cache 2h)",
            ),
            (
                json!({"url": url, "rotation": {"every": "47h"}}),
                "the rotation interval must be at least 2 × lead: 47h < 2 × 24h",
            ),
            (
                json!({"url": url, "rotation": {"cron": "0 3 * * *", "timezone": "Europe/Berlin"}, "lead": "12h"}),
                "the rotation interval must be at least 2 × lead: 23h < 2 × 12h",
            ),
            (
                json!({"url": url, "default_token_ttl": "2h"}),
                "max_token_ttl must be at least default_token_ttl: 1h < 2h",
            ),
            (
                json!({"url": url, "max_token_ttl": "3650d"}),
                "the published set could grow to 250 keys of 82125 bytes; verifiers accept at most \
                 100 keys and 51200 bytes: rotate less often or shorten max_token_ttl",
            ),
            (
                json!({"url": url, "algorithms": []}),
                "algorithms must name at least one algorithm, and each only once",
            ),
            (
                json!({"url": url, "algorithms": ["ES256"], "default_algorithm": "RS256"}),
                "default_algorithm RS256 is not among algorithms",
            ),
            (
                json!({"url": url, "rsa_bits": 1024}),
                "rsa_bits must be 2048, 3072 or 4096, not 1024",
            ),
            (
                json!({"url": url, "revocation_max_age": "4s"}),
                "revocation_max_age must lie between 5s and 24h, not 4s",
            ),
            (
                json!({"url": url, "push": ["cdn", "cdn"]}),
                "push must name at most 8 targets of the configuration, each only once: a name has 1 to 63 \
                 characters of a-z, 0-9 and -",
            ),
            (
                json!({"url": url, "lead": "0s"}),
                "lead must be at least 1s",
            ),
            (
                json!({"url": url, "rotation": {}}),
                "rotation must have either \"every\" or \"cron\" with \"timezone\"",
            ),
            (
                json!({"url": url, "rotation": {"every": "30d", "timezone": "UTC"}}),
                "rotation must have either \"every\" or \"cron\" with \"timezone\"",
            ),
        ] {
            assert_eq!(refusal(document), expected);
        }
    }

    #[test]
    fn an_issuer_without_an_openid_configuration_is_warned_about() {
        let warnings = |document: Value| {
            let policy = Policy::from_document(document, &Timing::single()).unwrap();
            policy.warnings().join(" ")
        };
        let url = "https://id.example.com";
        let told = warnings(json!({"url": url, "algorithms": ["ES256"]}));
        assert!(told.contains("no openid-configuration"), "{told}");
        for document in [
            json!({"url": url, "algorithms": ["ES256"], "openid_configuration": "always"}),
            json!({"url": url, "algorithms": ["ES256", "RS256"]}),
            json!({"url": url, "algorithms": ["RS256"]}),
        ] {
            assert_eq!(warnings(document), "");
        }
        assert_eq!(
            refusal(json!({"url": url, "openid_configuration": "never"})),
            "openid_configuration must be \"with-rs256\" or \"always\""
        );
    }

    #[test]
    fn a_legal_lead_that_real_verifiers_outlast_is_warned_about() {
        let document = json!({
            "url": "https://id.example.com", "lead": "10m", "stale_if_error": "0s"
        });
        let policy = Policy::from_document(document, &Timing::single()).unwrap();
        assert_eq!(
            policy.warnings(),
            [
                "lead 10m is too short for verifiers in common use (lestrrat-go/jwx caches at least 15m, \
              Istio polls every 20m, AWS HTTP APIs cache 2h)"
            ]
        );
    }

    // Issue 10, case 16: a stricter rule made an issuer corrupt on upgrade.
    #[test]
    fn a_stored_policy_that_breaks_a_rule_is_read_and_the_rule_is_told() {
        let url = "https://id.example.com";
        for (document, warnings) in [
            (json!({"url": url, "lead": "1s"}), 1),
            (json!({"url": url, "max_token_ttl": "3650d"}), 0),
            (json!({"url": url, "rsa_bits": 1024}), 0),
            (json!({"url": url, "rotation": {"every": "0s"}}), 0),
            (
                json!({"url": url, "rotation": {"cron": "0 3 1 * *", "timezone": "Europe/Atlantis"}}),
                1,
            ),
            (
                json!({"url": url, "rotation": {"cron": "0 0 30 2 *", "timezone": "UTC"}}),
                1,
            ),
        ] {
            let timing = Timing::single();
            assert!(Policy::from_document(document.clone(), &timing).is_err());
            let policy = Policy::from_record(document.clone()).unwrap();
            let written = policy.to_document();
            for (member, value) in document.as_object().unwrap() {
                assert_eq!(&written[member], value, "it is kept as it was written");
            }
            assert_eq!(policy.warnings().len(), warnings, "{:?}", policy.warnings());
            assert_eq!(Policy::from_record(written).unwrap(), policy);
        }
        for document in [
            json!({}),
            json!({"url": url, "unknown": 1}),
            json!({"url": url, "lead": 1}),
        ] {
            assert!(Policy::from_record(document).is_err());
        }
    }
}
