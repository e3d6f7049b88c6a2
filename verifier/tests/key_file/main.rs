//! Keys in a file that an operator replaces while tokens are verified with it.

#[cfg(test)]
mod replacement;
