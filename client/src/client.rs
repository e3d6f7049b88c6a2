//! A client of one service.

use hyper::Method;
use serde::Serialize;

use crate::address::ServiceAddress;
use crate::call::Call;
use crate::credential::Credential;
use crate::exchange::{Http, http};
use crate::tls::{InvalidTls, Tls};

/// A client of the internal API of one service. Clones share its connections.
///
/// It follows no redirect and goes through no proxy: both would show the credential to another server. A
/// request that a connection has begun to send is never repeated.
#[derive(Clone)]
pub struct Client {
    pub(crate) http: Http,
    pub(crate) address: ServiceAddress,
    pub(crate) credential: Option<Credential>,
}

impl Client {
    /// A client without a credential that trusts the roots of the system.
    ///
    /// # Errors
    ///
    /// [`InvalidTls`] when the roots of the system cannot be read, of an `https` address.
    pub fn new(address: &ServiceAddress) -> Result<Self, InvalidTls> {
        Self::with_tls(address, &Tls::default())
    }

    /// A client without a credential.
    ///
    /// # Errors
    ///
    /// [`InvalidTls`] when the roots of the system cannot be read, of an `https` address.
    pub fn with_tls(address: &ServiceAddress, tls: &Tls) -> Result<Self, InvalidTls> {
        Ok(Self {
            http: http(address.endpoint(), tls)?,
            address: address.clone(),
            credential: None,
        })
    }

    /// The same client with a credential. One with a certificate needs none.
    #[must_use]
    pub fn with_credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    pub(crate) fn get<T>(&self, path: String) -> Call<'_, T> {
        Call::new(self, Method::GET, path)
    }

    pub(crate) fn post<T>(&self, path: String, body: &impl Serialize) -> Call<'_, T> {
        Call::new(self, Method::POST, path).with_body(body)
    }

    pub(crate) fn patch<T>(&self, path: String, body: &impl Serialize) -> Call<'_, T> {
        Call::new(self, Method::PATCH, path).with_body(body)
    }

    pub(crate) fn put<T>(
        &self,
        path: String,
        body: &impl Serialize,
        entity_tag: Option<&str>,
    ) -> Call<'_, T> {
        Call::new(self, Method::PUT, path)
            .with_body(body)
            .only_if(entity_tag)
    }

    pub(crate) fn delete(&self, path: String) -> Call<'_, ()> {
        Call::new(self, Method::DELETE, path)
    }
}
