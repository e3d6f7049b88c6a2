//! The HTTP client that issuers are asked with: GET over HTTP/1.1, with TLS by ring, through the proxy
//! that the environment names.
//!
//! It stands on hyper. A client with more of its own, such as reqwest, would share its features with the
//! rest of the program (Cargo unifies them), and could stop what another crate does with it.

mod address;
mod exchange;
mod location;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_rustls::{DefaultServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

use address::{is_loopback, parse_issuer};
use exchange::tls;

#[cfg(not(feature = "status-lists"))]
use address::parse_address;
#[cfg(feature = "status-lists")]
pub(crate) use address::parse_address;

pub use address::InvalidAddress;
pub use exchange::FetchError;
pub(crate) use exchange::{Roots, body};
pub(crate) use location::{Location, Locator};

/// How long a connection stays open. Discovery and keys share one; the fetch after that is minutes
/// away, and by then something between may have forgotten the connection without a word.
const IDLE_CONNECTION: Duration = Duration::from_secs(5);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client of issuers. It follows no redirect and repeats no request.
pub(crate) struct HttpClient {
    client: Client<Connector, Empty<Bytes>>,
    #[cfg(feature = "revocations")]
    connector: Connector,
}

impl HttpClient {
    pub(crate) fn new(location: &Location, roots: Roots) -> Result<Self, rustls::Error> {
        let tls = tls(location.url(), roots)?;
        Ok(Self::with_connector(Connector::new(tls)))
    }

    /// Asks on new connections from now on: something between may lead them to another server.
    #[cfg(feature = "revocations")]
    pub(crate) fn drop_connections(&mut self) {
        *self = Self::with_connector(self.connector.clone());
    }

    fn with_connector(connector: Connector) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_CONNECTION)
                .pool_max_idle_per_host(1)
                .retry_canceled_requests(false)
                .build(connector.clone()),
            #[cfg(feature = "revocations")]
            connector,
        }
    }

    /// Asks for `accept`, with one more header.
    ///
    /// # Errors
    ///
    /// [`FetchError::Exchange`].
    pub(crate) async fn get(
        &self,
        url: &Url,
        accept: &'static str,
        header: Option<(HeaderName, &HeaderValue)>,
    ) -> Result<Response<Incoming>, FetchError> {
        let answer = self.exchange(url, accept, header).await;
        answer.map_err(FetchError::Exchange)
    }

    async fn exchange(
        &self,
        url: &Url,
        accept: &'static str,
        header: Option<(HeaderName, &HeaderValue)>,
    ) -> Result<Response<Incoming>, BoxError> {
        let mut request = Request::get(url.as_str())
            .header(ACCEPT, accept)
            .header(
                USER_AGENT,
                concat!("keywright-verifier/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::new())?;
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(self.client.request(request).await?)
    }
}

/// A connection to a server or to its proxy, in the clear or with TLS, and TLS to the server in it.
type Connection = MaybeHttpsStream<ToProxy>;
type ToProxy = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Connects to this machine directly, and to others as the environment says (`https_proxy`,
/// `all_proxy`, `no_proxy`).
#[derive(Clone)]
struct Connector {
    direct: HttpsConnector<HttpConnector>,
    tls: Arc<ClientConfig>,
    proxies: Arc<Matcher>,
}

impl Connector {
    fn new(tls: ClientConfig) -> Self {
        let tls = Arc::new(tls);
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        Self {
            direct: with_tls(connector, &tls),
            tls,
            proxies: Arc::new(Matcher::from_env()),
        }
    }
}

fn with_tls<T>(connector: T, tls: &Arc<ClientConfig>) -> HttpsConnector<T> {
    let names = Arc::new(DefaultServerNameResolver::default());
    HttpsConnector::new(connector, Arc::clone(tls), false, names)
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let is_here = Url::parse(&server.to_string()).is_ok_and(|url| is_loopback(&url));
        let proxy = self.proxies.intercept(&server).filter(|_| !is_here);
        let Some(proxy) = proxy else {
            let connecting = self.direct.call(server);
            return Box::pin(async { Ok(MaybeHttpsStream::Http(connecting.await?)) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.direct.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        Box::pin(with_tls(tunnel, &self.tls).call(server))
    }
}
