//! Status lists of other issuers: tokens that their lists do not call valid, and lists that are broken,
//! late, foreign or hostile.

#[path = "../conformance/fixtures.rs"]
#[cfg(test)]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod keys;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod scene;
