//! The stack of a thread, after private keys were handled on it.

use std::hint::black_box;

/// How much is overwritten, in bytes: more than parsing, checking and encoding a key takes.
const DEPTH: usize = 128 * 1024;

/// Does work with private keys, and overwrites the part of the stack that the work has used: no type
/// wipes what was moved or computed there. What it returns must have its secrets on the heap.
pub fn on_wiped_stack<T>(work: impl FnOnce() -> T) -> T {
    let outcome = run(work);
    wipe();
    outcome
}

/// The frames of the work begin where those of [`wipe`] do.
#[inline(never)]
fn run<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe() {
    let mut stack = [0_u8; DEPTH];
    black_box(&mut stack);
}
