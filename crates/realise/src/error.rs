//! What can go wrong while realising, in words for the person who waits for it.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use xbuild_store_model::StorePath;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be realised.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] xbuild_store::Error),
    /// A store path is needed that neither exists nor has a derivation.
    #[error(
        "store path {path} is needed{by} but is not in the store, and no derivation that was asked for makes it\n\
         hint: realise the derivation that makes it, add it with `xbuild store add`, or instantiate the expression again that refers to it"
    )]
    Missing {
        /// The path.
        path: StorePath,
        /// " by /nix/store/….drv", or nothing.
        by: String,
    },
    /// A `.drv` file of the store that cannot be parsed.
    #[error(
        "cannot read the derivation {path}: {reason}\n\
         hint: `xbuild store verify --check-contents` finds what else is damaged; `xbuild store delete` the file, and instantiate again"
    )]
    BadDerivation {
        /// The file.
        path: StorePath,
        /// What is wrong with it.
        reason: String,
    },
    /// An experimental feature is off.
    #[error(
        "experimental Nix feature '{feature}' is disabled; add '--extra-experimental-features {feature}' to enable it\n  {drv} needs it"
    )]
    Feature {
        /// Its name.
        feature: &'static str,
        /// What needs it.
        drv: StorePath,
    },
    /// The path of an output is asked for before it is built.
    #[error(
        "the path of the output `{output}` of {drv} is only known after its build, and it is not built\nhint: `xbuild realise` builds it"
    )]
    NotRealised {
        /// The derivation.
        drv: StorePath,
        /// The output's name.
        output: String,
    },
    /// What is made anew each time cannot be an input of what is made once.
    #[error(
        "pure derivation '{drv}' depends on impure derivation '{input}'\nhint: add `__impure = true`, or give outputHash"
    )]
    ImpureInput {
        /// The derivation.
        drv: StorePath,
        /// The impure one.
        input: StorePath,
    },
    /// An output was asked for that the derivation does not have.
    #[error("derivation {drv} has no output `{output}`; it has {known}")]
    NoSuchOutput {
        /// The derivation.
        drv: StorePath,
        /// The wanted output.
        output: String,
        /// The outputs it has.
        known: String,
    },
    /// A kind of derivation that this version cannot build.
    #[error("derivation {drv} cannot be built: {reason}")]
    Unsupported {
        /// The derivation.
        drv: StorePath,
        /// Why not, and what to do.
        reason: String,
    },
    /// The sandbox cannot be had on this machine, or its set-up failed.
    #[error(transparent)]
    Sandbox(#[from] xbuild_sandbox::SandboxError),
    /// A file operation of ours failed.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// "write", "create" …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// One or more steps failed; each was reported when it happened.
    #[error("{}", .0.summary())]
    Failed(Box<Failures>),
    /// The user asked to stop.
    #[error("interrupted: every running build was stopped, and nothing unfinished was registered")]
    Interrupted,
    /// Something is to be built, but no build may run.
    #[error("{steps} derivation{} must be built, but max-jobs is 0 and there are no remote builders\nhint: give -j N", plural(*steps))]
    NoJobs {
        /// How many steps the plan has.
        steps: usize,
    },
    /// A fault of xbuild itself.
    #[error("internal error: {0}; please report this")]
    Internal(String),
    /// A cycle of derivations. Stock Nix cannot make one; a damaged store can.
    #[error("the derivations depend on each other in a cycle: {0}")]
    Cycle(String),
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "\nhint: free some space; `xbuild store gc` removes what no root needs"
        }
        ErrorKind::PermissionDenied => {
            "\nhint: the store must belong to the user who builds; see `--store DIR`"
        }
        _ => "",
    }
}

impl Error {
    /// For `map_err` at a file operation.
    pub fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// The exit code of a command that ends with this error: see [`Failures::exit_code`]; 1 for what is no
    /// build's failure, 130 after an interrupt.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(failures) => failures.exit_code(),
            Self::Interrupted | Self::Store(xbuild_store::Error::Interrupted) => 130,
            _ => 1,
        }
    }
}

/// The steps that failed in one run, and what was left undone because of them.
#[derive(Debug)]
pub struct Failures {
    /// Each failed step.
    pub failed: Vec<StepFailure>,
    /// Derivations that were not tried, each with the failed one it depends on.
    pub skipped: Vec<(StorePath, StorePath)>,
}

/// Derivations that were not built and are listed; the others are counted.
const SKIPPED_LISTED: usize = 10;

impl Failures {
    fn summary(&self) -> String {
        use std::fmt::Write as _;
        let mut text = match self.failed.as_slice() {
            [one] => format!("{} of {} failed", one.reason.noun(), one.drv),
            many => {
                let mut text = format!("{} steps failed:", many.len());
                for failure in many {
                    let _ = write!(text, "\n  {} ({})", failure.drv, failure.reason.noun());
                }
                text
            }
        };
        if !self.skipped.is_empty() {
            let n = self.skipped.len();
            let them = if self.failed.len() == 1 { "it" } else { "them" };
            let were = if n == 1 { "was" } else { "were" };
            let _ = write!(
                text,
                "\n{n} derivation{} depending on {them} {were} not built:",
                plural(n)
            );
            for (drv, because) in self.skipped.iter().take(SKIPPED_LISTED) {
                let _ = write!(text, "\n  {drv}");
                if self.failed.len() > 1 {
                    let _ = write!(text, " (because of {})", because.name());
                }
            }
            if n > SKIPPED_LISTED {
                let _ = write!(text, "\n  … and {} more", n - SKIPPED_LISTED);
            }
        }
        text
    }

    /// The exit code, with stock Nix's bits (`nix-store --realise`, "Special exit codes"): 96, plus 1 for a
    /// timeout, 2 for a wrong hash, 4 for a failed builder, 8 for an output that differs when built again, and
    /// xbuild's own 16 for an output that is not genuine for its target. Bits 1 and 2 come with 4, as in Nix. Just 1 where no build is
    /// to blame: the disk is full, say.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let bits = self.failed.iter().fold(0, |bits, failure| {
            bits | match failure.reason {
                FailureReason::TimedOut { .. } => 1 | 4,
                FailureReason::HashMismatch { .. } => 2 | 4,
                FailureReason::NotDeterministic { .. } => 8,
                FailureReason::Invalid { .. } => 16,
                FailureReason::Disk(_) | FailureReason::Cancelled => 0,
                _ => 4,
            }
        });
        if bits == 0 { 1 } else { 0x60 | bits }
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// A failed step.
#[derive(Debug)]
pub struct StepFailure {
    /// Its derivation.
    pub drv: StorePath,
    /// Why.
    pub reason: FailureReason,
    /// Where the log is, if the step had one.
    pub log: Option<PathBuf>,
    /// The last lines of the log.
    pub tail: Vec<String>,
    /// The kept build directory, with `--keep-failed`.
    pub kept: Option<PathBuf>,
}

impl std::fmt::Display for StepFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of {} failed: {}",
            self.reason.noun(),
            self.drv,
            self.reason
        )?;
        if !self.tail.is_empty() {
            write!(
                f,
                "\nlast {} log line{}:",
                self.tail.len(),
                plural(self.tail.len())
            )?;
            for line in &self.tail {
                write!(f, "\n> {line}")?;
            }
        }
        if self.log.is_some() {
            write!(f, "\nfull log: `xbuild log {}`", self.drv)?;
        }
        if let Some(kept) = &self.kept {
            write!(f, "\nthe build directory was kept: {}", kept.display())?;
        }
        Ok(())
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum FailureReason {
    /// The builder ended with a code other than 0.
    #[error("builder failed with exit code {0}")]
    Exit(i32),
    /// The builder was ended by a signal.
    #[error("builder was ended by signal {signal}{hint}", signal = .0, hint = signal_hint(*.0))]
    Signal(i32),
    /// The builder was killed because there was no memory, as far as can be told.
    #[error("the builder ran out of memory{}: {ended}{}", if *.alone { ", even when nothing was built beside it" } else { "" }, if *.alone { "\nhint: it needs more memory than the machine, or the control group of xbuild, has free (or something else killed it); `--cores N` with a smaller N often makes it need less" } else { "" })]
    OutOfMemory {
        /// How it ended: the text of [`Exit`](Self::Exit) or [`Signal`](Self::Signal).
        ended: String,
        /// Whether this was the second time.
        alone: bool,
    },
    /// Longer than `timeout` or silent for longer than `max-silent-time`.
    #[error("{what} after {} second{}\nhint: `--option {key} SECONDS` sets another limit, 0 none", after.as_secs(), plural(usize::try_from(after.as_secs()).unwrap_or(0)))]
    TimedOut {
        /// "timed out", "printed nothing for too long: stopped".
        what: &'static str,
        /// The setting.
        key: &'static str,
        /// The limit.
        after: Duration,
    },
    /// More log than `max-build-log-size`.
    #[error("the log grew beyond max-build-log-size ({0} bytes)")]
    LogLimit(u64),
    /// The builder ended well but left no output.
    #[error("the builder ended with code 0 but did not make its output `{output}` ({path})")]
    MissingOutput {
        /// The output's name.
        output: String,
        /// Its path.
        path: StorePath,
    },
    /// A fixed output with another hash.
    #[error("hash mismatch{}\n  wanted: {wanted}\n  got:    {got}\nhint: if the new content is what you want, put the second hash into the expression", url.as_ref().map(|u| format!(" in what came from '{u}'")).unwrap_or_default())]
    HashMismatch {
        /// Where it came from, for a download.
        url: Option<String>,
        /// SRI.
        wanted: String,
        /// SRI.
        got: String,
    },
    /// A download failed.
    #[error("{0}")]
    Download(String),
    /// References that the derivation forbids.
    #[error(
        "output {path} refers to {}, which `{rule}` does not allow",
        list(references)
    )]
    References {
        /// The output.
        path: StorePath,
        /// What it must not refer to; at least one.
        references: Vec<StorePath>,
        /// `allowedReferences` …
        rule: &'static str,
    },
    /// A fixed output with references: the hash would not be enough to know what it is.
    #[error(
        "output {path} has a fixed hash, so it must not refer to store paths, but it refers to {}\n\
         hint: remove the references from the output, or let a derivation without `outputHash` make it",
        list(references)
    )]
    FixedReferences {
        /// The output.
        path: StorePath,
        /// What it refers to; at least one.
        references: Vec<StorePath>,
    },
    /// Outputs whose paths follow from their contents refer to each other in a circle.
    #[error(
        "cycle in the references of its outputs: `{from}` refers to `{to}`, and that to `{from}`, directly or not"
    )]
    OutputCycle {
        /// An output.
        from: String,
        /// The output that it refers to.
        to: String,
    },
    /// Larger than `maxSize` or `maxClosureSize`.
    #[error("the {what}{} {path} is too large: {size} bytes, of which {limit} are allowed", if *what == "closure" { " of" } else { "" })]
    TooLarge {
        /// The output.
        path: StorePath,
        /// "output" or "closure".
        what: &'static str,
        /// NAR bytes.
        size: u64,
        /// NAR bytes.
        limit: u64,
    },
    /// The validator found files that are not genuine for the target.
    #[error("the output is not genuine for {target}, so it was not registered:\n{report}")]
    Invalid {
        /// The target's name.
        target: String,
        /// The validator's report.
        report: String,
    },
    /// `--rebuild` gave something else.
    #[error("built again, the output differs:\n{differences}")]
    NotDeterministic {
        /// A line for each differing file.
        differences: String,
    },
    /// A derivation this version cannot build.
    #[error("{0}")]
    Unsupported(String),
    /// The disk is full, or must not be written.
    #[error("{0}")]
    Disk(String),
    /// Our own part failed: database, sandbox.
    #[error("{0}")]
    Internal(String),
    /// Stopped because the user asked, or because another step failed.
    #[error("stopped")]
    Cancelled,
}

/// Store paths in a sentence.
fn list(paths: &[StorePath]) -> String {
    paths
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn signal_hint(signal: i32) -> &'static str {
    match signal {
        9 => " (SIGKILL: the machine may have run out of memory, or somebody killed it)",
        11 => " (SIGSEGV)",
        6 => " (SIGABRT)",
        _ => "",
    }
}

impl FailureReason {
    fn noun(&self) -> &'static str {
        match self {
            Self::Download(_) => "download",
            Self::Invalid { .. } => "validation",
            Self::NotDeterministic { .. } => "rebuild",
            _ => "build",
        }
    }
}

/// Whether an error comes from a disk without room or writing.
fn is_disks_fault(error: &Error) -> bool {
    let first: &dyn std::error::Error = error;
    std::iter::successors(Some(first), |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| {
            matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem
            )
        })
}

impl<T: Into<Error>> From<T> for FailureReason {
    fn from(error: T) -> Self {
        let error = error.into();
        let text = error.to_string();
        if is_disks_fault(&error) {
            Self::Disk(text)
        } else {
            Self::Internal(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::path;

    fn failures(reasons: Vec<FailureReason>, skipped: usize) -> Failures {
        let failed = reasons
            .into_iter()
            .enumerate()
            .map(|(i, reason)| StepFailure {
                drv: path(&format!("f{i}.drv")),
                reason,
                log: None,
                tail: Vec::new(),
                kept: None,
            });
        let skipped = (0..skipped).map(|i| (path(&format!("s{i}.drv")), path("f0.drv")));
        Failures {
            failed: failed.collect(),
            skipped: skipped.collect(),
        }
    }

    fn summary(failures: &Failures) -> String {
        failures
            .summary()
            .replace(&format!("/nix/store/{}-", "0".repeat(32)), "@")
    }

    #[test]
    fn summaries() {
        let exit = || FailureReason::Exit(1);
        assert_eq!(
            summary(&failures(vec![exit()], 0)),
            "build of @f0.drv failed"
        );
        assert_eq!(
            summary(&failures(vec![exit()], 1)),
            "build of @f0.drv failed\n1 derivation depending on it was not built:\n  @s0.drv"
        );
        assert_eq!(
            summary(&failures(
                vec![exit(), FailureReason::Download(String::new())],
                1
            )),
            "2 steps failed:\n  @f0.drv (build)\n  @f1.drv (download)\n1 derivation depending on them was not built:\n  \
             @s0.drv (because of f0.drv)"
        );
        assert!(summary(&failures(vec![exit()], 12)).ends_with("  @s9.drv\n  … and 2 more"));
    }

    #[test]
    fn exit_codes() {
        let timeout = || FailureReason::TimedOut {
            what: "",
            key: "timeout",
            after: Duration::ZERO,
        };
        let hash = || FailureReason::HashMismatch {
            url: None,
            wanted: String::new(),
            got: String::new(),
        };
        let code = |reasons| failures(reasons, 0).exit_code();
        assert_eq!(code(vec![FailureReason::Exit(1)]), 100);
        assert_eq!(code(vec![timeout()]), 101);
        assert_eq!(code(vec![hash()]), 102);
        assert_eq!(
            code(vec![FailureReason::NotDeterministic {
                differences: String::new()
            }]),
            104
        );
        assert_eq!(
            code(vec![FailureReason::Invalid {
                target: String::new(),
                report: String::new()
            }]),
            112
        );
        assert_eq!(code(vec![timeout(), hash(), FailureReason::Exit(2)]), 103);
        let full = || {
            let full = std::io::Error::from(ErrorKind::StorageFull);
            FailureReason::from(Error::io("write the build log", "log")(full))
        };
        assert_eq!(code(vec![full(), FailureReason::Cancelled]), 1);
        assert_eq!(code(vec![full(), FailureReason::Exit(1)]), 100);
    }
}
