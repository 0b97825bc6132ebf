//! What users can configure about an evaluation.

pub use xbuild_syntax::{LintLevel, LintLevels};

/// Settings of an evaluation; the names are those of `nix.conf` where it has them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `<…>` lookups, in order: `-I` options first, then `NIX_PATH`.
    pub search_path: Vec<SearchPathEntry>,
    /// `pure-eval`: no environment, no time, no files but those that a hash fixes.
    pub pure: bool,
    /// `restrict-eval`: no files outside of the search path and [`Settings::allowed_paths`].
    pub restrict: bool,
    /// Further files that may be read where evaluation is pure or restricted.
    pub allowed_paths: Vec<std::path::PathBuf>,
    /// `allowed-uris`, for restricted evaluation.
    pub allowed_uris: Vec<String>,
    /// `system` (or `eval-system`): `builtins.currentSystem`.
    pub system: String,
    /// `allow-import-from-derivation`
    pub allow_import_from_derivation: bool,
    /// `trace-import-from-derivation`: whether to tell what is built for the evaluation.
    pub trace_import_from_derivation: bool,
    /// `max-call-depth`
    pub max_call_depth: u32,
    /// `trace-verbose`: whether `builtins.traceVerbose` prints.
    pub trace_verbose: bool,
    /// `abort-on-warn`
    pub abort_on_warn: bool,
    /// `experimental-features`
    pub features: Vec<String>,
    /// `lint-url-literals`, `lint-short-path-literals`, `lint-absolute-path-literals`.
    pub lints: LintLevels,
    /// Whether paths are only computed, and nothing is written into the store (`--readonly-mode`).
    pub read_only: bool,
    /// Whether store paths that `storePath` and `appendContext` name need not be there.
    pub trust_store_paths: bool,
    /// Whether files that will probably be imported are parsed by a thread beside the evaluation.
    pub parse_ahead: bool,
}

/// One entry of the search path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPathEntry {
    /// `nixpkgs` of `nixpkgs=/some/where`, or empty.
    pub prefix: String,
    /// `/some/where`, or a URL.
    pub path: String,
}

impl SearchPathEntry {
    /// Reads `prefix=path` or `path`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((prefix, path)) => Self {
                prefix: prefix.into(),
                path: path.into(),
            },
            None => Self {
                prefix: String::new(),
                path: text.into(),
            },
        }
    }
}

impl Settings {
    /// Whether store paths that a program names must be there.
    pub(crate) fn needs_store_paths(&self) -> bool {
        !self.read_only && !self.trust_store_paths
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            search_path: Vec::new(),
            pure: false,
            restrict: false,
            allowed_paths: Vec::new(),
            allowed_uris: Vec::new(),
            system: format!("{}-linux", std::env::consts::ARCH),
            allow_import_from_derivation: true,
            trace_import_from_derivation: false,
            max_call_depth: 10_000,
            trace_verbose: false,
            abort_on_warn: false,
            features: Vec::new(),
            lints: LintLevels::default(),
            read_only: false,
            trust_store_paths: false,
            parse_ahead: false,
        }
    }
}

impl Settings {
    /// Whether an experimental feature is on.
    #[must_use]
    pub fn has_feature(&self, name: &str) -> bool {
        self.features.iter().any(|feature| feature == name)
    }

    /// Whether `builtins.fetchTree` is there; flakes imply it.
    #[must_use]
    pub fn has_fetch_tree(&self) -> bool {
        self.has_feature("fetch-tree") || self.has_feature("flakes")
    }
}
