//! Realisations: which path a derivation's output turned out to have, where that does not follow from the derivation alone.
//!
//! Tables and contents are those of stock Nix (`ca-specific-schema.sql`; the tables are there since the feature
//! `ca-derivations` was first used). A realisation ends with its path: deleting the path deletes it.

use rusqlite::{Connection, Transaction, params};
use xbuild_store_model::hash::Hash;
use xbuild_store_model::store_path::StorePath;

use crate::busy::Work;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::schema;
use crate::store::Store;

/// Names an output of a derivation in a realisation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrvOutput {
    /// The hash of the derivation (`xbuild_derivation::output_hashes`), SHA-256.
    pub drv_hash: Hash,
    /// The output's name.
    pub output: String,
}

/// An output, and the valid path that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realisation {
    /// The output.
    pub id: DrvOutput,
    /// Its path.
    pub path: StorePath,
}

impl Store {
    /// The path of an output that was realised before. It becomes a temporary root, so what is returned stays valid.
    pub fn query_realisation(&self, id: &DrvOutput) -> Result<Option<StorePath>> {
        loop {
            let Some(path) = self
                .db
                .read(|connection| self.db.realisation(connection, id))?
            else {
                return Ok(None);
            };
            self.add_temp_root(&path)?;
            // A collector may have come between the question and the root.
            if self.is_valid(&path)? {
                return Ok(Some(path));
            }
        }
    }

    /// Writes realisations down. Their paths must be valid. Returns those that hold: one that was there before is kept.
    pub fn add_realisations(&self, realisations: &[Realisation]) -> Result<Vec<Realisation>> {
        if realisations.is_empty() {
            return Ok(Vec::new());
        }
        self.check_writable("register realisations")?;
        self.db
            .write(|transaction| self.db.add_realisations(transaction, realisations))
    }
}

impl Database {
    fn realisation(&self, connection: &Connection, id: &DrvOutput) -> Work<Option<StorePath>> {
        if !schema::has_realisations(connection)? {
            return Ok(None);
        }
        let mut statement = connection.prepare_cached(
            "select v.path from Realisations r join ValidPaths v on v.id = r.outputPath \
             where r.drvPath = ? and r.outputName = ? order by r.id limit 1",
        )?;
        let hash = id.drv_hash.to_prefixed_base16();
        let mut rows = statement.query(params![hash, id.output])?;
        rows.next()?.map(|row| self.path_column(row, 0)).transpose()
    }

    pub(crate) fn add_realisations(
        &self,
        transaction: &Transaction<'_>,
        realisations: &[Realisation],
    ) -> Work<Vec<Realisation>> {
        let mut held = Vec::with_capacity(realisations.len());
        if realisations.is_empty() {
            return Ok(held);
        }
        schema::create_realisations(transaction)?;
        for new in realisations {
            let known = self.realisation(transaction, &new.id)?;
            if known.is_none() {
                self.insert_realisation(transaction, new)?;
            }
            held.push(Realisation {
                id: new.id.clone(),
                path: known.unwrap_or_else(|| new.path.clone()),
            });
        }
        Ok(held)
    }

    fn insert_realisation(&self, transaction: &Transaction<'_>, new: &Realisation) -> Work<()> {
        let Some(path) = self.id(transaction, &new.path)? else {
            return Err(Error::NotValid(new.path.clone()).into());
        };
        let mut statement = transaction.prepare_cached(
            "insert into Realisations (drvPath, outputName, outputPath, signatures) values (?, ?, ?, '')",
        )?;
        let hash = new.id.drv_hash.to_prefixed_base16();
        statement.execute(params![hash, new.id.output, path])?;
        Ok(())
    }
}
