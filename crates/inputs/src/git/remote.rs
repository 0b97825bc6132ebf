//! Clones of repositories that are elsewhere, in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use xbuild_flake_ref::Input;
use xbuild_store_model::{Hash, HashAlgo};

use super::Place;
use super::commit::resolve;
use super::program::{Repository, fetch, outside};
use crate::error::{Error, Result};
use crate::inputs::Inputs;

impl Inputs {
    /// Makes sure that the clone of `url` has what `input` wants; sets the branch and the commit of `found`.
    pub(super) fn update_clone(
        &self,
        url: &str,
        input: &Input,
        found: &mut Input,
    ) -> Result<PathBuf> {
        let shallow = input.flag("shallow");
        let dir = self.clone_dir(url, shallow);
        let parent = dir.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        let _lock = lock(&dir)?;
        if !dir.join("HEAD").exists() {
            create(&dir, url)?;
        }
        let repository = Repository::bare(&dir);
        let asked_ref = input.text("ref");
        let reference = match asked_ref {
            Some(reference) => reference.to_owned(),
            None => match self.default_branch(url, shallow)? {
                Some(branch) => branch,
                None => self.master_of(&Place::Remote(url.to_owned())),
            },
        };
        found.set("ref", reference.as_str());
        let full = if reference.starts_with("refs/") || reference == "HEAD" {
            reference.clone()
        } else {
            format!("refs/heads/{reference}")
        };
        let stamp = self.stamp(url, shallow, &full);
        let rev = input.rev()?;
        let has = |rev: &str| repository.succeeds(&["cat-file", "-e", rev]);
        let all = input.flag("allRefs");
        let needed = match &rev {
            Some(rev) => !has(rev)?,
            None => all || !self.is_fresh(&stamp) || !self.has_ref(&repository, &full)?,
        };
        if needed {
            let refspec = match &rev {
                _ if all => "refs/*:refs/*".to_owned(),
                Some(rev) => rev.clone(),
                None => format!("{full}:{full}"),
            };
            let mut args = vec!["fetch", "--progress", "--force"];
            if shallow {
                args.extend(["--depth", "1"]);
            }
            args.extend(["--", url, &refspec]);
            match fetch(&args, &dir, url) {
                Ok(()) => {
                    if rev.is_none() {
                        let _ = fs::write(&stamp, "");
                    }
                }
                Err(error) if rev.is_none() && self.has_ref(&repository, &full)? => {
                    self.warn(&format!("{error}"));
                    self.warn(&format!("could not update local clone of Git repository '{url}'; continuing with the most recent version"));
                }
                // A server that does not give out commits by themselves may have it in the branch.
                Err(_) if rev.is_some() => {
                    let refspec = format!("{full}:{full}");
                    let args = ["fetch", "--progress", "--force", "--", url, &refspec];
                    fetch(&args, &dir, url)?;
                }
                Err(error) => return Err(error),
            }
        }
        match rev {
            Some(rev) if !has(&rev)? => Err(Error::refused(format!(
                "Cannot find Git revision '{rev}' in ref '{reference}' of repository '{url}'! Please make sure that the rev exists on the ref you've specified or add allRefs = true; to fetchGit."
            ))),
            Some(_) => Ok(dir),
            None => {
                found.set("rev", resolve(&repository, &full)?);
                Ok(dir)
            }
        }
    }

    fn clone_dir(&self, url: &str, shallow: bool) -> PathBuf {
        let hash = Hash::of(HashAlgo::Sha256, url.as_bytes()).to_base32();
        let suffix = if shallow { "-shallow" } else { "" };
        self.options
            .cache_dir
            .join("git")
            .join(format!("{hash}{suffix}"))
    }

    /// The file whose time says when a reference was last fetched.
    fn stamp(&self, url: &str, shallow: bool, reference: &str) -> PathBuf {
        let hash = Hash::of(HashAlgo::Sha256, reference.as_bytes()).to_base32();
        self.clone_dir(url, shallow).join(format!("xbuild-{hash}"))
    }

    fn is_fresh(&self, stamp: &Path) -> bool {
        let age = fs::metadata(stamp)
            .and_then(|metadata| metadata.modified())
            .map(|time| {
                SystemTime::now()
                    .duration_since(time)
                    .unwrap_or(Duration::ZERO)
            });
        age.is_ok_and(|age| age < self.options.tarball_ttl)
    }

    fn has_ref(&self, repository: &Repository<'_>, reference: &str) -> Result<bool> {
        repository.succeeds(&[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            reference,
        ])
    }

    /// The branch that the repository says is the one: asked for anew after `tarball-ttl`.
    fn default_branch(&self, url: &str, shallow: bool) -> Result<Option<String>> {
        let stamp = self.stamp(url, shallow, "the default branch");
        let known = fs::read_to_string(&stamp)
            .ok()
            .filter(|text| !text.is_empty());
        if let Some(known) = &known
            && self.is_fresh(&stamp)
        {
            return Ok(Some(known.clone()));
        }
        let output = outside(&["ls-remote", "--symref", "--", url, "HEAD"], url)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let branch = text.lines().find_map(|line| {
            let (target, name) = line.strip_prefix("ref: ")?.split_once('\t')?;
            (name == "HEAD").then(|| target.trim().to_owned())
        });
        if let Some(branch) = branch {
            let _ = fs::write(&stamp, &branch);
            return Ok(Some(branch));
        }
        if !output.status.success()
            && let Some(known) = &known
        {
            self.warn(&format!(
                "could not get HEAD ref for repository '{url}'; using expired cached ref '{known}'"
            ));
        }
        Ok(known)
    }
}

/// Makes an empty bare repository, which is there completely or not at all.
fn create(dir: &Path, url: &str) -> Result<()> {
    let temporary = dir.with_extension(format!("new-{}", std::process::id()));
    let shown = temporary.display().to_string();
    let initialise = [
        "-c",
        "init.defaultBranch=unborn",
        "init",
        "--quiet",
        "--bare",
        "--template=",
        &shown,
    ];
    let git = |args: &[&str]| {
        let output = outside(args, url)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Git {
            what: format!("creating Git repository '{}'", dir.display()),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    };
    git(&initialise)?;
    git(&["-C", &shown, "config", "remote.origin.url", url])?;
    fs::rename(&temporary, dir).map_err(Error::io("create", dir))
}

/// One process at a time changes a clone.
fn lock(dir: &Path) -> Result<fs::File> {
    let file = dir.with_extension("lock");
    let opened = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .map_err(Error::io("open", &file))?;
    rustix::fs::flock(&opened, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|error| Error::io("lock", &file)(error.into()))?;
    Ok(opened)
}
