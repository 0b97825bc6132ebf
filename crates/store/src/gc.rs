//! Collecting garbage: what no root reaches, and what is in `nix/store` without being valid.
//!
//! Other processes go on while a collection runs. They cannot lose what they need: a collector holds `gc.lock` exclusively, reads all
//! temporary roots, and hears of new ones (`gc_server`); before it deletes something, it announces that, and whoever
//! wants the path waits until it is gone.
//!
//! Programs that run from the store are not looked for in `/proc`, as stock Nix does it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};
use crate::gc_server::{Server, Shared};
use crate::locks;
use crate::queries::Graph;
use crate::removal::remove_tree;
use crate::schema;
use crate::scratch;
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
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            max_freed: None,
            keep_outputs: false,
            keep_derivations: true,
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
}

/// A path is alive or not, and if so, because of which root.
struct Liveness {
    /// For each node of the graph: the index of the root that reaches it.
    reached_by: Vec<Option<u32>>,
    roots: Vec<(StorePath, String)>,
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
            let done = collector.delete_paths(&graph, &mut alive, options, &dead, &mut report)?
                && collector.delete_leftovers(options, &mut report)?;
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

    /// Deletes exactly these paths. Refuses if a root reaches one of them, or a path that is not to be deleted refers to one.
    pub fn delete(&self, paths: &[StorePath]) -> Result<GcReport> {
        self.check_writable("delete paths")?;
        let options = GcOptions {
            keep_derivations: false,
            keep_outputs: false,
            ..GcOptions::default()
        };
        let mut report = GcReport::default();
        self.with_collector(|collector| {
            let (graph, mut alive) = collector.mark(&options)?;
            let wanted: BTreeSet<&StorePath> = paths.iter().collect();
            let mut nodes = vec![false; graph.paths.len()];
            for &path in &wanted {
                if collector.shared.is_needed(path.hash_part()) {
                    let root = alive.roots.iter().find(|(root, _)| root == path);
                    let root = root.map_or_else(|| "{temp}".to_owned(), |(_, root)| root.clone());
                    return Err(Error::Alive {
                        path: path.clone(),
                        root,
                        target: path.clone(),
                    });
                }
                match graph.index.get(path) {
                    Some(&node) => nodes[node as usize] = true,
                    // Something left there without being valid.
                    None if self.physical(path).symlink_metadata().is_ok() => {}
                    None => return Err(Error::NotValid(path.clone())),
                }
            }
            for (referrer, references) in graph.references.iter().enumerate() {
                let Some(&node) = references.iter().find(|&&node| nodes[node as usize]) else {
                    continue;
                };
                if !nodes[referrer] && alive.reached_by[referrer].is_none() {
                    let path = graph.paths[node as usize].clone();
                    return Err(Error::Referenced {
                        path,
                        referrer: graph.paths[referrer].clone(),
                    });
                }
            }
            for (node, _) in nodes.iter().enumerate().filter(|&(_, &wanted)| wanted) {
                if let Some(root) = alive.reached_by[node] {
                    let (target, root) = alive.roots[root as usize].clone();
                    return Err(Error::Alive {
                        path: graph.paths[node].clone(),
                        root,
                        target,
                    });
                }
            }
            let order = referrers_first(&graph, |node| nodes[node as usize]);
            collector.delete_paths(&graph, &mut alive, &options, &order, &mut report)?;
            for path in wanted
                .into_iter()
                .filter(|path| !graph.index.contains_key(path))
            {
                collector.delete_leftover(
                    &Leftover {
                        path: self.physical(path),
                        is_scratch: false,
                    },
                    &mut report,
                )?;
            }
            collector.delete_links(&mut report)
        })?;
        Ok(report)
    }

    /// Does something as the only collector.
    fn with_collector<T>(&self, work: impl FnOnce(&Collector<'_>) -> Result<T>) -> Result<T> {
        // On a full disk, this is the space that SQLite needs.
        let _ = std::fs::remove_file(self.layout.reserved_file());
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
        schema::reserve_space(&self.layout.reserved_file());
        result
    }

    fn nar_sizes(&self) -> Result<FxHashMap<StorePath, u64>> {
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

/// Something in `nix/store` that is not valid.
struct Leftover {
    path: PathBuf,
    /// A scratch directory, which may only be deleted once it is claimed.
    is_scratch: bool,
}

struct Collector<'a> {
    store: &'a Store,
    shared: &'a Arc<Shared>,
}

impl Collector<'_> {
    /// Finds what is alive. Temporary roots become "needed" too.
    fn mark(&self, options: &GcOptions) -> Result<(Graph, Liveness)> {
        let store = self.store;
        let mut roots: Vec<(StorePath, String)> = store
            .permanent_roots(!options.dry_run)?
            .into_iter()
            .map(|root| (root.path, root.root))
            .collect();
        for (path, root) in temp_roots::read_all(&store.layout, &store.hooks, !options.dry_run)? {
            self.shared.need(&path);
            roots.push((path, root));
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
    fn delete_paths(
        &self,
        graph: &Graph,
        alive: &mut Liveness,
        options: &GcOptions,
        order: &[u32],
        report: &mut GcReport,
    ) -> Result<bool> {
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
                report.bytes_freed += remove_tree(&self.store.physical(path))?;
                report.paths.push(path.clone());
            }
            self.shared.end_deletion();
            if options
                .max_freed
                .is_some_and(|limit| report.bytes_freed > limit)
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

    /// What is in `nix/store` without being valid or needed, and what builds have left.
    fn leftovers(&self) -> Result<Vec<Leftover>> {
        let store = self.store;
        let needed: BTreeSet<String> = temp_roots::read_all(&store.layout, &store.hooks, false)?
            .into_iter()
            .map(|(path, _)| path.hash_part().to_owned())
            .collect();
        let mut names: Vec<OsString> = Vec::new();
        let dir = store.layout.store_dir();
        for entry in std::fs::read_dir(dir).map_err(Error::io("read directory", dir))? {
            names.push(entry.map_err(Error::io("read directory", dir))?.file_name());
        }
        // After the directory: what is there and not valid now was not being registered before either, or is needed.
        let valid = store.all_valid()?;
        let mut leftovers = Vec::new();
        for name in names {
            if name == ".links" {
                continue;
            }
            if let Some(path) = name
                .to_str()
                .and_then(|name| StorePath::from_base_name(name).ok())
                && (valid.contains(&path) || needed.contains(path.hash_part()))
            {
                continue;
            }
            let path = dir.join(&name);
            let is_scratch = name.as_bytes().starts_with(b"tmp-");
            if !is_scratch || scratch::claim(&path).is_some() {
                leftovers.push(Leftover { path, is_scratch });
            }
        }
        let work = store.layout.work_dir();
        for entry in std::fs::read_dir(&work).into_iter().flatten().flatten() {
            let path = entry.path();
            if scratch::claim(&path).is_some() {
                leftovers.push(Leftover {
                    path,
                    is_scratch: true,
                });
            }
        }
        leftovers.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(leftovers)
    }

    fn delete_leftovers(&self, options: &GcOptions, report: &mut GcReport) -> Result<bool> {
        for leftover in self.leftovers()? {
            self.store.hooks.check_cancelled()?;
            self.delete_leftover(&leftover, report)?;
            if options
                .max_freed
                .is_some_and(|limit| report.bytes_freed > limit)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn delete_leftover(&self, leftover: &Leftover, report: &mut GcReport) -> Result<()> {
        let claim = if leftover.is_scratch {
            scratch::claim(&leftover.path)
        } else {
            None
        };
        if leftover.is_scratch && claim.is_none() {
            return Ok(());
        }
        let name = leftover
            .path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let path = StorePath::from_base_name(name).ok();
        if let Some(path) = &path {
            if !self.shared.begin_deletion(path.hash_part()) {
                return Ok(());
            }
            // It may have been registered by one who is done with it.
            if self.store.is_valid(path)? {
                self.shared.end_deletion();
                return Ok(());
            }
        }
        if !self.is_locked(&leftover.path, name)? {
            report.bytes_freed += remove_tree(&leftover.path)?;
            report.leftovers.push(leftover.path.clone());
        }
        self.shared.end_deletion();
        drop(claim);
        Ok(())
    }

    /// For lock files: whether somebody holds it. If not, it is removed as its holder would.
    fn is_locked(&self, path: &Path, name: &str) -> Result<bool> {
        let is_lock = name.ends_with(".lock")
            && path
                .symlink_metadata()
                .is_ok_and(|meta| meta.is_file() && meta.len() <= 1);
        if !is_lock {
            return Ok(false);
        }
        // Files of other sizes or that cannot be opened are no lock files.
        let Ok(file) = File::options().read(true).write(true).open(path) else {
            return Ok(false);
        };
        if !locks::try_lock(&file, locks::Mode::Exclusive, path)? {
            return Ok(true);
        }
        locks::remove_lock_file(&file, path);
        Ok(false)
    }

    /// Deletes those files of Nix's optimiser that nothing else links to.
    fn delete_links(&self, report: &mut GcReport) -> Result<()> {
        let dir = self.store.layout.links_dir();
        let Ok(entries) = std::fs::read_dir(&dir) else {
            return Ok(());
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("read directory", &dir))?;
            let path = entry.path();
            let Ok(meta) = path.symlink_metadata() else {
                continue;
            };
            if meta.nlink() == 1 && !meta.is_dir() {
                std::fs::remove_file(&path).map_err(Error::io("delete", &path))?;
                report.bytes_freed += meta.blocks() * 512;
            }
        }
        Ok(())
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
fn referrers_first(graph: &Graph, mut chosen: impl FnMut(u32) -> bool) -> Vec<u32> {
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
