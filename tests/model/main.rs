//! The protocol by which several processes share one store (`docs/replication.md`), as a model of
//! which every state is visited: every order in which replicas read, swap, beat, renew, decide,
//! commit, sign, freeze, are cut off, are killed and come back, while time passes, commits hang and
//! the store fails over to a standby that lacks the last of them.
//!
//! A replica that is frozen, slow or cut off is one that takes no step while time passes, and no
//! step is ever bound to happen; so all of that is in every search. An answer that is lost is one
//! after which no further step of its round comes. The rules bear the names of the functions that
//! they mirror, and [`rules::Rules`] has one field for each: [`sound`] searches them as they are,
//! [`broken`] gets each wrong once and wants to see which law falls, and prints the shortest story of
//! how. [`laws`] says that nothing bad happens, [`progress`] that leases are renewed.
//!
//! What is left out, and why that is safe:
//!
//! - One issuer with one algorithm and three keys, of which one may be a canary. Issuers share nothing but the
//!   order of events.
//! - Reading the changes and loading the sets is one step: a set that is loaded later is newer.
//! - A commit that does not hang has its deadline checked and lands in one step, and so do a
//!   heartbeat's statement and its commit. How often either hangs has a bound, as have crashes, clocks
//!   that jump and fail-overs.
//! - Every replica serves and signs at every moment at which it has a lease: doing it less often
//!   takes away from what can go wrong. Verifiers are two instants for each key, until when one of them
//!   may hold a set from before it and one from after it.
//! - A verifier's own clock (`clock_skew`) is zero: it widens both sides of every comparison.
//! - A fail-over may lose the last commit and the rows of any replicas. A row that goes back to an
//!   earlier one is not another case: it says less than the one that was lost, and counts as live for
//!   longer than none.
//! - How the staleness is agreed on is another, smaller protocol ([`agreement`]), and so is how tokens
//!   are taken back ([`revocation`]).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers too"
)]

mod agreement;
mod change;
mod laws;
mod progress;
mod revocation;
mod round;
mod rules;
mod search;
mod setting;
mod state;
mod steps;

mod broken;
mod sound;
