//! Where receivers reach their streams: under the path of the issuer's URL.

/// What stands before the path of an issuer's URL where its configuration is (SSF 1.0 §7.2.1).
pub const SSF_CONFIGURATION: &str = "/.well-known/ssf-configuration";

/// The endpoints of event streams (SSF 1.0 §8.1, RFC 8936).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStreamEndpoint {
    /// Where streams are created, read, changed and deleted.
    Configuration,
    /// Where a stream is paused and enabled.
    Status,
    /// Where a verification is asked for.
    Verification,
    /// Where a receiver fetches its tokens.
    Poll,
}

impl EventStreamEndpoint {
    /// Every endpoint.
    pub const ALL: [Self; 4] = [
        Self::Configuration,
        Self::Status,
        Self::Verification,
        Self::Poll,
    ];

    /// The end of its path.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Configuration => "/ssf/streams",
            Self::Status => "/ssf/status",
            Self::Verification => "/ssf/verification",
            Self::Poll => "/ssf/poll",
        }
    }

    /// Its address, under the URL of an issuer.
    pub fn url(self, issuer: &str) -> String {
        let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
        format!("{issuer}{}", self.suffix())
    }

    /// Where the receiver of a stream fetches its tokens.
    pub fn poll_url(issuer: &str, stream: &str) -> String {
        format!("{}?stream_id={stream}", Self::Poll.url(issuer))
    }

    /// The endpoint that a path names, and the path of its issuer.
    pub fn in_path(path: &str) -> Option<(Self, &str)> {
        let mut all = Self::ALL.into_iter();
        all.find_map(|endpoint| Some((endpoint, path.strip_suffix(endpoint.suffix())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_under_the_path_of_its_issuer() {
        for endpoint in EventStreamEndpoint::ALL {
            for issuer in ["https://id.example", "https://id.example/a"] {
                let url = endpoint.url(issuer);
                let path = url.strip_prefix("https://id.example").unwrap();
                let issuer = issuer.strip_prefix("https://id.example").unwrap();
                assert_eq!(EventStreamEndpoint::in_path(path), Some((endpoint, issuer)));
            }
        }
        assert_eq!(EventStreamEndpoint::in_path("/ssf"), None);
        assert_eq!(
            EventStreamEndpoint::poll_url("https://id.example/", "a1"),
            "https://id.example/ssf/poll?stream_id=a1"
        );
    }
}
