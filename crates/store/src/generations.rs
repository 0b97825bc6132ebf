//! Profiles: a link whose former targets stay as numbered generations (Nix manual, "Profiles"). `NAME` leads to `NAME-N-link`, and
//! that to a store path.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::locks;
use crate::roots::replace_symlink;
use crate::store::Store;

/// One generation of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Generation {
    number: u64,
    link: PathBuf,
    created: SystemTime,
}

impl Store {
    /// Makes `target` the newest generation of a profile, unless it is that already. Each generation is a root until it is deleted.
    pub fn set_profile(&self, profile: &Path, target: &StorePath) -> Result<()> {
        self.check_writable("change a profile")?;
        let profile = std::path::absolute(profile).map_err(Error::io("find", profile))?;
        match std::fs::symlink_metadata(&profile) {
            Ok(meta) if !meta.is_symlink() => return Err(Error::NotAProfile(profile)),
            Ok(_) if current(&profile).is_none() => return Err(Error::NotAProfile(profile)),
            _ => {}
        }
        let _lock = self.lock_profile(&profile)?;
        let newest = generations(&profile)?.pop();
        let is_newest = newest.as_ref().is_some_and(|generation| {
            let leads_to = std::fs::read_link(&generation.link).ok();
            leads_to
                .and_then(|to| self.logical(&to).map(|(path, _)| path))
                .is_some_and(|path| path == *target)
        });
        let link = match newest {
            Some(generation) if is_newest => generation.link,
            newest => {
                let number = newest.map_or(1, |generation| generation.number + 1);
                generation_link(&profile, number)
            }
        };
        self.make_out_link(&link, target)?;
        let name = PathBuf::from(link.file_name().unwrap_or_default());
        replace_symlink(&name, &profile)
    }

    /// Deletes the generations of all known profiles that were no longer current `age` ago. The current generation of each stays, and
    /// so does the one that was current then, as with `nix-collect-garbage --delete-older-than`. Returns the links deleted, or, in a
    /// dry run, those that would be.
    pub fn delete_old_generations(&self, age: Duration, dry_run: bool) -> Result<Vec<PathBuf>> {
        self.check_writable("delete generations")?;
        let now = SystemTime::now();
        let limit = now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut deleted = Vec::new();
        for profile in self.profiles()? {
            let _lock = self.lock_profile(&profile)?;
            let current = current(&profile);
            let all = generations(&profile)?;
            let mut older = all
                .iter()
                .rev()
                .filter(|generation| generation.created < limit);
            // This one was current at that time.
            older.next();
            for generation in older.filter(|generation| Some(generation.number) != current) {
                if !dry_run {
                    std::fs::remove_file(&generation.link)
                        .map_err(Error::io("delete", &generation.link))?;
                }
                deleted.push(generation.link.clone());
            }
        }
        deleted.sort_unstable();
        Ok(deleted)
    }

    /// The profiles below `nix/var/nix/profiles`, and those elsewhere whose generations are roots.
    fn profiles(&self) -> Result<Vec<PathBuf>> {
        let mut profiles = Vec::new();
        visit(&self.layout.profiles_dir(), &mut profiles)?;
        let auto = self.layout.auto_roots_dir();
        for entry in std::fs::read_dir(&auto).into_iter().flatten().flatten() {
            if let Some(profile) = std::fs::read_link(entry.path())
                .ok()
                .as_deref()
                .and_then(profile_of)
            {
                profiles.push(profile);
            }
        }
        profiles.sort_unstable();
        profiles.dedup();
        profiles.retain(|profile| current(profile).is_some());
        Ok(profiles)
    }

    /// Nix's lock: a file beside the profile.
    fn lock_profile(&self, profile: &Path) -> Result<impl Drop + use<>> {
        let mut path = profile.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        loop {
            let file = locks::open_lock_file(&path)?;
            locks::lock(&file, locks::Mode::Exclusive, &path, &self.hooks, &|| {
                format!("the lock on profile '{}'", profile.display())
            })?;
            if !locks::is_stale(&file, &path)? {
                return Ok(ProfileLock { file, path });
            }
        }
    }
}

struct ProfileLock {
    file: std::fs::File,
    path: PathBuf,
}

impl Drop for ProfileLock {
    fn drop(&mut self) {
        locks::remove_lock_file(&self.file, &self.path);
    }
}

fn visit(dir: &Path, profiles: &mut Vec<PathBuf>) -> Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(());
        }
        Err(error) => return Err(Error::io("read directory", dir)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("read directory", dir))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::io("examine", &path))?;
        if kind.is_dir() {
            visit(&path, profiles)?;
        } else if kind.is_symlink()
            && let Some(profile) = profile_of(&path)
        {
            profiles.push(profile);
        }
    }
    Ok(())
}

/// The profile that a link is a generation of, by its name.
fn profile_of(link: &Path) -> Option<PathBuf> {
    let name = link.file_name()?.to_str()?;
    let (profile, number) = name.strip_suffix("-link")?.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !profile.is_empty()).then(|| link.with_file_name(profile))
}

fn number_of(link: &Path) -> Option<u64> {
    let name = link.file_name()?.to_str()?;
    let (_, number) = name.strip_suffix("-link")?.rsplit_once('-')?;
    number.parse().ok()
}

fn generation_link(profile: &Path, number: u64) -> PathBuf {
    let mut name = profile.file_name().unwrap_or_default().to_owned();
    name.push(format!("-{number}-link"));
    profile.with_file_name(name)
}

/// The number of the current generation; `None` if this is no profile.
fn current(profile: &Path) -> Option<u64> {
    let target = std::fs::read_link(profile).ok()?;
    let target = profile.with_file_name("").join(target);
    (profile_of(&target)? == profile).then(|| number_of(&target))?
}

/// The generations of a profile, oldest first.
fn generations(profile: &Path) -> Result<Vec<Generation>> {
    let dir = profile.parent().unwrap_or(profile);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("read directory", dir))? {
        let link = entry.map_err(Error::io("read directory", dir))?.path();
        if profile_of(&link).as_deref() != Some(profile) {
            continue;
        }
        let (Some(number), Ok(meta)) = (number_of(&link), std::fs::symlink_metadata(&link)) else {
            continue;
        };
        if let (true, Ok(created)) = (meta.is_symlink(), meta.modified()) {
            found.push(Generation {
                number,
                link,
                created,
            });
        }
    }
    found.sort_unstable_by_key(|generation| generation.number);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::StoreOptions;
    use std::collections::BTreeSet;

    #[test]
    fn generations_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap();
        let text = |name: &str| store.add_text(name, b"x", &BTreeSet::new()).unwrap();
        let paths: Vec<StorePath> = ["a", "b", "c", "d", "e"].map(text).into();
        let profile = dir.path().join("pro-file");
        let make = |path: &StorePath, days_ago: u64| {
            store.set_profile(&profile, path).unwrap();
            let link = profile.with_file_name(std::fs::read_link(&profile).unwrap());
            let then = SystemTime::now() - Duration::from_secs(days_ago * 86400);
            let since = then.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let time = rustix::fs::Timespec {
                tv_sec: since.as_secs().try_into().unwrap(),
                tv_nsec: 0,
            };
            let times = rustix::fs::Timestamps {
                last_access: time,
                last_modification: time,
            };
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(rustix::fs::CWD, &link, &times, flags).unwrap();
            link.file_name().unwrap().to_str().unwrap().to_owned()
        };
        let days = [40, 35, 20, 10, 1];
        let names: Vec<String> = paths
            .iter()
            .zip(days)
            .map(|(path, days)| make(path, days))
            .collect();
        assert_eq!(names[0], "pro-file-1-link");
        assert_eq!(names[4], "pro-file-5-link");
        assert_eq!(make(&paths[4], 1), "pro-file-5-link", "the same again");
        let delete = |days: u64, dry_run| {
            let age = Duration::from_secs(days * 86400);
            let links = store.delete_old_generations(age, dry_run).unwrap();
            let name = |link: PathBuf| link.file_name().unwrap().to_str().unwrap().to_owned();
            links.into_iter().map(name).collect::<Vec<_>>()
        };
        // The second one was current thirty days ago.
        assert_eq!(delete(30, true), ["pro-file-1-link"]);
        assert_eq!(delete(30, false), ["pro-file-1-link"]);
        assert_eq!(delete(30, false), Vec::<String>::new());
        assert_eq!(
            delete(0, false),
            ["pro-file-2-link", "pro-file-3-link", "pro-file-4-link"]
        );
        assert!(profile.canonicalize().unwrap() == store.physical(&paths[4]));
        std::fs::write(dir.path().join("file"), "").unwrap();
        let refused = store
            .set_profile(&dir.path().join("file"), &paths[0])
            .unwrap_err();
        assert!(refused.to_string().contains("not a link to a generation"));
    }
}
