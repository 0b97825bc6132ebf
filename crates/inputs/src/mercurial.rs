//! Trees of Mercurial repositories, by the program `hg`.
//!
//! A local repository without a chosen branch or changeset is its work tree if that has changes: the files that Mercurial tracks, as
//! they are. Anything else is a changeset of a clone in the cache.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use xbuild_flake_ref::{Input, Url};
use xbuild_store_model::{FileIngestionMethod, Hash, HashAlgo};

use crate::error::{Error, Result};
use crate::inputs::{Found, Inputs};

/// The branch of a repository for which none is named.
const DEFAULT_BRANCH: &str = "default";

impl Inputs {
    pub(crate) fn fetch_mercurial(&self, input: &Input) -> Result<Found> {
        let url = Url::parse(input.text("url").unwrap_or_default())?;
        let local = (url.scheme == "file").then(|| PathBuf::from(url.plain_path()));
        let place = match &local {
            Some(path) => path.display().to_string(),
            None => url.to_string(),
        };
        if input.text("ref").is_none()
            && input.text("rev").is_none()
            && let Some(path) = &local
            && path.join(".hg").exists()
        {
            let changes = ["--modified", "--added", "--removed"].map(OsStr::new);
            let status = [OsStr::new("status"), OsStr::new("-R"), path.as_os_str()];
            if !hg(&place, &[status, changes].concat())?.is_empty() {
                return self.fetch_changed_tree(path, &place, input);
            }
        }
        self.fetch_changeset(&place, input)
    }

    /// The files that Mercurial tracks in a work tree that has changes.
    fn fetch_changed_tree(&self, path: &Path, place: &str, input: &Input) -> Result<Found> {
        let text = format!("Mercurial tree '{place}' is unclean");
        if !self.options.allow_dirty {
            return Err(Error::refused(text));
        }
        if self.options.warn_dirty {
            self.warn(&text);
        }
        let of = |args: &[&str]| {
            let repository = [OsStr::new("-R"), path.as_os_str()];
            let args: Vec<&OsStr> = args.iter().map(OsStr::new).chain(repository).collect();
            hg(place, &args)
        };
        let mut found = input.clone();
        let branch = of(&["branch"])?;
        found.set("ref", String::from_utf8_lossy(&branch).trim_end());
        let listed = of(&[
            "status",
            "--clean",
            "--modified",
            "--added",
            "--no-status",
            "--print0",
        ])?;
        let files = listed
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty());
        let mut tracked: HashSet<&[u8]> = HashSet::new();
        for file in files {
            tracked.insert(file);
            let ends = memchr::memchr_iter(b'/', file);
            tracked.extend(ends.map(|end| &file[..end]));
        }
        let mut filter = |entry: &Path, _: xbuild_store::FileType| {
            let below = entry.strip_prefix(path).unwrap_or(entry);
            Ok(tracked.contains(below.as_os_str().as_bytes()))
        };
        let store_path = self.store.add_path(
            input.name(),
            path,
            FileIngestionMethod::NixArchive,
            HashAlgo::Sha256,
            Some(&mut filter),
            None,
        )?;
        Ok((store_path, found))
    }

    fn fetch_changeset(&self, place: &str, input: &Input) -> Result<Found> {
        let mut found = input.clone();
        let branch = input.text("ref").unwrap_or(DEFAULT_BRANCH).to_owned();
        found.set("ref", branch.as_str());
        let newest = format!("hg {branch} {place}");
        if found.text("rev").is_none()
            && let Some(known) = self.cache.get(&newest)
            && !known.expired
            && let Some(rev) = known.text("rev")
        {
            found.set("rev", rev);
        }
        if let Some(done) = self.known_changeset(&found)? {
            return Ok(done);
        }
        let clone = self.clone_of(place, found.text("rev"))?;
        let wanted = found.text("rev").unwrap_or(&branch).to_owned();
        let repository = [OsStr::new("-R"), clone.as_os_str()];
        let words = |args: &[&'static str], rest: &[&OsStr]| -> Result<Vec<u8>> {
            let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
            hg(place, &[&args, &repository[..], rest].concat())
        };
        let template = "{node} {rev} {branch}";
        let log = words(
            &["log"],
            &["-r", &wanted, "--template", template].map(OsStr::new),
        )?;
        let log = String::from_utf8_lossy(&log).into_owned();
        let mut parts = log.splitn(3, ' ');
        let (Some(node), Some(Ok(count)), Some(branch)) = (
            parts.next(),
            parts.next().map(str::parse::<u64>),
            parts.next(),
        ) else {
            return Err(Error::refused(format!(
                "hg says '{log}' of the changeset '{wanted}' of '{place}'"
            )));
        };
        let chosen = input.text("rev").is_some();
        found.set("rev", node);
        found.set("ref", branch);
        if let Some(done) = self.known_changeset(&found)? {
            return Ok(done);
        }
        let scratch = self.store.work_dir()?;
        let tree = scratch.path().join("tree");
        words(
            &["archive"],
            &[OsStr::new("-r"), OsStr::new(node), tree.as_os_str()],
        )?;
        let remark = tree.join(".hg_archival.txt");
        fs::remove_file(&remark).map_err(Error::io("remove", &remark))?;
        let path = self.add_tree(input.name(), &tree)?;
        if !chosen {
            self.cache
                .put(&newest, &[("rev", Value::from(node.to_owned()))]);
        }
        self.cache.put(
            &changeset_key(node),
            &[
                ("narHash", Value::from(self.nar_hash(&path)?)),
                ("revCount", Value::from(count)),
            ],
        );
        found.set("revCount", count);
        Ok((path, found))
    }

    /// A changeset that was fetched before, if the store has its tree.
    fn known_changeset(&self, input: &Input) -> Result<Option<Found>> {
        let Some(rev) = input.text("rev") else {
            return Ok(None);
        };
        let Some(known) = self.cache.get(&changeset_key(rev)) else {
            return Ok(None);
        };
        let Some(path) = self.valid_text(input.name(), known.text("narHash"))? else {
            return Ok(None);
        };
        let mut found = input.clone();
        found.set("revCount", known.number("revCount").unwrap_or_default());
        Ok(Some((path, found)))
    }

    /// A clone in the cache that has `rev`, or else what the repository has now.
    fn clone_of(&self, place: &str, rev: Option<&str>) -> Result<PathBuf> {
        let name = Hash::of(HashAlgo::Sha256, place.as_bytes()).to_base32();
        let parent = self.options.cache_dir.join("hg");
        let clone = parent.join(name);
        let source = OsStr::new(place);
        if !clone.exists() {
            fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
            let args = ["clone", "--noupdate", "--"].map(OsStr::new);
            hg(place, &[&args[..], &[source, clone.as_os_str()]].concat())?;
            return Ok(clone);
        }
        let repository = [OsStr::new("-R"), clone.as_os_str()];
        if let Some(rev) = rev {
            let question = [&[OsStr::new("log")], &repository[..]].concat();
            let answer = ["-r", rev, "--template", "1"].map(OsStr::new);
            let output = run(place, &[&question[..], &answer].concat())?;
            if output.status.success() && output.stdout == b"1" {
                return Ok(clone);
            }
        }
        let pull = [&[OsStr::new("pull")], &repository[..]].concat();
        let pull = [&pull[..], &[OsStr::new("--"), source]].concat();
        // An earlier one was ended in the middle.
        if clone.join(".hg/store/journal").exists() {
            hg(place, &[&[OsStr::new("recover")], &repository[..]].concat())?;
        }
        hg(place, &pull)?;
        Ok(clone)
    }
}

/// The key of a changeset's tree in the cache.
fn changeset_key(rev: &str) -> String {
    format!("hg changeset {rev}")
}

/// Runs `hg` to its end.
fn run(place: &str, args: &[&OsStr]) -> Result<Output> {
    Command::new("hg")
        .args(args)
        // Without the user's aliases, colours and language.
        .env("HGPLAIN", "")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::NoMercurial {
            repository: place.to_owned(),
            source,
        })
}

/// What `hg` prints.
fn hg(place: &str, args: &[&OsStr]) -> Result<Vec<u8>> {
    let output = run(place, args)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let how = match output.status.code() {
        Some(code) => format!("failed with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim_end().trim_start_matches("abort: ");
    Err(Error::refused(format!("hg {how}\n{said}")))
}
