//! Boots an image in QEMU and drives its console.
//!
//! It takes a description of a machine (`vm.json`, an output of the image's expressions), makes a disk from the image,
//! runs QEMU, and either connects the console with the user's terminal or holds the conversation that tests the image.
//!
//! It is *not* a store: it is told where the described files lie. And it does not judge: that is up to the image's own checks,
//! which it asks for.
//!
//! Invariants:
//! - The image is never written to. The throw-away disk has no name: it is gone when QEMU ends, however that happens.
//! - When [`qemu::Qemu`] is dropped, or the process ends in whatever way, QEMU ends.
//! - A terminal that was made raw is given back as it was.
//! - [`session`], [`console`] and [`escape`] are pure: bytes and times go in, actions come out. What a machine prints never panics
//!   them, and they keep only a bounded part of it.
//!
//! The parts, from bottom to top: [`description`], [`disk`], [`qemu`], [`console`] (bytes to lines), [`escape`] (keys of the
//! user), [`session`] (the test as a state machine), [`transcript`], [`ssh`], [`terminal`], and what brings them together:
//! [`interactive`] and [`drive`].

pub mod console;
pub mod description;
pub mod disk;
pub mod drive;
mod error;
pub mod escape;
pub mod interactive;
pub mod qemu;
pub mod session;
pub mod ssh;
pub mod terminal;
pub mod transcript;

pub use description::Machine;
pub use error::{Error, Result};
