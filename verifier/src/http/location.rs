//! Where something of an issuer's stands: at an address, or where its metadata says.

use std::time::Duration;

use hyper::StatusCode;
use url::Url;

use super::address::{authorization_server_metadata, openid_configuration, parse_address_of};
use super::{FetchError, HttpClient, InvalidAddress, body, parse_address, parse_issuer};
use crate::clock::ClockReading;
use crate::json::{self, Object};

/// The most bytes of an issuer's metadata that are read.
const MAX_METADATA_BYTES: usize = 65_536;

/// How long an address in the metadata is believed. An issuer that moves its keys may lose the old
/// address to an attacker, who would answer it as readily.
const METADATA_BELIEVED_FOR: Duration = Duration::from_secs(3600);

/// Where something of an issuer's is.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    /// At this address.
    Address(Url),
    /// Where the metadata of this issuer says. `url` is `issuer`, parsed.
    Issuer { issuer: String, url: Url },
}

impl Location {
    pub(crate) fn at(address: &str) -> Result<Self, InvalidAddress> {
        parse_address(address).map(Self::Address)
    }

    pub(crate) fn of_issuer(issuer: &str) -> Result<Self, InvalidAddress> {
        parse_issuer(issuer).map(|url| Self::Issuer {
            issuer: issuer.to_owned(),
            url,
        })
    }

    pub(super) const fn url(&self) -> &Url {
        match self {
            Self::Address(url) | Self::Issuer { url, .. } => url,
        }
    }
}

/// Finds a location's address, and keeps what the metadata said.
pub(crate) struct Locator {
    location: Location,
    /// The member of the metadata that has the address.
    member: &'static str,
    discovered: Option<DiscoveredUrl>,
}

/// What the member said.
struct DiscoveredUrl {
    url: Url,
    at: ClockReading,
}

impl Locator {
    pub(crate) const fn new(location: Location, member: &'static str) -> Self {
        Self {
            location,
            member,
            discovered: None,
        }
    }

    /// Asks the metadata anew the next time: after every failure.
    pub(crate) fn forget(&mut self) {
        self.discovered = None;
    }

    pub(crate) async fn url(
        &mut self,
        client: &HttpClient,
        now: ClockReading,
    ) -> Result<Url, FetchError> {
        let (issuer, issuer_url) = match &self.location {
            Location::Address(url) => return Ok(url.clone()),
            Location::Issuer { issuer, url } => (issuer, url),
        };
        if let Some(discovered) = &self.discovered
            && now.since(discovered.at) < METADATA_BELIEVED_FOR
        {
            return Ok(discovered.url.clone());
        }
        let text = metadata(client, issuer, issuer_url)
            .await?
            .string(self.member)?;
        let url = parse_address_of(&text, issuer_url).map_err(|source| FetchError::Address {
            member: self.member,
            source,
        })?;
        self.discovered = Some(DiscoveredUrl {
            url: url.clone(),
            at: now,
        });
        Ok(url)
    }
}

/// The issuer's metadata: OpenID Connect Discovery §4, and where that is not found, RFC 8414 §3.
async fn metadata(
    client: &HttpClient,
    issuer: &str,
    url: &Url,
) -> Result<Object<'static>, FetchError> {
    let accept = "application/json";
    let mut response = client.get(&openid_configuration(url), accept, None).await?;
    if response.status() == StatusCode::NOT_FOUND {
        let url = authorization_server_metadata(url);
        response = client.get(&url, accept, None).await?;
    }
    let bytes = body(response, MAX_METADATA_BYTES).await?;
    let metadata = Object::parse(&bytes, json::DEFAULT_MAX_DEPTH, "issuer metadata")?;
    let mut metadata = Object::from(metadata.into_map());
    if metadata.string("issuer")? != issuer {
        return Err(FetchError::OtherIssuer);
    }
    Ok(metadata)
}
