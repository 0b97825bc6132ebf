//! Submodules: repositories within repositories (gitmodules(5)).

use std::collections::BTreeMap;
use std::path::Path;

use xbuild_flake_ref::{Input, fix_git_url};

use super::Wants;
use super::commit::Entry;
use super::program::Repository;
use crate::error::{Error, Result};
use crate::inputs::Inputs;

/// What `.gitmodules` says of a submodule.
#[derive(Debug, Default)]
pub(super) struct Submodule {
    pub(super) path: String,
    url: String,
    branch: String,
}

/// How deep submodules may be nested.
const MAX_DEPTH: usize = 32;

/// The submodules that a `.gitmodules` file names.
pub(super) fn read(repository: &Repository<'_>, file: &Path) -> Result<Vec<Submodule>> {
    let Some(file) = file.to_str() else {
        return Ok(Vec::new());
    };
    let pattern = r"^submodule\..*\.(path|url|branch)$";
    let output = repository.output(&["config", "-f", file, "-z", "--get-regexp", pattern])?;
    let mut found: BTreeMap<String, Submodule> = BTreeMap::new();
    for line in output.stdout.split(|&byte| byte == 0) {
        let line = String::from_utf8_lossy(line);
        let Some((key, value)) = line.split_once('\n') else {
            continue;
        };
        let Some((name, field)) = key
            .strip_prefix("submodule.")
            .and_then(|key| key.rsplit_once('.'))
        else {
            continue;
        };
        let submodule = found.entry(name.to_owned()).or_default();
        match field {
            "path" => value.trim_end_matches('/').clone_into(&mut submodule.path),
            "url" => value.clone_into(&mut submodule.url),
            _ => value.clone_into(&mut submodule.branch),
        }
    }
    Ok(found
        .into_values()
        .filter(|submodule| !submodule.path.is_empty())
        .collect())
}

/// The URL of a submodule, which may be relative to that of the repository it is in.
fn resolve_url(base: &str, url: &str) -> String {
    if !url.starts_with("./") && !url.starts_with("../") {
        return url.to_owned();
    }
    let mut base = base.trim_end_matches('/').to_owned();
    let mut rest = url;
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            rest = after;
            match base.rfind('/') {
                Some(slash) => base.truncate(slash),
                None => break,
            }
        } else {
            break;
        }
    }
    format!("{base}/{rest}")
}

impl Inputs {
    /// Puts the trees of the submodules of a commit to their places below `dest`.
    pub(super) fn write_submodules(
        &self,
        repository: &Repository<'_>,
        entries: &[Entry<'_>],
        reference: Option<&str>,
        dest: &Path,
    ) -> Result<()> {
        let file = dest.join(".gitmodules");
        if !std::fs::symlink_metadata(&file).is_ok_and(|found| found.is_file()) {
            return Ok(());
        }
        let depth = dest
            .components()
            .filter(|part| part.as_os_str() == "tree")
            .count();
        if depth > MAX_DEPTH {
            return Err(Error::refused("submodules are nested too deeply"));
        }
        let origin = repository.output(&["config", "--get", "remote.origin.url"])?;
        let origin = String::from_utf8_lossy(&origin.stdout).trim().to_owned();
        let origin = if origin.is_empty() {
            repository.path().display().to_string()
        } else {
            origin
        };
        for submodule in read(repository, &file)? {
            let commit = entries
                .iter()
                .find(|entry| entry.mode == b"160000" && entry.path == submodule.path.as_bytes());
            let Some(commit) = commit else {
                continue;
            };
            let url = resolve_url(&origin, &submodule.url);
            let mut input = Input::from_attrs(
                [
                    ("type".to_owned(), "git".into()),
                    ("url".to_owned(), fix_git_url(&url)?.to_string().into()),
                    ("rev".to_owned(), commit.object.into()),
                    ("submodules".to_owned(), true.into()),
                    ("allRefs".to_owned(), true.into()),
                ]
                .into(),
            )?;
            match submodule.branch.as_str() {
                "" => {}
                "." => {
                    if let Some(reference) = reference {
                        input.set("ref", reference);
                    }
                }
                branch => input.set("ref", branch),
            }
            let fetched = self.fetch(&input)?;
            let place = dest.join(&submodule.path);
            std::fs::remove_dir(&place).map_err(Error::io("replace", &place))?;
            copy_tree(&self.store.physical(&fetched.path), &place)?;
        }
        Ok(())
    }

    /// What a work tree wants of its submodules.
    pub(super) fn of_submodules(wants: Wants) -> Wants {
        Wants {
            submodules: true,
            ..wants
        }
    }
}

/// Copies files, directories and links; of modes, only whether a file is executable counts in the store.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let metadata = std::fs::symlink_metadata(from).map_err(Error::io("read", from))?;
    if metadata.is_symlink() {
        let target = std::fs::read_link(from).map_err(Error::io("read", from))?;
        return std::os::unix::fs::symlink(target, to).map_err(Error::io("create", to));
    }
    if metadata.is_file() {
        return std::fs::copy(from, to)
            .map(|_| ())
            .map_err(Error::io("create", to));
    }
    std::fs::create_dir(to).map_err(Error::io("create", to))?;
    for entry in std::fs::read_dir(from).map_err(Error::io("read", from))? {
        let entry = entry.map_err(Error::io("read", from))?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::resolve_url;

    #[test]
    fn relative_urls() {
        let base = "https://h/a/b.git";
        assert_eq!(resolve_url(base, "../c.git"), "https://h/a/c.git");
        assert_eq!(resolve_url(base, "../../x/c"), "https://h/x/c");
        assert_eq!(resolve_url(base, "./sub"), "https://h/a/b.git/sub");
        assert_eq!(resolve_url(base, "/srv/x"), "/srv/x");
        assert_eq!(resolve_url("/srv/top", "../sub"), "/srv/sub");
    }
}
