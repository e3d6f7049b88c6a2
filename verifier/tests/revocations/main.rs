//! Revocations from an issuer that is honest, slow, broken or hostile: a real server on a port of this
//! machine, and a verifier that must refuse what was revoked, and never for longer accept it than it
//! says.

#[path = "../remote/authority.rs"]
#[cfg(test)]
mod authority;
#[path = "../remote/fixtures.rs"]
#[cfg(test)]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod fixtures;
#[path = "../remote/issuer.rs"]
#[cfg(test)]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod issuer;
#[path = "../conformance/fixtures.rs"]
#[cfg(test)]
#[allow(dead_code, reason = "each test target uses its own part of it")]
mod keys;
#[cfg(test)]
mod scene;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod file;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod key_change;
#[cfg(test)]
mod segments;
#[cfg(test)]
mod selectors;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod signature_cache;
