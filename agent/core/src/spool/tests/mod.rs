//! The spool on a disk that fills, fails, decays and loses its power: `crash` cuts it everywhere, `faults` and `caps`
//! look at one thing at a time.

mod caps;
mod crash;
mod faults;
