//! One step of a plan: lock, build, check, register.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use xbuild_derivation::Derivation;
use xbuild_fetch::Fetcher;
use xbuild_report::{Event, Events, How, Level, Slot, StepId, StepKind};
use xbuild_sandbox::{Bind, CancelToken, ExtraBind, Report, Sandbox, ScratchPool, Spec, Status};
use xbuild_store::{PathLocks, Rewrites, Scratch, Store, Usage, remove_tree};
use xbuild_store_model::StorePath;

use crate::addressing::{Made, canonical, rewrite};
use crate::builtin;
use crate::compare;
use crate::environment::{environment, is_open};
use crate::error::{Error, FailureReason, StepFailure};
use crate::estimate::Demand;
use crate::graphs::graphs;
use crate::jobserver::{self, Jobserver};
use crate::kept;
use crate::log::Log;
use crate::memory;
use crate::options::{Options, attribute};
use crate::output_paths::OutputPaths;
use crate::outputs::{Finishing, Purpose};
use crate::plan::{Step, read_derivation};
use crate::platform;
use crate::settings::Settings;
use crate::target::Target;

/// What every step of a run uses.
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    /// Where outputs are.
    pub(crate) paths: &'a OutputPaths<'a>,
    pub(crate) sandbox: &'a Sandbox,
    /// The directories that sandboxed builds use one after the other.
    pub(crate) scratch: &'a ScratchPool,
    pub(crate) fetcher: &'a Fetcher,
    pub(crate) settings: &'a Settings,
    pub(crate) events: &'a Events,
    /// Shared by all builds.
    pub(crate) jobserver: &'a Jobserver,
    /// How many processes the kernel had killed for want of memory when that was last asked.
    pub(crate) kills: &'a AtomicU64,
    /// Stops the running steps.
    pub(crate) stop: &'a CancelToken,
    /// Damaged outputs: a step that builds one again puts it in its place.
    pub(crate) damaged: &'a BTreeSet<StorePath>,
}

/// How long to wait before a lock that another process holds is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// What a step is called in the stream of events, and where it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) id: StepId,
    pub(crate) slot: Slot,
}

/// What a failed step leaves for its report.
#[derive(Default)]
struct Remains {
    log: Option<PathBuf>,
    tail: Vec<String>,
    kept: Option<PathBuf>,
    environment: Option<Vec<u8>>,
}

/// How one step is to be run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) place: Place,
    pub(crate) demand: Demand,
    /// It ran out of memory before, and nothing runs beside it.
    pub(crate) alone: bool,
}

/// Runs one step. When it returns `Ok`, the outputs are valid (or, for a rebuild, equal).
pub(crate) fn run(
    context: &Context<'_>,
    step: &Step,
    start: Start,
) -> Result<How, Box<StepFailure>> {
    let mut remains = Remains::default();
    match run_locked(context, step, start, &mut remains) {
        Ok(how) => Ok(how),
        Err(reason) => Err(Box::new(StepFailure {
            drv: step.drv_path.clone(),
            reason,
            log: remains.log,
            tail: remains.tail,
            kept: remains.kept,
        })),
    }
}

/// True if it built something.
fn run_locked(
    context: &Context<'_>,
    step: &Step,
    start: Start,
    remains: &mut Remains,
) -> Result<How, FailureReason> {
    let target = Target::of(context.paths, step)?;
    let options = Options::of(&target.drv)?;
    let (store, paths) = (context.store, context.paths);
    let known = || paths.get(&target.drv_path, &target.drv, None);
    store
        .add_temp_roots(known()?.values().flatten())
        .map_err(Error::from)?;
    let _locks = lock(context, start.place.id, &target.locks())?;
    let mut valid = BTreeMap::new();
    for (name, path) in known()? {
        if let Some(path) = path
            && store.is_valid(&path)?
        {
            valid.insert(name, path);
        }
    }
    let rebuild = step.kind == StepKind::Rebuild;
    if !rebuild && step.wanted.iter().all(|name| valid.contains_key(name)) {
        // Another process built it while this one waited for the lock, or it was built before for another derivation.
        let realisations = target.realisations(&valid)?;
        let held = store.add_realisations(&realisations).map_err(Error::from)?;
        target.note(valid, &held);
        return Ok(How::Present);
    }
    context.events.tell(&Event::Started {
        step: start.place.id,
        slot: start.place.slot,
    });
    target.write()?;
    let places = target.places(&valid, rebuild)?;
    // What this and others need is a temporary root by now.
    context
        .store
        .auto_gc(&context.settings.store.auto_gc())
        .map_err(Error::from)?;
    let scratch = WorkDir::new(context, step)?;
    let place = (scratch.path(), start);
    let made = build(context, &target, &options, &places, place, remains);
    let ended = made.and_then(|(made, inputs)| {
        let finishing = Finishing {
            store,
            drv_path: &target.drv_path,
            drv: &target.drv,
            options: &options,
            inputs: &inputs,
            places: &places,
            scratch: scratch.path(),
            realisations: &|outputs| target.realisations(outputs),
        };
        if rebuild {
            let registered = paths.require(&step.drv_path, &step.drv, None)?;
            let is_damaged = |output: &Made| {
                let path = registered.get(&output.name);
                path.is_some_and(|path| context.damaged.contains(path))
            };
            if !made.iter().any(is_damaged) {
                return compare_outputs(context, made, &registered, scratch.path());
            }
            let damaged: Vec<Made> = made.into_iter().filter(is_damaged).collect();
            finishing.finish(&damaged, Purpose::Repair)?;
            return Ok(());
        }
        // An output that is valid already stays what it is; what else lies at a path was never registered.
        let made: Vec<Made> = made
            .into_iter()
            .filter(|output| !valid.contains_key(&output.name))
            .collect();
        for output in &made {
            store.remove_leftover(&output.path).map_err(Error::from)?;
        }
        let (outputs, held) = finishing.finish(&made, Purpose::Register)?;
        target.note(outputs, &held);
        Ok(())
    });
    let Err(reason) = ended else {
        scratch.give_back();
        return Ok(How::Made);
    };
    let build_dir = scratch.path().join("build");
    let is_last = !matches!(reason, FailureReason::OutOfMemory { alone: false, .. });
    if context.settings.keep_failed && is_last && build_dir.is_dir() {
        let kept = kept::keep(
            context.store.root(),
            &step.drv.name,
            &build_dir,
            remains.environment.as_deref(),
        );
        match kept {
            Ok(place) => {
                // What differs is worth a look.
                if matches!(reason, FailureReason::NotDeterministic { .. }) {
                    let outputs: Vec<&str> = places.values().map(StorePath::base_name).collect();
                    kept::keep_outputs(&scratch.path().join("store"), &outputs, &place);
                }
                remains.kept = Some(place);
            }
            Err(error) => context.events.tell(&Event::Message {
                level: Level::Warning,
                text: error.to_string(),
            }),
        }
    }
    Err(reason)
}

/// Where a step works. Deleted with all it holds, unless it is given back for another step.
enum WorkDir<'a> {
    /// Of a sandboxed build: from the pool.
    Pooled(&'a ScratchPool, PathBuf),
    /// Of a builtin builder, which leaves what it likes.
    Own(Scratch),
}

impl<'a> WorkDir<'a> {
    fn new(context: &Context<'a>, step: &Step) -> Result<Self, FailureReason> {
        if step.drv.builder.starts_with(builtin::PREFIX) {
            return Ok(Self::Own(context.store.work_dir().map_err(Error::from)?));
        }
        Ok(Self::Pooled(context.scratch, context.scratch.take()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Pooled(_, path) => path,
            Self::Own(scratch) => scratch.path(),
        }
    }

    /// To be called when the build ended well and its outputs were moved away.
    fn give_back(mut self) {
        if let Self::Pooled(pool, path) = &mut self {
            // One that cannot be cleared goes with the run's directory; the outputs are registered in any case.
            let _ = pool.give_back(std::mem::take(path));
        }
    }
}

impl Drop for WorkDir<'_> {
    fn drop(&mut self) {
        if let Self::Pooled(_, path) = self
            && !path.as_os_str().is_empty()
        {
            // What cannot be deleted now goes with the run's directory or the next collection.
            let _ = remove_tree(path);
        }
    }
}

fn lock(
    context: &Context<'_>,
    step: StepId,
    paths: &[StorePath],
) -> Result<PathLocks, FailureReason> {
    let mut told = false;
    loop {
        if let Some(locks) = context.store.try_lock(paths).map_err(Error::from)? {
            return Ok(locks);
        }
        if !told {
            context.events.tell(&Event::Waiting { step });
            told = true;
        }
        if context.stop.is_cancelled() {
            return Err(FailureReason::Cancelled);
        }
        std::thread::sleep(LOCK_RETRY);
    }
}

/// Runs the builder. Returns the outputs in the scratch directory and the closure of the inputs.
fn build(
    context: &Context<'_>,
    target: &Target<'_>,
    options: &Options,
    places: &BTreeMap<String, StorePath>,
    (scratch, start): (&Path, Start),
    remains: &mut Remains,
) -> Result<(Vec<Made>, BTreeSet<StorePath>), FailureReason> {
    let drv = &*target.drv;
    let inputs = input_closure(context.paths, drv)?;
    let made = |physical: &dyn Fn(&StorePath) -> PathBuf| {
        places
            .iter()
            .map(|(name, path)| Made {
                name: name.clone(),
                path: path.clone(),
                physical: physical(path),
            })
            .collect::<Vec<_>>()
    };
    if drv.builder.starts_with(builtin::PREFIX) {
        fs::create_dir_all(scratch).map_err(Error::io("create", scratch))?;
        let made = made(&|path| scratch.join(path.base_name()));
        let [output] = made.as_slice() else {
            return Err(FailureReason::Unsupported(
                "a builtin builder makes exactly one output".to_owned(),
            ));
        };
        let builtin = builtin::Context {
            store: context.store,
            fetcher: context.fetcher,
            events: context.events,
            step: start.place.id,
            cancel: context.stop,
            inputs: &inputs,
        };
        builtin::run(&builtin, drv, &output.physical)?;
        return Ok((made, inputs));
    }
    platform::check(context.settings, drv)?;
    let mut spec = spec(context, drv, options, places, &inputs, scratch)?;
    let cores = u32::try_from(context.settings.build_cores()).unwrap_or(u32::MAX);
    let lent = if start.demand.jobserver { cores - 1 } else { 0 };
    let seat = context.jobserver.join(start.demand.spec.processors, lent)?;
    if let Some(pipe) = &seat.pipe {
        show_jobserver(&mut spec, pipe, cores);
    }
    let killed_before = context.kills.load(Ordering::Relaxed);
    let log_path = context.store.log_path(&target.drv_path);
    let mut log = Log::new(
        log_path,
        start.place.id,
        context.events,
        context.settings.log_lines,
    )?;
    let report = context
        .sandbox
        .run(&spec, context.stop, &mut |bytes| log.write(bytes));
    drop(seat);
    let (path, tail) = log.finish()?;
    remains.log = path;
    remains.tail = tail;
    remains.environment = Some(kept::environment(&spec));
    let report = report.map_err(Error::from)?;
    ended_well(&report, context.settings).map_err(|reason| {
        let kills = match report.memory_kills {
            Some(kills) => Kills::OfBuild(kills),
            None => Kills::OfMachine(
                memory::kills().map_or(0, |kills| kills.saturating_sub(killed_before)),
            ),
        };
        out_of_memory(reason, kills, start.alone)
    })?;
    remains.tail.clear();
    context.events.tell(&Event::Built {
        step: start.place.id,
        usage: xbuild_report::Usage {
            user: report.user,
            system: report.sys,
            peak_memory: report.peak_memory,
        },
    });
    let system = String::from_utf8_lossy(&drv.system);
    // Only a guess for later runs: a failure to note it is no failure of the build.
    let _ = context
        .store
        .builds()
        .and_then(|builds| builds.record_build(&drv.name, &system, usage(&report)));
    Ok((
        made(&|path| spec.physical(Path::new(&path.to_string()))),
        inputs,
    ))
}

/// Shows a build its pipe, and says where it is. What the derivation itself sets stays.
fn show_jobserver(spec: &mut Spec, pipe: &Path, cores: u32) {
    spec.extra_binds.push(ExtraBind {
        source: pipe.to_owned(),
        target: PathBuf::from(jobserver::PATH),
        optional: false,
    });
    for name in ["MAKEFLAGS", "CARGO_MAKEFLAGS"] {
        if spec.env.iter().all(|(known, _)| known != name) {
            spec.env
                .push((name.into(), jobserver::make_flags(cores).into()));
        }
    }
}

/// What a build used, for later ones. Where no control group counts, the sandbox knows the greatest process; with several at a time, so
/// many of them may have been that great.
fn usage(report: &Report) -> Usage {
    let busy = (report.user + report.sys).as_micros().saturating_mul(1000);
    let processors = u64::try_from(busy / report.wall.as_micros().max(1)).unwrap_or(u64::MAX);
    let counted = report.peak_memory.filter(|peak| *peak != report.max_rss);
    let side_by_side = processors.div_ceil(1000).max(1);
    Usage {
        duration: report.wall,
        peak_memory: counted.unwrap_or_else(|| report.max_rss.saturating_mul(side_by_side)),
        processors,
    }
}

/// The exit code of a shell, or of what runs programs like one, whose program was killed.
const KILLED: i32 = 128 + 9;

/// How many processes the kernel has killed for want of memory while a build ran.
#[derive(Debug, Clone, Copy)]
enum Kills {
    /// Of the build, as its control group says.
    OfBuild(u64),
    /// Of the whole machine, where nothing says more.
    OfMachine(u64),
}

/// Whether a build failed for want of memory: the kernel has killed some process, or its builder was killed, and not by us.
fn out_of_memory(reason: FailureReason, kills: Kills, alone: bool) -> FailureReason {
    let (Kills::OfBuild(count) | Kills::OfMachine(count)) = kills;
    let looks_so = match reason {
        FailureReason::Signal(9) | FailureReason::Exit(KILLED) => true,
        FailureReason::Exit(_) | FailureReason::Signal(_) => count > 0,
        _ => false,
    };
    if !looks_so {
        return reason;
    }
    FailureReason::OutOfMemory {
        ended: match kills {
            Kills::OfBuild(1..) => "the kernel killed it".to_owned(),
            _ => reason.to_string(),
        },
        alone,
    }
}

fn ended_well(report: &Report, settings: &Settings) -> Result<(), FailureReason> {
    match report.status {
        Status::Exited(0) => Ok(()),
        Status::Exited(code) => Err(FailureReason::Exit(code)),
        Status::Signalled(signal) => Err(FailureReason::Signal(signal)),
        Status::TimedOut => Err(FailureReason::TimedOut {
            what: "timed out",
            key: "timeout",
            after: settings.timeout.unwrap_or_default(),
        }),
        Status::Silent => Err(FailureReason::TimedOut {
            what: "printed nothing and was stopped",
            key: "max-silent-time",
            after: settings.max_silent_time.unwrap_or_default(),
        }),
        Status::LogLimit => Err(FailureReason::LogLimit(
            settings.max_build_log_size.unwrap_or_default(),
        )),
        Status::Cancelled => Err(FailureReason::Cancelled),
    }
}

/// The closure of everything that `drv` takes as input.
pub(crate) fn input_closure(
    paths: &OutputPaths<'_>,
    drv: &Derivation,
) -> Result<BTreeSet<StorePath>, FailureReason> {
    let store = paths.store();
    let mut direct: BTreeSet<StorePath> = drv.input_srcs.clone();
    for (input, outputs) in &drv.input_drvs {
        let input_drv = read_derivation(store, input)?;
        let found = paths.require(input, &input_drv, Some(outputs))?;
        direct.extend(found.into_values());
    }
    let direct: Vec<StorePath> = direct.into_iter().collect();
    Ok(store
        .closure(&direct)
        .map_err(Error::from)?
        .into_iter()
        .collect())
}

/// Describes the build to the sandbox, and writes the files that it finds in its directory.
fn spec(
    context: &Context<'_>,
    drv: &Derivation,
    options: &Options,
    places: &BTreeMap<String, StorePath>,
    inputs: &BTreeSet<StorePath>,
    scratch: &Path,
) -> Result<Spec, FailureReason> {
    let graphs = graphs(context.store, options, inputs)?;
    let host_env = |name: &str| std::env::var(name).ok();
    let made = environment(
        drv,
        options,
        places,
        &graphs,
        context.settings.build_cores(),
        &host_env,
    );
    let os = OsString::from_vec;
    let mut spec = Spec::new(PathBuf::from(os(drv.builder.clone())), scratch);
    spec.args = made.args.into_iter().map(os).collect();
    spec.env = made
        .variables
        .into_iter()
        .map(|(name, value)| (os(name), os(value)))
        .collect();
    spec.inputs = inputs
        .iter()
        .map(|path| Bind {
            source: context.store.physical(path),
            target: PathBuf::from(path.to_string()),
        })
        .collect();
    spec.outputs = places
        .values()
        .map(|path| PathBuf::from(path.to_string()))
        .collect();
    spec.network = is_open(drv);
    spec.emulator = platform::emulator(context.store, context.settings, drv)?;
    spec.linux32 = drv.system == b"i686-linux";
    spec.user_namespaces = context.settings.sandbox_user_namespaces;
    spec.max_processes = context.settings.max_build_processes;
    spec.max_processes_together = spec
        .max_processes
        .map(|limit| limit.saturating_mul(context.settings.max_jobs.max(1) as u64));
    spec.timeout = context.settings.timeout;
    spec.max_silent = context.settings.max_silent_time;
    spec.max_log = context.settings.max_build_log_size;
    for entry in &context.settings.sandbox_paths {
        spec.extra_binds.push(
            ExtraBind::parse(entry).map_err(|error| FailureReason::Internal(error.to_string()))?,
        );
    }
    if let Some(root) = attribute(drv, "sandboxRoot") {
        let path = StorePath::parse(&root).map_err(|error| {
            FailureReason::Unsupported(format!(
                "`sandboxRoot` is `{root}`, which is no store path: {error}"
            ))
        })?;
        if !inputs.contains(&path) {
            return Err(FailureReason::Unsupported(format!(
                "`sandboxRoot` is {path}, which is not an input of the derivation"
            )));
        }
        spec.fhs_root = Some(context.store.physical(&path));
    }
    let build_dir = spec.build_dir();
    fs::create_dir_all(&build_dir).map_err(Error::io("create", &build_dir))?;
    for (name, content) in made.files {
        let file = build_dir.join(name);
        fs::write(&file, content).map_err(Error::io("write", file))?;
    }
    Ok(spec)
}

/// For `--rebuild`: the new outputs against the registered ones.
fn compare_outputs(
    context: &Context<'_>,
    made: Vec<Made>,
    registered: &BTreeMap<String, StorePath>,
    scratch: &Path,
) -> Result<(), FailureReason> {
    // The builder found outputs whose paths follow from their contents at other places.
    let mut rewrites = Rewrites::default();
    for output in &made {
        if let Some(path) = registered.get(&output.name)
            && *path != output.path
        {
            rewrites.add(&output.path, path);
        }
    }
    let mut differences = String::new();
    for mut output in made {
        canonical(context.store, &output)?;
        if !rewrites.is_empty() {
            output.physical = rewrite(
                context.store,
                &output.physical,
                scratch,
                &output.name,
                &rewrites,
            )?
            .0;
        }
        let path = registered.get(&output.name).unwrap_or(&output.path);
        for line in compare::differences(&context.store.physical(path), &output.physical)? {
            use std::fmt::Write as _;
            let _ = writeln!(differences, "  {path}: {line}");
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(FailureReason::NotDeterministic {
        differences: differences.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_killed_is_counted_where_it_can_be() {
        let text = |reason, kills| out_of_memory(reason, kills, false).to_string();
        let (exit, signal) = (|| FailureReason::Exit(2), || FailureReason::Signal(9));
        let out = "the builder ran out of memory: ";
        assert_eq!(
            text(signal(), Kills::OfBuild(3)),
            format!("{out}the kernel killed it")
        );
        // Something else killed it, as a daemon does that watches memory.
        assert!(text(signal(), Kills::OfBuild(0)).starts_with(&format!("{out}builder was ended")));
        // What was killed elsewhere says nothing of a build with a group.
        assert_eq!(
            text(exit(), Kills::OfBuild(0)),
            "builder failed with exit code 2"
        );
        assert_eq!(
            text(exit(), Kills::OfMachine(1)),
            format!("{out}builder failed with exit code 2")
        );
        let stopped = out_of_memory(FailureReason::Cancelled, Kills::OfBuild(1), false);
        assert!(matches!(stopped, FailureReason::Cancelled));
    }
}
