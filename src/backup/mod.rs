//! A whole store in one sealed file, the register of what is trusted, and the way back from both.
//!
//! [`mod@file`] is the form of a backup: the rows of [`transfer`](crate::store::transfer), sealed in
//! chunks under a key that is derived from the master key. [`register`] says what every key has
//! become, without a secret, and is small enough to be written down all the time. [`restore`] puts a
//! store together from the one and holds it against the other, so that nothing that was revoked
//! since comes back.

pub mod file;
pub mod register;
pub mod restore;
mod row;
