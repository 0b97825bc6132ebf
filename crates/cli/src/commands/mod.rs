//! The commands, one a file.

pub(crate) mod bench;
pub(crate) mod boot;
pub(crate) mod check;
pub(crate) mod derivation;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod eval_jobs;
pub(crate) mod flake;
pub(crate) mod instantiate;
pub(crate) mod log;
pub(crate) mod path_info;
pub(crate) mod realise;
pub(crate) mod repl;
pub(crate) mod report;
pub(crate) mod store;
pub(crate) mod targets;
pub(crate) mod template;
pub(crate) mod test;
