//! Connections that are opened and say nothing: they keep no client out, whatever address they come from.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::exchange::{head, parse, read_to_end};
use crate::shares::while_another_signs;
use crate::support::{Server, report, request, start_with};
use crate::world::eventually;

/// The address of this machine in its network, which is not loopback. A machine without a network
/// has none.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.254:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    // Loopback is apart, and an address that cannot be bound is another machine's.
    (!address.is_loopback() && TcpListener::bind((address, 0)).is_ok()).then_some(address)
}

/// A server that is reached by loopback and by the machine's own address.
struct World {
    server: Server,
    own: IpAddr,
}

impl World {
    /// `None` on a machine without a network.
    fn with(settings: &str) -> Option<Self> {
        let own = own_address();
        if own.is_none() {
            report("no address but loopback: the bound per address is not tested");
        }
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let everywhere = [
            ("KEYWRIGHT_PUBLIC__LISTEN", "0.0.0.0:0"),
            ("KEYWRIGHT_INTERNAL__LISTEN", "0.0.0.0:0"),
            ("KEYWRIGHT_INTERNAL__ALLOW_PLAINTEXT", "true"),
        ];
        let server = start_with(folder, settings, &everywhere).unwrap();
        Some(Self { server, own: own? })
    }

    fn base(&self, base: &str, address: IpAddr) -> String {
        let port = base.rsplit(':').next().unwrap();
        format!("http://{address}:{port}")
    }

    fn connect(&self, base: &str, address: IpAddr) -> TcpStream {
        let base = self.base(base, address);
        let address: SocketAddr = base.strip_prefix("http://").unwrap().parse().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let timeout = Some(Duration::from_secs(20));
        stream.set_read_timeout(timeout).unwrap();
        stream
    }

    /// Others are answered: from loopback, and from the address that is hostile.
    fn answers_others(&self) {
        for address in [IpAddr::from([127, 0, 0, 1]), self.own] {
            let begin = Instant::now();
            let public = self.base(&self.server.public, address);
            let jwks = request("GET", &format!("{public}/.well-known/jwks.json"), &[], None);
            assert_eq!(jwks.status, 200, "{address}");
            let internal = self.base(&self.server.internal, address);
            let bearer = [("authorization", format!("Bearer {}", self.server.admin))];
            let issuers = request("GET", &format!("{internal}/v1/issuers"), &bearer, None);
            assert_eq!(issuers.status, 200, "{address}");
            assert!(begin.elapsed() < Duration::from_secs(5), "{address}");
        }
    }
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.peek(&mut [0]) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

fn open_among(held: &[TcpStream]) -> usize {
    held.iter().filter(|stream| is_open(stream)).count()
}

#[test]
fn silent_connections_of_one_address_keep_no_other_out() {
    let Some(world) = World::with("") else { return };
    let server = &world.server;
    for (what, base, most) in [
        ("internal", &server.internal, 1024),
        ("public", &server.public, 2048),
    ] {
        while_another_signs(what, server, || {
            let held: Vec<TcpStream> = (0..4100).map(|_| world.connect(base, world.own)).collect();
            world.answers_others();
            let open = eventually("the others are closed", || {
                let open = open_among(&held);
                (open <= most).then_some(open)
            });
            report(&format!("{what}: {open} of 4100 are still open"));
            // Those that came last, for a while.
            assert!(open > most / 2, "{open}");
            assert!(is_open(&held[4099]) && !is_open(&held[0]));
        });
    }
}

#[test]
fn connections_that_do_little_give_way_to_those_that_ask() {
    let settings = "internal.max_connections = 64\npublic.max_connections = 64\n";
    let Some(world) = World::with(settings) else {
        return;
    };
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let used = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    let half = b"GET /nothing HTTP/1.1\r\nHost: a\r\nX: ";
    for (what, address, said) in [
        ("silent, from loopback", loopback, &b""[..]),
        ("used once, from loopback", loopback, used),
        ("half a head, from loopback", loopback, half),
        ("used once", world.own, used),
        ("half a head", world.own, half),
    ] {
        for base in [&world.server.internal, &world.server.public] {
            let open = || {
                let mut stream = world.connect(base, address);
                stream.write_all(said).unwrap();
                if said == used {
                    assert!(stream.read(&mut [0; 4096]).unwrap() > 0, "{what}");
                }
                stream
            };
            let held: Vec<TcpStream> = (0..100).map(|_| open()).collect();
            world.answers_others();
            assert!(open_among(&held) <= 64, "{what}");
            world.answers_others();
        }
    }
}

/// A request to sign whose body does not come.
fn busy(world: &World, address: IpAddr) -> TcpStream {
    let mut stream = world.connect(&world.server.internal, address);
    let bearer = format!("Bearer {}", world.server.admin);
    let head = head(
        "POST",
        "/v1/issuers/default/tokens",
        &[
            ("Authorization", &bearer),
            ("Content-Type", "application/json"),
            ("Content-Length", "1000"),
        ],
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn an_address_whose_connections_are_all_busy_is_refused_and_a_listed_proxy_is_not() {
    let Some(world) = World::with("internal.max_connections = 16\n") else {
        return;
    };
    let held: Vec<TcpStream> = (0..4).map(|_| busy(&world, world.own)).collect();
    // They are busy as soon as their heads are read.
    std::thread::sleep(Duration::from_millis(500));
    eventually("four busy connections", || {
        let mut further = world.connect(&world.server.internal, world.own);
        let closed = matches!(further.read(&mut [0]), Ok(0) | Err(_));
        closed.then_some(())
    });
    assert_eq!(open_among(&held), 4, "they are not disturbed");
    let signed = world.server.call("GET", "/v1/issuers", None);
    assert_eq!(signed.status, 200, "others are not either");
    drop(held);
    eventually("room for the address", || {
        let mut again = world.connect(&world.server.internal, world.own);
        let get = head("GET", "/nothing", &[]);
        let _ = again.write_all(get.as_bytes());
        let answer = read_to_end(&mut again);
        (!answer.is_empty() && parse(&answer).status == 404).then_some(())
    });

    for proxies in [world.own.to_string(), format!("{}/16", world.own)] {
        let settings =
            format!("internal.max_connections = 16\ninternal.proxies = [\"{proxies}\"]\n");
        let Some(world) = World::with(&settings) else {
            return;
        };
        let held: Vec<TcpStream> = (0..8).map(|_| busy(&world, world.own)).collect();
        std::thread::sleep(Duration::from_millis(500));
        world.answers_others();
        assert_eq!(open_among(&held), 8, "{proxies}");
    }
}
