//! Archives from URLs, unpacked.

use std::path::Path;

use serde_json::Value;
use xbuild_fetch::Request;
use xbuild_flake_ref::{Input, Scheme, Url};
use xbuild_store_model::StorePath;

use crate::cache::Known;
use crate::error::{Error, Result};
use crate::inputs::{Found, Inputs};

/// An unpacked archive.
pub(crate) struct Unpacked {
    pub(crate) path: StorePath,
    /// The time of its newest entry.
    pub(crate) last_modified: u64,
    /// A URL that it always has.
    pub(crate) immutable_url: Option<String>,
}

impl Inputs {
    pub(crate) fn fetch_tarball(&self, input: &Input) -> Result<Found> {
        let url = input.text("url").unwrap_or_default();
        let unpacked = self.unpack_url(url, input.name())?;
        let mut found = input.clone();
        if let Some(immutable) = &unpacked.immutable_url {
            found = Input::from_url(&Url::parse(immutable)?, true)?;
            if found.scheme() != Some(Scheme::Tarball) {
                return Err(Error::refused(
                    "tarball 'Link' headers that redirect to non-tarball URLs are not supported",
                ));
            }
        }
        if unpacked.last_modified != 0 && found.int("lastModified").is_none() {
            found.set("lastModified", unpacked.last_modified);
        }
        found.set("narHash", self.nar_hash(&unpacked.path)?);
        Ok((unpacked.path, found))
    }

    /// The tree in an archive (`builtins.fetchTarball` without a hash). One that was fetched less than `tarball-ttl` ago is taken
    /// for the same.
    ///
    /// # Errors
    /// If it cannot be downloaded or unpacked, or the store cannot take it.
    pub fn download_tarball(&self, url: &str, name: &str) -> Result<StorePath> {
        Ok(self.unpack_url(url, name)?.path)
    }

    fn unpack_url(&self, url: &str, name: &str) -> Result<Unpacked> {
        let local = local_archive(url)?;
        let key = format!("tarball {name} {url}");
        let known = if local { None } else { self.cache.get(&key) };
        let cached = match &known {
            Some(known) => self
                .valid_text(name, known.text("narHash"))?
                .map(|path| Unpacked {
                    path,
                    last_modified: known.number("lastModified").unwrap_or_default(),
                    immutable_url: known.text("immutableUrl").map(str::to_owned),
                }),
            None => None,
        };
        let expired = known.as_ref().is_none_or(|known| known.expired);
        let cached = match cached {
            Some(cached) if !expired => return Ok(cached),
            other => other,
        };
        let request = Request {
            known_etag: cached.as_ref().and(known.as_ref()).and_then(Known::etag),
            ..Request::default()
        };
        let scratch = self.store.work_dir()?;
        let file = scratch.path().join("download");
        let answer = self.fetcher.ask(
            url,
            &request,
            &file,
            None,
            &mut |_| {},
            (*self.cancel).as_ref(),
        )?;
        let unpacked = match (answer.fetched, cached) {
            (None, Some(cached)) => cached,
            _ => {
                let (path, last_modified) = self.unpack(url, name, &file, scratch.path())?;
                Unpacked {
                    path,
                    last_modified,
                    immutable_url: answer.immutable_url,
                }
            }
        };
        if !local {
            let immutable = unpacked.immutable_url.as_deref();
            self.cache.put(
                &key,
                &[
                    ("narHash", Value::from(self.nar_hash(&unpacked.path)?)),
                    ("lastModified", Value::from(unpacked.last_modified)),
                    ("etag", answer.etag.map_or(Value::Null, Value::from)),
                    ("immutableUrl", immutable.map_or(Value::Null, Value::from)),
                ],
            );
        }
        Ok(unpacked)
    }

    /// Unpacks an archive, downloaded from `url`, into the store; gives the time of its newest entry, too.
    pub(crate) fn unpack(
        &self,
        url: &str,
        name: &str,
        file: &Path,
        scratch: &Path,
    ) -> Result<(StorePath, u64)> {
        let unpacked = scratch.join("unpacked");
        let last_modified =
            xbuild_fetch::tarball::unpack(file, &unpacked).map_err(|error| error.with_name(url))?;
        Ok((self.add_tree(name, &unpacked)?, last_modified))
    }
}

/// Whether the archive is a file of this machine; if it is no file, says what it is.
fn local_archive(url: &str) -> Result<bool> {
    let Ok(parsed) = Url::parse(url) else {
        return Ok(url.starts_with('/'));
    };
    if parsed.scheme != "file" {
        return Ok(false);
    }
    let text = parsed.plain_path();
    let path = Path::new(&text);
    if !path.is_absolute() {
        return Err(Error::refused(format!(
            "tarball '{url}' must use an absolute path. The 'file' scheme does not support relative paths."
        )));
    }
    if !path.exists() {
        return Err(Error::refused(format!(
            "tarball \"{text}\" does not exist."
        )));
    }
    if path.is_dir() {
        return Err(Error::refused(if path.join(".git").exists() {
            format!(
                "tarball \"{text}\" is a git repository, not a tarball. Please use `git+file` as the scheme."
            )
        } else {
            format!("tarball \"{text}\" is a directory, not a file.")
        }));
    }
    Ok(true)
}
