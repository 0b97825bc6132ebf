//! What commands share: settings, store, downloads, the sandbox, the wish to stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use xbuild_fetch::{FetchOptions, Fetcher, Mirrors};
use xbuild_inputs::{InputOptions, RegistryFiles};
use xbuild_realise::eval_host::Build;
use xbuild_realise::{Error, Mode, OutputPaths, Realised, Realiser, Settings, StoreHost, Wanted};
use xbuild_report::{Event, Events, Recorder, Run};
use xbuild_sandbox::{CancelToken, Sandbox};
use xbuild_store::{Cancelled, Notify, Store, StoreOptions};

use crate::args::{Common, Inputs};
use crate::failure::Failure;
use crate::output;
use crate::progress::Manner;
use crate::search_path;
use crate::signals::{self, Interrupts};

/// The state of one run of the program.
pub(crate) struct Session {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<Store>,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) cancel: CancelToken,
    sandbox: OnceLock<Sandbox>,
    /// What happens in all runs of this process.
    events: Events,
    recorder: Arc<Recorder>,
    /// Realisations that go on: a signal lets them end in order.
    runs: Arc<AtomicUsize>,
    /// Whether evaluations write nothing into the store.
    read_only: bool,
    trust_store_paths: bool,
}

impl Session {
    /// Reads the settings (`overrides` are those that a command has options for), and opens the store.
    ///
    /// A command that surely builds asks for the sandbox at once (`builds`): its spawner is best forked while the
    /// program is small and has one thread.
    pub(crate) fn open(
        common: &Common,
        overrides: &[(&str, String)],
        builds: bool,
    ) -> Result<Self, Failure> {
        Self::open_with(common, overrides, builds, false, None)
    }

    /// For a conversation, which Ctrl-C does not end.
    pub(crate) fn open_interactive(
        common: &Common,
        interrupts: &Arc<Interrupts>,
    ) -> Result<Self, Failure> {
        Self::open_with(common, &[], false, false, Some(interrupts))
    }

    /// For a command that deletes from the store, which must work on a full disk as well.
    pub(crate) fn open_to_delete(common: &Common) -> Result<Self, Failure> {
        Self::open_with(common, &[], false, true, None)
    }

    fn open_with(
        common: &Common,
        overrides: &[(&str, String)],
        builds: bool,
        use_reserve: bool,
        interrupts: Option<&Arc<Interrupts>>,
    ) -> Result<Self, Failure> {
        if common.debugger {
            return Err(Failure::text(
                "xbuild has no debugger\nhint: --show-trace shows how the evaluation came to an error, and \
                 `builtins.trace` what a value is there",
            ));
        }
        let settings = Self::settings(common, overrides)?;
        let sandbox = OnceLock::new();
        if builds {
            let _ = sandbox.set(Sandbox::start().map_err(Error::from)?);
        }
        let cancel = CancelToken::new()
            .map_err(|error| Failure::text(format!("cannot make an event descriptor: {error}")))?;
        let runs = Arc::new(AtomicUsize::new(0));
        match interrupts {
            Some(interrupts) => signals::watch_interactive(interrupts),
            None => signals::watch(&cancel, &runs),
        }
        .map_err(|error| Failure::text(format!("cannot watch for signals: {error}")))?;
        let options = |read_only_because: Option<Arc<xbuild_store::Error>>| {
            let asked = cancel.clone();
            let chosen = &settings.store;
            StoreOptions {
                fsync_metadata: chosen.fsync_metadata,
                fsync_store_paths: chosen.fsync_store_paths,
                sync_before_registering: chosen.sync_before_registering,
                auto_optimise: chosen.auto_optimise,
                notify: Some(Notify(Arc::new(|line| output::note(line)))),
                cancelled: Some(Cancelled(Arc::new(move || asked.is_cancelled()))),
                read_only: read_only_because.is_some(),
                read_only_because,
                use_reserve,
                ..StoreOptions::default()
            }
        };
        let root = store_root(common)?;
        let store = match Store::open(&root, options(None)) {
            // What only looks can do so in a store of somebody else's, or on a medium that cannot be written; and what is built
            // already needs no building.
            Err(error) if !matches!(error, xbuild_store::Error::Interrupted) => {
                let error = Arc::new(error);
                Store::open(&root, options(Some(Arc::clone(&error))))
                    .map_err(|_| Failure::text(error.to_string()))?
            }
            opened => opened.map_err(Error::from)?,
        };
        let mirrors = Mirrors::from_settings(settings.debian_mirror.as_deref())
            .map_err(|error| Failure::text(error.to_string()))?;
        let fetcher = Fetcher::new(FetchOptions {
            mirrors,
            connect_timeout: settings.connect_timeout,
            stall_timeout: settings.stalled_download_timeout,
            attempts: settings.download_attempts,
            ..FetchOptions::default()
        });
        let recorder = Arc::new(Recorder::new(Self::runs_dir(&store)));
        let events = Self::events(&settings, &recorder);
        Ok(Self {
            settings,
            events,
            recorder,
            store: Arc::new(store),
            fetcher: Arc::new(fetcher),
            cancel,
            sandbox,
            runs,
            read_only: common.read_only,
            trust_store_paths: common.trust_store_paths,
        })
    }

    /// The settings of this run, the command line's last.
    pub(crate) fn settings(
        common: &Common,
        overrides: &[(&str, String)],
    ) -> Result<Settings, Failure> {
        let mut settings = Settings::load(&|name| std::env::var(name).ok())
            .map_err(|error| Failure::text(error.to_string()))?;
        let options = common.option.chunks(2).filter_map(|pair| match pair {
            [key, value] => Some((key.as_str(), value.as_str())),
            _ => None,
        });
        let trace = common.show_trace.then_some(("show-trace", "true"));
        for (key, value) in overrides
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .chain(options)
            .chain(trace)
        {
            settings
                .set(key, value)
                .map_err(|error| Failure::text(error.to_string()))?;
        }
        Ok(settings)
    }

    /// The sandbox, started when first needed.
    fn sandbox(&self) -> Result<&Sandbox, Error> {
        if let Some(sandbox) = self.sandbox.get() {
            return Ok(sandbox);
        }
        let started = Sandbox::start()?;
        Ok(self.sandbox.get_or_init(|| started))
    }

    /// Calls `work` with a realiser, of which is shown and recorded what it does.
    pub(crate) fn with_realiser<T>(
        &self,
        work: impl FnOnce(&Realiser<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = self.tell(&self.events, work);
        if let Some(problem) = self.recorder.problem() {
            output::note(format!("warning: {problem}"));
        }
        result
    }

    /// The same, and nothing is shown or recorded.
    pub(crate) fn in_silence<T>(
        &self,
        work: impl FnOnce(&Realiser<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.tell(&Events::new(Manner::begun(), Vec::new()), work)
    }

    fn tell<T>(
        &self,
        events: &Events,
        work: impl FnOnce(&Realiser<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let sandbox = self.sandbox()?;
        let _run = self.ends_in_order();
        work(&Realiser::new(
            &self.store,
            sandbox,
            &self.fetcher,
            &self.settings,
            events,
            &self.cancel,
        ))
    }

    /// What this process built so far.
    pub(crate) fn run(&self) -> Result<Run, Failure> {
        match self.recorder.path() {
            Some(path) => xbuild_report::recording::read(&path)
                .map_err(|error| Failure::text(error.to_string())),
            None => Ok(Run::default()),
        }
    }

    /// Where runs are recorded.
    pub(crate) fn runs_dir(store: &Store) -> PathBuf {
        store.root().join("nix/var/xbuild/runs")
    }

    /// The stream of events of this process, which begins.
    fn events(settings: &Settings, recorder: &Arc<Recorder>) -> Events {
        let observers = vec![
            Manner::observer(),
            Box::new(Arc::clone(recorder)) as Box<dyn xbuild_report::Observer>,
        ];
        let events = Events::new(Manner::begun(), observers);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        events.tell(&Event::Begun {
            format: xbuild_report::event::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            unix_ms: u64::try_from(unix.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
            command: command_line(
                std::env::args_os().map(|word| word.to_string_lossy().into_owned()),
            ),
            jobs: number(settings.max_jobs),
            cores: number(settings.build_cores()),
        });
        events
    }

    /// As long as the value lives, the first signal does not end the process: what runs looks at [`Session::cancel`] and ends in
    /// order.
    pub(crate) fn ends_in_order(&self) -> impl Drop + use<> {
        struct Run(Arc<AtomicUsize>);
        impl Drop for Run {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.runs.fetch_add(1, Ordering::SeqCst);
        Run(Arc::clone(&self.runs))
    }

    /// Realises `wanted` in the middle of an evaluation.
    fn realise_for_evaluation(&self, wanted: &[Wanted]) -> Result<Vec<Realised>, Error> {
        self.with_realiser(|realiser| realiser.realise(wanted, Mode::Build))
    }

    /// Where outputs are in the store.
    pub(crate) fn output_paths(&self) -> OutputPaths<'_> {
        OutputPaths::new(&self.store, &self.settings.experimental_features)
    }

    /// The evaluator's view of the world.
    pub(crate) fn host(self: &Arc<Self>) -> StoreHost {
        let session = Arc::clone(self);
        self.host_that_builds(Box::new(move |wanted: &[Wanted]| {
            session.realise_for_evaluation(wanted)
        }))
    }

    /// The same, with another way to build what an evaluation needs.
    pub(crate) fn host_that_builds(&self, build: Box<Build>) -> StoreHost {
        StoreHost::new(
            Arc::clone(&self.store),
            Arc::clone(&self.fetcher),
            self.cancel.clone(),
            build,
            self.input_options(),
        )
        .read_only(self.read_only)
    }

    /// How inputs of flakes, and trees, are fetched.
    pub(crate) fn input_options(&self) -> InputOptions {
        let env = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = env("HOME");
        let below = |variable: &str, default: &str| {
            env(variable).or_else(|| home.as_ref().map(|home| home.join(default)))
        };
        let settings = &self.settings.inputs;
        InputOptions {
            cache_dir: below("XDG_CACHE_HOME", ".cache")
                .unwrap_or_else(std::env::temp_dir)
                .join("xbuild"),
            tarball_ttl: settings.tarball_ttl,
            allow_dirty: settings.allow_dirty,
            warn_dirty: settings.warn_dirty,
            access_tokens: settings
                .access_tokens
                .iter()
                .filter_map(|token| token.split_once('='))
                .map(|(host, token)| (host.to_owned(), token.to_owned()))
                .collect(),
            registries: RegistryFiles {
                user: below("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("nix/registry.json")),
                system: Some(
                    env("NIX_CONF_DIR")
                        .unwrap_or_else(|| PathBuf::from("/etc/nix"))
                        .join("registry.json"),
                ),
                global: settings.flake_registry.clone(),
            },
        }
    }

    /// The settings of an evaluation.
    pub(crate) fn eval_settings(&self, inputs: &Inputs) -> xbuild_eval::Settings {
        let chosen = &self.settings.eval;
        let system = chosen.system.as_ref().unwrap_or(&self.settings.system);
        xbuild_eval::Settings {
            search_path: search_path::entries(&self.settings, &inputs.include),
            pure: chosen.pure,
            restrict: chosen.restrict,
            allowed_uris: chosen.allowed_uris.clone(),
            system: system.clone(),
            allow_import_from_derivation: chosen.allow_import_from_derivation.unwrap_or(true),
            trace_import_from_derivation: chosen.trace_import_from_derivation,
            max_call_depth: u32::try_from(self.settings.max_call_depth).unwrap_or(u32::MAX),
            trace_verbose: chosen.trace_verbose,
            abort_on_warn: chosen.abort_on_warn,
            features: self.settings.experimental_features.clone(),
            lints: chosen.lints,
            read_only: self.read_only,
            trust_store_paths: self.trust_store_paths,
            ..xbuild_eval::Settings::default()
        }
    }
}

/// What was typed, without the passwords in it: it is kept with the recording.
fn command_line(arguments: impl Iterator<Item = String>) -> Vec<String> {
    const SECRET: &str = "access-tokens";
    let mut line: Vec<String> = Vec::new();
    for word in arguments {
        let is_value = line.last().is_some_and(|last| last.ends_with(SECRET));
        let word = match word.split_once('=') {
            _ if is_value => "…".to_owned(),
            Some((option, _)) if option.ends_with(SECRET) => format!("{option}=…"),
            _ if line.is_empty() => word.rsplit('/').next().unwrap_or_default().to_owned(),
            _ => word,
        };
        line.push(word);
    }
    line
}

/// `--store`, else `xbuild/store` in the user's data directory (XDG Base Directory Specification).
pub(crate) fn store_root(common: &Common) -> Result<PathBuf, Failure> {
    if let Some(root) = &common.store {
        return Ok(root.clone());
    }
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(Path::new(".local/share"))))
        .map(|data| data.join("xbuild/store"))
        .ok_or_else(|| Failure::text("where is the store? neither HOME nor XDG_DATA_HOME is set; name a directory with --store DIR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_recorded() {
        let line = |text: &str| command_line(text.split(' ').map(str::to_owned)).join(" ");
        assert_eq!(
            line("/usr/bin/xbuild realise .#a --arg x=1 2"),
            "xbuild realise .#a --arg x=1 2"
        );
        assert_eq!(
            line(
                "xbuild --option access-tokens h=1 --extra-access-tokens h=2 --access-tokens=h=3 x"
            ),
            "xbuild --option access-tokens … --extra-access-tokens … --access-tokens=… x"
        );
    }
}
