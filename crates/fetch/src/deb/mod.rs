//! Debian packages merged into one tree: the builder `builtin:unpack-debs`.
//!
//! # The format of the result, version 1
//!
//! Store paths depend on it, so none of this may change without a new name for the builder.
//!
//! 1. The packages' `data.tar` members are unpacked one over the other. A directory may be in several packages; anything else
//!    may be only if it is the same in all (same kind, content, target, executable or not).
//! 2. The tree is usr-merged: what is in `/bin`, `/sbin`, `/lib`, `/lib32`, `/lib64`, `/libo32`, `/libx32` goes to the directory of the same name below
//!    `/usr`. `usr/bin`, `usr/sbin`, `usr/lib` and `usr/lib64` are always there, and so are links to them at the top (`bin` → `usr/bin`); the
//!    other links are there if `usr` has the directory.
//! 3. The directories of [`LEFT_OUT`] are left out, with everything in them.
//! 4. Symbolic links with an absolute target, and those that rule 2 has moved or whose target it has moved, get the shortest relative target; others stay as they
//!    are. A target is taken by its words: `x/..` is nothing, whether or not `x` is a link.
//! 5. Files have mode 0755 if the package says that their owner may execute them, else 0644; so set-id and sticky bits are gone. Directories have 0755. Hard
//!    links stay hard links. Owners, times and extended attributes of the package are ignored.
//! 6. If only some members are asked for, nothing else is there, not even the directories of rule 2.
//! 7. Refused: device nodes, named pipes, sparse files; paths that are absolute or contain `..`; relative targets that lead out of the
//!    tree; entries below a symbolic link or a file; hard links to what was not unpacked before from the same or an earlier package.

mod ar;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::archive::{
    Compression, Entry, EntryPath, Kind, OnExisting, Tree, UnpackError, for_each_entry,
};

/// What no build needs: documentation, translations of messages, completions of shells. Part of the format of the result.
pub const LEFT_OUT: [&str; 14] = [
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/fish/vendor_completions.d",
    "usr/share/help",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/metainfo",
    "usr/share/reportbug",
    "usr/share/zsh/vendor-completions",
];

/// The top-level directories that are merged into `usr`.
const MERGED: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// Those of them that are always there.
const ALWAYS: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Merges the packages `debs`, in this order, into the new directory `dest`. The [module's documentation](self) defines the result.
///
/// # Errors
/// If a package is damaged or does not keep to the format of deb(5), has an entry that is refused, two packages contradict each other, or `dest` exists or
/// cannot be written. Nothing is left at `dest` then.
pub fn unpack(debs: &[PathBuf], dest: &Path) -> Result<(), UnpackError> {
    let mut tree = Tree::create(dest, OnExisting::Compare)?;
    tree.begin(Path::new("the usr-merged layout"));
    for name in ALWAYS {
        tree.directory(&EntryPath::default().below("usr").child(name))?;
    }
    for deb in debs {
        tree.begin(deb);
        unpack_one(deb, &mut |entry| place(deb, entry, &|_| true, &mut tree))?;
    }
    for name in MERGED {
        let merged = EntryPath::default().below("usr").child(name);
        if tree.has_directory(&merged) {
            tree.symlink(&EntryPath::default().child(name), merged.as_bytes())?;
        }
    }
    tree.finish();
    Ok(())
}

/// The same, of the files and links `members` alone, which are named as in the result (`usr/bin/x`).
///
/// # Errors
/// As [`unpack`]; and if no package has one of the members.
pub fn unpack_only(debs: &[PathBuf], members: &[&str], dest: &Path) -> Result<(), UnpackError> {
    let mut tree = Tree::create(dest, OnExisting::Compare)?;
    let mut missing: BTreeSet<&[u8]> = members.iter().map(|member| member.as_bytes()).collect();
    let wanted = missing.clone();
    for deb in debs {
        tree.begin(deb);
        unpack_one(deb, &mut |entry| {
            if matches!(entry.kind, Kind::Directory) {
                return Ok(());
            }
            let is_wanted = |path: &EntryPath| wanted.contains(path.as_bytes());
            if let Ok(path) = EntryPath::parse(&entry.name) {
                missing.remove(merge(&path).as_bytes());
            }
            place(deb, entry, &is_wanted, &mut tree)
        })?;
    }
    if let Some(member) = missing.first() {
        let deb = debs.last().map(PathBuf::as_path).unwrap_or(dest);
        let reason = format!("it has no '{}', which was asked for", member.escape_ascii());
        return Err(UnpackError::malformed(deb, reason));
    }
    tree.finish();
    Ok(())
}

fn unpack_one(
    deb: &Path,
    place: &mut dyn FnMut(Entry<'_>) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let mut file = File::open(deb).map_err(|error| UnpackError::read(deb, error))?;
    let (suffix, data) = ar::data_member(deb, &mut file)?;
    let Some(compression) = Compression::of_suffix(&suffix) else {
        let reason = format!(
            "its member 'data.tar{}' has an unknown compression",
            suffix.escape_ascii()
        );
        return Err(UnpackError::malformed(deb, reason));
    };
    let reader = compression
        .decoder(data)
        .map_err(|error| UnpackError::read(deb, error))?;
    for_each_entry(deb, reader, place)
}

/// Puts one entry where it belongs.
fn place(
    deb: &Path,
    entry: Entry<'_>,
    is_wanted: &dyn Fn(&EntryPath) -> bool,
    tree: &mut Tree,
) -> Result<(), UnpackError> {
    let refused = |reason: &str| UnpackError::refused(deb, &entry.name, reason);
    let original = EntryPath::parse(&entry.name).map_err(refused)?;
    let path = merge(&original);
    if is_left_out(&path) || !is_wanted(&path) {
        return Ok(());
    }
    match entry.kind {
        Kind::Directory => tree.directory(&path),
        _ if path.is_root() => Err(refused("the root of a package must be a directory")),
        Kind::File { executable, size } => tree.file(&path, executable, size, entry.data),
        Kind::Symlink(target) => {
            let meant = original.parent().resolve(&target).map_err(refused)?;
            let merged = merge(&meant);
            // The link of a merged directory itself, as newer packages bring it.
            if merged == path && path != original {
                return Ok(());
            }
            let as_is = path == original && merged == meant && !target.starts_with(b"/");
            let target = if as_is {
                target
            } else {
                path.parent().relative(&merged)
            };
            tree.symlink(&path, &target)
        }
        Kind::HardLink(target) => {
            let target = EntryPath::parse(&target)
                .map_err(|reason| refused(&format!("the target of a hard link: {reason}")))?;
            tree.hard_link(&path, &merge(&target))
        }
    }
}

/// Where a path goes by rule 2.
fn merge(path: &EntryPath) -> EntryPath {
    let first = path.components().next();
    let merged = first.is_some_and(|first| MERGED.iter().any(|name| name.as_bytes() == first));
    if merged {
        path.below("usr")
    } else {
        path.clone()
    }
}

fn is_left_out(path: &EntryPath) -> bool {
    LEFT_OUT
        .iter()
        .any(|directory| path.is_in(directory.as_bytes()))
}
