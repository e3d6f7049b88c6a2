//! Queries: what is looked for, as the part of a URL after `?`.

use keywright_api::{IssuerName, RevocationSelector, UnixSeconds};
use keywright_verifier::Kid;

/// Which events of the audit log are meant; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this issuer.
    pub issuer: Option<IssuerName>,
    /// From this time on.
    pub since: Option<UnixSeconds>,
    /// Before this time.
    pub until: Option<UnixSeconds>,
    /// About or by this client, by its identifier or its name.
    pub client: Option<String>,
    /// Of this kind, by its word.
    pub event: Option<String>,
    /// About this key.
    pub kid: Option<Kid>,
}

/// Which revocations are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevocationFilter {
    /// Those with these members; by default all.
    pub selector: RevocationSelector,
    /// Only those that are in the feed or keep something from being signed.
    pub is_live: Option<bool>,
}

/// A query that grows.
#[derive(Debug, Default)]
pub(crate) struct Query(String);

impl Query {
    /// One more parameter, if there is a value.
    pub(crate) fn with(mut self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.push_str(&segment(value.as_ref()));
        }
        self
    }

    pub(crate) fn after(self, path: String) -> String {
        path + &self.0
    }
}

impl AuditFilter {
    pub(crate) fn query(&self) -> Query {
        let instant = |at: Option<UnixSeconds>| at.map(|at| at.0.to_string());
        Query::default()
            .with("issuer", self.issuer.as_ref().map(IssuerName::as_str))
            .with("since", instant(self.since))
            .with("until", instant(self.until))
            .with("client", self.client.as_ref())
            .with("event", self.event.as_ref())
            .with("kid", self.kid.as_ref().map(Kid::as_str))
    }
}

impl RevocationFilter {
    pub(crate) fn query(&self) -> Query {
        let RevocationSelector {
            jti,
            session,
            subject,
            client,
            audience,
            issuer,
        } = &self.selector;
        let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
        Query::default()
            .with("live", flag(self.is_live))
            .with("jti", jti.as_ref())
            .with("session", session.as_ref())
            .with("subject", subject.as_ref())
            .with("client", client.as_ref())
            .with("audience", audience.as_ref())
            .with("issuer", flag(*issuer))
    }
}

/// A text as one segment of a path or one value of a query (RFC 3986 §3.3), everything but unreserved
/// characters encoded. A dot is encoded, too: `..` would lead elsewhere.
pub(crate) fn segment(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            output.push(char::from(byte));
        } else {
            output.push_str(&format!("%{byte:02X}"));
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one_whatever_the_kid_is_named() {
        assert_eq!(segment("a/../b?c#d%"), "a%2F%2E%2E%2Fb%3Fc%23d%25");
        assert_eq!(segment("AZaz09-_~"), "AZaz09-_~");
    }

    #[test]
    fn a_query_has_what_was_asked_for() {
        let filter = AuditFilter {
            client: Some("a&b".to_owned()),
            since: Some(UnixSeconds(7)),
            ..AuditFilter::default()
        };
        let path = filter
            .query()
            .with("limit", Some("1"))
            .after("/a".to_owned());
        assert_eq!(path, "/a?since=7&client=a%26b&limit=1");
        assert_eq!(
            RevocationFilter::default().query().after("/a".to_owned()),
            "/a"
        );
    }
}
