//! Checking a store: the database against the disk, and contents against their hashes.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use rayon::prelude::*;
use xbuild_store_model::hash::Hash;
use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::locks;
use crate::scan;
use crate::store::Store;

/// What every database of a store has (`schema.rs`).
const TABLES: [&str; 3] = ["ValidPaths", "Refs", "DerivationOutputs"];

/// Something that is wrong with a store. `Display` says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// SQLite's own check of the database file fails.
    DamagedDatabase {
        /// The database file.
        database: PathBuf,
        /// What SQLite says.
        problem: String,
    },
    /// A row cannot be understood, so the path was not checked.
    DamagedEntry {
        /// What is wrong.
        problem: String,
    },
    /// A valid path is not on disk.
    Missing {
        /// The path.
        path: StorePath,
        /// Where it should be.
        physical: PathBuf,
    },
    /// A path's contents are not those that were registered.
    Modified {
        /// The path.
        path: StorePath,
        /// Where it is.
        physical: PathBuf,
        /// The NAR hash that was registered.
        expected: Hash,
        /// The NAR hash of what is there.
        found: Hash,
    },
    /// A path cannot be read.
    Unreadable {
        /// The path.
        path: StorePath,
        /// Why.
        problem: String,
    },
    /// A file by which identical files are shared (`nix/store/.links`) is not what its name says.
    ModifiedLink {
        /// The file.
        link: PathBuf,
    },
}

impl Finding {
    /// The path that must be made again, if it is one.
    pub fn damaged_path(&self) -> Option<&StorePath> {
        match self {
            Self::Missing { path, .. }
            | Self::Modified { path, .. }
            | Self::Unreadable { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DamagedDatabase { database, problem } => write!(
                f,
                "database '{}' is damaged: {problem}\n  restore it from a backup, or delete the store and build again",
                database.display()
            ),
            Self::DamagedEntry { problem } => write!(f, "{problem}"),
            Self::Missing { path, physical } => write!(
                f,
                "path '{path}' is registered, but '{}' does not exist\n  make it again \
                 (`xbuild store repair {path}`), or delete it and what refers to it",
                physical.display()
            ),
            Self::Modified {
                path,
                physical,
                expected,
                found,
            } => write!(
                f,
                "path '{path}' was modified: '{}' has NAR hash {}, registered was {}\n  make it again \
                 (`xbuild store repair {path}`), or delete it and what refers to it",
                physical.display(),
                found.to_sri(),
                expected.to_sri()
            ),
            Self::Unreadable { path, problem } => {
                write!(f, "path '{path}' cannot be checked: {problem}")
            }
            Self::ModifiedLink { link } => write!(
                f,
                "'{}' was modified: its contents are not those that its name says\n  `xbuild store verify --check-contents --repair` removes it",
                link.display()
            ),
        }
    }
}

/// The result of [`Store::verify`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many valid paths were looked at.
    pub paths: usize,
    /// How many bytes of NAR were hashed.
    pub bytes: u64,
    /// What is wrong: the database, links, then paths in their order. Empty: the store is sound.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// True if nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

impl Store {
    /// Checks that the database is sound and every valid path is on disk; with `check_contents`, also that each has the contents
    /// that were registered. Changes nothing.
    pub fn verify(&self, check_contents: bool) -> Result<VerifyReport> {
        // No collection may run at the same time; registering may.
        let lock_path = self.layout.gc_lock();
        let lock = if self.options.read_only {
            None
        } else {
            Some(locks::open_lock_file(&lock_path)?)
        };
        if let Some(lock) = &lock {
            let what = || "the garbage collector".to_owned();
            locks::lock(lock, locks::Mode::Shared, &lock_path, &self.hooks, &what)?;
        }
        let mut report = VerifyReport::default();
        let damaged = |problem| Finding::DamagedDatabase {
            database: self.layout.database(),
            problem,
        };
        let missing = self.missing_tables()?;
        if !missing.is_empty() {
            // Nothing else can be asked.
            report.findings.extend(missing.into_iter().map(damaged));
            return Ok(report);
        }
        report
            .findings
            .extend(self.check_database()?.into_iter().map(damaged));
        let (paths, damaged) = self.registered()?;
        report.paths = paths.len();
        report.findings.extend(
            damaged
                .into_iter()
                .map(|problem| Finding::DamagedEntry { problem }),
        );

        if check_contents {
            let links = self.damaged_links()?;
            let findings = links.into_iter().map(|link| Finding::ModifiedLink { link });
            report.findings.extend(findings);
        }
        let checked: Vec<(u64, Option<Finding>)> = paths
            .par_iter()
            .map(|path| self.verify_path(path, check_contents))
            .collect::<Result<_>>()?;
        for (bytes, finding) in checked {
            report.bytes += bytes;
            report.findings.extend(finding);
        }
        Ok(report)
    }

    /// Reads valid paths, and says which of them are not what was registered. Changes nothing.
    pub fn verify_paths(&self, paths: &[StorePath]) -> Result<VerifyReport> {
        self.add_temp_roots(paths)?;
        let valid = self.valid_among(paths)?;
        if let Some(path) = paths.iter().find(|path| !valid.contains(path)) {
            return Err(Error::NotValid(path.clone()));
        }
        let checked: Vec<(u64, Option<Finding>)> = paths
            .par_iter()
            .map(|path| self.verify_path(path, true))
            .collect::<Result<_>>()?;
        let mut report = VerifyReport {
            paths: paths.len(),
            ..VerifyReport::default()
        };
        for (bytes, finding) in checked {
            report.bytes += bytes;
            report.findings.extend(finding);
        }
        Ok(report)
    }

    fn verify_path(
        &self,
        path: &StorePath,
        check_contents: bool,
    ) -> Result<(u64, Option<Finding>)> {
        self.hooks.check_cancelled()?;
        let physical = self.physical(path);
        match physical.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((
                    0,
                    Some(Finding::Missing {
                        path: path.clone(),
                        physical,
                    }),
                ));
            }
            Err(error) => {
                return Ok((
                    0,
                    Some(Finding::Unreadable {
                        path: path.clone(),
                        problem: error.to_string(),
                    }),
                ));
            }
        }
        if !check_contents {
            return Ok((0, None));
        }
        let info = match self.query_path_info(path) {
            Ok(Some(info)) => info,
            Ok(None) => return Ok((0, None)), // deleted since we listed it
            Err(error @ Error::CorruptDatabase { .. }) => {
                return Ok((
                    0,
                    Some(Finding::DamagedEntry {
                        problem: error.to_string(),
                    }),
                ));
            }
            Err(error) => return Err(error),
        };
        match scan::scan_and_hash(&physical, [], false) {
            Ok(scanned) if scanned.nar_hash == info.nar_hash => Ok((scanned.nar_size, None)),
            Ok(scanned) => {
                let (expected, found) = (info.nar_hash, scanned.nar_hash);
                Ok((
                    scanned.nar_size,
                    Some(Finding::Modified {
                        path: path.clone(),
                        physical,
                        expected,
                        found,
                    }),
                ))
            }
            Err(error) => Ok((
                0,
                Some(Finding::Unreadable {
                    path: path.clone(),
                    problem: error.to_string(),
                }),
            )),
        }
    }

    fn missing_tables(&self) -> Result<Vec<String>> {
        self.db.read(|connection| {
            let mut missing = Vec::new();
            for table in TABLES {
                if !connection.table_exists(None, table)? {
                    missing.push(format!("the table {table} is missing"));
                }
            }
            Ok(missing)
        })
    }

    fn check_database(&self) -> Result<Vec<String>> {
        self.db.read(|connection| {
            let mut problems = Vec::new();
            let mut statement = connection.prepare("pragma integrity_check(20)")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let line: String = row.get(0)?;
                if line != "ok" {
                    problems.push(line);
                }
            }
            let mut statement = connection.prepare("pragma foreign_key_check")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
                problems.push(format!(
                    "a row of {table} refers to a row of {parent} that does not exist"
                ));
            }
            Ok(problems)
        })
    }

    /// The registered paths, and complaints about rows that are none.
    fn registered(&self) -> Result<(BTreeSet<StorePath>, Vec<String>)> {
        self.db.read(|connection| {
            let mut paths = BTreeSet::new();
            let mut damaged = Vec::new();
            let mut statement = connection.prepare_cached("select path from ValidPaths")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                match self.db.path_column(row, 0) {
                    Ok(path) => {
                        paths.insert(path);
                    }
                    Err(crate::busy::WorkError::Store(error)) => {
                        damaged.push(error.to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok((paths, damaged))
        })
    }
}
