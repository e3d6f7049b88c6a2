//! What the process does when it gets a signal. None ends it without a drain, but for those that
//! cannot be caught and those of a fault in the process itself.

use std::task::{Context, Poll};

use rustix::process;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// To end, with the requests in progress answered first.
    Drain,
    /// To look at files that may have been replaced.
    Reload,
}

/// A limit of processor time is announced before the process is killed (`XCPU`).
const DRAIN: [process::Signal; 4] = [
    process::Signal::TERM,
    process::Signal::INT,
    process::Signal::QUIT,
    process::Signal::XCPU,
];

/// Their default action ends a process, and here they mean nothing. A write over a limit of size
/// (`XFSZ`) fails instead.
const IGNORED: [process::Signal; 7] = [
    process::Signal::USR1,
    process::Signal::USR2,
    process::Signal::ALARM,
    process::Signal::VTALARM,
    process::Signal::PROF,
    process::Signal::IO,
    process::Signal::XFSZ,
];

/// The signals that are heard.
pub(crate) struct Signals {
    drain: Vec<Signal>,
    reload: Signal,
}

impl Signals {
    /// Listens from now on. What arrives is heard when it is asked for.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let listen = |number: process::Signal| signal(SignalKind::from_raw(number.as_raw()));
        for number in IGNORED {
            // A signal that is listened to has no default action any more, heard or not.
            drop(listen(number)?);
        }
        #[cfg(target_os = "linux")]
        ignore_signals_of_linux();
        let drain = DRAIN.into_iter();
        #[cfg(target_os = "linux")]
        let drain = drain.chain([process::Signal::POWER]);
        Ok(Self {
            drain: drain.map(listen).collect::<Result<_, _>>()?,
            reload: listen(process::Signal::HUP)?,
        })
    }

    /// Waits for the next signal that asks for something.
    pub(crate) async fn next(&mut self) -> Request {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Request> {
        // Each of them must be polled, or it does not wake the task.
        let arrived = |signal: &mut Signal| signal.poll_recv(context).is_ready();
        if self
            .drain
            .iter_mut()
            .map(arrived)
            .fold(false, |one, other| one | other)
        {
            return Poll::Ready(Request::Drain);
        }
        self.reload.poll_recv(context).map(|_| Request::Reload)
    }
}

/// The stack fault, which no processor raises, and the real-time signals. The C library keeps some
/// of them for itself, and cannot be listened to there.
#[cfg(target_os = "linux")]
fn ignore_signals_of_linux() {
    let stack_fault = process::Signal::STKFLT.as_raw();
    for number in std::iter::once(stack_fault).chain(34..=64) {
        drop(signal(SignalKind::from_raw(number)));
    }
}
