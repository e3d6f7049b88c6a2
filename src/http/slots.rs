//! Slots: how much of the service the requests of one class of routes take, and how much
//! of that one caller.
//!
//! A request takes a slot as soon as its caller is known. While its body is read it has a slot for
//! bodies instead, so that a slow body holds none in which a request is carried out. Everything is
//! given back when the response has been made, or when a response that is streamed has been sent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use keywright_api::LARGEST_BATCH;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::computation::{Computations, PerCaller};
use super::connection::Peer;
use super::problem::Problem;
use crate::authority::throttle::network;

/// A class of routes. What the requests of one class take, no other class lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteClass {
    /// Signatures.
    Signing,
    /// The work of the security team: changes of keys, issuers, clients and approvals, and what is
    /// read for them.
    Administration,
    /// What auditors read.
    Reading,
    /// Streams of events, each of which takes its slot for as long as it lasts.
    Following,
    /// Metrics and the description of the API, which need no credential.
    Monitoring,
}

/// What the requests of a class may take together.
struct Share {
    /// Sixteenths of `internal.max_requests`, and of as many bodies that are being read.
    sixteenths: usize,
    /// Bytes of request bodies in memory.
    body_bytes: usize,
}

const MIB: usize = 1024 * 1024;

/// One caller may take a quarter of what its class may.
const CALLERS: usize = 4;

impl RouteClass {
    pub(super) const ALL: [Self; 5] = [
        Self::Signing,
        Self::Administration,
        Self::Reading,
        Self::Following,
        Self::Monitoring,
    ];

    const fn share(self) -> Share {
        let (sixteenths, body_bytes) = match self {
            Self::Signing => (8, 64 * MIB),
            Self::Administration => (3, 16 * MIB),
            Self::Reading => (3, 8 * MIB),
            Self::Following => (1, 0),
            Self::Monitoring => (1, 0),
        };
        Share {
            sixteenths,
            body_bytes,
        }
    }
}

/// So much of each thing that requests take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amounts {
    /// Requests that are carried out.
    requests: usize,
    /// Bodies that are being read.
    bodies: usize,
    /// Bytes of bodies.
    body_bytes: usize,
}

impl Amounts {
    const REQUEST: Self = Self {
        requests: 1,
        bodies: 0,
        body_bytes: 0,
    };
    const BODY: Self = Self {
        requests: 0,
        bodies: 1,
        body_bytes: 0,
    };

    fn exchanged(self, less: Self, more: Self) -> Self {
        let exchange = |have: usize, less, more| have.saturating_sub(less).saturating_add(more);
        Self {
            requests: exchange(self.requests, less.requests, more.requests),
            bodies: exchange(self.bodies, less.bodies, more.bodies),
            body_bytes: exchange(self.body_bytes, less.body_bytes, more.body_bytes),
        }
    }

    fn is_within(self, limit: Self) -> bool {
        self.requests <= limit.requests
            && self.bodies <= limit.bodies
            && self.body_bytes <= limit.body_bytes
    }

    /// A caller's part. A slot is not divided.
    fn of_one_caller(self) -> Self {
        Self {
            requests: (self.requests / CALLERS).max(1),
            bodies: (self.bodies / CALLERS).max(1),
            body_bytes: self.body_bytes / CALLERS,
        }
    }
}

/// Whose bound keeps a request out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exhausted {
    /// The caller's own.
    Caller,
    /// That of the class.
    Class,
}

/// What the requests of one class take.
struct ClassUsage {
    limit: Amounts,
    usage: Mutex<Usage>,
}

#[derive(Default)]
struct Usage {
    total: Amounts,
    /// Only callers that take something.
    by_caller: HashMap<String, Amounts>,
}

impl ClassUsage {
    fn new(class: RouteClass, requests: usize) -> Self {
        let Share {
            sixteenths,
            body_bytes,
        } = class.share();
        let slots = (requests.saturating_mul(sixteenths) / 16).max(1);
        Self {
            limit: Amounts {
                requests: slots,
                bodies: slots,
                body_bytes,
            },
            usage: Mutex::default(),
        }
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives `less` back and takes `more`, or does neither.
    fn exchange(&self, caller: &str, less: Amounts, more: Amounts) -> Result<(), Exhausted> {
        let mut usage = self.usage();
        let before = usage.by_caller.get(caller).copied().unwrap_or_default();
        let (total, own) = (
            usage.total.exchanged(less, more),
            before.exchanged(less, more),
        );
        if !own.is_within(self.limit.of_one_caller()) {
            return Err(Exhausted::Caller);
        }
        if !total.is_within(self.limit) {
            return Err(Exhausted::Class);
        }
        usage.total = total;
        if own == Amounts::default() {
            usage.by_caller.remove(caller);
        } else if let Some(known) = usage.by_caller.get_mut(caller) {
            *known = own;
        } else {
            usage.by_caller.insert(caller.to_owned(), own);
        }
        Ok(())
    }
}

/// The slots of all classes.
pub(super) struct Slots {
    classes: [ClassUsage; RouteClass::ALL.len()],
    computations: Computations,
    /// The signatures that are made for the batches of each caller.
    batches: PerCaller<Semaphore>,
}

impl Slots {
    /// Shares so many requests in progress among the classes; each has one at least.
    pub(super) fn of(requests: usize) -> Arc<Self> {
        Arc::new(Self {
            classes: RouteClass::ALL.map(|class| ClassUsage::new(class, requests)),
            computations: Computations::default(),
            batches: PerCaller::default(),
        })
    }

    /// A request that has taken nothing yet.
    pub(super) fn new_request(self: &Arc<Self>) -> RequestSlot {
        RequestSlot(Arc::new(Request {
            slots: Arc::clone(self),
            held: Mutex::default(),
        }))
    }

    fn class(&self, class: RouteClass) -> Option<&ClassUsage> {
        self.classes.get(class as usize)
    }
}

/// What one request takes. Every request to the internal listener has one in its extensions.
#[derive(Clone)]
pub(super) struct RequestSlot(Arc<Request>);

struct Request {
    slots: Arc<Slots>,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    class: RouteClass,
    caller: String,
    amounts: Amounts,
}

impl RequestSlot {
    /// Takes a slot of this class for this caller.
    ///
    /// # Errors
    /// 429 when the caller has as many as one may, 503 when there is none.
    pub(super) fn enter(&self, class: RouteClass, caller: &str) -> Result<(), Problem> {
        *self.0.held() = Some(Held {
            class,
            caller: caller.to_owned(),
            amounts: Amounts::default(),
        });
        self.0.exchange(Amounts::default(), Amounts::REQUEST)
    }

    /// Takes a slot of this class for a caller that is not known yet, by its address.
    ///
    /// # Errors
    /// As for [`enter`](Self::enter).
    pub(super) fn enter_by_address(
        &self,
        class: RouteClass,
        address: Option<IpAddr>,
    ) -> Result<(), Problem> {
        self.enter(class, &caller_at(address))
    }

    /// What the request has taken counts as this caller's from now on.
    ///
    /// # Errors
    /// As for [`enter`](Self::enter); the request has taken nothing then.
    pub(super) fn hand_over(&self, caller: &str) -> Result<(), Problem> {
        let taken = self.0.release();
        let Some(Held { class, amounts, .. }) = taken else {
            return Ok(());
        };
        *self.0.held() = Some(Held {
            class,
            caller: caller.to_owned(),
            amounts: Amounts::default(),
        });
        self.0.exchange(Amounts::default(), amounts)
    }

    /// What the request has taken is given back.
    pub(super) fn release(&self) {
        self.0.release();
    }

    /// The body is about to be read.
    ///
    /// # Errors
    /// As for [`enter`](Self::enter).
    pub(super) fn begin_body(&self) -> Result<(), Problem> {
        self.0.exchange(Amounts::REQUEST, Amounts::BODY)
    }

    /// So many bytes of the body have arrived.
    ///
    /// # Errors
    /// As for [`enter`](Self::enter).
    pub(super) fn grow_body(&self, body_bytes: usize) -> Result<(), Problem> {
        let more = Amounts {
            body_bytes,
            ..Amounts::default()
        };
        self.0.exchange(Amounts::default(), more)
    }

    /// The body has been read; its bytes still count.
    ///
    /// # Errors
    /// As for [`enter`](Self::enter).
    pub(super) fn end_body(&self) -> Result<(), Problem> {
        self.0.exchange(Amounts::BODY, Amounts::REQUEST)
    }

    /// Waits until so many signatures of a batch may be made. Of one caller's batches as many are made
    /// at a time as one batch may have: the engine's queue, which all share, has room for twice as many.
    pub(super) async fn await_turn_to_sign(
        &self,
        signatures: NonZeroU32,
    ) -> Option<OwnedSemaphorePermit> {
        let caller = self.0.held().as_ref().map(|held| held.caller.clone());
        let caller = caller.unwrap_or_default();
        let batches = &self.0.slots.batches;
        let own = batches.of(&caller, || Semaphore::new(LARGEST_BATCH));
        // It is never closed, so that the permit always comes.
        own.acquire_many_owned(signatures.get()).await.ok()
    }

    /// Runs work that computes for more than a millisecond off the threads that serve requests. Of
    /// one caller one runs at a time and 16 wait, of a class two run.
    ///
    /// # Errors
    /// 429 when too many of the caller wait, 500 when the work panics.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let held = self.0.held().clone();
        let (class, caller) = match &held {
            Some(held) => (held.class, held.caller.as_str()),
            None => (RouteClass::Monitoring, ""),
        };
        self.0.slots.computations.run(class, caller, work).await
    }
}

impl Request {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, less: Amounts, more: Amounts) -> Result<(), Problem> {
        let mut held = self.held();
        let Some(held) = held.as_mut() else {
            return Ok(());
        };
        let Some(usage) = self.slots.class(held.class) else {
            return Ok(());
        };
        usage
            .exchange(&held.caller, less, more)
            .map_err(|exhausted| match exhausted {
                Exhausted::Caller => Problem::too_many_requests(),
                Exhausted::Class => Problem::overloaded(),
            })?;
        held.amounts = held.amounts.exchanged(less, more);
        Ok(())
    }
}

impl Request {
    /// Gives back what the request has taken, and says what that was.
    fn release(&self) -> Option<Held> {
        let held = self.held().take()?;
        if let Some(usage) = self.slots.class(held.class) {
            // Less is always within the bounds.
            let _ = usage.exchange(&held.caller, held.amounts, Amounts::default());
        }
        Some(held)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.release();
    }
}

/// A caller that needs no credential, known by its address. It takes a slot, as
/// [`HasRole`](super::authentication::HasRole) does for one that has authenticated.
pub(super) struct Anyone;

impl<S: Sync> FromRequestParts<S> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let address = parts.extensions.get::<Peer>().map(|peer| peer.address.ip());
        take_slot(parts, &caller_at(address))?;
        Ok(Self)
    }
}

/// What stands for a caller of which only the address is known.
fn caller_at(address: Option<IpAddr>) -> String {
    let network = address.map(network);
    network.as_ref().map(IpAddr::to_string).unwrap_or_default()
}

/// Takes a slot of the route's class for a caller.
///
/// # Errors
/// As for [`RequestSlot::enter`].
pub(super) fn take_slot(parts: &Parts, caller: &str) -> Result<(), Problem> {
    let slot = parts.extensions.get::<RequestSlot>();
    let class = parts.extensions.get::<RouteClass>();
    match slot.zip(class) {
        Some((slot, class)) => slot.enter(*class, caller),
        None => Ok(()),
    }
}
