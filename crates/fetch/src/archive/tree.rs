//! A tree that is written entry by entry, and from which no entry can lead out.
//!
//! The tree's directory is made here and nobody else writes to it, so what is in it is known without asking the file system: an entry is
//! written only below directories that were made here, never through a link.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{EntryPath, UnpackError};

/// What happens when a path is there already. Directories always merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExisting {
    /// The later entry replaces the earlier one, as tar does it.
    Replace,
    /// Both must be the same.
    Compare,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File { executable: bool },
    Symlink(Vec<u8>),
}

/// A tree being written; removed when dropped before [`finish`](Self::finish).
pub struct Tree {
    root: PathBuf,
    on_existing: OnExisting,
    /// What is where, and which archive it is from.
    nodes: HashMap<EntryPath, (Node, usize)>,
    archives: Vec<PathBuf>,
    finished: bool,
}

impl Tree {
    /// An empty tree at `root`, which must not exist.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(root: &Path, on_existing: OnExisting) -> Result<Self, UnpackError> {
        make_directory(root)?;
        let nodes = HashMap::from([(EntryPath::default(), (Node::Directory, 0))]);
        Ok(Self {
            root: root.to_owned(),
            on_existing,
            nodes,
            archives: Vec::new(),
            finished: false,
        })
    }

    /// Says that what follows comes from `archive`.
    pub fn begin(&mut self, archive: &Path) {
        self.archives.push(archive.to_owned());
    }

    /// Keeps the tree.
    pub fn finish(mut self) {
        self.finished = true;
    }

    /// What is directly below the root, with whether it is a directory.
    pub(crate) fn top_level(&self) -> impl Iterator<Item = (&EntryPath, bool)> {
        let top = self
            .nodes
            .iter()
            .filter(|(path, _)| !path.is_root() && path.parent().is_root());
        top.map(|(path, (node, _))| (path, *node == Node::Directory))
    }

    /// Whether a directory is at `path`.
    pub(crate) fn has_directory(&self, path: &EntryPath) -> bool {
        matches!(self.nodes.get(path), Some((Node::Directory, _)))
    }

    /// A directory.
    ///
    /// # Errors
    /// If something else is there, or it cannot be made.
    pub fn directory(&mut self, path: &EntryPath) -> Result<(), UnpackError> {
        self.parents(path)?;
        match self.nodes.get(path) {
            Some((Node::Directory, _)) => return Ok(()),
            Some(_) => self.give_way(path)?,
            None => {}
        }
        make_directory(&path.on_disk(&self.root))?;
        self.insert(path, Node::Directory);
        Ok(())
    }

    /// A file of `size` bytes.
    ///
    /// # Errors
    /// If a directory is there, its parent is none, it has another size, or it cannot be written.
    pub fn file(
        &mut self,
        path: &EntryPath,
        executable: bool,
        size: u64,
        data: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        self.parents(path)?;
        let node = Node::File { executable };
        let disk = path.on_disk(&self.root);
        if let Some((existing, _)) = self.nodes.get(path) {
            if self.on_existing == OnExisting::Compare {
                let there =
                    File::open(&disk).map_err(|error| UnpackError::write("read", &disk, error));
                if *existing == node
                    && same_content(there?, data).map_err(|error| self.read_error(error))?
                {
                    return Ok(());
                }
                return Err(self.conflict(path));
            }
            self.give_way(path)?;
        }
        let mut options = OpenOptions::new();
        let create = options.write(true).create_new(true).mode(0o600).open(&disk);
        let mut file = create.map_err(|error| UnpackError::write("create", &disk, error))?;
        self.copy(data, &mut file, size, &disk)?;
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(|error| UnpackError::write("set the mode of", &disk, error))?;
        self.insert(path, node);
        Ok(())
    }

    /// A symbolic link. Its target may be anything.
    ///
    /// # Errors
    /// If a directory is there, its parent is none, or it cannot be made.
    pub fn symlink(&mut self, path: &EntryPath, target: &[u8]) -> Result<(), UnpackError> {
        self.parents(path)?;
        let node = Node::Symlink(target.to_vec());
        if let Some((existing, _)) = self.nodes.get(path) {
            if *existing == node {
                return Ok(());
            }
            self.give_way(path)?;
        }
        let disk = path.on_disk(&self.root);
        symlink(std::ffi::OsStr::from_bytes(target), &disk)
            .map_err(|error| UnpackError::write("create the symbolic link", &disk, error))?;
        self.insert(path, node);
        Ok(())
    }

    /// Another name for the file or symbolic link at `target`.
    pub(crate) fn hard_link(
        &mut self,
        path: &EntryPath,
        target: &EntryPath,
    ) -> Result<(), UnpackError> {
        self.parents(path)?;
        let node = self.nodes.get(target).map(|(node, _)| node.clone());
        if let Some(Node::Symlink(leads_to)) = &node {
            return self.symlink(path, leads_to);
        }
        let Some(node @ Node::File { .. }) = node else {
            let reason = format!(
                "it is a hard link to '{}', and no such file was unpacked before it",
                target.display()
            );
            return Err(self.refused(path, &reason));
        };
        if path == target {
            return Ok(());
        }
        let (from, to) = (target.on_disk(&self.root), path.on_disk(&self.root));
        if let Some((existing, _)) = self.nodes.get(path) {
            if self.on_existing == OnExisting::Compare {
                let open = |path: &Path| {
                    File::open(path).map_err(|error| UnpackError::write("read", path, error))
                };
                let same = *existing == node
                    && same_content(open(&to)?, &mut open(&from)?)
                        .map_err(|error| self.read_error(error))?;
                return if same {
                    Ok(())
                } else {
                    Err(self.conflict(path))
                };
            }
            self.give_way(path)?;
        }
        fs::hard_link(&from, &to).map_err(|error| UnpackError::write("create", &to, error))?;
        self.insert(path, node);
        Ok(())
    }

    /// Makes the directories that `path` is in, if they are not there.
    fn parents(&mut self, path: &EntryPath) -> Result<(), UnpackError> {
        let parent = path.parent();
        if self.has_directory(&parent) {
            return Ok(());
        }
        for ancestor in path.ancestors() {
            match self.nodes.get(&ancestor) {
                Some((Node::Directory, _)) => {}
                Some((Node::File { .. }, _)) => {
                    return Err(self.refused(
                        path,
                        &format!("'{}' is a file, not a directory", ancestor.display()),
                    ));
                }
                Some((Node::Symlink(target), _)) => {
                    let reason = format!(
                        "'{}' is a symbolic link (to '{}'), not a directory",
                        ancestor.display(),
                        target.escape_ascii()
                    );
                    return Err(self.refused(path, &reason));
                }
                None => {
                    make_directory(&ancestor.on_disk(&self.root))?;
                    self.insert(&ancestor, Node::Directory);
                }
            }
        }
        Ok(())
    }

    /// Removes what is at `path`, if that may be.
    fn give_way(&mut self, path: &EntryPath) -> Result<(), UnpackError> {
        if self.on_existing == OnExisting::Compare {
            return Err(self.conflict(path));
        }
        if self.has_directory(path) {
            return Err(self.refused(path, "a directory is there already"));
        }
        let disk = path.on_disk(&self.root);
        fs::remove_file(&disk).map_err(|error| UnpackError::write("remove", &disk, error))?;
        self.nodes.remove(path);
        Ok(())
    }

    fn insert(&mut self, path: &EntryPath, node: Node) {
        let archive = self.archives.len().saturating_sub(1);
        match self.nodes.entry(path.clone()) {
            MapEntry::Occupied(mut entry) => *entry.get_mut() = (node, archive),
            MapEntry::Vacant(entry) => _ = entry.insert((node, archive)),
        }
    }

    /// Tells errors of the archive from errors of the file.
    fn copy(
        &self,
        from: &mut dyn Read,
        to: &mut File,
        size: u64,
        disk: &Path,
    ) -> Result<(), UnpackError> {
        let mut buffer = [0; 32 * 1024];
        let mut copied = 0;
        loop {
            let length = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.read_error(error)),
            };
            to.write_all(&buffer[..length])
                .map_err(|error| UnpackError::write("write to", disk, error))?;
            copied += length as u64;
        }
        if copied != size {
            return Err(self.read_error(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        Ok(())
    }

    fn archive(&self) -> &Path {
        self.archives.last().map_or(Path::new(""), PathBuf::as_path)
    }

    fn read_error(&self, error: io::Error) -> UnpackError {
        UnpackError::read(self.archive(), error)
    }

    pub(crate) fn refused(&self, path: &EntryPath, reason: &str) -> UnpackError {
        UnpackError::refused(self.archive(), path.as_bytes(), reason)
    }

    fn conflict(&self, path: &EntryPath) -> UnpackError {
        let first = self
            .nodes
            .get(path)
            .and_then(|&(_, archive)| self.archives.get(archive));
        UnpackError::Conflict {
            path: path.display(),
            first: first.cloned().unwrap_or_default(),
            second: self.archive().to_owned(),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if !self.finished {
            // An error is on its way already; this one would only hide it.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// A directory with mode 0755, whatever the umask.
fn make_directory(path: &Path) -> Result<(), UnpackError> {
    let made = fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)));
    made.map_err(|error| UnpackError::write("create the directory", path, error))
}

/// Whether both readers give the same bytes. Reads the second one to its end only if so.
fn same_content(file: File, data: &mut dyn Read) -> io::Result<bool> {
    let mut file = BufReader::new(file);
    let mut buffer = [0; 8 * 1024];
    let mut other = [0; 8 * 1024];
    loop {
        let length = match data.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if length == 0 {
            return Ok(file.read(&mut other)? == 0);
        }
        match file.read_exact(&mut other[..length]) {
            Ok(()) if buffer[..length] == other[..length] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}
