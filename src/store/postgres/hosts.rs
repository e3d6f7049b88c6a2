//! The hosts of a database, of which one takes writes, and the connections to it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Postgres};
use tokio::time::timeout;

use super::NoAnswer;
use super::url::{DatabaseUrl, place};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("all {0} connections are in use (store.max_connections)")]
    AllInUse(u32),
    #[error("this host is a standby, which takes no writes")]
    Standby,
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The hosts in turn, each with its reason.
    #[error("no host takes writes: {}", .0.join("; "))]
    NoHost(Vec<String>),
}

/// Where a database is: the hosts of its URL, in the order in which they are tried.
#[derive(Clone)]
pub(super) struct Hosts {
    hosts: Arc<[PgConnectOptions]>,
    connect_timeout: Duration,
}

impl Hosts {
    pub(super) fn new(url: &DatabaseUrl, connect_timeout: Duration) -> Result<Self, sqlx::Error> {
        Ok(Self {
            hosts: url.options()?.into(),
            connect_timeout: url.connect_timeout().unwrap_or(connect_timeout),
        })
    }

    /// How long a connection may take to be made.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// What errors call the database.
    pub(super) fn place(&self) -> String {
        place(&self.hosts)
    }

    /// Connects to the first host that takes writes. Of a single host that is not asked.
    pub(super) async fn connect(&self) -> Result<(PgConnection, PgConnectOptions), ConnectError> {
        let mut reasons = Vec::new();
        for options in &*self.hosts {
            match self.connect_to(options).await {
                Ok(connection) => return Ok((connection, options.clone())),
                Err(error) if self.hosts.len() == 1 => return Err(error),
                Err(error) => {
                    reasons.push(format!(
                        "{}:{}: {error}",
                        options.get_host(),
                        options.get_port()
                    ));
                }
            }
        }
        Err(ConnectError::NoHost(reasons))
    }

    /// The host that takes writes. A single one is not asked.
    pub(super) async fn writable(&self) -> Result<PgConnectOptions, ConnectError> {
        if let [only] = &*self.hosts {
            return Ok(only.clone());
        }
        let (connection, host) = self.connect().await?;
        self.say_goodbye(connection).await;
        Ok(host)
    }

    /// Whether the server still hears it is of no concern.
    async fn say_goodbye(&self, connection: PgConnection) {
        let _ = timeout(self.connect_timeout, connection.close()).await;
    }

    async fn connect_to(&self, options: &PgConnectOptions) -> Result<PgConnection, ConnectError> {
        let is_one_of_several = self.hosts.len() > 1;
        let connect = async {
            let mut connection = options.connect().await?;
            if is_one_of_several && is_standby(&mut connection).await? {
                return Err(ConnectError::Standby);
            }
            Ok(connection)
        };
        timeout(self.connect_timeout, connect)
            .await
            .unwrap_or(Err(NoAnswer(self.connect_timeout).into()))
    }

    /// Connections to `host`, which took writes a moment ago; none is made yet.
    pub(super) fn pool(&self, host: PgConnectOptions, most: u32, acquire: Duration) -> Pool {
        let mut options = PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(acquire);
        if self.hosts.len() > 1 {
            options = options.after_connect(|connection, _| {
                Box::pin(async move {
                    match is_standby(connection).await? {
                        true => Err(sqlx::Error::Configuration(ConnectError::Standby.into())),
                        false => Ok(()),
                    }
                })
            });
        }
        Pool {
            connections: options.connect_lazy_with(host),
            hosts: self.clone(),
        }
    }
}

async fn is_standby(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_is_in_recovery()")
        .persistent(false)
        .fetch_one(connection)
        .await
}

/// Connections to the host that takes writes.
pub(super) struct Pool {
    connections: PgPool,
    hosts: Hosts,
}

impl Pool {
    /// A connection. When there is none, the hosts are asked once more, in turn: for the server's own
    /// reason, which the pool keeps to itself, and for the host that takes writes now, to which the
    /// next connections are made.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, ConnectError> {
        let error = match self.connections.acquire().await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let most = self.connections.options().get_max_connections();
        if matches!(error, sqlx::Error::PoolTimedOut) && self.connections.size() >= most {
            return Err(ConnectError::AllInUse(most));
        }
        let (connection, host) = self.hosts.connect().await?;
        self.connections.set_connect_options(host);
        self.hosts.say_goodbye(connection).await;
        Err(error.into())
    }

    pub(super) async fn close(&self) {
        self.connections.close().await;
    }
}
