//! A place in which both programs work on the same files, each with its own store and cache.

use std::path::PathBuf;
use std::process::Command;

use crate::support::ran::Ran;
use crate::support::repository;
use crate::support::world::{Who, World};

/// Both programs, and a directory to work in.
pub(crate) struct Places {
    pub(crate) world: World,
}

const FEATURES: &str = "nix-command flakes fetch-tree";

impl Places {
    pub(crate) fn new(name: &str) -> Self {
        let places = Self {
            world: World::new(name, Who::Caller),
        };
        places.shell("git config --global user.name N; git config --global user.email e@x; git config --global init.defaultBranch main");
        places
    }

    pub(crate) fn shell(&self, script: &str) -> Ran {
        let dates = "export GIT_AUTHOR_DATE='2001-02-03T04:05:06Z' GIT_COMMITTER_DATE='2001-02-03T04:05:06Z';";
        self.world.shell(&format!("{dates} {script}")).succeeds()
    }

    /// The directory's path.
    pub(crate) fn dir(&self) -> String {
        let path = self.world.path("");
        path.display().to_string().trim_end_matches('/').to_owned()
    }

    /// `PATH`, with the programs that the test has in `bin` before all others.
    fn search_path(&self) -> String {
        let others = std::env::var("PATH").unwrap_or_default();
        format!("{}/bin:{others}", self.dir())
    }

    /// `nix ARGS` of stock Nix, in the directory `dir`.
    pub(crate) fn stock(&self, dir: &str, args: &[&str]) -> Ran {
        let oracle = std::env::var_os("XBUILD_ORACLE")
            .map_or_else(|| repository().join("target/oracle"), PathBuf::from);
        let program = oracle.join("bin/nix");
        assert!(
            program.exists(),
            "stock Nix is missing ({}): run tests/setup, or set XBUILD_ORACLE",
            program.display()
        );
        let root = self.world.root();
        let mut command = Command::new(&program);
        command
            .args(["--extra-experimental-features", FEATURES])
            .args(["--option", "flake-registry", ""])
            // With it, the same command run again says less.
            .args(["--option", "eval-cache", "false"])
            .args(args)
            .current_dir(self.world.path(dir))
            .env("NIX_CONF_DIR", oracle.join("conf"))
            .env(
                "NIX_REMOTE",
                format!("local?root={}", root.join("stock").display()),
            )
            .env("HOME", root.join("home"))
            .env("XDG_CACHE_HOME", root.join("stock-cache"))
            .env("PATH", self.search_path())
            .env_remove("NIX_PATH");
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
        Ran::new(format!("{command:?}"), &output)
    }

    /// `xbuild ARGS`, in the directory `dir`.
    pub(crate) fn ours(&self, dir: &str, args: &[&str]) -> Ran {
        let mut command = self.world.command(args);
        command
            .args(["--option", "experimental-features", FEATURES])
            .env("NIX_CONFIG", "flake-registry =")
            .env("PATH", self.search_path())
            .current_dir(self.world.path(dir));
        let output = command.output().expect("run xbuild");
        Ran::new(format!("{command:?}"), &output)
    }

    /// Both print the same for `args`.
    #[track_caller]
    pub(crate) fn same(&self, dir: &str, args: &[&str]) -> String {
        let stock = self.stock(dir, args).succeeds();
        let ours = self.ours(dir, args).succeeds();
        assert_eq!(plain(&ours.stdout), plain(&stock.stdout), "{args:?}");
        ours.stdout
    }

    /// Both fail for `args`: with the same exit code and message, after they have printed the same.
    #[track_caller]
    pub(crate) fn same_failure(&self, dir: &str, args: &[&str]) -> String {
        let stock = self.stock(dir, args);
        let ours = self.ours(dir, args);
        assert_eq!(plain(&ours.stdout), plain(&stock.stdout), "{args:?}");
        self.fail_alike(&ours, &stock)
    }

    /// The message of two commands that failed alike.
    #[track_caller]
    fn fail_alike(&self, ours: &Ran, stock: &Ran) -> String {
        assert_ne!(stock.code, 0, "{}", stock.report());
        assert_eq!(
            ours.code,
            stock.code,
            "{}\n{}",
            ours.report(),
            stock.report()
        );
        // Its store is elsewhere, so paths in it are shown with another begin.
        let stock_root = self.world.root().join("stock").display().to_string();
        let expected = message(&stock.stderr).replace(&stock_root, "");
        let found = message(&ours.stderr);
        assert_eq!(found, expected, "{}", ours.command);
        found
    }

    /// Both end alike and print the same to stdout and stderr; notes are ours alone.
    #[track_caller]
    pub(crate) fn same_text(&self, dir: &str, args: &[&str]) {
        let (stock, ours) = (self.stock(dir, args), self.ours(dir, args));
        let stock_root = self.world.root().join("stock").display().to_string();
        let said = |ran: &Ran| {
            let text = plain(&ran.stderr).replace(&stock_root, "");
            let lines = text.lines();
            let lines = lines
                .filter(|line| !line.starts_with("unpacking '") && !line.starts_with("note: "));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(plain(&ours.stdout), plain(&stock.stdout), "{args:?}");
        assert_eq!(said(&ours), said(&stock), "{args:?}");
        assert_eq!(ours.code, stock.code, "{args:?}");
    }

    /// The messages of both for `args`, one after the other, when both fail or have something to say.
    #[track_caller]
    pub(crate) fn same_messages(&self, dir: &str, args: &[&str]) {
        let stock_root = self.world.root().join("stock").display().to_string();
        let messages = |ran: &Ran| -> Vec<String> {
            plain(&ran.stderr)
                .lines()
                .map(|line| line.trim_start().replace(&stock_root, ""))
                .filter(|line| line.starts_with("error: ") || line.starts_with("warning: "))
                .collect()
        };
        let (stock, ours) = (self.stock(dir, args), self.ours(dir, args));
        assert_eq!(messages(&ours), messages(&stock), "{}", ours.report());
        assert_eq!(ours.code, stock.code, "{}", ours.report());
    }

    /// Both evaluate the expression to the same JSON.
    #[track_caller]
    pub(crate) fn same_value(&self, expression: &str) -> String {
        let stock = self.stock("", &["eval", "--impure", "--json", "--expr", expression]);
        let stock = stock.succeeds().stdout;
        let ours = self.ours("", &["eval", "--strict", "--json", "-E", expression]);
        let ours = ours.succeeds().stdout;
        assert_eq!(ours, stock, "{expression}");
        ours
    }

    /// Evaluating the expression fails in both with the same message.
    #[track_caller]
    pub(crate) fn same_error(&self, expression: &str) {
        let stock = self.stock("", &["eval", "--impure", "--json", "--expr", expression]);
        let ours = self.ours("", &["eval", "--strict", "--json", "-E", expression]);
        self.fail_alike(&ours, &stock);
    }
}

/// Without colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain += before;
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

/// The last message: the first line of it, without what follows a reason of libgit2.
fn message(stderr: &str) -> String {
    let stderr = plain(stderr);
    let last = stderr
        .lines()
        .rev()
        .find_map(|line| line.trim_start().strip_prefix("error: "));
    let last = last.unwrap_or_else(|| panic!("no message in {stderr}"));
    last.split(" (libgit2")
        .next()
        .unwrap_or_default()
        .to_owned()
}
