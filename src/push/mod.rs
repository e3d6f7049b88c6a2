//! Copies of key sets that are pushed elsewhere: what is pushed, and what is known of each copy. Pure: time is a
//! parameter.

mod copy;
mod document;
mod mark;

pub use copy::{PushState, PushedContent, PushedCopy, ReplacedCopies};
pub use mark::{CopyMark, KeySetCopy, hash_of};
