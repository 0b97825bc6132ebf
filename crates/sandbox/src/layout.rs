//! The scratch directory of a build on disk, and the plan that goes with it.
//!
//! On disk are only `/nix/store` with a place for each input, `/build` and `/tmp`, since to create files on disk costs far
//! more than anything else here. They are prepared by the calling thread, with ordinary file operations and their precise errors.
//! All the rest of the root directory is planned here and made in memory by [`mounts`](crate::mounts).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path};

use crate::error::SandboxError;
use crate::identity::Identity;
use crate::plan::{
    FLAG_LINUX32, FLAG_NAMESPACES, FLAG_NETWORK, FLAG_RANDOMISE, MountKind, PlanWriter,
};
use crate::spec::{BUILD_DIR, Bind, INSIDE_GID, INSIDE_UID, Spec};
use crate::tree::{give_tree, reclaim_tree, remove_tree};

/// The logical store.
const STORE_DIR: &str = "/nix/store";
/// Directories of an FHS root that the sandbox makes itself.
const OWN: [&str; 6] = ["build", "dev", "etc", "nix", "proc", "tmp"];

/// The directories in a scratch directory, and their modes while the build runs.
const ON_DISK: [(&str, u32); 3] = [("store", 0o755), ("build", 0o700), ("tmp", 0o1777)];

/// Prepares the scratch directory of `spec` and writes its plan.
pub(crate) fn prepare(spec: &Spec, identity: Identity) -> Result<PlanWriter, SandboxError> {
    check(spec)?;
    let root = &spec.work_dir;
    fs::create_dir_all(root).map_err(failed("create", root))?;
    for (name, mode) in ON_DISK {
        directory(&root.join(name), mode)?;
    }
    let places = remove_stale(&root.join("store"), &spec.inputs)?;
    let mut layout = Layout {
        root,
        plan: PlanWriter::new(&spec.builder, root, &spec.hostname),
        fhs: spec.fhs_root.as_deref(),
        etc: Vec::new(),
        places,
    };
    layout.write_etc(spec.network)?;
    for input in &spec.inputs {
        layout.show_input(input)?;
    }
    for output in &spec.outputs {
        if spec.inputs.iter().any(|input| input.target == *output) {
            return Err(SandboxError::Spec(format!(
                "{} is an output and an input of the same build",
                output.display()
            )));
        }
    }
    if let Some(fhs) = &spec.fhs_root {
        layout.show_fhs(fhs)?;
    }
    for extra in &spec.extra_binds {
        match fs::metadata(&extra.source) {
            Err(error) if error.kind() == ErrorKind::NotFound && extra.optional => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(SandboxError::ExtraBindMissing {
                    path: extra.source.clone(),
                });
            }
            Err(error) => return Err(failed("look at the sandbox path", &extra.source)(error)),
            Ok(metadata) => layout.show_extra(&extra.source, &extra.target, metadata.is_dir())?,
        }
    }
    if let Identity::Root { .. } = identity {
        let (uid, gid) = identity.build_ids();
        for name in ["store", "tmp"] {
            let path = root.join(name);
            std::os::unix::fs::chown(&path, Some(uid), Some(gid))
                .map_err(failed("change the owner of", &path))?;
        }
        give_tree(&root.join("build"), uid, gid)?;
    }
    let mut plan = layout.plan;
    plan.argument(spec.builder.file_name().unwrap_or(spec.builder.as_os_str()));
    for argument in &spec.args {
        plan.argument(argument);
    }
    for (name, value) in &spec.env {
        plan.variable(name, value);
    }
    for (wanted, flag) in [
        (spec.network, FLAG_NETWORK),
        (spec.linux32, FLAG_LINUX32),
        (spec.randomise_addresses, FLAG_RANDOMISE),
        (spec.user_namespaces, FLAG_NAMESPACES),
    ] {
        plan.flags |= if wanted { flag } else { 0 };
    }
    plan.max_processes = spec.max_processes_together.unwrap_or(0);
    Ok(plan)
}

/// Makes the scratch directory the caller's again, whatever the build did with it.
pub(crate) fn hand_back(spec: &Spec, identity: Identity) -> Result<(), SandboxError> {
    let root = &spec.work_dir;
    if !root.is_absolute() || !root.is_dir() {
        return Ok(()); // It was refused or could not be made.
    }
    if let Identity::Root { uid, gid } = identity {
        // The places where inputs were mounted are not gone through: they were hidden from the build.
        for name in ON_DISK.map(|(name, _)| name) {
            reclaim_tree(&root.join(name), uid, gid)?;
        }
    }
    for (name, mode) in ON_DISK {
        // They were the build's own, which may have shut them to everybody.
        let path = root.join(name);
        let metadata = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
        if metadata.permissions().mode() & 0o700 != 0o700 {
            fs::set_permissions(&path, Permissions::from_mode(mode))
                .map_err(failed("change the mode of", &path))?;
        }
    }
    Ok(())
}

/// Refuses what no system call could express, or what would lead out of the scratch directory.
fn check(spec: &Spec) -> Result<(), SandboxError> {
    let refuse = |text: String| Err(SandboxError::Spec(text));
    if !spec.work_dir.is_absolute() {
        return refuse(format!(
            "the scratch directory {} is not absolute",
            spec.work_dir.display()
        ));
    }
    if !spec.builder.is_absolute() {
        return refuse(format!(
            "the builder '{}' is not an absolute path; a derivation's `builder` must be the full path of a program",
            spec.builder.display()
        ));
    }
    let targets = spec.inputs.iter().map(|input| &input.target);
    let extra = spec.extra_binds.iter().map(|bind| &bind.target);
    for path in targets.chain(&spec.outputs).chain(extra) {
        let mut parts = path.components();
        let plain = parts.next() == Some(Component::RootDir)
            && parts.all(|part| matches!(part, Component::Normal(_)));
        if !plain || path.parent().is_none() {
            return refuse(format!(
                "{} is not a plain absolute path below /",
                path.display()
            ));
        }
    }
    let paths = spec
        .inputs
        .iter()
        .flat_map(|bind| [&bind.source, &bind.target]);
    let extra = spec
        .extra_binds
        .iter()
        .flat_map(|bind| [&bind.source, &bind.target]);
    let texts = [&spec.builder, &spec.work_dir]
        .into_iter()
        .chain(paths)
        .chain(extra)
        .map(|path| path.as_os_str());
    let variables = spec.env.iter().flat_map(|(name, value)| [name, value]);
    let arguments = spec.args.iter().chain(variables).map(OsString::as_os_str);
    for text in texts.chain(arguments).chain([OsStr::new(&spec.hostname)]) {
        if text.as_bytes().contains(&0) {
            return refuse(format!(
                "'{}' contains a NUL byte, which no program can be given",
                text.display()
            ));
        }
    }
    for (name, _) in &spec.env {
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            return refuse(format!(
                "'{}' cannot be the name of an environment variable",
                name.display()
            ));
        }
    }
    if spec.hostname.len() > 64 {
        return refuse(format!(
            "the host name '{}' is longer than 64 bytes",
            spec.hostname
        ));
    }
    Ok(())
}

/// Removes from the scratch store what an earlier build left and this one does not show. Returns the directories that stay.
fn remove_stale(store: &Path, inputs: &[Bind]) -> Result<HashSet<OsString>, SandboxError> {
    let mut found = names(store)?;
    if found.is_empty() {
        return Ok(HashSet::new());
    }
    let shown: HashSet<&OsStr> = inputs
        .iter()
        .filter_map(|input| input.target.file_name())
        .collect();
    let mut stale = Vec::new();
    // A symlink or file in the place of an input is not trusted to be the same as before.
    found.retain(|(name, is_dir)| {
        let stays = *is_dir && shown.contains(name.as_os_str());
        if !stays {
            stale.push(store.join(name));
        }
        stays
    });
    for path in stale {
        remove_tree(&path)?;
    }
    Ok(found.into_iter().map(|(name, _)| name).collect())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SandboxError {
    let path = path.to_owned();
    move |error| SandboxError::Prepare {
        action,
        path,
        error,
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), SandboxError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(failed("set the permissions of", path))
}

/// Makes a directory with just this mode, whatever the umask; one that exists keeps its content. A symlink in its place is refused.
fn directory(path: &Path, mode: u32) -> Result<(), SandboxError> {
    if path
        .symlink_metadata()
        .is_ok_and(|found| found.is_dir() && found.permissions().mode() & 0o7777 == mode)
    {
        return Ok(());
    }
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error)
            if error.kind() == ErrorKind::AlreadyExists
                && path.symlink_metadata().is_ok_and(|m| m.is_dir()) => {}
        Err(error) => return Err(failed("create the directory", path)(error)),
    }
    set_mode(path, mode)
}

/// A place to mount on. Its own mode is never seen.
fn placeholder(path: &Path, is_dir: bool) -> Result<(), SandboxError> {
    let made = if is_dir {
        DirBuilder::new().create(path)
    } else {
        File::create_new(path).map(drop)
    };
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match path.symlink_metadata() {
            Ok(found) if found.is_dir() == is_dir && !found.is_symlink() => Ok(()),
            _ => Err(failed("create a place to mount on at", path)(error)),
        },
        other => other.map_err(failed("create a place to mount on at", path)),
    }
}

struct Layout<'a> {
    root: &'a Path,
    plan: PlanWriter,
    fhs: Option<&'a Path>,
    /// The names of the files that the sandbox's own `/etc` has.
    etc: Vec<OsString>,
    /// The directories that an earlier build left to mount inputs on.
    places: HashSet<OsString>,
}

impl Layout<'_> {
    /// The small `/etc` of Nix's sandbox: the same bytes, since builds may read them.
    fn write_etc(&mut self, network: bool) -> Result<(), SandboxError> {
        let passwd = format!(
            "root:x:0:0:Nix build user:{BUILD_DIR}:/noshell\n\
             nixbld:x:{INSIDE_UID}:{INSIDE_GID}:Nix build user:{BUILD_DIR}:/noshell\n\
             nobody:x:65534:65534:Nobody:/:/noshell\n"
        );
        let group = format!("root:x:0:\nnixbld:!:{INSIDE_GID}:\nnogroup:x:65534:\n");
        self.write("passwd", passwd);
        self.write("group", group);
        if !network {
            self.write("hosts", "127.0.0.1 localhost\n::1 localhost\n");
            return Ok(());
        }
        self.write("nsswitch.conf", "hosts: files dns\nservices: files\n");
        for name in ["resolv.conf", "services", "hosts"] {
            let path = Path::new("/etc").join(name);
            match fs::read(&path) {
                Ok(content) => self.write(name, OsString::from_vec(content)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed("read", &path)(error)),
            }
        }
        Ok(())
    }

    fn write(&mut self, name: &str, content: impl AsRef<OsStr>) {
        let target = Path::new("etc").join(name);
        self.plan.mount(MountKind::File, content, &target);
        self.etc.push(name.into());
    }

    /// Plans a place to mount on, in memory, with the directories above it.
    fn place(&mut self, relative: &Path, is_dir: bool) {
        let mut above: Vec<&Path> = relative.ancestors().skip(1).collect();
        above.pop(); // the empty path
        for directory in above.into_iter().rev() {
            self.plan.mount(MountKind::Directory, "", directory);
        }
        let kind = if is_dir {
            MountKind::Directory
        } else {
            MountKind::File
        };
        self.plan.mount(kind, "", relative);
    }

    fn show_input(&mut self, input: &Bind) -> Result<(), SandboxError> {
        let wrong = |error| SandboxError::Input {
            source_path: input.source.clone(),
            target: input.target.clone(),
            error,
        };
        let metadata = input.source.symlink_metadata().map_err(wrong)?;
        let relative = input.target.strip_prefix("/").unwrap_or(&input.target);
        let on_disk = (input.target.parent() == Some(Path::new(STORE_DIR))).then(|| {
            let name = input.target.file_name().unwrap_or_default();
            self.root.join("store").join(name)
        });
        match on_disk {
            // A symlink cannot be mounted; it is small enough to be made anew.
            Some(place) if metadata.is_symlink() => return copy_symlink(&input.source, &place),
            None if metadata.is_symlink() => {
                let destination = fs::read_link(&input.source).map_err(wrong)?;
                self.plan.mount(MountKind::Symlink, destination, relative);
                return Ok(());
            }
            Some(place) => {
                let kept = self.places.contains(place.file_name().unwrap_or_default());
                if !metadata.is_dir() && kept {
                    remove_tree(&place)?;
                }
                if !metadata.is_dir() || !kept {
                    placeholder(&place, metadata.is_dir())?;
                }
            }
            None => self.place(relative, metadata.is_dir()),
        }
        self.plan.mount(MountKind::Input, &input.source, relative);
        Ok(())
    }

    /// Shows `usr` and whatever else the tree has at its top.
    fn show_fhs(&mut self, fhs: &Path) -> Result<(), SandboxError> {
        if !fhs.join("usr").is_dir() {
            return Err(SandboxError::Spec(format!(
                "the FHS root {} has no directory `usr`; `sandboxRoot` must name a tree that contains one",
                fhs.display()
            )));
        }
        for (name, _) in names(fhs)? {
            if !OWN.iter().any(|own| name == *own) {
                self.show_fhs_entry(&fhs.join(&name), Path::new(&name))?;
            }
        }
        let etc = fhs.join("etc");
        if etc.is_dir() {
            for (name, _) in names(&etc)? {
                // The sandbox's own files win.
                if !self.etc.contains(&name) {
                    self.show_fhs_entry(&etc.join(&name), &Path::new("etc").join(&name))?;
                }
            }
        }
        Ok(())
    }

    fn show_fhs_entry(&mut self, source: &Path, target: &Path) -> Result<(), SandboxError> {
        let metadata = source
            .symlink_metadata()
            .map_err(failed("look at", source))?;
        if metadata.is_symlink() {
            let destination = fs::read_link(source).map_err(failed("read the symlink", source))?;
            self.plan.mount(MountKind::Symlink, destination, target);
        } else {
            self.place(target, metadata.is_dir());
            self.plan.mount(MountKind::Fhs, source, target);
        }
        Ok(())
    }

    fn show_extra(
        &mut self,
        source: &Path,
        target: &Path,
        is_dir: bool,
    ) -> Result<(), SandboxError> {
        let relative = target.strip_prefix("/").unwrap_or(target);
        let on_disk = ["nix/store", "build", "tmp"]
            .iter()
            .any(|place| relative.starts_with(place));
        if on_disk {
            let place = self
                .root
                .join(relative.strip_prefix("nix").unwrap_or(relative));
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent).map_err(failed("create the directory", parent))?;
            }
            placeholder(&place, is_dir)?;
        } else if !self.is_made_elsewhere(relative) {
            self.place(relative, is_dir);
        }
        self.plan.mount(MountKind::Extra, source, relative);
        Ok(())
    }

    /// Whether a target lies in `/dev`, `/proc`, the read-only FHS root or an own file: there, a place to mount on must
    /// exist already, or the mount fails and names it.
    fn is_made_elsewhere(&self, relative: &Path) -> bool {
        let mut parts = relative.iter();
        let first = parts.next().unwrap_or_default();
        let in_fhs = |path: &Path| {
            self.fhs
                .is_some_and(|fhs| fhs.join(path).symlink_metadata().is_ok())
        };
        if first == "dev" || first == "proc" {
            true
        } else if first == "etc" {
            parts.next().is_some_and(|name| {
                self.etc.iter().any(|own| own == name) || in_fhs(&Path::new("etc").join(name))
            })
        } else {
            first != "nix" && in_fhs(Path::new(first))
        }
    }
}

/// What is in a directory, and whether it is a directory itself.
fn names(directory: &Path) -> Result<Vec<(OsString, bool)>, SandboxError> {
    let list = || {
        fs::read_dir(directory)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name(), entry.file_type()?.is_dir()))
            })
            .collect::<io::Result<Vec<_>>>()
    };
    list().map_err(failed("list", directory))
}

fn copy_symlink(source: &Path, place: &Path) -> Result<(), SandboxError> {
    let destination = fs::read_link(source).map_err(failed("read the symlink", source))?;
    match symlink(&destination, place) {
        Err(error)
            if error.kind() == ErrorKind::AlreadyExists
                && fs::read_link(place).is_ok_and(|found| found == destination) =>
        {
            Ok(())
        }
        other => other.map_err(failed("create the symlink", place)),
    }
}
