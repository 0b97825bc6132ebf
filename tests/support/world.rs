//! A place of its own for each test: a store, a home and a working directory, and a user who owns them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::ran::Ran;
use super::test_tool;

/// Who runs `xbuild`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Who runs the tests.
    Caller,
    /// When the tests run as root: a user with no rights, no groups and no entry in `/etc/passwd`.
    Ordinary,
}

/// The number of [`Who::Ordinary`].
const ORDINARY: u32 = 12345;

/// Whether the tests run as root; if not, [`Who::Caller`] is an ordinary user already.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Copies a store by hard links, without its roots.
pub fn copy_store(from: &Path, to: &Path) {
    let copied = Command::new("sh")
        .arg("-euc")
        .arg("mkdir -p \"$2/nix/var\"; cp -al \"$1/nix/store\" \"$2/nix/store\"; cp -a \"$1/nix/var/.\" \"$2/nix/var\"; cd \"$2/nix/var/nix\"; rm -rf gcroots/auto gcroots/xbuild temproots/*")
        .args(["sh".as_ref(), from.as_os_str(), to.as_os_str()])
        .status();
    assert!(
        copied.expect("run sh").success(),
        "cannot copy {}",
        from.display()
    );
}

/// How long a test waits for something that must happen, before it calls it a failure: no measure of speed.
const PATIENCE: Duration = Duration::from_secs(180);

/// A place with its user.
pub struct World {
    root: PathBuf,
    who: Who,
    xbuild: PathBuf,
    store: PathBuf,
}

impl World {
    /// The place called `name`, emptied of what an earlier run left in it. It stays after the test, to be looked at.
    pub fn new(name: &str, who: Who) -> Self {
        let world = Self::at(name, who);
        xbuild_store::remove_tree(&world.root).expect("remove what an earlier run left");
        world.prepare();
        world
    }

    /// The place called `name` on the store of everything that is built for images, which stays from run to run and is
    /// shared by the test programs, since a kernel takes minutes; it is empty in a new checkout.
    pub fn images(name: &str) -> Self {
        let shared = Self::at("images", Who::Caller);
        let world = Self::new(&format!("images-{name}"), Who::Caller);
        world.with_store(&shared.store)
    }

    fn at(name: &str, who: Who) -> Self {
        let (base, xbuild) = match who {
            Who::Caller => (
                Path::new(env!("CARGO_TARGET_TMPDIR")),
                Path::new(env!("CARGO_BIN_EXE_xbuild")),
            ),
            Who::Ordinary => {
                let (base, xbuild) = for_ordinary_user();
                (base.as_path(), xbuild.as_path())
            }
        };
        let user = match who {
            Who::Caller => "caller",
            Who::Ordinary => "ordinary-user",
        };
        let root = base.join(name).join(user);
        Self {
            store: root.join("store"),
            root,
            who,
            xbuild: xbuild.to_owned(),
        }
    }

    fn prepare(&self) {
        for directory in ["home", "work", "tmp"] {
            fs::create_dir_all(self.root.join(directory)).expect("create a directory of the test");
            self.give(&self.root.join(directory));
        }
        self.give(&self.root);
    }

    /// The same place with another store.
    pub fn with_store(&self, store: &Path) -> Self {
        Self {
            root: self.root.clone(),
            who: self.who,
            xbuild: self.xbuild.clone(),
            store: store.to_owned(),
        }
    }

    /// Makes a file or directory the user's.
    fn give(&self, path: &Path) {
        if self.who == Who::Ordinary {
            std::os::unix::fs::lchown(path, Some(ORDINARY), Some(ORDINARY))
                .expect("give the user a file");
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store's root: holds `nix/store` and `nix/var`.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// A path in the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join("work").join(name)
    }

    /// Writes a file of the working directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let parent = path.parent().expect("a file has a directory");
        if !parent.is_dir() {
            self.mkdir(
                parent
                    .strip_prefix(self.path(""))
                    .expect("within the working directory")
                    .to_str()
                    .expect("UTF-8"),
            );
        }
        fs::write(&path, content).expect("write a file of the test");
        self.give(&path);
        path
    }

    /// Makes a directory of the working directory.
    pub fn mkdir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("create a directory of the test");
        self.give(&path);
        path
    }

    /// Copies a program of `tests/setup` into the working directory.
    pub fn tool(&self, tool: &str, name: &str) -> PathBuf {
        let path = self.write(name, fs::read(test_tool(tool)).expect("read a test tool"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .expect("make a test tool executable");
        path
    }

    /// Where a store path really is.
    pub fn physical(&self, path: &str) -> PathBuf {
        assert!(path.starts_with("/nix/store/"), "`{path}` is no store path");
        self.store.join(&path[1..])
    }

    /// Reads a file by its logical name.
    pub fn read(&self, path: &str) -> String {
        let physical = self.physical(path);
        fs::read_to_string(&physical)
            .unwrap_or_else(|error| panic!("{}: {error}", physical.display()))
    }

    /// `xbuild ARGS`, as [`Self::program`] runs it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(&self.xbuild);
        command.args(args);
        command
    }

    /// `sh -euc SCRIPT`, in which `$xbuild` is the program.
    pub fn shell(&self, script: &str) -> Ran {
        let mut command = self.program(Path::new("sh"));
        command.args(["-euc", script]).env("xbuild", &self.xbuild);
        let output = command.output().expect("run sh");
        Ran::new(script.to_owned(), &output)
    }

    /// A program, in the working directory, with no environment but this place's.
    fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            )
            .env("HOME", self.root.join("home"))
            .env("TMPDIR", self.root.join("tmp"))
            .env("NIX_CONF_DIR", self.root.join("home"))
            .env("XBUILD_STORE", &self.store)
            .current_dir(self.root.join("work"))
            .stdin(Stdio::null());
        for proxy in [
            "http_proxy",
            "https_proxy",
            "no_proxy",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
        ] {
            if let Some(value) = std::env::var_os(proxy) {
                command.env(proxy, value);
            }
        }
        if self.who == Who::Ordinary {
            // With a user, the standard library drops the supplementary groups as well.
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    }

    /// Runs `xbuild ARGS`.
    pub fn xbuild(&self, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.xbuild.display()));
        Ran::new(format!("xbuild {args:?}"), &output)
    }

    /// Starts `xbuild ARGS`; its stderr goes to a file.
    pub fn start(&self, args: &[&str]) -> Started {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let stderr = self.root.join(format!("stderr-{number}"));
        let mut command = self.command(args);
        command
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&stderr).expect("create a file for stderr"));
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.xbuild.display()));
        Started {
            child,
            command: format!("xbuild {args:?}"),
            stderr,
        }
    }

    /// Whether the store calls `path` valid.
    pub fn is_valid(&self, path: &str) -> bool {
        self.xbuild(&["path-info", path]).code == 0
    }

    /// Every valid path.
    pub fn valid_paths(&self) -> Vec<String> {
        let store = xbuild_store::Store::open(&self.store, xbuild_store::StoreOptions::default())
            .expect("open the store");
        store
            .all_valid()
            .expect("list the store")
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

/// A running `xbuild`.
pub struct Started {
    child: Child,
    command: String,
    stderr: PathBuf,
}

impl Started {
    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// Waits until stderr contains `text`.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        eventually(&format!("`{text}` from {}", self.command), || {
            let said = self.stderr().contains(text);
            let ended = !said && self.child.try_wait().expect("look at a child").is_some();
            assert!(
                !ended || self.stderr().contains(text),
                "{} ended without `{text}`:\n{}",
                self.command,
                self.stderr()
            );
            said
        });
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("send a signal");
    }

    /// Waits for its end.
    pub fn end(self) -> Ran {
        let output = self.child.wait_with_output().expect("wait for a child");
        let mut ran = Ran::new(self.command, &output);
        ran.stderr =
            String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned();
        ran
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process runs that has `word` among its arguments.
pub fn process_with_argument(word: &str) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else {
        panic!("/proc is needed")
    };
    entries.flatten().any(|entry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
            line.split(|byte| *byte == 0)
                .any(|arg| arg == word.as_bytes())
        })
    })
}

/// A directory that an ordinary user can reach, and a copy of `xbuild` in it if need be: the repository of root may be
/// closed to others.
fn for_ordinary_user() -> &'static (PathBuf, PathBuf) {
    static PLACE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    PLACE.get_or_init(|| {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let xbuild = Path::new(env!("CARGO_BIN_EXE_xbuild"));
        let reachable = |path: &Path| {
            path.ancestors().all(|path| {
                fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o5 == 0o5)
            })
        };
        if reachable(base) && reachable(xbuild) {
            return (base.to_owned(), xbuild.to_owned());
        }
        let base = Path::new("/var/tmp/xbuild-tests");
        fs::create_dir_all(base).expect("create a directory for the ordinary user");
        let copy = base.join(concat!("xbuild-", env!("CARGO_CRATE_NAME")));
        fs::copy(xbuild, &copy).expect("copy xbuild for the ordinary user");
        (base.to_owned(), copy)
    })
}
