//! The targets: what a genuine file for each of them looks like.

/// A machine that outputs are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The name that `xbuildTarget` and `--target` take.
    pub name: &'static str,
    /// The CPU core, as compilers name it, or the architecture's base level.
    pub cpu: &'static str,
}

/// Every known target. All of them are little-endian AArch64 with 64-bit pointers (LP64).
const TARGETS: &[Target] = &[
    Target {
        name: "aarch64-linux",
        cpu: "armv8-a",
    },
    Target {
        name: "nvidia-jetson-orin-agx",
        cpu: "cortex-a78ae",
    },
    Target {
        name: "nvidia-jetson-orin-agx64",
        cpu: "cortex-a78ae",
    },
    Target {
        name: "nvidia-jetson-orin-nx",
        cpu: "cortex-a78ae",
    },
    Target {
        name: "nxp-imx8mp-evk",
        cpu: "cortex-a53",
    },
];

impl Target {
    /// The target called `name`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        TARGETS.iter().copied().find(|target| target.name == name)
    }

    /// The names of all targets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TARGETS.iter().map(|target| target.name)
    }
}
