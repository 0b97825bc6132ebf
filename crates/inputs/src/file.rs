//! Single files.

use serde_json::Value;
use xbuild_fetch::Request;
use xbuild_flake_ref::Input;
use xbuild_store_model::{FileIngestionMethod, HashAlgo, StorePath};

use crate::cache::Known;
use crate::error::Result;
use crate::inputs::{Found, Inputs};

impl Inputs {
    /// A file from a URL, unpacked or looked into by nobody. One that was fetched less than `tarball-ttl` ago is taken for the same.
    pub(crate) fn fetch_file(&self, input: &Input) -> Result<Found> {
        let url = input.text("url").unwrap_or_default();
        let path = self.download_file(url, input.name(), FileIngestionMethod::NixArchive)?;
        let mut found = input.clone();
        found.set("narHash", self.nar_hash(&path)?);
        Ok((path, found))
    }

    /// A file from a URL in the store, by its own hash (flat) or that of its NAR.
    ///
    /// # Errors
    /// If the download fails and there is no earlier one, or the store cannot take it.
    pub fn download_file(
        &self,
        url: &str,
        name: &str,
        method: FileIngestionMethod,
    ) -> Result<StorePath> {
        let key = format!("file {url}");
        // What is on this machine is cheap to look at.
        let local = url.starts_with("file:") || url.starts_with('/');
        let known = if local { None } else { self.cache.get(&key) };
        let cached = match &known {
            Some(known) => self.valid_text("source", known.text("narHash"))?,
            None => None,
        };
        let scratch = self.store.work_dir()?;
        let file = scratch.path().join("download");
        let add = |source: &std::path::Path| {
            let algo = HashAlgo::Sha256;
            self.store.add_path(name, source, method, algo, None, None)
        };
        let reuse = |path: &StorePath| add(&self.store.physical(path));
        if let (Some(path), Some(known)) = (&cached, &known)
            && !known.expired
        {
            return Ok(reuse(path)?);
        }
        let request = Request {
            known_etag: cached.as_ref().and(known.as_ref()).and_then(Known::etag),
            ..Request::default()
        };
        let answer = self.fetcher.ask(
            url,
            &request,
            &file,
            None,
            &mut |_| {},
            (*self.cancel).as_ref(),
        );
        let answer = match (answer, &cached) {
            (Ok(answer), _) => answer,
            (Err(error), Some(path)) => {
                self.warn(&format!("{error}; using cached version"));
                return Ok(reuse(path)?);
            }
            (Err(error), None) => return Err(error.into()),
        };
        let (path, source) = match (&answer.fetched, &cached) {
            (None, Some(cached)) => (reuse(cached)?, cached.clone()),
            _ => (add(&file)?, self.add_tree("source", &file)?),
        };
        if !local {
            self.cache.put(
                &key,
                &[
                    ("narHash", Value::from(self.nar_hash(&source)?)),
                    ("etag", answer.etag.map_or(Value::Null, Value::from)),
                ],
            );
        }
        Ok(path)
    }
}
