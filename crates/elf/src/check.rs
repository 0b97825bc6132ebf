//! Checks whole outputs.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use object::read::ReadCache;
use rayon::prelude::*;
use serde::Serialize;
use xbuild_store_model::StorePath;

use crate::archive;
use crate::closure::Lookup;
use crate::device_tree;
use crate::exception::Exceptions;
use crate::kernel;
use crate::link::Linker;
use crate::object as elf_object;
use crate::pe;
use crate::portable;
use crate::rule::{Finding, Rule};
use crate::script;
use crate::target::Target;

/// An output to check.
#[derive(Debug, Clone)]
pub struct Root {
    /// Its path in the store.
    pub logical: StorePath,
    /// Where the files lie now; for an output that is not registered yet, this is not in the store.
    pub physical: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The target's name.
    pub target: String,
    /// Broken rules. Empty means genuine.
    pub findings: Vec<Finding>,
    /// Findings that the package accepts, with its reasons.
    pub accepted: Vec<(Finding, String)>,
    /// Regular files looked at.
    pub files: usize,
    /// Among them ELF files and static libraries.
    pub binaries: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Report {
    /// Whether no rule is broken.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hinted: Vec<Rule> = Vec::new();
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
            if !hinted.contains(&finding.rule) {
                hinted.push(finding.rule);
            }
        }
        for rule in hinted {
            writeln!(f, "hint ({rule}): {}", rule.hint())?;
        }
        Ok(())
    }
}

/// A regular file of an output.
struct Entry {
    logical: PathBuf,
    relative: String,
    physical: PathBuf,
    size: u64,
    executable: bool,
}

/// Checks every file of `roots` for `target`. `closure` tells where a store path lies that the outputs may refer to,
/// themselves included, and `None` for every other.
#[must_use]
pub fn check(
    roots: &[Root],
    closure: &Lookup<'_>,
    target: &Target,
    exceptions: &Exceptions,
) -> Report {
    let mut report = Report {
        target: target.name.to_owned(),
        ..Report::default()
    };
    let mut entries = Vec::new();
    for root in roots {
        let logical = PathBuf::from(root.logical.to_string());
        walk(&root.physical, &logical, &mut entries, &mut report.findings);
    }
    let linker = Linker::new(closure);
    let checked: Vec<(bool, Vec<(String, Finding)>)> = entries
        .par_iter()
        .map(|entry| {
            let mut findings = Vec::new();
            let binary = check_file(
                entry,
                closure,
                &linker,
                target,
                &mut |member, rule, reason| {
                    let mut file = entry.logical.display().to_string();
                    if !member.is_empty() {
                        file = format!("{file}({member})");
                    }
                    let (file, reason) = (printable(&file), printable(&reason));
                    findings.push((entry.relative.clone(), Finding { file, rule, reason }));
                },
            );
            (binary, findings)
        })
        .collect();
    report.files = entries.len();
    report.bytes = entries.iter().map(|entry| entry.size).sum();
    for (binary, findings) in checked {
        report.binaries += usize::from(binary);
        for (relative, finding) in findings {
            match exceptions.reason(&finding, &relative) {
                Some(reason) => {
                    let reason = reason.to_owned();
                    report.accepted.push((finding, reason));
                }
                None => report.findings.push(finding),
            }
        }
    }
    report.findings.sort();
    report.findings.dedup();
    report
}

/// `text` without control characters: names come from whoever made the output, and a report is for a terminal and for people
/// who believe its lines.
fn printable(text: &str) -> String {
    if text.contains(char::is_control) {
        text.chars()
            .flat_map(|c| {
                let escaped = c.is_control().then(|| c.escape_default());
                escaped
                    .into_iter()
                    .flatten()
                    .chain((!c.is_control()).then_some(c))
            })
            .collect()
    } else {
        text.to_owned()
    }
}

/// Collects the regular files below `root`, without following links.
fn walk(root: &Path, logical: &Path, entries: &mut Vec<Entry>, findings: &mut Vec<Finding>) {
    let unreadable = |logical: &Path, why: &std::io::Error| Finding {
        file: printable(&logical.display().to_string()),
        rule: Rule::Unreadable,
        reason: format!("cannot be read: {why}"),
    };
    let mut waiting = vec![(root.to_owned(), logical.to_owned())];
    while let Some((physical, name)) = waiting.pop() {
        let metadata = match fs::symlink_metadata(&physical) {
            Ok(metadata) => metadata,
            Err(error) => {
                findings.push(unreadable(&name, &error));
                continue;
            }
        };
        if metadata.is_dir() {
            match fs::read_dir(&physical).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
                Ok(children) => {
                    waiting.extend(
                        children
                            .into_iter()
                            .map(|child| (child.path(), name.join(child.file_name()))),
                    );
                }
                Err(error) => findings.push(unreadable(&name, &error)),
            }
        } else if metadata.is_file() {
            let relative = name
                .strip_prefix(logical)
                .unwrap_or(&name)
                .display()
                .to_string();
            entries.push(Entry {
                relative,
                logical: name,
                physical,
                size: metadata.len(),
                executable: metadata.permissions().mode() & 0o111 != 0,
            });
        }
    }
    entries.sort_by(|a, b| a.logical.cmp(&b.logical));
}

/// Checks one file and tells whether it is an ELF file or a static library.
fn check_file(
    entry: &Entry,
    closure: &Lookup<'_>,
    linker: &Linker<'_>,
    target: &Target,
    found: &mut dyn FnMut(&str, Rule, String),
) -> bool {
    let mut head = Vec::with_capacity(portable::HEAD);
    let file = File::open(&entry.physical).and_then(|mut file| {
        file.by_ref()
            .take(portable::HEAD as u64)
            .read_to_end(&mut head)?;
        Ok(file)
    });
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            found("", Rule::Unreadable, format!("cannot be read: {error}"));
            return false;
        }
    };
    let name = entry.logical.file_name().unwrap_or_default();
    let name = name.to_str().unwrap_or_default();
    if (kernel::is_named(name) || kernel::is_image(&head))
        && let Some(reason) = kernel::check(&head)
    {
        found("", Rule::KernelImage, reason);
    }
    if head.starts_with(b"\x7fELF") {
        let cache = ReadCache::new(file);
        match elf_object::read(&cache) {
            Err((rule, reason)) => found("", rule, reason),
            Ok(object) => linker.check(&entry.logical, &object, &mut |rule, reason| {
                found("", rule, reason);
            }),
        }
        true
    } else if head.starts_with(archive::MAGIC) || head.starts_with(archive::THIN_MAGIC) {
        let cache = ReadCache::new(file);
        archive::check(&cache, found);
        true
    } else if head.starts_with(b"#!") {
        if entry.executable
            && let Some((rule, reason)) = script::check(&head, closure)
        {
            found("", rule, reason);
        }
        false
    } else {
        check_other(entry, name, file, &head, target, &mut |rule, reason| {
            found("", rule, reason);
        });
        false
    }
}

/// Checks a file that is no ELF file, archive or script: what its first bytes or its name claim it to be, it must be.
fn check_other(
    entry: &Entry,
    name: &str,
    file: File,
    head: &[u8],
    target: &Target,
    found: &mut dyn FnMut(Rule, String),
) {
    if let Some(reason) = portable::foreign(head) {
        return found(Rule::ForeignExecutable, reason);
    }
    if device_tree::is_named(name) {
        if let Some((rule, reason)) = check_device_tree(entry, file, name, target) {
            found(rule, reason);
        }
        return;
    }
    if head.starts_with(&device_tree::MAGIC) {
        // A FIT image, which can be large and has what it carries behind the tree.
        if let Err(reason) = device_tree::check_header(head, entry.size) {
            found(Rule::DeviceTree, reason);
        }
        return;
    }
    let efi = pe::is_named(name);
    if efi || head.starts_with(b"MZ") {
        let cache = ReadCache::new(file);
        if let Err((rule, reason)) = pe::check(&cache, efi, &target.compatible) {
            found(rule, reason);
        }
    }
}

/// Checks a file that is called a device tree.
fn check_device_tree(
    entry: &Entry,
    file: File,
    name: &str,
    target: &Target,
) -> Option<(Rule, String)> {
    if entry.size > device_tree::MAX_SIZE {
        return Some((Rule::DeviceTree, device_tree::too_large(entry.size)));
    }
    let mut file = file;
    let mut data = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(device_tree::MAX_SIZE).read_to_end(&mut data));
    if let Err(error) = read {
        return Some((Rule::Unreadable, format!("cannot be read: {error}")));
    }
    let boards: &[String] = if device_tree::is_overlay(name) {
        &[]
    } else {
        &target.compatible
    };
    device_tree::check(&data, boards)
}
