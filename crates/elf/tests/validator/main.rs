//! The validator's rules on files made here.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod boot;
mod make;
mod mutations;
mod rules;
