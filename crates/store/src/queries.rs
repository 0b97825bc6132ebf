//! Reading the tables. Each function works within the caller's transaction.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::FxHashMap;
use xbuild_store_model::content_address::ContentAddress;
use xbuild_store_model::hash::Hash;
use xbuild_store_model::store_path::StorePath;

use crate::busy::Work;
use crate::database::Database;
use crate::error::Result;
use crate::path_info::PathInfo;

const QUERY_INFO: &str = "select id, hash, registrationTime, deriver, narSize, ultimate, sigs, ca from ValidPaths where path = ?";
const QUERY_ID: &str = "select id from ValidPaths where path = ?";
const QUERY_PATH: &str = "select path from ValidPaths where id = ?";
const QUERY_REFERENCES: &str =
    "select path from Refs join ValidPaths on reference = id where referrer = ?";
const QUERY_REFERENCE_IDS: &str =
    "select reference from Refs where referrer = ? order by reference";
const QUERY_REFERRERS: &str = "select path from Refs join ValidPaths on referrer = id \
     where reference = (select id from ValidPaths where path = ?)";
const QUERY_OUTPUTS: &str = "select d.id, d.path from DerivationOutputs d \
     where d.drv = (select id from ValidPaths where path = ?)";
const QUERY_DERIVERS: &str =
    "select v.path from DerivationOutputs d join ValidPaths v on d.drv = v.id where d.path = ?";
const QUERY_BY_HASH_PART: &str =
    "select path from ValidPaths where path >= ? order by path limit 1";

impl Database {
    /// A path from a column. SQLite may hold anything there.
    pub(crate) fn path_column(&self, row: &Row<'_>, column: usize) -> Work<StorePath> {
        let text: String = row.get(column)?;
        self.parse_path(&text).map_err(Into::into)
    }

    fn parse_path(&self, text: &str) -> Result<StorePath> {
        StorePath::parse(text).map_err(|error| {
            self.corrupt(format!(
                "'{text}' stands where a store path must be: {error}"
            ))
        })
    }

    fn paths(
        &self,
        connection: &Connection,
        sql: &str,
        parameter: impl rusqlite::ToSql,
    ) -> Work<BTreeSet<StorePath>> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([parameter])?;
        let mut paths = BTreeSet::new();
        while let Some(row) = rows.next()? {
            paths.insert(self.path_column(row, 0)?);
        }
        Ok(paths)
    }

    pub(crate) fn id(&self, connection: &Connection, path: &StorePath) -> Work<Option<i64>> {
        let mut statement = connection.prepare_cached(QUERY_ID)?;
        Ok(statement
            .query_row([path.to_string()], |row| row.get(0))
            .optional()?)
    }

    pub(crate) fn path_info(
        &self,
        connection: &Connection,
        path: &StorePath,
    ) -> Work<Option<PathInfo>> {
        let mut statement = connection.prepare_cached(QUERY_INFO)?;
        let mut rows = statement.query([path.to_string()])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let id: i64 = row.get(0)?;
        let hash: String = row.get(1)?;
        let deriver: Option<String> = row.get(3)?;
        let sigs: Option<String> = row.get(6)?;
        let ca: Option<String> = row.get(7)?;
        let bad = |column: &str, value: &str| {
            self.corrupt(format!("ValidPaths.{column} of '{path}' is '{value}'"))
        };
        Ok(Some(PathInfo {
            path: path.clone(),
            nar_hash: Hash::parse_any(&hash, None).map_err(|_| bad("hash", &hash))?,
            nar_size: row
                .get::<_, Option<i64>>(4)?
                .and_then(|size| u64::try_from(size).ok())
                .unwrap_or(0),
            references: self.paths(connection, QUERY_REFERENCES, id)?,
            // Nix stored an empty string for "none" in former times.
            deriver: deriver
                .filter(|d| !d.is_empty())
                .map(|d| self.parse_path(&d))
                .transpose()?,
            ca: match ca.filter(|ca| !ca.is_empty()) {
                Some(ca) => Some(ca.parse::<ContentAddress>().map_err(|_| bad("ca", &ca))?),
                None => None,
            },
            registration_time: row.get(2)?,
            ultimate: row.get::<_, Option<i64>>(5)? == Some(1),
            sigs: sigs
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        }))
    }

    pub(crate) fn references(
        &self,
        connection: &Connection,
        path: &StorePath,
    ) -> Work<Option<BTreeSet<StorePath>>> {
        match self.id(connection, path)? {
            Some(id) => Ok(Some(self.paths(connection, QUERY_REFERENCES, id)?)),
            None => Ok(None),
        }
    }

    pub(crate) fn referrers(
        &self,
        connection: &Connection,
        path: &StorePath,
    ) -> Work<BTreeSet<StorePath>> {
        self.paths(connection, QUERY_REFERRERS, path.to_string())
    }

    pub(crate) fn derivers(
        &self,
        connection: &Connection,
        path: &StorePath,
    ) -> Work<BTreeSet<StorePath>> {
        self.paths(connection, QUERY_DERIVERS, path.to_string())
    }

    pub(crate) fn outputs(
        &self,
        connection: &Connection,
        drv: &StorePath,
    ) -> Work<BTreeMap<String, StorePath>> {
        let mut statement = connection.prepare_cached(QUERY_OUTPUTS)?;
        let mut rows = statement.query([drv.to_string()])?;
        let mut outputs = BTreeMap::new();
        while let Some(row) = rows.next()? {
            outputs.insert(row.get(0)?, self.path_column(row, 1)?);
        }
        Ok(outputs)
    }

    pub(crate) fn by_hash_part(
        &self,
        connection: &Connection,
        hash_part: &str,
    ) -> Work<Option<StorePath>> {
        let prefix = format!("{}/{hash_part}", xbuild_store_model::STORE_DIR);
        let mut statement = connection.prepare_cached(QUERY_BY_HASH_PART)?;
        let found: Option<String> = statement
            .query_row([&prefix], |row| row.get(0))
            .optional()?;
        match found {
            Some(path) if path.starts_with(&prefix) => Ok(Some(self.parse_path(&path)?)),
            _ => Ok(None),
        }
    }

    pub(crate) fn all_valid(&self, connection: &Connection) -> Work<BTreeSet<StorePath>> {
        let mut statement = connection.prepare_cached("select path from ValidPaths")?;
        let mut rows = statement.query([])?;
        let mut paths = BTreeSet::new();
        while let Some(row) = rows.next()? {
            paths.insert(self.path_column(row, 0)?);
        }
        Ok(paths)
    }

    /// The closure, references before referrers; `Err(path)` inside if a root is not valid. Numbers and not paths are
    /// compared, and each path is read once.
    pub(crate) fn closure(
        &self,
        connection: &Connection,
        roots: &[StorePath],
    ) -> Work<std::result::Result<Vec<StorePath>, StorePath>> {
        let mut references = connection.prepare_cached(QUERY_REFERENCE_IDS)?;
        let mut successors = |id: i64| -> Work<std::vec::IntoIter<i64>> {
            let ids: Vec<i64> = references
                .query_map([id], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(ids.into_iter())
        };

        let mut seen = rustc_hash::FxHashSet::default();
        let mut order = Vec::new();
        let mut stack: Vec<(i64, std::vec::IntoIter<i64>)> = Vec::new();
        for root in roots {
            let Some(id) = self.id(connection, root)? else {
                return Ok(Err(root.clone()));
            };
            if seen.insert(id) {
                stack.push((id, successors(id)?));
            }
            while let Some((id, rest)) = stack.last_mut() {
                match rest.next() {
                    Some(next) => {
                        if seen.insert(next) {
                            stack.push((next, successors(next)?));
                        }
                    }
                    None => {
                        order.push(*id);
                        stack.pop();
                    }
                }
            }
        }

        let mut statement = connection.prepare_cached(QUERY_PATH)?;
        let mut paths = Vec::with_capacity(order.len());
        for id in order {
            let mut rows = statement.query([id])?;
            match rows.next()? {
                Some(row) => paths.push(self.path_column(row, 0)?),
                None => {
                    return Err(self
                        .corrupt(format!(
                            "Refs names path number {id}, which is not in ValidPaths"
                        ))
                        .into());
                }
            }
        }
        Ok(Ok(paths))
    }

    /// All paths and edges at once, for garbage collection.
    pub(crate) fn graph(&self, connection: &Connection) -> Work<Graph> {
        let mut graph = Graph::default();
        let mut by_id = FxHashMap::default();
        let mut statement =
            connection.prepare_cached("select id, path, deriver from ValidPaths")?;
        let mut rows = statement.query([])?;
        let mut deriver_names = Vec::new();
        while let Some(row) = rows.next()? {
            let node = u32::try_from(graph.paths.len())
                .map_err(|_| self.corrupt("more than 2³² paths".into()))?;
            by_id.insert(row.get::<_, i64>(0)?, node);
            let path = self.path_column(row, 1)?;
            graph.index.insert(path.clone(), node);
            graph.paths.push(path);
            deriver_names.push(row.get::<_, Option<String>>(2)?);
        }
        graph.references = vec![Vec::new(); graph.paths.len()];
        graph.outputs = vec![Vec::new(); graph.paths.len()];
        graph.derivers = deriver_names
            .into_iter()
            .map(|name| {
                name.and_then(|name| StorePath::parse(&name).ok())
                    .and_then(|path| graph.index.get(&path).copied())
            })
            .collect();

        let mut statement = connection.prepare_cached("select referrer, reference from Refs")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let (Some(&from), Some(&to)) = (by_id.get(&row.get(0)?), by_id.get(&row.get(1)?)) {
                graph.references[from as usize].push(to);
            }
        }

        let mut statement = connection.prepare_cached("select drv, path from DerivationOutputs")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let output: String = row.get(1)?;
            let output = StorePath::parse(&output)
                .ok()
                .and_then(|path| graph.index.get(&path).copied());
            if let (Some(&drv), Some(output)) = (by_id.get(&row.get(0)?), output) {
                graph.outputs[drv as usize].push(output);
            }
        }
        Ok(graph)
    }
}

/// The valid paths as a graph; nodes are numbers into `paths`.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) paths: Vec<StorePath>,
    pub(crate) index: FxHashMap<StorePath, u32>,
    /// What each path refers to.
    pub(crate) references: Vec<Vec<u32>>,
    /// The valid outputs of each derivation.
    pub(crate) outputs: Vec<Vec<u32>>,
    /// The valid deriver of each path.
    pub(crate) derivers: Vec<Option<u32>>,
}
