//! What the crate accepts and refuses, through its public surface: vectors from the RFCs, one test for
//! each attack that a verifier meets, and properties.

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod forgeries;
#[cfg(test)]
mod jwk;
#[cfg(test)]
mod jwk_set;
#[cfg(test)]
mod jws_form;
#[cfg(test)]
mod jws_header;
#[cfg(test)]
mod jws_signature;
#[cfg(test)]
mod properties;
