//! How far a machine came, what was found out about it, and what was in the way.

use std::time::Duration;

/// How far a machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It was switched on.
    Started,
    /// The boot menu is there.
    Menu,
    /// The kernel runs.
    Kernel,
    /// The ready mark was printed.
    Ready,
    /// The checks are done.
    Checked,
    /// It is off.
    Off,
}

impl Stage {
    /// The stage, in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Menu => "boot menu",
            Self::Kernel => "kernel",
            Self::Ready => "ready",
            Self::Checked => "checked",
            Self::Off => "off",
        }
    }
}

/// A check and its result.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// What it said.
    pub detail: String,
}

/// Why a test could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The kernel panicked.
    #[error("the kernel panicked: {0}")]
    Panic(String),
    /// Firmware found nothing to boot.
    #[error(
        "the firmware did not boot the disk: it printed `{0}`\nhint: look at the ESP (EFI/BOOT/BOOTAA64.EFI) and at the partition table"
    )]
    NotBootable(String),
    /// The boot menu stays.
    #[error(
        "the boot menu went on for {} s after the keys `{keys}` were typed, and started no kernel\nhint: look at the loader's entries",
        after.as_secs()
    )]
    MenuStuck {
        /// What was typed.
        keys: String,
        /// When the test gave up.
        after: Duration,
    },
    /// Something did not come in time.
    #[error("timed out after {} s, waiting for {what}{}", after.as_secs(), hint.map_or(String::new(), |hint| format!("\nhint: {hint}")))]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
        /// What may be the cause.
        hint: Option<&'static str>,
    },
    /// QEMU ended too early, as it does when the guest resets or switches off.
    #[error("the machine switched off or reset itself, before {what}")]
    EndedEarly {
        /// What had not been seen.
        what: String,
    },
    /// QEMU failed.
    #[error("QEMU failed before {what} ({status}){}", if messages.is_empty() { String::new() } else { format!(":\n{messages}") })]
    Qemu {
        /// What had not been seen.
        what: String,
        /// How it ended.
        status: String,
        /// What it printed.
        messages: String,
    },
}

/// What came out of a test.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The checks, in order.
    pub checks: Vec<Check>,
    /// Why the test could not go on to its end.
    pub trouble: Option<Trouble>,
    /// When each stage was reached.
    pub stages: Vec<(Stage, Duration)>,
    /// The last lines of the console.
    pub tail: Vec<String>,
}

impl Outcome {
    /// Whether everything was as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.trouble.is_none() && self.checks.iter().all(|check| check.passed)
    }
}
