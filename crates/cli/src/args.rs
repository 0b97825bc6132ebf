//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Evaluates Nix expressions, cross-builds for AArch64 in rootless sandboxes, and proves that the outputs are genuine.
#[derive(Debug, Parser)]
#[command(
    name = "xbuild",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 success; 1 error; 2 wrong usage; 130 interrupted. When a build fails: 96, plus 4 \
    for a failed builder or download, 1 for a timeout, 2 for a wrong hash, 8 for an output that differs when built \
    again (--rebuild), 16 for an output that is not genuine AArch64: mostly 100. `xbuild test`: 3 when a check \
    failed, 4 when the machine did not come up or go down.\n\nEvery setting of nix.conf is an option, too: --max-call-depth N, \
    --pure-eval, --no-pure-eval."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The directory that holds the store (DIR/nix/store, DIR/nix/var); default: xbuild/store in your data directory
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XBUILD_STORE",
        help_heading = "Global options"
    )]
    pub(crate) store: Option<PathBuf>,
    /// Set a setting of nix.conf for this run
    #[arg(long, global = true, num_args = 2, allow_hyphen_values = true, value_names = ["KEY", "VALUE"], action = clap::ArgAction::Append, help_heading = "Global options")]
    pub(crate) option: Vec<String>,
    /// Show all frames of an evaluation error
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) show_trace: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build installables and print the store paths of their outputs
    #[command(visible_alias = "build")]
    Realise(Realise),
    /// Evaluate an expression to store derivations and print their paths
    Instantiate(Instantiate),
    /// Evaluate an expression and print its value
    Eval(Eval),
    /// Evaluate many attributes at once, and print a line of JSON for each derivation
    EvalJobs(EvalJobs),
    /// Evaluate interactively
    Repl(Repl),
    /// Look at store derivations
    #[command(subcommand)]
    Derivation(Derivation),
    /// Look at flakes, lock their inputs, check them
    #[command(subcommand)]
    Flake(Flake),
    /// Print the log of a build
    Log(Log),
    /// Look after the store
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print what the store knows of paths
    PathInfo(PathInfo),
    /// Check that files are genuine AArch64 for a target
    Check(Check),
    /// List the images that an expression offers, and what the store has of them
    Targets(Targets),
    /// Boot an image in QEMU, with its console in this terminal
    Boot(Boot),
    /// Boot an image in QEMU and let it check itself
    Test(Test),
    /// Check whether this machine can build, and say how to mend what is in the way
    Doctor(Doctor),
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Leave the network alone: do not ask whether the mirror answers
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print the checks as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Realise {
    /// FLAKE#attr.path, DIR#attr.path (from DIR/default.nix), a store path, or a .drv; with ^output,… for some outputs, ^* for all
    #[arg(value_name = "INSTALLABLE", required_unless_present = "source.file")]
    pub(crate) installables: Vec<String>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// How many builds run at once (max-jobs)
    #[arg(short = 'j', long = "max-jobs", value_name = "N")]
    pub(crate) jobs: Option<String>,
    /// How many processors one build uses (NIX_BUILD_CORES); 0 means all
    #[arg(long, value_name = "N")]
    pub(crate) cores: Option<usize>,
    /// After a failure, build everything that does not depend on it
    #[arg(short = 'k', long)]
    pub(crate) keep_going: bool,
    /// Keep the directory of a failed build
    #[arg(short = 'K', long)]
    pub(crate) keep_failed: bool,
    /// Print build logs as they come
    #[arg(short = 'L', long)]
    pub(crate) print_build_logs: bool,
    /// Build again what was asked for, and fail if anything differs
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// Say what would be built, and build nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The name of the link to the result, which also keeps it from being collected
    #[arg(short = 'o', long, value_name = "NAME", default_value = "result")]
    pub(crate) out_link: PathBuf,
    /// Make no link
    #[arg(long, conflicts_with = "out_link")]
    pub(crate) no_out_link: bool,
    /// Print derivations and outputs as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where an expression comes from and what it is given.
#[derive(Debug, Clone, Args)]
pub(crate) struct Source {
    /// A file with an expression, instead of DIR/default.nix
    #[arg(short = 'f', long = "file", value_name = "FILE", id = "source.file")]
    pub(crate) file: Option<PathBuf>,
    /// The attribute to take from it; may be given several times
    #[arg(short = 'A', long = "attr", value_name = "ATTR", action = clap::ArgAction::Append)]
    pub(crate) attributes: Vec<String>,
    /// Allow what pure evaluation of flakes forbids (`--no-pure-eval`)
    #[arg(long)]
    pub(crate) impure: bool,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

/// Arguments and search path of an expression.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Inputs {
    /// Pass the expression E as the argument N of a top-level function
    #[arg(long, num_args = 2, allow_hyphen_values = true, value_names = ["N", "E"], action = clap::ArgAction::Append)]
    pub(crate) arg: Vec<String>,
    /// Pass the string S as the argument N of a top-level function
    #[arg(long, num_args = 2, allow_hyphen_values = true, value_names = ["N", "S"], action = clap::ArgAction::Append)]
    pub(crate) argstr: Vec<String>,
    /// Pass the contents of FILE as the argument N of a top-level function
    #[arg(long, num_args = 2, value_names = ["N", "FILE"], action = clap::ArgAction::Append)]
    pub(crate) arg_from_file: Vec<String>,
    /// Pass what standard input has as the argument N of a top-level function
    #[arg(long, value_name = "N")]
    pub(crate) arg_from_stdin: Option<String>,
    /// Add PATH or NAME=PATH to the places where <…> is looked up
    #[arg(short = 'I', long = "include", value_name = "PATH", action = clap::ArgAction::Append)]
    pub(crate) include: Vec<String>,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// How flakes are locked.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options for flakes")]
pub(crate) struct LockArgs {
    /// Use the flake FLAKE in place of an input; implies --no-write-lock-file
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"], action = clap::ArgAction::Append)]
    pub(crate) override_input: Vec<String>,
    /// Lock an input anew
    #[arg(long, value_name = "INPUT", action = clap::ArgAction::Append)]
    pub(crate) update_input: Vec<String>,
    /// Lock all inputs anew
    #[arg(long)]
    pub(crate) recreate_lock_file: bool,
    /// Fail if the lock file would have to change
    #[arg(long)]
    pub(crate) no_update_lock_file: bool,
    /// Do not write a changed lock file
    #[arg(long)]
    pub(crate) no_write_lock_file: bool,
    /// Commit a changed lock file
    #[arg(long)]
    pub(crate) commit_lock_file: bool,
    /// Read FILE in place of the flake's lock file
    #[arg(long, value_name = "FILE")]
    pub(crate) reference_lock_file: Option<PathBuf>,
    /// Write FILE in place of the flake's lock file
    #[arg(long, value_name = "FILE")]
    pub(crate) output_lock_file: Option<PathBuf>,
    /// Ask no registry (`--no-use-registries`)
    #[arg(long)]
    pub(crate) no_registries: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Flake {
    /// Print the outputs of a flake
    Show {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
        /// Also show legacyPackages
        #[arg(long)]
        legacy: bool,
        /// Also show what is for other systems
        #[arg(long)]
        all_systems: bool,
        /// Allow what pure evaluation forbids
        #[arg(long)]
        impure: bool,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Print what is known of a flake and of its inputs
    #[command(alias = "info")]
    Metadata {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        /// Print as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Lock the inputs that are not locked, and write the lock file
    Lock {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Lock inputs anew, all if none is named, and write the lock file
    Update {
        /// Inputs, such as `nixpkgs` or `tools/nixpkgs`
        #[arg(value_name = "INPUT")]
        inputs: Vec<String>,
        /// The flake
        #[arg(long, value_name = "FLAKE", default_value = ".")]
        flake: String,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Check that the outputs of a flake are what their names promise, and build its checks
    Check {
        /// The flake
        #[arg(value_name = "FLAKE", default_value = ".")]
        flake: String,
        /// Build nothing
        #[arg(long)]
        no_build: bool,
        /// Also check what is for other systems
        #[arg(long)]
        all_systems: bool,
        /// Allow what pure evaluation forbids
        #[arg(long)]
        impure: bool,
        #[command(flatten)]
        lock: LockArgs,
    },
}

/// The form in which a value is printed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Form {
    /// Evaluate everything inside of lists and sets, too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print as JSON
    #[arg(long, conflicts_with_all = ["raw", "parse", "xml"])]
    pub(crate) json: bool,
    /// Print as XML, as builtins.toXML makes it
    #[arg(long, conflicts_with_all = ["raw", "parse"])]
    pub(crate) xml: bool,
    /// With --xml: without the places of definitions
    #[arg(long)]
    pub(crate) no_location: bool,
    /// Print a string without quotes and line end
    #[arg(long, conflicts_with = "parse")]
    pub(crate) raw: bool,
    /// Only parse, and print the normalised expression
    #[arg(long, alias = "parse-only")]
    pub(crate) parse: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Instantiate {
    /// Files; default.nix if none is given; `-` reads standard input; with -E, expressions
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Take the arguments as expressions, not as files
    #[arg(short = 'E', long)]
    pub(crate) expr: bool,
    /// The attribute to take; may be given several times
    #[arg(short = 'A', long = "attr", value_name = "ATTR", action = clap::ArgAction::Append)]
    pub(crate) attributes: Vec<String>,
    /// Print the value, and instantiate nothing
    #[arg(long, alias = "eval-only")]
    pub(crate) eval: bool,
    #[command(flatten)]
    pub(crate) form: Form,
    /// Print where the arguments are in the search path
    #[arg(long)]
    pub(crate) find_file: bool,
    /// Make NAME a link to the derivation, which keeps it from being collected; of further ones, NAME-2 …
    #[arg(long, value_name = "NAME")]
    pub(crate) add_root: Option<PathBuf>,
    /// Accepted as in nix-instantiate: roots are always indirect
    #[arg(long, requires = "add_root")]
    pub(crate) indirect: bool,
    #[command(flatten)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

/// Whether an evaluation may leave something in the store, and what it may look at.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Mode {
    /// Write the derivations that come up, also where only a value is printed
    #[arg(long, overrides_with = "read_only")]
    pub(crate) read_write_mode: bool,
    /// Write no derivation
    #[arg(long, alias = "readonly-mode", alias = "dry-run")]
    pub(crate) read_only: bool,
    /// Allow what pure evaluation forbids (`--no-pure-eval`)
    #[arg(long)]
    pub(crate) impure: bool,
}

impl Mode {
    /// The common options, as this changes them.
    pub(crate) fn apply(self, common: &Common) -> Common {
        let mut common = common.clone();
        if self.impure {
            common
                .option
                .extend(["pure-eval".to_owned(), "false".to_owned()]);
        }
        common
    }
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// FILE, a directory with a default.nix, or `-` for standard input; with `#` an installable (DIR#ATTR); with -f or
    /// -E, an attribute path
    #[arg(value_name = "FILE", required_unless_present_any = ["expr", "eval.file"])]
    pub(crate) what: Vec<String>,
    /// A file whose attributes are named as arguments, as in `nix eval -f`
    #[arg(
        short = 'f',
        long = "file",
        value_name = "FILE",
        id = "eval.file",
        conflicts_with = "expr"
    )]
    pub(crate) file: Option<PathBuf>,
    /// An expression instead of a file
    #[arg(short = 'E', long, value_name = "E", allow_hyphen_values = true)]
    pub(crate) expr: Option<String>,
    /// The attribute to take; may be given several times
    #[arg(short = 'A', long = "attr", value_name = "ATTR", action = clap::ArgAction::Append)]
    pub(crate) attributes: Vec<String>,
    #[command(flatten)]
    pub(crate) form: Form,
    /// Call the function F with the value, and print the result
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    pub(crate) apply: Option<String>,
    /// Write a string, or a set of strings as a directory, to PATH, which must not exist
    #[arg(long, value_name = "PATH", conflicts_with_all = ["json", "xml", "raw", "parse"])]
    pub(crate) write_to: Option<PathBuf>,
    /// With --json: several lines; the default where stdout is a terminal
    #[arg(long, overrides_with = "no_pretty")]
    pub(crate) pretty: bool,
    /// With --json: one line
    #[arg(long)]
    pub(crate) no_pretty: bool,
    #[command(flatten)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

#[derive(Debug, Args)]
pub(crate) struct EvalJobs {
    /// FILE, a directory with a default.nix, or with `#` an installable (DIR#ATTR)
    #[arg(value_name = "FILE", required_unless_present = "expr")]
    pub(crate) what: Option<String>,
    /// An expression instead of a file
    #[arg(
        short = 'E',
        long,
        value_name = "E",
        allow_hyphen_values = true,
        conflicts_with = "what"
    )]
    pub(crate) expr: Option<String>,
    /// The attribute whose attributes are evaluated; the default is all of it
    #[arg(short = 'A', long = "attr", value_name = "ATTR")]
    pub(crate) attribute: Option<String>,
    /// How many processes evaluate; the default is as many as processors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// The memory of a process, in MiB, after which it is replaced by a fresh one
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(16..))]
    pub(crate) max_memory_size: u64,
    /// Look into every set, not only into those with recurseForDerivations = true
    #[arg(long)]
    pub(crate) force_recurse: bool,
    /// Tell the attribute meta
    #[arg(long)]
    pub(crate) meta: bool,
    /// Tell whether the outputs are in the store
    #[arg(long)]
    pub(crate) check_cache_status: bool,
    /// Do not write the derivations into the store
    #[arg(long)]
    pub(crate) no_instantiate: bool,
    /// Call the function F with each derivation, and tell the result as extraValue
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    pub(crate) apply: Option<String>,
    /// Allow what pure evaluation forbids (`--no-pure-eval`)
    #[arg(long)]
    pub(crate) impure: bool,
    /// This process evaluates for another one
    #[arg(long, hide = true)]
    pub(crate) worker: bool,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

#[derive(Debug, Args)]
pub(crate) struct Repl {
    /// Files whose attributes are bound at the start; with `#` an installable (DIR#ATTR)
    #[arg(value_name = "FILE")]
    pub(crate) what: Vec<String>,
    /// A file whose attributes are bound at the start
    #[arg(short = 'f', long = "file", value_name = "FILE", id = "repl.file", action = clap::ArgAction::Append)]
    pub(crate) file: Vec<String>,
    /// An expression whose attributes are bound at the start
    #[arg(short = 'E', long, value_name = "E", allow_hyphen_values = true, action = clap::ArgAction::Append)]
    pub(crate) expr: Vec<String>,
    #[command(flatten)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Derivation {
    /// Print store derivations as JSON
    Show {
        /// Also all derivations that they are built with
        #[arg(short, long)]
        recursive: bool,
        /// .drv paths, or what else `realise` takes
        #[arg(value_name = "DRV", required = true)]
        installables: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    /// A .drv, an output, or what else `realise` takes
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Delete what no root needs
    Gc {
        /// Print what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
        /// Stop after that many bytes (K, M, G are understood)
        #[arg(long, value_name = "BYTES")]
        max: Option<String>,
        /// Print the roots, and delete nothing
        #[arg(long, conflicts_with_all = ["dry_run", "max"])]
        print_roots: bool,
    },
    /// Check the database against the disk
    Verify {
        /// Also read every file and compare its hash
        #[arg(long)]
        check_contents: bool,
    },
    /// Add files or directories, and print their store paths
    Add {
        /// What to add
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        /// The name in the store path; the file's own name if not given
        #[arg(long)]
        name: Option<String>,
        /// `nar` for any tree, `flat` for one file by its plain hash
        #[arg(long, default_value = "nar", value_parser = ["nar", "flat"])]
        mode: String,
        /// sha256, sha512, sha1, md5 or blake3
        #[arg(long, default_value = "sha256", value_name = "ALGO")]
        hash_algo: String,
    },
    /// Delete store paths, if nothing needs them
    Delete {
        /// Store paths
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PathInfo {
    /// Store paths, or what else `realise` takes
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<String>,
    /// The whole closure
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print NAR sizes
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Print the size of each closure
    #[arg(short = 'S', long)]
    pub(crate) closure_size: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Store paths or links to them
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<String>,
    /// The target to check for; without it, what the derivation says, else any AArch64
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// A directory with a default.nix that has an attribute `targets`, or a file
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `boot` and `test` build and run.
#[derive(Debug, Args)]
pub(crate) struct Guest {
    /// DIR#target, or what else has an attribute `vm`; or the store path of such a `vm`
    #[arg(value_name = "INSTALLABLE")]
    pub(crate) installable: String,
    /// Memory of the machine in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) memory: Option<u32>,
    /// Number of CPUs of the machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: Option<u32>,
    /// Print build logs as they come
    #[arg(short = 'L', long)]
    pub(crate) print_build_logs: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Boot {
    #[command(flatten)]
    pub(crate) guest: Guest,
    /// The port of this machine that leads to the guest's ssh
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ssh_port: Option<u16>,
    /// Keep the disk in FILE; if there is one already, boot from it in place of a fresh copy of the image
    #[arg(long, value_name = "FILE")]
    pub(crate) keep_disk: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    pub(crate) guest: Guest,
    /// How long the machine may take to come up, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: Option<u64>,
    /// Where the transcript is written; default: xbuild/tests in your state directory
    #[arg(long, value_name = "FILE")]
    pub(crate) transcript: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
