//! Directories of flakes, by name alone.

use std::path::{Path, PathBuf};

use xbuild_store_model::STORE_DIR;

/// The directory below another; an empty name is the directory itself.
pub(crate) fn below(dir: &Path, name: &str) -> PathBuf {
    if name.is_empty() {
        dir.to_owned()
    } else {
        normal(&dir.join(name))
    }
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            std::path::Component::Normal(name) => normal.push(name),
            std::path::Component::ParentDir => {
                normal.pop();
            }
            _ => {}
        }
    }
    normal
}

/// The store path that a logical path is in.
pub(crate) fn tree_root(path: &Path) -> PathBuf {
    let depth = Path::new(STORE_DIR).components().count() + 1;
    path.components().take(depth).collect()
}
