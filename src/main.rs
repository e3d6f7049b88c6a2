//! The keywright binary: everything is in the library.

use std::process::ExitCode;

/// Half of what a signature costs beside the mathematics is small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keywright::cli::run()
}
