//! Where this crate's tests let the disk fail: every operation that changes something on disk passes here. In the program, nothing
//! happens here.

use std::path::Path;

use crate::error::Result;

/// About to do something to a file.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn point(_action: &'static str, _path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use injected::point;

#[cfg(test)]
mod injected {
    use std::cell::Cell;

    use rustix::io::Errno;

    use super::*;
    use crate::error::Error;

    #[derive(Clone, Copy)]
    struct Plan {
        /// How many operations still go well.
        left: u64,
        error: Errno,
        /// Whether all operations fail after the first that does.
        for_good: bool,
        reached: bool,
    }

    thread_local! {
        static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
    }

    pub(crate) fn point(action: &'static str, path: &Path) -> Result<()> {
        let Some(mut plan) = PLAN.get() else {
            return Ok(());
        };
        if plan.left > 0 {
            plan.left -= 1;
            PLAN.set(Some(plan));
            return Ok(());
        }
        if plan.reached && !plan.for_good {
            return Ok(());
        }
        plan.reached = true;
        PLAN.set(Some(plan));
        Err(Error::sys(action, path)(plan.error))
    }

    /// Does `work` with a disk on which the operation after `left` others fails. The second value says whether there was one.
    pub(crate) fn with_failing_disk<T>(
        left: u64,
        error: Errno,
        for_good: bool,
        work: impl FnOnce() -> T,
    ) -> (T, bool) {
        PLAN.set(Some(Plan {
            left,
            error,
            for_good,
            reached: false,
        }));
        let result = work();
        let reached = PLAN.take().is_some_and(|plan| plan.reached);
        (result, reached)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use rustix::io::Errno;
    use xbuild_store_model::content_address::FileIngestionMethod;
    use xbuild_store_model::hash::HashAlgo;
    use xbuild_store_model::store_path::StorePath;

    use super::injected::with_failing_disk;
    use crate::error::Result;
    use crate::options::StoreOptions;
    use crate::path_info::NewPath;
    use crate::store::Store;
    use crate::{GcOptions, NewText};

    fn options() -> StoreOptions {
        StoreOptions {
            auto_optimise: true,
            fsync_store_paths: true,
            fsync_metadata: false,
            ..StoreOptions::default()
        }
    }

    fn path(name: &str) -> StorePath {
        let letter = name.as_bytes()[0] as char;
        StorePath::from_base_name(&format!("{}-{name}", letter.to_string().repeat(32))).unwrap()
    }

    fn tree(dir: &std::path::Path, name: &str) -> PathBuf {
        let tree = dir.join(name);
        std::fs::create_dir_all(tree.join("sub")).unwrap();
        std::fs::write(tree.join("same"), "the same in all trees").unwrap();
        std::fs::write(tree.join("sub/own"), name).unwrap();
        std::os::unix::fs::symlink("same", tree.join("link")).unwrap();
        tree
    }

    fn build(store: &Store, name: &str, replace: bool) -> Result<()> {
        let path = path(name);
        let _locks = store.lock_paths(std::slice::from_ref(&path))?;
        let work = store.work_dir()?;
        let tree = tree(work.path(), name);
        store.canonicalise(&tree)?;
        let scanned = store.scan_and_hash(&tree, [])?;
        store.share_files(&tree, &scanned.files, replace)?;
        let new = NewPath {
            path,
            physical: tree,
            nar_hash: scanned.nar_hash,
            nar_size: scanned.nar_size,
            references: BTreeSet::new(),
            deriver: None,
            ca: None,
            ultimate: true,
            sigs: Vec::new(),
        };
        if replace {
            store.replace(&new)
        } else {
            store.register(&[new])
        }
    }

    /// Everything that changes a store. Returns how far it came.
    fn everything(store: &Store, sources: &std::path::Path, export: &[u8]) -> (usize, Result<()>) {
        let method = FileIngestionMethod::NixArchive;
        let add = |name: &str| {
            let source = sources.join(name);
            store.add_path(name, &source, method, HashAlgo::Sha256, None, None)
        };
        let texts = ["one", "two"].map(|name| NewText {
            name: name.to_owned(),
            contents: name.as_bytes().to_vec(),
            references: BTreeSet::new(),
        });
        let link = sources.join("result");
        let steps: [&dyn Fn() -> Result<()>; 9] = [
            &|| add("x").map(|_| ()),
            &|| build(store, "a", false),
            &|| build(store, "b", false),
            &|| store.add_texts(&texts).map(|_| ()),
            &|| store.import(export).map(|_| ()),
            &|| build(store, "a", true),
            &|| store.make_out_link(&link, &path("a")),
            &|| store.optimise().map(|_| ()),
            &|| store.gc(&GcOptions::default()).map(|_| ()),
        ];
        for (done, step) in steps.iter().enumerate() {
            if let Err(error) = step() {
                return (done, Err(error));
            }
        }
        (steps.len(), Ok(()))
    }

    /// An operation on the disk fails, once or from then on: what was registered is there and sound, and nothing else stays.
    #[test]
    fn whatever_operation_fails() {
        let sources = tempfile::tempdir().unwrap();
        tree(sources.path(), "x");
        let other = tempfile::tempdir().unwrap();
        let store = Store::open(other.path(), options()).unwrap();
        build(&store, "c", false).unwrap();
        let mut export = Vec::new();
        store.export(&[path("c")], &mut export).unwrap();
        drop(store);

        for number in 0.. {
            let (error, for_good) = [(Errno::IO, false), (Errno::IO, true), (Errno::NOSPC, true)]
                [usize::try_from(number % 3).unwrap()];
            // In memory, where syncing takes no time.
            let dir = tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap();
            let store = Store::open(dir.path(), options()).unwrap();
            let _ = std::fs::remove_file(sources.path().join("result"));
            let ((done, result), reached) = with_failing_disk(number, error, for_good, || {
                everything(&store, sources.path(), &export)
            });
            drop(store);
            if !reached {
                result.unwrap();
                assert!(number > 100, "only {number} operations pass by");
                return;
            }
            if let Err(error) = &result {
                let text = error.to_string();
                let expected = ["Input/output error", "No space left on device"];
                assert!(
                    expected.iter().any(|said| text.contains(said)),
                    "{number}: {text}"
                );
            }
            let store = Store::open(dir.path(), options()).unwrap();
            let report = store.verify(true).unwrap();
            assert!(report.is_sound(), "{number}: {:?}", report.findings);
            // What a step has registered is there, unless the collection at the end has come.
            if done < 8 {
                let built = [(1, "a"), (2, "b"), (4, "c")];
                for (step, name) in built.iter().filter(|(step, _)| *step < done) {
                    assert!(
                        store.is_valid(&path(name)).unwrap(),
                        "{number}: {step} {name}"
                    );
                }
            }
            store.gc(&GcOptions::default()).unwrap();
            let valid = store.all_valid().unwrap();
            for entry in std::fs::read_dir(store.layout.store_dir()).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let is_valid = valid.iter().any(|path| path.base_name() == name);
                assert!(is_valid || name == ".links", "{number}: {name} is left");
            }
            let report = store.verify(true).unwrap();
            assert!(report.is_sound(), "{number}: {:?}", report.findings);
        }
    }
}
