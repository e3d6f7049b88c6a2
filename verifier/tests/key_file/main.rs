//! Keys in a file that somebody replaces while tokens are verified with it.

#[cfg(test)]
mod replacement;
