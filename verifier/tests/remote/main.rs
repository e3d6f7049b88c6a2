//! Keys from an issuer that is slow, broken, hostile, or about to rotate: a real server on a port of
//! this machine, and a verifier that must neither hang, nor flood it, nor accept what it should not.

#[cfg(test)]
mod authority;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod freshness;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod lifetime;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod tls;
