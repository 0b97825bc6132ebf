//! Collecting garbage: what no root reaches, and what is in `nix/store` without being valid.
//!
//! Other processes go on while a collection runs. They cannot lose what they need: a collector holds `gc.lock` exclusively, reads all
//! temporary roots, and hears of new ones (`gc_server`); before it deletes something, it announces that, and whoever
//! wants the path waits until it is gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::gc_server::{Server, Shared};
use crate::locks;
use crate::queries::Graph;
use crate::removal;
use crate::roots::Root;
use crate::schema;
use crate::store::Store;
use crate::temp_roots;

/// What to collect. The defaults are Nix's.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// Only find out what would be deleted.
    pub dry_run: bool,
    /// Stop once more than this many bytes have been freed.
    pub max_freed: Option<u64>,
    /// Nix's `keep-outputs`: outputs of living derivations live.
    pub keep_outputs: bool,
    /// Nix's `keep-derivations`: derivers of living paths live.
    pub keep_derivations: bool,
    /// Links that count as gone, though they are there: for a dry run that shows what their deletion would free.
    pub without_roots: Vec<PathBuf>,
    /// Only what running processes have asked for (temporary roots) lives: for [`Store::delete`].
    pub ignore_liveness: bool,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            max_freed: None,
            keep_outputs: false,
            keep_derivations: true,
            without_roots: Vec::new(),
            ignore_liveness: false,
        }
    }
}

/// What was deleted, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Store paths, referrers before what they refer to.
    pub paths: Vec<StorePath>,
    /// What was in `nix/store` and the directory for builds without being valid: left by processes that died.
    pub leftovers: Vec<PathBuf>,
    /// Bytes freed on disk. In a dry run: the sum of the NAR sizes, without leftovers.
    pub bytes_freed: u64,
    /// The collection ended since [`GcOptions::max_freed`] was reached.
    pub limit_reached: bool,
    /// Garbage of other users, in a store that several share: only they, or root, can delete it.
    pub of_others: Vec<StorePath>,
}

/// A path is alive or not, and if so, because of which root.
pub(crate) struct Liveness {
    /// For each node of the graph: the index of the root that reaches it.
    pub(crate) reached_by: Vec<Option<u32>>,
    pub(crate) roots: Vec<(StorePath, String)>,
}

impl Store {
    /// Deletes what no root reaches, or says what that is.
    pub fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        if options.dry_run {
            return self.gc_dry_run(options);
        }
        self.check_writable("collect garbage")?;
        self.held.sweep();
        let mut report = GcReport::default();
        if options.max_freed == Some(0) {
            report.limit_reached = true;
            return Ok(report);
        }
        self.with_collector(|collector| {
            let (graph, mut alive) = collector.mark(options)?;
            let dead = referrers_first(&graph, |node| alive.reached_by[node as usize].is_none());
            // Leftovers first: on a full disk, they make the room in which the database can change.
            let done = collector.delete_leftovers(options, &mut report)?
                && collector.delete_paths(&graph, &mut alive, options, &dead, &mut report)?;
            report.limit_reached = !done;
            collector.delete_links(&mut report)
        })?;
        Ok(report)
    }

    fn gc_dry_run(&self, options: &GcOptions) -> Result<GcReport> {
        let shared = Arc::default();
        let collector = Collector {
            store: self,
            shared: &shared,
        };
        let (graph, alive) = collector.mark(options)?;
        let mut report = GcReport::default();
        let sizes = self.nar_sizes()?;
        for node in referrers_first(&graph, |node| alive.reached_by[node as usize].is_none()) {
            let path = &graph.paths[node as usize];
            report.bytes_freed += sizes.get(path).copied().unwrap_or(0);
            report.paths.push(path.clone());
        }
        report.leftovers = collector
            .leftovers()?
            .into_iter()
            .map(|leftover| leftover.path)
            .collect();
        Ok(report)
    }

    /// Does something as the only collector.
    pub(crate) fn with_collector<T>(
        &self,
        work: impl FnOnce(&Collector<'_>) -> Result<T>,
    ) -> Result<T> {
        // On a full disk, this is the space that SQLite needs.
        let reserve = self.layout.reserved_file();
        let reserved = std::fs::symlink_metadata(&reserve).map_or(0, |meta| meta.len());
        let _ = std::fs::remove_file(&reserve);
        let path = self.layout.gc_lock();
        let lock = locks::open_lock_file(&path)?;
        locks::lock(&lock, locks::Mode::Exclusive, &path, &self.hooks, &|| {
            "the garbage collector's lock".into()
        })?;
        let shared = Arc::default();
        let server = Server::start(&self.layout, &shared)?;
        let result = work(&Collector {
            store: self,
            shared: &shared,
        });
        // The server ends before the lock is released: a client that cannot reach it tries the lock again.
        shared.end_deletion();
        drop(server);
        drop(lock);
        schema::reserve_space(&reserve, reserved);
        result
    }

    pub(crate) fn nar_sizes(&self) -> Result<FxHashMap<StorePath, u64>> {
        self.db.read(|connection| {
            let mut statement =
                connection.prepare_cached("select path, narSize from ValidPaths")?;
            let mut rows = statement.query([])?;
            let mut sizes = FxHashMap::default();
            while let Some(row) = rows.next()? {
                let size = row
                    .get::<_, Option<i64>>(1)?
                    .and_then(|size| u64::try_from(size).ok());
                sizes.insert(self.db.path_column(row, 0)?, size.unwrap_or(0));
            }
            Ok(sizes)
        })
    }
}

/// A collection that is going on.
pub(crate) struct Collector<'a> {
    pub(crate) store: &'a Store,
    pub(crate) shared: &'a Arc<Shared>,
}

impl Collector<'_> {
    /// Finds what is alive. Temporary roots become "needed" too.
    pub(crate) fn mark(&self, options: &GcOptions) -> Result<(Graph, Liveness)> {
        let store = self.store;
        // Temporary ones first: a process that makes one of them permanent and ends is then seen either way.
        let mut roots: Vec<(StorePath, String)> = Vec::new();
        for (path, root) in temp_roots::read_all(&store.layout, &store.hooks, !options.dry_run)? {
            self.shared.need(&path);
            roots.push((path, root));
        }
        if !options.ignore_liveness {
            let permanent = store.permanent_roots(!options.dry_run)?;
            let running = store.runtime_roots();
            let is_there = |root: &Root| {
                let link = Path::new(&root.root);
                !options.without_roots.iter().any(|gone| gone == link)
            };
            let all = permanent.into_iter().filter(is_there).chain(running);
            roots.extend(all.map(|root| (root.path, root.root)));
        }
        // After the roots: a path that became valid meanwhile is a temporary root of the one who made it so.
        let graph = store.db.read(|connection| store.db.graph(connection))?;
        let by_hash: FxHashMap<&str, u32> = graph
            .index
            .iter()
            .map(|(path, &node)| (path.hash_part(), node))
            .collect();
        let mut alive = Liveness {
            reached_by: vec![None; graph.paths.len()],
            roots,
        };
        for index in 0..alive.roots.len() {
            if let Some(&node) = by_hash.get(alive.roots[index].0.hash_part()) {
                reach(
                    &graph,
                    &mut alive.reached_by,
                    node,
                    u32::try_from(index).unwrap_or(u32::MAX),
                    options,
                );
            }
        }
        Ok((graph, alive))
    }

    /// Deletes valid paths; `order` has referrers before references. False if the limit was reached.
    pub(crate) fn delete_paths(
        &self,
        graph: &Graph,
        alive: &mut Liveness,
        options: &GcOptions,
        order: &[u32],
        report: &mut GcReport,
    ) -> Result<bool> {
        let mut soon = 0;
        // How many paths are taken out of the database in one transaction. Where there is a limit, each counts.
        let batch_size = if options.max_freed.is_some() { 1 } else { 64 };
        for batch in order.chunks(batch_size) {
            self.store.hooks.check_cancelled()?;
            let mut doomed = Vec::with_capacity(batch.len());
            for &node in batch {
                if alive.reached_by[node as usize].is_some() {
                    continue;
                }
                let path = &graph.paths[node as usize];
                if foreign_owner(&self.store.physical(path))?.is_some() {
                    report.of_others.push(path.clone());
                    let root = u32::try_from(alive.roots.len()).unwrap_or(u32::MAX);
                    alive.roots.push((path.clone(), "{other user}".to_owned()));
                    reach(graph, &mut alive.reached_by, node, root, options);
                    continue;
                }
                if self.shared.begin_deletion(path.hash_part()) {
                    doomed.push(path);
                } else {
                    // Somebody began to need it after we looked; what it refers to comes later in the order.
                    let root = u32::try_from(alive.roots.len()).unwrap_or(u32::MAX);
                    alive.roots.push((path.clone(), "{temp}".to_owned()));
                    reach(graph, &mut alive.reached_by, node, root, options);
                }
            }
            // Within a batch, something may have become alive after it was chosen.
            doomed.retain(|path| {
                graph
                    .index
                    .get(*path)
                    .is_none_or(|&node| alive.reached_by[node as usize].is_none())
            });
            let removed = self.invalidate(&doomed)?;
            for path in removed {
                let freed = removal::remove_tree_counted(&self.store.physical(path))?;
                report.bytes_freed += freed.bytes;
                // Files that only `.links` has now: deleted at the end.
                soon += freed.shared_once;
                report.paths.push(path.clone());
            }
            self.shared.end_deletion();
            if options
                .max_freed
                .is_some_and(|limit| report.bytes_freed + soon > limit)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes paths out of the database, but for those to which something refers by now.
    fn invalidate<'p>(&self, paths: &[&'p StorePath]) -> Result<Vec<&'p StorePath>> {
        let db = &self.store.db;
        db.write(|transaction| {
            let mut removed = Vec::with_capacity(paths.len());
            for &path in paths {
                let referrers = db.referrers(transaction, path)?;
                if referrers.iter().any(|referrer| referrer != path) {
                    continue;
                }
                transaction
                    .prepare_cached("delete from ValidPaths where path = ?")?
                    .execute([path.to_string()])?;
                removed.push(path);
            }
            Ok(removed)
        })
    }
}

/// The owner of something that we cannot delete since it is another user's.
pub(crate) fn foreign_owner(path: &Path) -> Result<Option<u32>> {
    let us = rustix::process::geteuid();
    match rustix::fs::lstat(path) {
        Ok(stat) if !us.is_root() && stat.st_uid != us.as_raw() => Ok(Some(stat.st_uid)),
        Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(Error::sys("examine", path)(error)),
    }
}

/// Marks everything that lives because `start` does.
fn reach(
    graph: &Graph,
    reached_by: &mut [Option<u32>],
    start: u32,
    root: u32,
    options: &GcOptions,
) {
    let mut todo = vec![start];
    while let Some(node) = todo.pop() {
        let node = node as usize;
        if reached_by[node].is_some() {
            continue;
        }
        reached_by[node] = Some(root);
        todo.extend_from_slice(&graph.references[node]);
        if options.keep_outputs {
            todo.extend_from_slice(&graph.outputs[node]);
        }
        if options.keep_derivations {
            todo.extend(graph.derivers[node]);
        }
    }
}

/// The chosen nodes, each before what it refers to.
pub(crate) fn referrers_first(graph: &Graph, mut chosen: impl FnMut(u32) -> bool) -> Vec<u32> {
    let count = u32::try_from(graph.paths.len()).unwrap_or(u32::MAX);
    let mut seen = vec![false; graph.paths.len()];
    let mut order = Vec::new();
    for start in 0..count {
        if seen[start as usize] || !chosen(start) {
            continue;
        }
        seen[start as usize] = true;
        let mut stack = vec![(start, 0_usize)];
        while let Some((node, next)) = stack.last_mut() {
            match graph.references[*node as usize].get(*next) {
                Some(&reference) => {
                    *next += 1;
                    if !seen[reference as usize] && chosen(reference) {
                        seen[reference as usize] = true;
                        stack.push((reference, 0));
                    }
                }
                None => {
                    order.push(*node);
                    stack.pop();
                }
            }
        }
    }
    order.reverse();
    order
}
