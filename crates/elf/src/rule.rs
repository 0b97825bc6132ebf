//! The rules, and what it looks like when one is broken.

use std::fmt;

use serde::Serialize;

/// A rule of the validator. Its name is part of the interface: exceptions and reports use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// An ELF file has 64-bit class.
    ElfClass,
    /// An ELF file is little-endian.
    ElfByteOrder,
    /// An ELF file's machine is AArch64.
    ElfMachine,
    /// An ELF file is an executable, a shared object or a relocatable object, for Linux.
    ElfType,
    /// An ELF file is whole: its headers and tables lie inside the file and make sense.
    ElfMalformed,
    /// A dynamic executable's interpreter is a file of the closure and itself genuine.
    Interpreter,
    /// Every library an ELF file needs is found in the closure, where the dynamic linker looks.
    Needed,
    /// A needed library provides the symbol versions that are asked of it.
    SymbolVersion,
    /// The library search path stays inside the closure.
    Rpath,
    /// A static library holds only genuine objects, and is whole.
    Archive,
    /// An executable script's interpreter is a genuine program of the closure.
    ScriptInterpreter,
    /// A PE or Mach-O file is for AArch64 (EFI programs, kernel images), or is not there at all.
    ForeignExecutable,
    /// An EFI program is whole: its headers and sections lie inside the file and make sense.
    PeMalformed,
    /// A kernel is a little-endian arm64 `Image`.
    KernelImage,
    /// A flattened device tree is whole and follows the specification.
    DeviceTree,
    /// A device tree is for the board.
    DeviceTreeBoard,
    /// A file could be read.
    Unreadable,
}

impl Rule {
    /// All rules.
    pub const ALL: &[Self] = &[
        Self::ElfClass,
        Self::ElfByteOrder,
        Self::ElfMachine,
        Self::ElfType,
        Self::ElfMalformed,
        Self::Interpreter,
        Self::Needed,
        Self::SymbolVersion,
        Self::Rpath,
        Self::Archive,
        Self::ScriptInterpreter,
        Self::ForeignExecutable,
        Self::PeMalformed,
        Self::KernelImage,
        Self::DeviceTree,
        Self::DeviceTreeBoard,
        Self::Unreadable,
    ];

    /// The name, as reports and exceptions write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ElfClass => "elf-class",
            Self::ElfByteOrder => "elf-byte-order",
            Self::ElfMachine => "elf-machine",
            Self::ElfType => "elf-type",
            Self::ElfMalformed => "elf-malformed",
            Self::Interpreter => "interpreter",
            Self::Needed => "needed",
            Self::SymbolVersion => "symbol-version",
            Self::Rpath => "rpath",
            Self::Archive => "archive",
            Self::ScriptInterpreter => "script-interpreter",
            Self::ForeignExecutable => "foreign-executable",
            Self::PeMalformed => "pe-malformed",
            Self::KernelImage => "kernel-image",
            Self::DeviceTree => "device-tree",
            Self::DeviceTreeBoard => "device-tree-board",
            Self::Unreadable => "unreadable",
        }
    }

    /// The rule called `name`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }

    /// Whether it says for which processor a file is, and not whether the file works where it lies.
    #[must_use]
    pub fn is_of_processor(self) -> bool {
        matches!(
            self,
            Self::ElfClass | Self::ElfByteOrder | Self::ElfMachine | Self::ForeignExecutable
        )
    }

    /// What usually helps.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::ElfClass | Self::ElfByteOrder | Self::ElfMachine => {
                "the build ran the native compiler: let it use $CC, $CXX, $AR (configure --host=aarch64-linux-gnu, \
                 CMAKE_SYSTEM_NAME, CROSS_COMPILE=)"
            }
            Self::ElfType => "core dumps and files for other systems do not belong in an output",
            Self::ElfMalformed => {
                "the file was cut short or damaged: look at the install phase and at the disk"
            }
            Self::Interpreter => {
                "link with the toolchain's wrapper, which sets the target's dynamic linker"
            }
            Self::Needed => {
                "add the package that holds the library to buildInputs, so that its directory enters the RPATH"
            }
            Self::SymbolVersion => {
                "the library at hand is older than the one linked against: use the same package for both"
            }
            Self::Rpath => {
                "remove the entry (patchelf --shrink-rpath in fixup) or make it a store path of the closure"
            }
            Self::Archive => {
                "make the archive with the target's $AR from objects compiled with $CC"
            }
            Self::ScriptInterpreter => {
                "patch the first line to a program built for the target, or to /bin/sh"
            }
            Self::ForeignExecutable => "leave the file out, or write an exception with its reason",
            Self::PeMalformed => {
                "the file was cut short or is no EFI program: look at the step that made it (objcopy, install)"
            }
            Self::KernelImage => {
                "build the kernel with ARCH=arm64 and CPU_LITTLE_ENDIAN, and install arch/arm64/boot/Image"
            }
            Self::DeviceTree => "make the file with the kernel's dtc, and install it whole",
            Self::DeviceTreeBoard => {
                "install a device tree of the board, or correct `compatible` in the board's file"
            }
            Self::Unreadable => "look at the file's mode and at the disk",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file: its path in the store, and the member's name for an archive (`/nix/store/…/libz.a(adler32.o)`).
    pub file: String,
    /// The rule.
    pub rule: Rule,
    /// What is the case, and what should be.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.file, self.reason, self.rule)
    }
}
