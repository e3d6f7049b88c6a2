//! The feature `axum` through a real server: what a client is answered, byte for byte, and who gets in.

#[path = "../conformance/fixtures.rs"]
#[cfg(test)]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod fixtures;
#[cfg(test)]
mod service;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod bound;
#[cfg(test)]
mod challenge;
#[cfg(test)]
mod extractor;
#[cfg(test)]
mod layer;
#[cfg(test)]
mod requirement;
