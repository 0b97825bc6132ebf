//! Where the files of the language's paths lie: links in the store lead to logical paths, which the system cannot follow.

use std::fs;
use std::path::{Path, PathBuf};

use xbuild_eval::host::{HostError, HostResult, normalise};

use super::StoreHost;

/// Links that are followed for one path, as in Linux.
const MAX_LINKS: usize = 40;

impl StoreHost {
    /// Where `path` lies: logical store paths are looked up in the physical store.
    pub(super) fn locate(&self, path: &Path) -> PathBuf {
        let Some((store_path, rest)) = self.store.logical(path) else {
            return path.to_owned();
        };
        let place = match self.computed.borrow().get(&store_path) {
            Some(source) => source.clone(),
            None => self.store.physical(&store_path),
        };
        if rest.as_os_str().is_empty() {
            place
        } else {
            place.join(rest)
        }
    }

    /// Where the file `path` lies. Links inside the store lead to logical paths, which the system cannot follow; the
    /// last component is followed only if `follow`.
    pub(super) fn resolve(&self, path: &Path, follow: bool) -> HostResult<PathBuf> {
        Ok(self.locate(&self.walk(path, follow)?))
    }

    /// `path` with the links of the store replaced by what they lead to.
    pub(super) fn walk(&self, path: &Path, follow: bool) -> HostResult<PathBuf> {
        let mut path = path.to_owned();
        'restart: for _ in 0..MAX_LINKS {
            let Some((store_path, rest)) = self.store.logical(&path) else {
                match self.entry(&path, follow) {
                    Some(next) => {
                        path = next;
                        continue;
                    }
                    None => return Ok(path),
                }
            };
            let mut current = PathBuf::from(store_path.to_string());
            let components: Vec<_> = rest.components().collect();
            // The store path itself may be a link, too.
            for index in 0..=components.len() {
                if index > 0 {
                    current.push(components[index - 1]);
                }
                if index == components.len() && !follow {
                    break;
                }
                if let Ok(target) = fs::read_link(self.locate(&current)) {
                    let mut next =
                        normalise(&current.parent().unwrap_or(Path::new("/")).join(target));
                    next.extend(&components[index..]);
                    path = next;
                    continue 'restart;
                }
            }
            return Ok(current);
        }
        Err(HostError::new(format!(
            "too many levels of symbolic links in '{}'",
            path.display()
        )))
    }

    /// Where in the store a path outside of it leads through links (such as `./result/bin/x`), if the system cannot follow
    /// them: they name logical paths.
    fn entry(&self, path: &Path, follow: bool) -> Option<PathBuf> {
        let found = if follow {
            fs::metadata(path)
        } else {
            fs::symlink_metadata(path)
        };
        if !found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return None;
        }
        let mut path = path.to_owned();
        'restart: for _ in 0..MAX_LINKS {
            let components: Vec<_> = path.components().collect();
            let mut current = PathBuf::new();
            for (index, component) in components.iter().enumerate() {
                current.push(component);
                if index + 1 == components.len() && !follow {
                    return None;
                }
                if let Ok(target) = fs::read_link(&current) {
                    let mut next =
                        normalise(&current.parent().unwrap_or(Path::new("/")).join(target));
                    next.extend(&components[index + 1..]);
                    if self.store.logical(&next).is_some() {
                        return Some(next);
                    }
                    path = next;
                    continue 'restart;
                }
            }
            return None;
        }
        None
    }
}
