//! The targets: what a genuine file for each of them looks like.
//!
//! A target is a kind of CPU. What only one board has, its file in `boards/` states, and a derivation hands over:
//! [`Target::with_compatible`].

/// A machine that outputs are made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name that `xbuildTarget` and `--target` take: the CPU core, as compilers name it, or `aarch64-linux` for any.
    pub name: &'static str,
    /// The root node's `compatible` of a device tree must name one of these. Empty: any board's will do.
    pub compatible: Vec<String>,
}

/// Every known target. All of them are little-endian AArch64 with 64-bit pointers (LP64).
const TARGETS: &[&str] = &[
    "aarch64-linux",
    "cortex-a53",
    "cortex-a55",
    "cortex-a57",
    "cortex-a72",
    "cortex-a76",
    "cortex-a78ae",
];

impl Target {
    /// The target called `name`, on any board.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        TARGETS
            .iter()
            .find(|known| **known == name)
            .map(|name| Self {
                name,
                compatible: Vec::new(),
            })
    }

    /// The same CPU on a board whose device tree names one of `compatible`. They are separated by blanks or line ends, as
    /// `xbuildCompatible` has them.
    #[must_use]
    pub fn with_compatible(self, compatible: &str) -> Self {
        Self {
            compatible: compatible.split_whitespace().map(str::to_owned).collect(),
            ..self
        }
    }

    /// The names of all targets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TARGETS.iter().copied()
    }
}
