//! The console from outside, as a browser without a script sees it: a real process, cookies and forms.
//!
//! `sign_in` has every way in and out, `protection` what a page elsewhere cannot do, `pages` what pages show,
//! `acts` what their buttons do, `policy` how a policy is tried and set, `clients` who would get a token, `crash` what
//! a page says after a kill -9, and `hostile` that what others have written stays text. `in_a_browser` runs the same in Chromium
//! (`tests/console/node`), at three widths, light and dark.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in the functions around it"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "what is tested here is another process, which lives in real time"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "nothing outside this target sees it, and it shares modules with others"
)]

mod acts;
mod browser;
mod clients;
mod crash;
mod hostile;
mod in_a_browser;
mod pages;
mod policy;
mod protection;
mod sign_in;
#[path = "../support/mod.rs"]
mod support;
#[path = "../http/world.rs"]
mod world;
