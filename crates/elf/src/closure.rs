//! The closure as the target machine will see it: `/nix/store/…` names, resolved to files of the physical store.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use xbuild_store_model::{STORE_DIR, StorePath};

/// Where a store path of the closure lies; `None` if it is not in the closure.
pub type Lookup<'a> = dyn Fn(&StorePath) -> Option<PathBuf> + Sync + 'a;

/// A file of the closure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located {
    /// Its name after all links, below `/nix/store`.
    pub(crate) logical: PathBuf,
    /// Where it lies.
    pub(crate) physical: PathBuf,
}

/// Why a name leads to no file of the closure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// The name, or a link on the way, is not below `/nix/store`.
    OutsideStore(PathBuf),
    /// It is in a store path that is not in the closure.
    OutsideClosure(String),
    /// There is no such file.
    Absent(PathBuf),
    /// Links lead in a circle.
    Loop,
}

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutsideStore(path) => write!(f, "{} is not below {STORE_DIR}", path.display()),
            Self::OutsideClosure(path) => write!(f, "{path} is not in the closure of the output"),
            Self::Absent(path) => write!(f, "{} does not exist", path.display()),
            Self::Loop => f.write_str("its links lead in a circle"),
        }
    }
}

/// Links followed for one name, as in Linux.
const MAX_LINKS: usize = 40;

/// Finds the file that `name` means on the target. As the kernel does, `..` after a link leads to the parent of what it links to.
pub(crate) fn locate(name: &Path, lookup: &Lookup<'_>) -> Result<Located, NotFound> {
    let mut links = 0;
    let mut parts: VecDeque<OsString> = name.iter().map(OsStr::to_owned).collect();
    // Without links and dots.
    let mut logical = PathBuf::from("/");
    let mut physical = None;
    while let Some(part) = parts.pop_front() {
        match part.as_bytes() {
            b"/" => logical = PathBuf::from("/"),
            b"." => {}
            b".." => {
                logical.pop();
            }
            _ => logical.push(part),
        }
        physical = find(&logical, lookup)?;
        let Some(found) = &physical else { continue };
        let Ok(metadata) = fs::symlink_metadata(found) else {
            return Err(NotFound::Absent(logical));
        };
        if metadata.is_symlink() {
            links += 1;
            let Ok(target) = fs::read_link(found) else {
                return Err(NotFound::Absent(logical));
            };
            if links > MAX_LINKS {
                return Err(NotFound::Loop);
            }
            logical.pop();
            physical = None;
            for part in target.iter().rev() {
                parts.push_front(part.to_owned());
            }
        } else if !metadata.is_dir() && !parts.is_empty() {
            logical.extend(parts);
            return Err(NotFound::Absent(logical));
        }
    }
    match physical {
        Some(physical) => Ok(Located { logical, physical }),
        None => Err(NotFound::OutsideStore(logical)),
    }
}

/// Where a name without links and dots lies; `None` if it is not below a store path.
fn find(logical: &Path, lookup: &Lookup<'_>) -> Result<Option<PathBuf>, NotFound> {
    let Ok(below) = logical.strip_prefix(STORE_DIR) else {
        return Ok(None);
    };
    let mut parts = below.iter();
    let Some(base) = parts.next() else {
        return Ok(None);
    };
    let root = base
        .to_str()
        .and_then(|base| StorePath::from_base_name(base).ok())
        .and_then(|path| lookup(&path));
    let outside = || NotFound::OutsideClosure(format!("{STORE_DIR}/{}", base.to_string_lossy()));
    let mut physical = root.ok_or_else(outside)?;
    physical.extend(parts);
    Ok(Some(physical))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_are_followed_as_the_kernel_does() {
        let dir = tempfile::tempdir().unwrap();
        let base = |name: &str| format!("{}-{name}", "0".repeat(32));
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(a.join("lib/deep")).unwrap();
        fs::create_dir_all(b.join("other")).unwrap();
        fs::write(a.join("lib/file"), "").unwrap();
        fs::write(b.join("file"), "").unwrap();
        fs::write(b.join("other/x"), "").unwrap();
        symlink(
            format!("/nix/store/{}/other", base("b")),
            a.join("lib/link"),
        )
        .unwrap();
        symlink("deep/../file", a.join("lib/dots")).unwrap();
        symlink("loop", a.join("loop")).unwrap();
        symlink("/etc/passwd", a.join("out")).unwrap();
        let lookup = |path: &StorePath| match path.name() {
            "a" => Some(a.clone()),
            "b" => Some(b.clone()),
            _ => None,
        };
        let found = |name: &str| {
            let name = format!("/nix/store/{}{name}", base("a"));
            match locate(Path::new(&name), &lookup) {
                Ok(located) => located.logical.display().to_string(),
                Err(why) => why.to_string(),
            }
            .replace(&base(""), "")
        };
        assert_eq!(found("/lib/./deep/../file"), "/nix/store/a/lib/file");
        assert_eq!(found("/lib/link/x"), "/nix/store/b/other/x");
        assert_eq!(
            found("/lib/link/../file"),
            "/nix/store/b/file",
            "the parent of what is linked to"
        );
        assert_eq!(found("/lib/dots"), "/nix/store/a/lib/file");
        assert_eq!(
            found(&format!("/../{}/file", base("b"))),
            "/nix/store/b/file"
        );
        assert_eq!(found(""), "/nix/store/a");
        assert_eq!(found("/loop"), "its links lead in a circle");
        assert_eq!(found("/out"), "/etc/passwd is not below /nix/store");
        assert_eq!(found("/../../../usr"), "/usr is not below /nix/store");
        assert_eq!(found("/.."), "/nix/store is not below /nix/store");
        assert_eq!(
            found("/lib/file/x"),
            "/nix/store/a/lib/file/x does not exist"
        );
        assert_eq!(
            found(&format!("/../{}/x", base("c"))),
            "/nix/store/c is not in the closure of the output"
        );
    }
}
