//! A scratch place with a store that holds one input, busybox, and builds that run its shell.

#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;
use xbuild_sandbox::{Bind, CancelToken, Report, Sandbox, SandboxError, Spec, Status, remove_tree};

/// The logical path of the one input.
pub const BUSYBOX: &str = "/nix/store/00000000000000000000000000000000-busybox";
/// The output that scripts may make.
pub const OUT: &str = "/nix/store/11111111111111111111111111111111-out";

/// One sandbox for all tests of a binary, as xbuild has one.
pub fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::start().expect("sandboxes work on the machine that tests them"))
}

/// The statically linked busybox that `tests/setup` installs.
pub fn busybox() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-tools/busybox");
    assert!(
        target.exists(),
        "{} is missing: run tests/setup, which installs what the tests need",
        target.display()
    );
    target
}

pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("store/busybox/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy(busybox(), bin.join("busybox")).unwrap();
        fs::set_permissions(bin.join("busybox"), fs::Permissions::from_mode(0o555)).unwrap();
        symlink("busybox", bin.join("sh")).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Place { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A build that runs `script` with busybox's shell.
    pub fn script(&self, script: &str) -> Spec {
        let mut spec = Spec::new(format!("{BUSYBOX}/bin/sh"), self.path("work"));
        spec.args = vec!["-c".into(), script.into()];
        spec.inputs = vec![Bind {
            source: self.path("store/busybox"),
            target: BUSYBOX.into(),
        }];
        spec.outputs = vec![OUT.into()];
        spec
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            remove_tree(&entry.unwrap().path()).unwrap();
        }
    }
}

pub fn try_run(spec: &Spec) -> Result<(Report, String), SandboxError> {
    let mut log = Vec::new();
    let report = sandbox().run(spec, &CancelToken::new().unwrap(), &mut |bytes| {
        log.extend_from_slice(bytes);
    })?;
    Ok((report, String::from_utf8_lossy(&log).into_owned()))
}

pub fn run(spec: &Spec) -> (Report, String) {
    try_run(spec).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a script that must succeed, and returns its log.
pub fn output(script: &str) -> String {
    let place = Place::new();
    let (report, log) = run(&place.script(script));
    assert_eq!(report.status, Status::Exited(0), "{script}: {log}");
    log
}
