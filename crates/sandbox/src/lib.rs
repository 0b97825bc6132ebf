//! Runs one builder in namespaces of its own and reports how it ended.
//!
//! This crate **is** the wall around a build: user, mount, PID, network, IPC and UTS namespaces, a root directory that holds
//! nothing but the inputs, a system-call filter, limits, the log, and the end of every process that the build
//! started. It **is not** a store (it knows no hashes, no references, no registration) and it knows no graph.
//!
//! # Processes
//!
//! ```text
//! xbuild ──fork──▶ spawner ──clone3──▶ init (PID 1 of the build) ──vfork──▶ builder ─▶ …
//!   │  run(): prepares the scratch directory, writes the plan, reads the log, watches the clock
//! ```
//!
//! [`Sandbox::start`] forks the *spawner* while the program is still small, because the cost of a fork grows with the
//! parent's memory. For each build, [`Sandbox::run`] prepares the directories on disk, writes everything the build's
//! processes must know into a *plan* (a memory file), and sends it to the spawner with the log pipe and a control
//! socket. The spawner clones *init*, which performs the mounts, starts the builder, reaps what is left to it, and
//! leaves when the builder ends; the kernel then kills all the rest of that PID namespace.
//!
//! # Invariants
//!
//! - The builder sees only what [`Spec`] names, plus `/dev`, `/proc`, `/tmp`, `/build` and a small `/etc`. Inputs are read-only.
//! - The builder is uid 1000, gid 100 inside, without capabilities, and is never uid 0 of the machine: started by root,
//!   it runs under a host uid that owns nothing, and its files are handed to the caller afterwards.
//! - When [`Sandbox::run`] returns, no process of the build exists any more. When xbuild dies, however it dies, its builds die.
//! - Between fork and exec no memory is allocated and no lock is taken: all is prepared before.
//! - Outputs land below [`Spec::work_dir`] on the same filesystem, so they can be renamed into the store.
//!
//! Needs Linux 5.12 or newer; [`probe`] says what is missing.

mod cancel;
mod cgroup;
mod companion;
mod disguise;
mod emulation;
mod error;
mod identity;
mod init;
mod landlock;
mod layout;
mod mounts;
mod namespace;
mod network;
mod plan;
mod probe;
mod sandbox;
mod scratch;
mod seccomp;
mod spawner;
mod spec;
mod sys;
mod tree;
mod wire;

pub use cancel::CancelToken;
pub use cgroup::{CgroupPlace, Hierarchy, NoCgroups, probe_cgroups};
pub use companion::end_with_caller;
pub use emulation::{registered_emulator, registers_own_emulators};
pub use error::{BuilderProblem, SandboxError, Step};
pub use probe::{Unavailable, probe, probe_emulation};
pub use sandbox::Sandbox;
pub use scratch::ScratchPool;
pub use spec::{Bind, Emulator, ExtraBind, ExtraBindError, Machine, Report, Spec, Status};
pub use tree::{TreeError, give_tree, remove_tree};
