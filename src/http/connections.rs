//! The open connections of a listener: how many there are, whose they are, and which one gives way.
//!
//! A connection is *idle* while no request of it is carried out: before its handshake, while a head
//! arrives, between two requests. When an address or the listener has as many as it may, the oldest
//! idle connection is closed for the new one. So silent connections keep no client out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::Notify;

use crate::authority::throttle::network;

/// What the clients of a listener may have open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at a time.
    pub total: usize,
    /// Connections of one address at a time; an IPv6 /64 counts as one.
    pub per_address: usize,
    /// Proxies: like loopback they speak for many clients, and have no bound of their own.
    pub proxies: Vec<IpNet>,
}

impl ConnectionLimits {
    /// Whom an address counts for; `None` where it speaks for many.
    pub(super) fn bounded(&self, address: IpAddr) -> Option<IpAddr> {
        let address = address.to_canonical();
        (!self.is_exempt(address)).then(|| network(address))
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        let is_proxy = |proxy: &IpNet| proxy.contains(&address);
        address.is_loopback() || self.proxies.iter().any(is_proxy)
    }
}

/// No request is carried out.
const IDLE: u8 = 0;
/// A request is carried out.
const BUSY: u8 = 1;
/// It has given way.
const CLOSED: u8 = 2;

/// The open connections of a listener.
pub(super) struct OpenConnections {
    limits: ConnectionLimits,
    table: Mutex<Table>,
    /// Numbers what happens, so that the oldest is known without a clock.
    moments: AtomicU64,
    /// One has closed or become idle.
    freed: Notify,
}

#[derive(Default)]
struct Table {
    open: BTreeMap<u64, Arc<Connection>>,
    by_address: HashMap<IpAddr, usize>,
}

struct Connection {
    address: IpAddr,
    is_exempt: bool,
    state: AtomicU8,
    /// Since when it has been idle.
    idle_since: AtomicU64,
    closed: Notify,
}

/// Why a connection is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// Its address has too many, and all are busy.
    Address,
    /// The listener has too many, and all are busy.
    Listener,
}

impl OpenConnections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: Mutex::default(),
            moments: AtomicU64::new(0),
            freed: Notify::new(),
        })
    }

    /// Opens a connection of this address, for which an idle one may be closed. If all are busy it
    /// waits until one is not. `None` when the address has as many busy ones as it may.
    pub(super) async fn open(self: &Arc<Self>, address: IpAddr) -> Option<OpenConnection> {
        loop {
            let freed = self.freed.notified();
            match self.try_open(address) {
                Ok(connection) => return Some(connection),
                Err(Full::Address) => return None,
                Err(Full::Listener) => freed.await,
            }
        }
    }

    fn try_open(self: &Arc<Self>, address: IpAddr) -> Result<OpenConnection, Full> {
        let address = address.to_canonical();
        let is_exempt = self.limits.is_exempt(address);
        let address = network(address);
        let mut table = self.table();
        let own = table.by_address.get(&address).copied().unwrap_or_default();
        if !is_exempt && own >= self.limits.per_address {
            let of_address = |connection: &Connection| connection.address == address;
            table.close_oldest_idle(of_address).ok_or(Full::Address)?;
        }
        if table.open.len() >= self.limits.total {
            table.close_oldest_idle(|_| true).ok_or(Full::Listener)?;
        }
        let now = self.moments.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            address,
            is_exempt,
            state: AtomicU8::new(IDLE),
            idle_since: AtomicU64::new(now),
            closed: Notify::new(),
        });
        table.open.insert(now, Arc::clone(&connection));
        *table.by_address.entry(address).or_default() += 1;
        Ok(OpenConnection {
            number: now,
            connection,
            all: Arc::clone(self),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Closes the connection that has been idle for longest, of those that may be closed: of the
    /// address that has most, so that who opens many loses them first; of a proxy only when there is
    /// no other.
    fn close_oldest_idle(&mut self, may_be_closed: impl Fn(&Connection) -> bool) -> Option<()> {
        loop {
            let candidates = self.open.iter().filter(|(_, connection)| {
                connection.state.load(Ordering::Acquire) == IDLE && may_be_closed(connection)
            });
            let (&number, oldest) = candidates.min_by_key(|(_, connection)| {
                let count = self.by_address.get(&connection.address);
                let idle_since = connection.idle_since.load(Ordering::Relaxed);
                (connection.is_exempt, Reverse(count.copied()), idle_since)
            })?;
            // A request may have arrived since.
            let outcome =
                oldest
                    .state
                    .compare_exchange(IDLE, CLOSED, Ordering::AcqRel, Ordering::Acquire);
            if outcome.is_ok() {
                oldest.closed.notify_one();
                self.remove(number);
                return Some(());
            }
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(connection) = self.open.remove(&number) else {
            return;
        };
        if let Some(count) = self.by_address.get_mut(&connection.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&connection.address);
            }
        }
    }
}

/// A connection that is open until this is dropped.
pub(super) struct OpenConnection {
    number: u64,
    connection: Arc<Connection>,
    all: Arc<OpenConnections>,
}

impl OpenConnection {
    /// Returns when the connection must give way.
    pub(super) async fn closed(&self) {
        self.connection.closed.notified().await;
    }

    /// Marks its requests.
    pub(super) fn activity(&self) -> Activity {
        Activity {
            connection: Arc::clone(&self.connection),
            all: Arc::clone(&self.all),
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.all.table().remove(self.number);
        self.all.freed.notify_one();
    }
}

/// What is done on one connection.
#[derive(Clone)]
pub(super) struct Activity {
    connection: Arc<Connection>,
    all: Arc<OpenConnections>,
}

impl Activity {
    /// A request is carried out until the answer is dropped. `None` when the connection has given way.
    pub(super) fn begin_request(&self) -> Option<BusyConnection> {
        let begun =
            self.connection
                .state
                .compare_exchange(IDLE, BUSY, Ordering::AcqRel, Ordering::Acquire);
        (begun != Err(CLOSED)).then(|| BusyConnection(self.clone()))
    }
}

/// A connection on which a request is carried out.
pub(super) struct BusyConnection(Activity);

impl Drop for BusyConnection {
    fn drop(&mut self) {
        let Activity { connection, all } = &self.0;
        let now = all.moments.fetch_add(1, Ordering::Relaxed);
        connection.idle_since.store(now, Ordering::Relaxed);
        connection.state.store(IDLE, Ordering::Release);
        all.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(total: usize, per_address: usize) -> Arc<OpenConnections> {
        OpenConnections::new(ConnectionLimits {
            total,
            per_address,
            proxies: vec!["198.51.100.0/24".parse().unwrap()],
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_closed(connection: &OpenConnection) -> bool {
        connection.connection.state.load(Ordering::Acquire) == CLOSED
    }

    #[test]
    fn an_address_with_too_many_loses_its_own_oldest_idle_one() {
        let all = limited(100, 3);
        let attacker = address("203.0.113.1");
        let other = all.try_open(address("203.0.113.2")).unwrap();
        let held: Vec<_> = (0..3).map(|_| all.try_open(attacker).unwrap()).collect();
        let busy = held[0].activity().begin_request();
        let _fourth = all.try_open(attacker).unwrap();
        assert_eq!(
            held.iter().map(is_closed).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert!(!is_closed(&other));
        // What has been used since is younger.
        drop(busy);
        let _fifth = all.try_open(attacker).unwrap();
        assert!(is_closed(&held[2]) && !is_closed(&held[0]));
    }

    #[test]
    fn an_address_whose_connections_are_all_busy_gets_no_further_one() {
        for (attacker, neighbour) in [
            ("203.0.113.1", "203.0.113.1"),
            ("::ffff:203.0.113.1", "203.0.113.1"),
            ("2001:db8::1", "2001:db8::2"),
        ] {
            let all = limited(100, 2);
            let held: Vec<_> = (0..2)
                .map(|_| all.try_open(address(attacker)).unwrap())
                .collect();
            let _busy: Vec<_> = held
                .iter()
                .map(|one| one.activity().begin_request())
                .collect();
            assert_eq!(all.try_open(address(neighbour)).err(), Some(Full::Address));
            assert!(all.try_open(address("192.0.2.1")).is_ok());
        }
    }

    #[test]
    fn loopback_and_proxies_are_bound_by_the_listener_alone() {
        for exempt in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "198.51.100.7",
        ] {
            let all = limited(10, 2);
            let held: Vec<_> = (0..10)
                .map(|_| all.try_open(address(exempt)).unwrap())
                .collect();
            assert!(!held.iter().any(is_closed), "{exempt}");
            let _eleventh = all.try_open(address(exempt)).unwrap();
            assert!(is_closed(&held[0]), "{exempt}");
        }
    }

    #[test]
    fn in_a_full_listener_the_address_with_most_gives_way_and_a_proxy_last() {
        let all = limited(8, 8);
        let _proxy: Vec<_> = (0..4)
            .map(|_| all.try_open(address("198.51.100.7")).unwrap())
            .collect();
        let single = all.try_open(address("192.0.2.1")).unwrap();
        let many: Vec<_> = (0..3)
            .map(|_| all.try_open(address("203.0.113.1")).unwrap())
            .collect();
        let _another = all.try_open(address("192.0.2.2")).unwrap();
        assert!(is_closed(&many[0]) && !is_closed(&single));
        let _busy: Vec<_> = many
            .iter()
            .map(|one| one.activity().begin_request())
            .collect();
        let _another = all.try_open(address("192.0.2.3")).unwrap();
        assert!(is_closed(&single));
        assert!(!_proxy.iter().any(is_closed));
    }

    #[tokio::test]
    async fn a_listener_whose_connections_are_all_busy_waits_until_one_is_not() {
        let all = limited(2, 2);
        let first = all.open(address("192.0.2.1")).await.unwrap();
        let second = all.open(address("192.0.2.2")).await.unwrap();
        let busy = first.activity().begin_request();
        let _busy = second.activity().begin_request();
        let third = tokio::spawn({
            let all = Arc::clone(&all);
            async move { all.open(address("192.0.2.3")).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop(busy);
        assert!(third.await.unwrap());
        first.closed().await;
        assert!(
            first.activity().begin_request().is_none(),
            "it has given way"
        );
        // What has gone is counted no more.
        drop((first, second));
        assert!(all.table().by_address.is_empty() && all.table().open.is_empty());
    }
}
