//! `keywright serve`.

use std::error::Error;

use super::ServeArguments;

/// Runs the service until it is told to stop.
///
/// # Errors
/// Always: this build has no service.
pub(super) fn serve(_arguments: ServeArguments) -> Result<(), Box<dyn Error>> {
    Err("not built yet".into())
}
