//! Who a caller is: pure rules, without a clock, I/O or async.

pub mod certificate;
