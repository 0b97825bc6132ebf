//! Builders that are part of xbuild: `builtin:fetchurl`, as in stock Nix, and `builtin:unpack-debs`.
//!
//! What they put into an output is part of the meaning of derivations: it may never change without a new name.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use xbuild_derivation::{Derivation, Output};
use xbuild_fetch::{FetchError, Fetcher, Progress};
use xbuild_report::{Event, Events, StepId};
use xbuild_sandbox::CancelToken;
use xbuild_store::{Download, Store};
use xbuild_store_model::{ContentAddressMethod, StorePath, nar};

use crate::error::{Error, FailureReason};

/// The prefix that tells such builders from programs.
pub(crate) const PREFIX: &[u8] = b"builtin:";

/// What a builtin may use.
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) fetcher: &'a Fetcher,
    pub(crate) events: &'a Events,
    /// The step that it is.
    pub(crate) step: StepId,
    pub(crate) cancel: &'a CancelToken,
    /// The closure of the derivation's inputs: what a builder may read of the store.
    pub(crate) inputs: &'a BTreeSet<StorePath>,
}

/// Runs the builtin builder of `drv`, which makes `out`.
pub(crate) fn run(
    context: &Context<'_>,
    drv: &Derivation,
    out: &Path,
) -> Result<(), FailureReason> {
    match drv.builder.as_slice() {
        b"builtin:fetchurl" => fetchurl(context, drv, out),
        b"builtin:unpack-debs" => unpack_debs(context, drv, out),
        other => Err(FailureReason::Unsupported(format!(
            "there is no builder `{}`; known are `builtin:fetchurl` and `builtin:unpack-debs`",
            String::from_utf8_lossy(other)
        ))),
    }
}

fn variable<'a>(drv: &'a Derivation, name: &str) -> Option<&'a str> {
    drv.env
        .get(name.as_bytes())
        .and_then(|value| std::str::from_utf8(value).ok())
        .filter(|value| !value.is_empty())
}

/// `url` or `urls`, `executable`, `unpack`; the hash is that of the fixed output.
fn fetchurl(context: &Context<'_>, drv: &Derivation, out: &Path) -> Result<(), FailureReason> {
    let Some((_, method, hash)) = drv.fixed_output() else {
        return Err(FailureReason::Unsupported(
            "builtin:fetchurl needs `outputHash`: what is downloaded must be known before"
                .to_owned(),
        ));
    };
    let urls: Vec<&str> = variable(drv, "urls")
        .or_else(|| variable(drv, "url"))
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    if urls.is_empty() {
        return Err(FailureReason::Unsupported(
            "builtin:fetchurl needs `url` or `urls`".to_owned(),
        ));
    }
    let unpack = variable(drv, "unpack") == Some("1");
    let executable = variable(drv, "executable") == Some("1");
    // A flat hash is checked while the bytes arrive; a recursive one is that of the finished output.
    let expected = (method == ContentAddressMethod::FLAT && !unpack).then_some(&hash);
    let download = if unpack {
        // No store path has this name.
        out.with_file_name("download")
    } else {
        out.to_owned()
    };
    let mut last = None;
    let begun = Instant::now();
    for url in urls {
        let mut progress = |progress: Progress| {
            context.events.tell(&Event::Downloaded {
                step: context.step,
                url: Cow::Borrowed(url),
                bytes: progress.received,
                total: progress.total,
            });
        };
        match context.fetcher.fetch(
            url,
            &download,
            expected,
            &mut progress,
            context.cancel.flag(),
        ) {
            Ok(_) => {
                last = None;
                break;
            }
            Err(FetchError::Cancelled { .. }) => return Err(FailureReason::Cancelled),
            Err(FetchError::HashMismatch { url, expected, got }) => {
                return Err(FailureReason::HashMismatch {
                    url: Some(url),
                    wanted: expected.to_sri(),
                    got: got.to_sri(),
                });
            }
            Err(error) => last = Some(error),
        }
    }
    if let Some(error) = last {
        return Err(FailureReason::Download(error.to_string()));
    }
    note_size(context, drv, &download, begun.elapsed());
    if unpack {
        unpack_nar(&download, out)?;
    }
    if executable {
        fs::set_permissions(out, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("make executable", out))?;
    }
    Ok(())
}

/// Remembers the size of a download. Only a guess for later runs: a failure to note it is no failure of the download.
fn note_size(context: &Context<'_>, drv: &Derivation, download: &Path, duration: Duration) {
    let path = drv.outputs.values().find_map(Output::path);
    if let (Some(path), Ok(meta)) = (path, fs::metadata(download)) {
        let bytes = meta.len();
        let download = Download { bytes, duration };
        let _ = context
            .store
            .builds()
            .and_then(|builds| builds.record_download(path, download));
    }
}

/// `unpack = true` of stock Nix: the download is a NAR, perhaps compressed with xz.
fn unpack_nar(archive: &Path, out: &Path) -> Result<(), FailureReason> {
    let file = xbuild_fetch::decompressed(archive).map_err(Error::io("read", archive))?;
    nar::restore(file, out).map_err(|error| {
        FailureReason::Download(format!("the download is no NAR archive: {error}"))
    })?;
    fs::remove_file(archive).map_err(Error::io("remove", archive))?;
    Ok(())
}

/// `debs`: store paths of packages, separated by blanks. `only`: of what they have, just these files.
fn unpack_debs(context: &Context<'_>, drv: &Derivation, out: &Path) -> Result<(), FailureReason> {
    let mut debs: Vec<PathBuf> = Vec::new();
    for name in variable(drv, "debs").unwrap_or_default().split_whitespace() {
        let path = StorePath::parse(name).map_err(|error| {
            FailureReason::Unsupported(format!(
                "builtin:unpack-debs: `debs` names `{name}`: {error}"
            ))
        })?;
        if !context.inputs.contains(&path) {
            return Err(FailureReason::Unsupported(format!(
                "builtin:unpack-debs: `debs` names {path}, which is not an input of the derivation"
            )));
        }
        debs.push(context.store.physical(&path));
    }
    if debs.is_empty() {
        return Err(FailureReason::Unsupported(
            "builtin:unpack-debs needs `debs`, the packages to unpack".to_owned(),
        ));
    }
    let only: Vec<&str> = variable(drv, "only")
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let unpacked = if only.is_empty() {
        xbuild_fetch::deb::unpack(&debs, out)
    } else {
        xbuild_fetch::deb::unpack_only(&debs, &only, out)
    };
    unpacked.map_err(|error| FailureReason::Unsupported(error.to_string()))
}
