//! For which service a token is: `resource` (RFC 8707) or `audience` (RFC 8693 §2.1).

use super::{Form, GrantRefusal};
use crate::access::Client;
use crate::access::pattern::Pattern;

/// The longest target, in bytes.
const LONGEST: usize = 256;

/// The audience that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(String);

/// A request names no target that there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// It is no absolute URI, or has a fragment (RFC 8707 §2).
    #[error("resource is an absolute URI of at most {LONGEST} bytes without a fragment")]
    Resource,
    /// The audience is too long.
    #[error("audience has at most {LONGEST} bytes")]
    Audience,
    /// Both are named. A token for several services can be used by each of them at the others
    /// (RFC 9068 §3).
    #[error("a token is for one service: name it by resource or by audience")]
    Several,
}

impl Target {
    /// The target that a request names, if it names one.
    ///
    /// # Errors
    /// [`InvalidTarget`].
    pub fn of(form: &Form) -> Result<Option<Self>, InvalidTarget> {
        match (form.get("resource"), form.get("audience")) {
            (None, None) => Ok(None),
            (Some(resource), None) if is_resource(resource) => Ok(Some(Self(resource.to_owned()))),
            (Some(_), None) => Err(InvalidTarget::Resource),
            (None, Some(audience)) if audience.len() <= LONGEST => {
                Ok(Some(Self(audience.to_owned())))
            }
            (None, Some(_)) => Err(InvalidTarget::Audience),
            (Some(_), Some(_)) => Err(InvalidTarget::Several),
        }
    }

    /// The target that a request names, or the audience of the client's limits if they have one only.
    ///
    /// # Errors
    /// [`GrantRefusal::NoTarget`].
    pub fn or_only_one<'a>(
        named: Option<&'a Self>,
        client: &'a Client,
    ) -> Result<&'a str, GrantRefusal> {
        match (named, client.terms.limits.audiences.as_deref()) {
            (Some(target), _) => Ok(target.as_str()),
            (None, Some([Pattern::Exact(only)])) => Ok(only),
            (None, _) => Err(GrantRefusal::NoTarget),
        }
    }

    /// The text, as `aud` has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is an absolute URI (RFC 3986 §4.3): a scheme, and no fragment.
fn is_resource(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let mut scheme = scheme.bytes();
    let is_scheme = scheme
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && scheme.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_legal =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
    is_scheme && !rest.is_empty() && text.len() <= LONGEST && rest.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Result<Option<String>, InvalidTarget> {
        let target = Target::of(&Form::parse(body.as_bytes()).unwrap());
        target.map(|target| target.map(|target| target.0))
    }

    #[test]
    fn a_resource_is_an_absolute_uri_without_a_fragment() {
        for resource in [
            "https://orders.example",
            "https://orders.example/a?b=c",
            "urn:orders",
        ] {
            let body = format!("resource={}", resource.replace('&', "%26"));
            assert_eq!(of(&body), Ok(Some(resource.to_owned())));
        }
        let long = format!("https://{}", "a".repeat(249));
        for resource in [
            "https://orders.example/%23top",
            "orders",
            "/orders",
            "https:",
            ":a",
            "1a:b",
            "a b:c",
            "https://a/%20b",
            "https://%C3%A9",
            &long,
        ] {
            let body = format!("resource={resource}");
            assert_eq!(of(&body), Err(InvalidTarget::Resource), "{resource}");
        }
    }

    #[test]
    fn one_request_has_one_target() {
        assert_eq!(of("scope=a"), Ok(None));
        assert_eq!(of("audience=orders"), Ok(Some("orders".to_owned())));
        assert_eq!(of("audience=a&resource=urn:a"), Err(InvalidTarget::Several));
        let long = format!("audience={}", "a".repeat(257));
        assert_eq!(of(&long), Err(InvalidTarget::Audience));
    }
}
