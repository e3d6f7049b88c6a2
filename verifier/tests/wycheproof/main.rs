//! Project Wycheproof's vectors for the two algorithms, through the public surface.

#[cfg(test)]
mod vectors;
