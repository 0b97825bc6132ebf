//! Directories of flakes, by name alone.

use std::path::{Path, PathBuf};

use xbuild_eval::host::normalise;
use xbuild_store_model::STORE_DIR;

/// The directory below another; an empty name is the directory itself.
pub(crate) fn below(dir: &Path, name: &str) -> PathBuf {
    if name.is_empty() {
        dir.to_owned()
    } else {
        normalise(&dir.join(name))
    }
}

/// The store path that a logical path is in.
pub(crate) fn tree_root(path: &Path) -> PathBuf {
    let depth = Path::new(STORE_DIR).components().count() + 1;
    path.components().take(depth).collect()
}
