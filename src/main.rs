//! The keywright binary: everything is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Half of what a signature costs beside the mathematics is small allocations. What is freed is
/// overwritten: ring, rsa and the readers of requests free private keys that they do not wipe.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    keywright::cli::run()
}
