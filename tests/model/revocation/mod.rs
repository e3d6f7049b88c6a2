//! How tokens are taken back, as a second model that is searched in the same way: one revocation that
//! is opened and closed, the tokens that it matches, the heads of the feed, and a verifier that
//! follows.
//!
//! What the other model shows is taken as right here: rounds, leases, the history check, the wait for
//! the lock. [`rules::Rules`] has one field for each rule that this one is about: [`sound`] searches
//! them as they are, and [`broken`] gets each wrong once. [`laws`] says that nothing bad happens, and
//! [`progress`] that no revocation stays open.
//!
//! What is left out, and why that is safe:
//!
//! - One revocation. Revocations share nothing but the order of their events.
//! - Every replica that may sign at once does so in every state, and one token at a time is signed
//!   step by step beside that. Of tokens that were signed without knowledge the one with the latest
//!   `iat` is kept, which is accepted wherever another is.
//! - An opening is committed in one step, and a closing too where that is not what the search is about.
//! - One verifier, whose clock is the store's. What its clock may be off widens `guaranteed`.
//! - The clock of a standby that takes over is that of the store before it.

mod closing;
mod feed;
mod laws;
mod opening;
mod progress;
mod round;
mod rules;
mod setting;
mod signing;
mod state;
mod steps;

mod broken;
mod sound;
