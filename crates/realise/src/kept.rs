//! `--keep-failed`: the build directories of failed builds, and the environment to go on in.

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use xbuild_sandbox::Spec;

use crate::error::{Error, Result};

/// Moves the build directory of a failed build called `name` to `nix/var/xbuild/kept/NAME-N/build`, and writes the
/// environment beside it. Returns the place.
pub(crate) fn keep(
    store_root: &Path,
    name: &str,
    build: &Path,
    environment: Option<&[u8]>,
) -> Result<PathBuf> {
    let kept = store_root.join("nix/var/xbuild/kept");
    xbuild_store::create_dirs(&kept)?;
    let mut number = 0u64;
    let place = loop {
        let place = kept.join(format!("{name}-{number}"));
        match fs::create_dir(&place) {
            Ok(()) => break place,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(Error::io("create", place)(error)),
        }
    };
    let target = place.join("build");
    fs::rename(build, &target).map_err(Error::io("keep the build directory in", &target))?;
    if let Some(environment) = environment {
        let file = place.join("environment.sh");
        fs::File::create(&file)
            .and_then(|mut f| f.write_all(environment))
            .map_err(Error::io("write", file))?;
    }
    Ok(place)
}

/// Moves what a build left in its `store` to `place/outputs`: `outputs`, by their base names. As good as it can be done: it is for
/// people to look at.
pub(crate) fn keep_outputs(store: &Path, outputs: &[&str], place: &Path) {
    let kept = place.join("outputs");
    // All of it: somebody who is not root cannot move a read-only directory by itself.
    if fs::rename(store, &kept).is_err() {
        return;
    }
    for entry in fs::read_dir(&kept).into_iter().flatten().flatten() {
        if !entry
            .file_name()
            .to_str()
            .is_some_and(|name| outputs.contains(&name))
        {
            // The place of an input, which is empty.
            let _ = fs::remove_dir(entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
    }
}

/// The environment of a build, for a shell to read. Variables that no shell can have are left out.
pub(crate) fn environment(spec: &Spec) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in &spec.env {
        let name = name.as_bytes();
        let is_name = name.first().is_some_and(|b| !b.is_ascii_digit())
            && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if !is_name {
            continue;
        }
        text.extend_from_slice(b"export ");
        text.extend_from_slice(name);
        text.extend_from_slice(b"='");
        for byte in value.as_bytes() {
            match byte {
                b'\'' => text.extend_from_slice(b"'\\''"),
                byte => text.push(*byte),
            }
        }
        text.extend_from_slice(b"'\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn a_shell_reads_the_environment_back() {
        let mut spec = Spec::new("/b", "/w");
        let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        spec.env = vec![
            (os(b"a"), os(b"it's\ntwo")),
            (os(b"not-a-name"), os(b"x")),
            (os(b"1"), os(b"x")),
            (os(b"raw"), os(b"\xff")),
        ];
        assert_eq!(
            environment(&spec),
            b"export a='it'\\''s\ntwo'\nexport raw='\xff'\n"
        );
    }

    #[test]
    fn kept_directories_have_names_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..2 {
            let build = dir.path().join("build");
            fs::create_dir(&build).unwrap();
            fs::write(build.join("file"), "x").unwrap();
            let place = keep(dir.path(), "x-1.0", &build, Some(b"export a='b'\n")).unwrap();
            assert_eq!(
                place,
                dir.path()
                    .join(format!("nix/var/xbuild/kept/x-1.0-{number}"))
            );
            assert_eq!(fs::read(place.join("build/file")).unwrap(), b"x");
            assert_eq!(
                fs::read(place.join("environment.sh")).unwrap(),
                b"export a='b'\n"
            );
        }
    }
}
