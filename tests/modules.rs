//! The module system and the system modules: what they compute, what they say of mistakes, and the trees they make; the same
//! through `xbuild` and stock Nix.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::oracle::nix;
use support::ran::Ran;
use support::repository;
use support::test_tool;
use support::world::{Who, World};

/// The expressions of these tests.
fn folder() -> PathBuf {
    repository().join("tests/modules")
}

/// The same expression through both: ours, theirs.
fn both(world: &World, args: &[&str]) -> (Ran, Ran) {
    let mut ours = vec!["eval"];
    let mut theirs = vec!["--eval"];
    ours.extend(args);
    theirs.extend(args);
    (
        world.xbuild(&ours),
        nix("nix-instantiate", &world.root().join("stock"), &theirs),
    )
}

#[test]
fn values() {
    let world = World::new("modules-values", Who::Caller);
    let file = folder().join("values.nix");
    let args = ["--strict", "--json", file.to_str().expect("UTF-8")];
    let (ours, theirs) = both(&world, &args);
    let (ours, theirs) = (ours.succeeds().json(), theirs.succeeds().json());
    assert_eq!(ours, theirs);
    let values = ours.as_object().expect("a set");
    assert!(values.len() > 70, "{}", values.len());
    for (name, pair) in values {
        assert_eq!(pair["result"], pair["expected"], "{name}");
    }
}

/// The message of the error that an evaluation ended with: without the frames above it, without indentation (which differs),
/// and without the repository's path.
fn message(ran: &Ran) -> String {
    let root = format!("{}/", repository().display());
    let folder = format!("{}/errors/", folder().display());
    let mut message = String::new();
    for line in ran.stderr.lines() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("error:") {
            message.clear();
            message.push_str(text.trim());
        } else {
            message.push('\n');
            message.push_str(line);
        }
    }
    message.replace(&folder, "").replace(&root, "")
}

/// `messages.txt` holds a message for each module beside it.
#[test]
fn messages() {
    let world = World::new("modules-messages", Who::Caller);
    let errors = folder().join("errors");
    let mut names: Vec<String> = fs::read_dir(&errors)
        .expect("list the modules")
        .filter_map(|entry| {
            let name = entry.expect("list the modules").file_name();
            let name = name.to_str().expect("UTF-8").strip_suffix(".nix")?;
            (name != "evaluate").then(|| name.to_owned())
        })
        .collect();
    names.sort_by_key(|name| format!("{name}.nix"));
    let mut found = String::new();
    for name in names {
        let expression = format!(
            "import {}/evaluate.nix {}/{name}.nix",
            errors.display(),
            errors.display()
        );
        let (ours, theirs) = both(&world, &["-E", &expression]);
        let (ours, theirs) = (message(&ours.fails(1)), message(&theirs.fails(1)));
        assert_eq!(ours, theirs, "{name}: ours and stock Nix's");
        writeln!(found, "## {name}\n{ours}").expect("write to a string");
    }
    compare(&found, &errors.join("messages.txt"));
}

/// A board's facts have a form; what is wrong with them is said at evaluation, all of it.
#[test]
fn boards_are_checked() {
    let world = World::new("modules-boards", Who::Caller);
    let evaluate = |changes: &str| {
        let expression = format!(
            "let root = {}; facts = (import (root + \"/boards\")).nxp-imx8mp-evk;
             in ((import root).lib.image {{ name = \"test\"; board = {changes}; }}).layout.size",
            repository().display()
        );
        both(&world, &["-E", &expression])
    };
    let (ours, theirs) = evaluate("facts // { name = \"mine\"; }");
    assert_eq!(ours.succeeds().line(), theirs.succeeds().line());
    for (changes, faults) in [
        (
            "removeAttrs facts [ \"consoles\" ] // { consols = [ ]; storage = { default = \"sd\"; device = [ \"sd\" ]; }; }",
            "- `consols' is no fact of a board; did you mean `consoles'?
- `consoles' is missing: a list of texts that is not empty
- `storage.device' is no fact of a board; did you mean `storage.devices'?
- `storage.devices' is missing: a list of texts that is not empty",
        ),
        (
            "facts // { consoles = [ ]; cpu = facts.cpu // { target = \"cortex-a99\"; }; deviceTrees = [ \"imx8mp-evk\" ]; }",
            "- `consoles' is the empty list, but must be a list of texts that is not empty
- `cpu.target' is the string \"cortex-a99\", but must be one of `cortex-a53', `cortex-a55', `cortex-a57', `cortex-a72', `cortex-a76', `cortex-a78ae'
- `deviceTrees' is a list of 1 element, but must be a list of device trees below arch/arm64/boot/dts (`VENDOR/NAME.dtb') that is not empty",
        ),
        (
            "facts // { storage = facts.storage // { default = \"nvme\"; }; }",
            "- `storage.default' is `nvme', which `storage.devices' does not have",
        ),
    ] {
        let (ours, theirs) = evaluate(changes);
        let (ours, theirs) = (message(&ours.fails(1)), message(&theirs.fails(1)));
        assert_eq!(ours, theirs, "{changes}");
        assert_eq!(
            ours,
            format!(
                "the `board' of the image test is no board (boards/default.nix says what one is):\n{faults}"
            )
        );
    }
}

/// The text is the file's; with `UPDATE=1` in the environment the file is written instead.
fn compare(found: &str, file: &Path) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, found).expect("write the file");
    }
    let expected = fs::read_to_string(file).expect("read the file");
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "{}:{}", file.display(), number + 1);
    }
    assert_eq!(
        found.lines().count(),
        expected.lines().count(),
        "lines of {}",
        file.display()
    );
}

/// `docs/options.md` is what the declarations say.
#[test]
fn options_are_documented() {
    let world = World::new("modules-options", Who::Caller);
    let expression = format!(
        "let root = {}; in import (root + \"/modules/documentation.nix\") {{
           inherit root;
           lib = import (root + \"/modules/lib\");
           inherit ((import root).lib.image {{ name = \"documentation\"; board = \"nxp-imx8mp-evk\"; }}) options;
         }}",
        repository().display()
    );
    let (ours, theirs) = both(&world, &["--json", "-E", &expression]);
    let (ours, theirs) = (ours.succeeds().json(), theirs.succeeds().json());
    assert_eq!(ours, theirs);
    compare(
        ours.as_str().expect("a string"),
        &repository().join("docs/options.md"),
    );
}

/// The shell scripts that go into images or make them.
fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("list the modules") {
        let path = entry.expect("list the modules").path();
        if path.is_dir() {
            scripts(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "sh")
            || fs::read(&path)
                .expect("read a file")
                .starts_with(b"#!/bin/sh")
        {
            found.push(path);
        }
    }
}

#[test]
fn scripts_are_sound() {
    let mut found = Vec::new();
    scripts(&repository().join("modules"), &mut found);
    assert!(found.len() >= 15, "{found:?}");
    let busybox = test_tool("busybox");
    for script in &found {
        // Builders run in bash, everything else in busybox's shell.
        let builder = script
            .parent()
            .is_some_and(|parent| parent.ends_with("root-tree"));
        let shell = if builder { "bash" } else { "dash" };
        let checked = Command::new(test_tool("shellcheck"))
            .args(["--norc", "--shell", shell])
            .arg(script)
            .output()
            .expect("run shellcheck");
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
        if !builder {
            let parsed = Command::new(&busybox)
                .args(["sh", "-n"])
                .arg(script)
                .output()
                .expect("run busybox");
            assert!(
                parsed.status.success() && parsed.stderr.is_empty(),
                "{}: {}",
                script.display(),
                String::from_utf8_lossy(&parsed.stderr)
            );
        }
    }
}

/// A root tree that was built.
struct Tree {
    root: PathBuf,
    permissions: Vec<String>,
}

impl Tree {
    fn new(world: &World, path: &str) -> Self {
        let output = world.physical(path);
        let permissions = fs::read_to_string(output.join("permissions")).expect("permissions");
        Self {
            root: output.join("root"),
            permissions: permissions.lines().map(str::to_owned).collect(),
        }
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn link(&self, path: &str) -> String {
        let target = fs::read_link(self.root.join(path));
        let target = target.unwrap_or_else(|error| panic!("{path}: {error}"));
        target.to_str().expect("UTF-8").to_owned()
    }

    fn has(&self, path: &str) -> bool {
        self.root.join(path).symlink_metadata().is_ok()
    }

    /// The names in a directory, sorted.
    fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.root.join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect();
        names.sort();
        names
    }

    /// What holds for every tree.
    fn check(&self, world: &World) {
        let mut open = vec![self.root.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).expect("list the tree") {
                let path = entry.expect("list the tree").path();
                let kind = path.symlink_metadata().expect("look at the tree");
                assert_eq!(kind.permissions().mode() & 0o6000, 0, "{}", path.display());
                if kind.is_dir() {
                    open.push(path);
                } else if kind.is_symlink() {
                    // Links lead into the store, where something is, or stay within the tree.
                    let target = fs::read_link(&path).expect("a link");
                    let target = target.to_str().expect("UTF-8");
                    if target.starts_with("/nix/store/") {
                        assert!(
                            world.physical(target).symlink_metadata().is_ok(),
                            "{} leads to {target}",
                            path.display()
                        );
                    } else {
                        assert!(
                            !target.starts_with('/'),
                            "{} leads to {target}",
                            path.display()
                        );
                    }
                }
            }
        }
        for line in &self.permissions {
            let fields: Vec<&str> = line.splitn(4, ' ').collect();
            let [mode, uid, gid, path] = fields[..] else {
                panic!("permissions: {line}")
            };
            let mode = u32::from_str_radix(mode, 8).expect("an octal mode");
            assert_eq!(mode & 0o6000, 0, "{line}");
            assert!(
                uid.parse::<u32>().is_ok() && gid.parse::<u32>().is_ok(),
                "{line}"
            );
            assert!(self.has(path), "{line}");
        }
        for line in ["0600 0 0 etc/shadow", "0700 0 0 root", "1777 0 0 tmp"] {
            assert!(self.permissions.iter().any(|found| found == line), "{line}");
        }
        for directory in ["data", "dev", "proc", "run", "sys", "tmp", "etc/service"] {
            assert!(self.root.join(directory).is_dir(), "{directory}");
        }
        assert_eq!(self.link("var"), "data/var");
        assert_eq!(self.link("home"), "data/home");
        assert_eq!(self.link("sbin"), "bin");
        assert_eq!(self.link("etc/resolv.conf"), "../run/resolv.conf");
        assert!(self.link("bin/init").contains("-busybox-"));
        assert!(self.link("bin/sh").contains("-busybox-"));
        assert!(self.link("bin/resize2fs").contains("-e2fsprogs-"));
        // The real ones, not busybox's.
        assert!(self.link("bin/mke2fs").contains("-e2fsprogs-"));
        assert!(self.link("bin/sfdisk").contains("-util-linux-"));
        // Every account is without a password.
        for line in self.text("etc/shadow").lines() {
            assert_eq!(line.split(':').nth(1), Some("!"), "{line}");
        }
        for program in ["selftest", "services", "status"] {
            let mode = self
                .root
                .join("bin")
                .join(program)
                .metadata()
                .expect(program);
            assert_eq!(mode.permissions().mode() & 0o111, 0o111, "{program}");
        }
        for service in self.names("etc/service") {
            let run = self.root.join("etc/service").join(&service).join("run");
            let mode = run
                .metadata()
                .expect("a service has run")
                .permissions()
                .mode();
            assert_eq!(mode & 0o111, 0o111, "{service}");
        }
        self.check_shell_texts();
    }

    /// What the modules wrote is shell that busybox understands.
    fn check_shell_texts(&self) {
        let mut texts = vec![
            self.root.join("etc/profile"),
            self.root.join("etc/init/post-boot"),
        ];
        for check in self.names("etc/selftest.d") {
            texts.push(self.root.join("etc/selftest.d").join(check));
        }
        for service in self.names("etc/service") {
            for file in ["run", "main", "check", "finish", "log/run"] {
                let path = self.root.join("etc/service").join(&service).join(file);
                if path.is_file() {
                    texts.push(path);
                }
            }
        }
        for text in texts {
            let parsed = Command::new(test_tool("busybox"))
                .args(["sh", "-n"])
                .arg(&text)
                .output()
                .expect("run busybox");
            assert!(
                parsed.status.success() && parsed.stderr.is_empty(),
                "{}: {}",
                text.display(),
                String::from_utf8_lossy(&parsed.stderr)
            );
        }
    }
}

/// What only the tree can tell.
#[test]
fn root_trees_are_checked() {
    let world = World::images("trees-checked");
    for (name, definition, message) in [
        (
            "shell",
            "users.users.ada = { uid = 1000; shell = \"/bin/zsh\"; };",
            "users.users.ada.shell is /bin/zsh, which no package has",
        ),
        (
            "service",
            "runit.services.camera.run = \"while true; do sleep 1\";",
            "/etc/service/camera/run is no shell script",
        ),
        (
            "below",
            "environment.etc.\"resolv.conf/x\".text = \"\";",
            "/etc/resolv.conf/x cannot be below /etc/resolv.conf, which is no directory",
        ),
    ] {
        let file = world.write(
            &format!("{name}.nix"),
            format!(
                "((import {}).lib.image {{ name = \"{name}\"; board = \"nxp-imx8mp-evk\"; modules = [ {{ {definition} }} ]; }}).rootTree",
                repository().display()
            ),
        );
        world
            .xbuild(&["realise", file.to_str().expect("UTF-8"), "--no-out-link"])
            .fails(100)
            .says(&[message]);
    }
}

/// The trees of both variants, and of the image in `examples/own-image`.
#[test]
fn root_trees() {
    let world = World::images("trees");
    let default_nix = repository().join("default.nix");
    let expression = |attribute: &str| {
        world.write(
            &format!("{}.nix", attribute.replace('.', "-")),
            format!("(import {}).{attribute}", default_nix.display()),
        )
    };
    let example = world.write(
        "example.nix",
        format!(
            "(import {}/examples/own-image).rootTree",
            repository().display()
        ),
    );
    let files = [
        expression("nxp-imx8mp-evk-debug-from-x86_64.rootTree"),
        expression("nxp-imx8mp-evk-release-nodemoapps-from-x86_64.rootTree"),
        example,
    ];
    let mut args = vec!["realise", "--out-link", "root-tree"];
    args.extend(files.iter().map(|file| file.to_str().expect("UTF-8")));
    let built = world.xbuild(&args).succeeds();
    let trees: Vec<Tree> = built
        .lines()
        .into_iter()
        .map(|path| Tree::new(&world, path))
        .collect();
    let [debug, release, example] = &trees[..] else {
        panic!("{}", built.report())
    };
    for tree in &trees {
        tree.check(&world);
    }

    let os_release = debug.text("etc/os-release");
    for line in [
        "ID=\"xbuild\"",
        "VARIANT_ID=\"debug\"",
        "BUILD_TARGET=\"nxp-imx8mp-evk-debug-from-x86_64\"",
    ] {
        assert!(
            os_release.lines().any(|found| found == line),
            "{os_release}"
        );
    }
    let derivation = os_release
        .lines()
        .find_map(|line| line.strip_prefix("BUILD_DERIVATION="))
        .expect("BUILD_DERIVATION");
    assert!(world.physical(derivation).is_file(), "{derivation}");

    // debug: root comes in.
    assert!(
        debug
            .text("etc/passwd")
            .contains("root:x:0:0:System administrator:/root:/bin/sh\n")
    );
    assert_eq!(
        debug.text("etc/init/console.config"),
        "SHELL_ON_CONSOLE=1\n"
    );
    assert!(debug.has("bin/strace") && debug.has("bin/gdbserver") && debug.has("bin/htop"));
    assert!(
        debug
            .text("etc/service/dropbear/run")
            .contains("dropbear -p 22 -s\n")
    );
    assert_eq!(debug.text("root/.ssh/authorized_keys"), "");
    for line in ["0600 0 0 root/.ssh/authorized_keys", "0700 0 0 root/.ssh"] {
        assert!(
            debug.permissions.iter().any(|found| found == line),
            "{line}"
        );
    }
    assert_eq!(
        debug.names("etc/service"),
        [
            "board-status",
            "dropbear",
            "httpd",
            "klogd",
            "network",
            "ntpd",
            "syslogd"
        ]
    );
    assert!(debug.link("etc/httpd").starts_with("/nix/store/"));

    // release: nobody does, and nothing listens.
    assert!(
        release
            .text("etc/passwd")
            .contains("root:x:0:0:System administrator:/root:/bin/nologin\n")
    );
    assert_eq!(
        release.text("etc/init/console.config"),
        "SHELL_ON_CONSOLE=0\n"
    );
    assert!(
        release
            .text("etc/init/config")
            .contains("ROOT_WRITABLE=0\n")
    );
    for path in [
        "bin/dropbear",
        "bin/strace",
        "bin/gdbserver",
        "bin/htop",
        "root/.ssh",
        "etc/httpd",
    ] {
        assert!(!release.has(path), "{path}");
    }
    assert_eq!(
        release.names("etc/service"),
        ["klogd", "network", "ntpd", "syslogd"]
    );

    // One's own: what the example says.
    assert_eq!(example.text("etc/hostname"), "camera\n");
    assert_eq!(example.text("etc/motd"), "The camera at the gate\n");
    assert!(
        example
            .text("root/.ssh/authorized_keys")
            .starts_with("ssh-ed25519 ")
    );
    assert!(
        example.has("bin/htop")
            && example.has("bin/sqlite3")
            && example.has("etc/service/heartbeat/run")
    );
    let lines = fs::read_to_string(repository().join("examples/own-image/default.nix"))
        .expect("the example")
        .lines()
        .count();
    assert!(lines < 20, "the example has {lines} lines");
}
