//! What was found out about inputs: small JSON files, one a fact, below the user's cache directory.
//!
//! A file is named by the hash of its key and written under another name first, so that processes may come and go.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use xbuild_store_model::{Hash, HashAlgo};

/// A cache in a directory. That it cannot be read or written is no error: things are just fetched again.
pub(crate) struct Cache {
    dir: PathBuf,
    ttl: Duration,
}

/// A fact.
pub(crate) struct Known {
    value: Map<String, Value>,
    /// Whether it is older than `tarball-ttl`.
    pub(crate) expired: bool,
}

impl Known {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value.get(name)?.as_str()
    }

    /// The entity tag (RFC 9110, 8.8.3) that came with it.
    pub(crate) fn etag(&self) -> Option<String> {
        self.text("etag").map(str::to_owned)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.value.get(name)?.as_u64()
    }
}

impl Cache {
    pub(crate) fn new(dir: &Path, ttl: Duration) -> Self {
        Self {
            dir: dir.join("inputs"),
            ttl,
        }
    }

    fn file(&self, key: &str) -> PathBuf {
        let hash = Hash::of(HashAlgo::Sha256, key.as_bytes()).to_base32();
        self.dir.join(format!("{hash}.json"))
    }

    /// What is known of a key.
    pub(crate) fn get(&self, key: &str) -> Option<Known> {
        let text = fs::read(self.file(key)).ok()?;
        let Ok(Value::Object(mut entry)) = serde_json::from_slice(&text) else {
            return None;
        };
        if entry.get("key")?.as_str()? != key {
            return None;
        }
        let time = entry.get("time")?.as_u64()?;
        let Some(Value::Object(value)) = entry.remove("value") else {
            return None;
        };
        Some(Known {
            value,
            expired: time.saturating_add(self.ttl.as_secs()) <= now(),
        })
    }

    /// Remembers something of a key.
    pub(crate) fn put(&self, key: &str, value: &[(&str, Value)]) {
        let value: Map<String, Value> = value
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let entry = serde_json::json!({ "key": key, "time": now(), "value": value });
        let file = self.file(key);
        let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
        let written = fs::create_dir_all(&self.dir)
            .and_then(|()| fs::write(&temporary, entry.to_string()))
            .and_then(|()| fs::rename(&temporary, &file));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
