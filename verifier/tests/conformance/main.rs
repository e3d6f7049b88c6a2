//! What the crate accepts and refuses, through its public surface: vectors from the RFCs, the forms
//! that a token and a key may have, and properties. The attacks end to end are in `attacks/`.

#[cfg(test)]
mod fixtures;
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
#[cfg(test)]
mod verifier;
