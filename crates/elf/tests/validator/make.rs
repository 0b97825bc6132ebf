//! Makes small ELF files, archives and closures to check.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;
use xbuild_elf::{Exceptions, Report, Root, Target, check};
use xbuild_store_model::StorePath;

/// A file to be made. Unset fields mean a genuine shared object.
#[derive(Debug, Clone)]
pub(crate) struct Elf {
    pub(crate) class: u8,
    pub(crate) data: u8,
    pub(crate) os_abi: u8,
    pub(crate) machine: u16,
    pub(crate) e_type: u16,
    pub(crate) interpreter: Option<&'static str>,
    pub(crate) needed: Vec<&'static str>,
    pub(crate) soname: Option<&'static str>,
    pub(crate) rpath: Option<&'static str>,
    pub(crate) runpath: Option<&'static str>,
    /// (library, version, weak)
    pub(crate) requires: Vec<(&'static str, &'static str, bool)>,
    pub(crate) provides: Vec<&'static str>,
    pub(crate) pie: bool,
}

impl Default for Elf {
    fn default() -> Self {
        Self {
            class: 2,
            data: 1,
            os_abi: 0,
            machine: 183,
            e_type: 3,
            interpreter: None,
            needed: Vec::new(),
            soname: None,
            rpath: None,
            runpath: None,
            requires: Vec::new(),
            provides: Vec::new(),
            pie: false,
        }
    }
}

impl Elf {
    /// The file's bytes: a header, three program headers (the load segment is the whole file at address 0x10000).
    pub(crate) fn bytes(&self) -> Vec<u8> {
        const BASE: u64 = 0x10000;
        let mut strings = vec![0u8];
        let mut string = |text: &str| -> u64 {
            let at = strings.len() as u64;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        let mut dynamic: Vec<(u64, u64)> = Vec::new();
        for needed in &self.needed {
            dynamic.push((1, string(needed)));
        }
        for (tag, value) in [(14, self.soname), (15, self.rpath), (29, self.runpath)] {
            if let Some(text) = value {
                dynamic.push((tag, string(text)));
            }
        }
        if self.pie {
            dynamic.push((0x6fff_fffb, 0x0800_0000));
        }
        let mut verneed = Vec::new();
        for (index, (library, version, weak)) in self.requires.iter().enumerate() {
            let last = index + 1 == self.requires.len();
            verneed.extend_from_slice(&1u16.to_le_bytes());
            verneed.extend_from_slice(&1u16.to_le_bytes());
            verneed.extend_from_slice(&(string(library) as u32).to_le_bytes());
            verneed.extend_from_slice(&16u32.to_le_bytes());
            verneed.extend_from_slice(&(if last { 0u32 } else { 32 }).to_le_bytes());
            verneed.extend_from_slice(&0u32.to_le_bytes());
            verneed.extend_from_slice(&(if *weak { 2u16 } else { 0 }).to_le_bytes());
            verneed.extend_from_slice(&2u16.to_le_bytes());
            verneed.extend_from_slice(&(string(version) as u32).to_le_bytes());
            verneed.extend_from_slice(&0u32.to_le_bytes());
        }
        let mut verdef = Vec::new();
        for (index, version) in self.provides.iter().enumerate() {
            let last = index + 1 == self.provides.len();
            for half in [1u16, 0, index as u16 + 1, 1] {
                verdef.extend_from_slice(&half.to_le_bytes());
            }
            for word in [
                0u32,
                20,
                if last { 0 } else { 28 },
                string(version) as u32,
                0,
            ] {
                verdef.extend_from_slice(&word.to_le_bytes());
            }
        }
        let phnum = 2 + u64::from(self.interpreter.is_some());
        let mut at = 64 + 56 * phnum;
        let interpreter_at = at;
        let interpreter = self
            .interpreter
            .map(|i| [i.as_bytes(), b"\0"].concat())
            .unwrap_or_default();
        at = (at + interpreter.len() as u64).next_multiple_of(8);
        let strings_at = at;
        at = (at + strings.len() as u64).next_multiple_of(8);
        let verneed_at = at;
        at = (at + verneed.len() as u64).next_multiple_of(8);
        let verdef_at = at;
        at = (at + verdef.len() as u64).next_multiple_of(8);
        let dynamic_at = at;
        dynamic.push((5, BASE + strings_at));
        dynamic.push((10, strings.len() as u64));
        if !verneed.is_empty() {
            dynamic.push((0x6fff_fffe, BASE + verneed_at));
            dynamic.push((0x6fff_ffff, self.requires.len() as u64));
        }
        if !verdef.is_empty() {
            dynamic.push((0x6fff_fffc, BASE + verdef_at));
            dynamic.push((0x6fff_fffd, self.provides.len() as u64));
        }
        dynamic.push((0, 0));
        let end = dynamic_at + 16 * dynamic.len() as u64;

        let mut file = vec![
            0x7f,
            b'E',
            b'L',
            b'F',
            self.class,
            self.data,
            1,
            self.os_abi,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        file.extend_from_slice(&self.e_type.to_le_bytes());
        file.extend_from_slice(&self.machine.to_le_bytes());
        file.extend_from_slice(&1u32.to_le_bytes());
        for word in [0u64, if self.e_type == 1 { 0 } else { 64 }, 0] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(&0u32.to_le_bytes());
        let phnum_field = if self.e_type == 1 { 0 } else { phnum as u16 };
        for half in [64u16, 56, phnum_field, 64, 0, 0] {
            file.extend_from_slice(&half.to_le_bytes());
        }
        let mut segment = |kind: u32, offset: u64, size: u64| {
            file.extend_from_slice(&kind.to_le_bytes());
            file.extend_from_slice(&4u32.to_le_bytes());
            for word in [offset, BASE + offset, BASE + offset, size, size, 8] {
                file.extend_from_slice(&word.to_le_bytes());
            }
        };
        segment(1, 0, end);
        segment(2, dynamic_at, 16 * dynamic.len() as u64);
        if self.interpreter.is_some() {
            segment(3, interpreter_at, interpreter.len() as u64);
        }
        for (offset, part) in [
            (interpreter_at, &interpreter),
            (strings_at, &strings),
            (verneed_at, &verneed),
            (verdef_at, &verdef),
        ] {
            file.resize(offset as usize, 0);
            file.extend_from_slice(part);
        }
        file.resize(dynamic_at as usize, 0);
        for (tag, value) in dynamic {
            file.extend_from_slice(&tag.to_le_bytes());
            file.extend_from_slice(&value.to_le_bytes());
        }
        file
    }
}

/// An archive in GNU form with the given members.
pub(crate) fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let header = format!(
            "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            format!("{name}/"),
            0,
            0,
            0,
            644,
            content.len()
        );
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(content);
        if content.len() % 2 == 1 {
            file.push(b'\n');
        }
    }
    file
}

/// The store path that the tests call `name`.
pub(crate) fn path(name: &str) -> StorePath {
    StorePath::parse(&format!("/nix/store/{}-{name}", "0".repeat(32))).unwrap()
}

/// A closure on disk.
pub(crate) struct Closure {
    directory: TempDir,
    paths: BTreeMap<StorePath, PathBuf>,
}

impl Closure {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            paths: BTreeMap::new(),
        }
    }

    /// Adds an executable file `relative` to the store path called `package`.
    pub(crate) fn file(mut self, package: &str, relative: &str, content: impl AsRef<[u8]>) -> Self {
        let file = self.root(package).join(relative);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Adds a symbolic link.
    pub(crate) fn link(mut self, package: &str, relative: &str, target: &str) -> Self {
        let link = self.root(package).join(relative);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
        self
    }

    pub(crate) fn root(&mut self, package: &str) -> PathBuf {
        let physical = self.directory.path().join(package);
        self.paths.insert(path(package), physical.clone());
        physical
    }

    /// Checks the store path called `package`.
    pub(crate) fn check(&self, package: &str) -> Report {
        self.check_with(package, &Exceptions::default())
    }

    pub(crate) fn check_with(&self, package: &str, exceptions: &Exceptions) -> Report {
        let target = Target::by_name("aarch64-linux").unwrap();
        self.check_for(package, &target, exceptions)
    }

    pub(crate) fn check_for(
        &self,
        package: &str,
        target: &Target,
        exceptions: &Exceptions,
    ) -> Report {
        let root = Root {
            logical: path(package),
            physical: self.directory.path().join(package),
        };
        check(
            &[root],
            &|path| self.paths.get(path).cloned(),
            target,
            exceptions,
        )
    }

    /// The findings of `package`, a line each, with the store path's hash cut out.
    pub(crate) fn findings(&self, package: &str) -> String {
        lines_of(&self.check(package))
    }
}

/// The findings of a report, a line each, with the store path's hash cut out.
pub(crate) fn lines_of(report: &Report) -> String {
    let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    lines
        .join("\n")
        .replace(&format!("{}-", "0".repeat(32)), "")
}

/// Writes `content` to a fresh package and gives the findings.
pub(crate) fn findings_of(name: &str, content: impl AsRef<[u8]>) -> String {
    Closure::new().file("p", name, content).findings("p")
}

/// A closure with a C library (`libc`) of version GLIBC_2.17.
pub(crate) fn with_libc() -> Closure {
    let libc = Elf {
        soname: Some("libc.so.6"),
        provides: vec!["libc.so.6", "GLIBC_2.17"],
        ..Elf::default()
    };
    let loader = Elf {
        soname: Some("ld-linux-aarch64.so.1"),
        provides: vec!["GLIBC_2.17"],
        ..Elf::default()
    };
    Closure::new()
        .file("libc", "lib/libc.so.6", libc.bytes())
        .file("libc", "lib/ld-linux-aarch64.so.1", loader.bytes())
}

/// A flattened device tree whose root has the given `compatible`, with a child that has a property.
pub(crate) fn device_tree(compatible: &[&str]) -> Vec<u8> {
    let strings = b"compatible\0reg\0";
    let mut structure = Vec::new();
    let mut words = |words: &[u32], text: &[u8]| {
        for word in words {
            structure.extend_from_slice(&word.to_be_bytes());
        }
        structure.extend_from_slice(text);
        structure.resize(structure.len().next_multiple_of(4), 0);
    };
    words(&[1, 0], b"");
    let list: String = compatible.iter().map(|name| format!("{name}\0")).collect();
    if !compatible.is_empty() {
        words(&[3, list.len() as u32, 0], list.as_bytes());
    }
    words(&[4, 1], b"memory@80000000\0");
    words(&[3, 8, 11, 0, 0x8000_0000, 2, 2, 9], b"");
    let reservations = 40;
    let at = reservations + 16;
    let total = at + structure.len() + strings.len();
    let mut file = Vec::new();
    for word in [
        0xd00d_feed,
        total as u32,
        at as u32,
        (at + structure.len()) as u32,
        reservations as u32,
        17,
        16,
        0,
        strings.len() as u32,
        structure.len() as u32,
    ] {
        file.extend_from_slice(&u32::to_be_bytes(word));
    }
    file.resize(at, 0);
    file.extend_from_slice(&structure);
    file.extend_from_slice(strings);
    file
}

/// The header of an arm64 kernel and some code.
pub(crate) fn kernel(flags: u64) -> Vec<u8> {
    let mut file = vec![0; 4096];
    file[16..24].copy_from_slice(&0x10_0000u64.to_le_bytes());
    file[24..32].copy_from_slice(&flags.to_le_bytes());
    file[56..60].copy_from_slice(b"ARM\x64");
    file
}

/// A PE file for AArch64 and EFI, with sections.
pub(crate) fn pe(machine: u16, sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut file = vec![0; 0x40];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c] = 0x40;
    file.extend_from_slice(b"PE\0\0");
    file.extend_from_slice(&machine.to_le_bytes());
    file.extend_from_slice(&(sections.len() as u16).to_le_bytes());
    file.extend_from_slice(&[0; 12]);
    file.extend_from_slice(&112u16.to_le_bytes());
    file.extend_from_slice(&[0; 2]);
    let optional = file.len();
    file.resize(optional + 112, 0);
    file[optional..optional + 2].copy_from_slice(&0x20bu16.to_le_bytes());
    file[optional + 68] = 10;
    let mut at = file.len() + 40 * sections.len();
    let mut contents = Vec::new();
    for (name, content) in sections {
        let mut header = [0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let padded = content.len().next_multiple_of(64);
        header[8..12].copy_from_slice(&(content.len() as u32).to_le_bytes());
        header[16..20].copy_from_slice(&(padded as u32).to_le_bytes());
        header[20..24].copy_from_slice(&(at as u32).to_le_bytes());
        file.extend_from_slice(&header);
        contents.extend_from_slice(content);
        contents.resize(contents.len() + padded - content.len(), 0);
        at += padded;
    }
    file.extend_from_slice(&contents);
    file
}
