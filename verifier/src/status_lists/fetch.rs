//! How a list is fetched.

use std::future::Future;
use std::pin::Pin;

use crate::RemoteKeysError;
use crate::http::{HttpClient, Location, Roots, body, parse_address};
use crate::status_list::STATUS_LIST_MEDIA_TYPE;

use super::error::InvalidStatusLists;

/// What [`StatusListFetcher::fetch`] returns: the token as it came, or why there is none.
pub type FetchFuture<'f> = Pin<Box<dyn Future<Output = Result<Vec<u8>, BoxError>> + Send + 'f>>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Fetches status lists: for a service that has an HTTP client of its own, or lists in another place.
pub trait StatusListFetcher: Send + Sync + 'static {
    /// Fetches the list at this address, which is one that the verifier may ask. It ends within the time
    /// that the verifier gives it, or is dropped. An error is logged, and stands for no list.
    fn fetch<'f>(&'f self, uri: &'f str) -> FetchFuture<'f>;
}

/// The HTTP client of this crate.
pub(super) struct RemoteFetcher {
    client: HttpClient,
    max_bytes: usize,
}

impl RemoteFetcher {
    pub(super) fn new(
        issuer: &str,
        roots: Roots,
        max_bytes: usize,
    ) -> Result<Self, InvalidStatusLists> {
        // Where the issuer is no address, its lists are at another, which has TLS.
        let first = Location::at(issuer).or_else(|_| Location::at("https://localhost"));
        let first = first.map_err(InvalidStatusLists::Prefix)?;
        let client = HttpClient::new(&first, roots);
        let client = client.map_err(|error| RemoteKeysError::Setup(Box::new(error)))?;
        Ok(Self { client, max_bytes })
    }
}

impl StatusListFetcher for RemoteFetcher {
    fn fetch<'f>(&'f self, uri: &'f str) -> FetchFuture<'f> {
        Box::pin(async move {
            let url = parse_address(uri)?;
            let answer = self.client.get(&url, STATUS_LIST_MEDIA_TYPE, None).await?;
            Ok(body(answer, self.max_bytes).await?)
        })
    }
}
