//! A connection to the database that can be cut, and that can be long.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// What a proxy does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Line {
    /// It passes it on.
    Whole,
    /// It passes it on after [`DELAY`].
    Long,
    /// It keeps it, and says nothing.
    Silent,
    /// It ends every connection at once.
    Reset,
}

/// How long what it is given is under way on a long line, each way.
const DELAY: Duration = Duration::from_millis(5);

/// Listens, and passes on to a port of 127.0.0.1.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    line: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::new(AtomicU8::new(Line::Whole as u8));
        let state = Arc::clone(&line);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if let Ok(far) = TcpStream::connect(("127.0.0.1", target)) {
                    carry(&near, &far, &state);
                    carry(&far, &near, &state);
                }
            }
        });
        Self { port, line }
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.store(line as u8, Ordering::SeqCst);
    }
}

/// Carries bytes one way until either end hangs up.
fn carry(from: &TcpStream, to: &TcpStream, line: &Arc<AtomicU8>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let line = Arc::clone(line);
    let tick = Duration::from_millis(20);
    from.set_read_timeout(Some(tick)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            let state = line.load(Ordering::SeqCst);
            if state == Line::Silent as u8 {
                thread::sleep(tick);
                continue;
            }
            if state == Line::Reset as u8 {
                break;
            }
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    if state == Line::Long as u8 {
                        thread::sleep(DELAY);
                    }
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
