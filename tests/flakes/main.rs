//! Flakes and fetchers, compared with stock Nix: references, fetched trees, lock files byte for byte, what commands print.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod fetching;
mod locking;
mod places;
