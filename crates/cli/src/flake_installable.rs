//! Flakes as installables: which names are flakes, and what they evaluate to.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use xbuild_eval::{EvalError, Evaluator, Pos, Value};
use xbuild_flake::outputs::{self, Target, attr_paths};
use xbuild_flake::{FlakeOptions, Flakes, LockFlags, LockedFlake, apply_config, parse_input_path};
use xbuild_flake_ref::{FlakeRef, ParseOptions, RefError, is_flake_id};
use xbuild_inputs::is_known;
use xbuild_realise::{StoreHost, Wanted};

use crate::args::{Inputs, LockArgs};
use crate::commands::eval::{Problem, current_dir, with_evaluator_for};
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

impl From<RefError> for Failure {
    fn from(error: RefError) -> Self {
        Self::text(error.to_string())
    }
}

fn notice(line: String) {
    output::note(line);
}

/// The flake that a text names, and what stands behind `#`.
pub(crate) fn parse(text: &str) -> Result<(FlakeRef, String), Failure> {
    let current = current_dir()?;
    let options = ParseOptions {
        base_dir: Some(&current),
        ..ParseOptions::default()
    };
    Ok(FlakeRef::parse_with_fragment(text, options, &mut notice)?)
}

/// The flake that a text names, where nothing may stand behind it.
pub(crate) fn parse_whole(text: &str) -> Result<FlakeRef, Failure> {
    let (reference, fragment) = parse(text)?;
    if fragment.is_empty() {
        return Ok(reference);
    }
    Err(Failure::text(format!(
        "unexpected fragment '{fragment}' in flake reference '{text}'"
    )))
}

/// The flake that a place names (an installable without `^…`), if it names one: a URL, a directory with a `flake.nix`, or one
/// without `default.nix` below such a directory, or a name of a registry.
pub(crate) fn named(session: &Session, place: &str) -> Result<Option<(FlakeRef, String)>, Failure> {
    let (before, _) = place.split_once('#').unwrap_or((place, ""));
    let name = before.split(['?']).next().unwrap_or_default();
    let has_scheme = name
        .split_once(':')
        .is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains('/'));
    if has_scheme {
        return parse(place).map(Some);
    }
    let path = Path::new(if name.is_empty() { "." } else { name });
    if path.is_dir() {
        // As with Nix, a bare name in front of `#` is one of a registry, whatever directories there are.
        if path.join("flake.nix").exists()
            && !path.join("default.nix").exists()
            && place.contains('#')
            && let Some(indirect) = indirect(place)
        {
            output::note(format!(
                "warning: `{before}` is looked up in the flake registries; write `./{before}` for the directory"
            ));
            return Ok(Some(indirect));
        }
        if path.join("flake.nix").exists() || before.contains('?') {
            return parse(place_of(place, name, path).as_str()).map(Some);
        }
        if path.join("default.nix").exists() || !is_within_flake(path) {
            return Ok(None);
        }
        return parse(place_of(place, name, path).as_str()).map(Some);
    }
    if path.exists() {
        let is_flake_nix = path.file_name().is_some_and(|name| name == "flake.nix");
        return if is_flake_nix && place.contains('#') {
            parse(&place_of(place, name, path)).map(Some)
        } else {
            Ok(None)
        };
    }
    let Some((reference, fragment)) = indirect(place) else {
        return Ok(None);
    };
    // A name alone may be a slip: only a registry makes it a flake.
    let registries = session.input_options().registries;
    if place.contains('#') || is_known(&registries, &reference.input) {
        return Ok(Some((reference, fragment)));
    }
    Ok(None)
}

/// The flake that a place names by a name of a registry, if it does.
fn indirect(place: &str) -> Option<(FlakeRef, String)> {
    let id = place.split(['#', '?', '/']).next().unwrap_or_default();
    if !is_flake_id(id) {
        return None;
    }
    let (reference, fragment) = parse(place).ok()?;
    (!reference.input.is_direct()).then_some((reference, fragment))
}

/// The same place such that it cannot be taken for the name of a flake in a registry.
fn place_of(place: &str, name: &str, path: &Path) -> String {
    let rest = &place[name.len()..];
    if path.is_absolute() || name.starts_with('.') {
        return place.to_owned();
    }
    format!("./{}{rest}", path.display())
}

/// Whether a directory above has a `flake.nix`, in the same repository.
fn is_within_flake(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    for dir in path.ancestors() {
        if dir.join("flake.nix").exists() {
            return true;
        }
        if dir.join(".git").exists() {
            return false;
        }
    }
    false
}

/// Who locks flakes, on this host.
pub(crate) fn flakes(session: &Session, host: &StoreHost) -> Rc<Flakes> {
    let settings = &session.settings.inputs;
    let options = FlakeOptions {
        use_registries: settings.use_registries,
        allow_dirty_locks: settings.allow_dirty_locks,
        warn_dirty: settings.warn_dirty,
        commit_lock_file_summary: settings.commit_lock_file_summary.clone(),
    };
    Rc::new(Flakes::new(options, host.inputs()))
}

/// The flags of the command line.
pub(crate) fn lock_flags(args: &LockArgs) -> Result<LockFlags, Failure> {
    let current = current_dir()?;
    let options = ParseOptions {
        base_dir: Some(&current),
        allow_missing: true,
        ..ParseOptions::default()
    };
    let path = |flag: &str, text: &str| {
        let path = parse_input_path(text).map_err(Failure::text)?;
        if path.is_empty() {
            return Err(Failure::text(format!(
                "{flag} was passed a zero-length input path, which would refer to the flake itself, not an input"
            )));
        }
        Ok(path)
    };
    if !args.update_input.is_empty() {
        output::note(
            "warning: '--update-input' is a deprecated alias for 'flake update' and will be removed in a future version.",
        );
    }
    if args.recreate_lock_file {
        output::note(
            "warning: '--recreate-lock-file' is deprecated and will be removed in a future version; use 'xbuild flake update' instead.",
        );
    }
    let mut flags = LockFlags {
        recreate: args.recreate_lock_file,
        update: !args.no_update_lock_file,
        write: !args.no_write_lock_file && args.override_input.is_empty(),
        use_registries: args.no_registries.then_some(false),
        commit: args.commit_lock_file,
        reference_file: args.reference_lock_file.clone(),
        output_file: args.output_lock_file.clone(),
        ..LockFlags::default()
    };
    for pair in args.override_input.chunks_exact(2) {
        let reference = FlakeRef::parse(&pair[1], options, &mut notice)?;
        flags
            .overrides
            .insert(path("--override-input", &pair[0])?, reference);
    }
    for reference in &args.inputs_from {
        flags.inputs_from.push(parse(reference)?.0);
    }
    for pair in args.override_flake.chunks_exact(2) {
        let reference = |text: &str| FlakeRef::parse(text, options, &mut notice);
        let (from, to) = (reference(&pair[0])?, reference(&pair[1])?);
        flags.registry.push((from, to));
    }
    for input in &args.update_input {
        flags.updates.insert(path("--update-input", input)?);
    }
    Ok(flags)
}

/// Locks a flake, and follows its configuration as far as that is allowed.
pub(crate) fn lock(
    session: &Session,
    ev: &mut Evaluator,
    flakes: &Flakes,
    reference: &FlakeRef,
    flags: &LockFlags,
) -> Result<LockedFlake, EvalError> {
    let locked = flakes.lock(ev, reference, flags)?;
    let accept = session.settings.inputs.accept_flake_config;
    let warn = &mut |text: String| output::note(format!("warning: {text}"));
    let mut settings = session.settings.clone();
    for (key, value) in apply_config(&locked.flake.config, accept, warn) {
        if let Err(error) = settings.set(&key, &value) {
            output::note(format!("warning: nixConfig of the flake: {error}"));
        }
    }
    // What is about evaluation; the store and the sandbox are open already.
    ev.settings.allow_import_from_derivation = settings.eval.allow_import_from_derivation;
    ev.settings.trace_verbose = settings.eval.trace_verbose;
    ev.settings.abort_on_warn = settings.eval.abort_on_warn;
    for feature in settings.experimental_features {
        if !ev.settings.has_feature(&feature) {
            ev.settings.features.push(feature);
        }
    }
    Ok(locked)
}

/// A flake and a place in its outputs.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) reference: FlakeRef,
    pub(crate) name: String,
}

/// Evaluates outputs of flakes, each flake locked once, and hands their values and paths to `work`.
pub(crate) fn with_outputs<T: Send>(
    session: &Arc<Session>,
    inputs: &Inputs,
    wanted: &[Output],
    mut work: impl FnMut(&mut Evaluator, Value, &str) -> Result<T, Problem> + Send,
) -> Result<Vec<T>, Failure> {
    if !inputs.arg.is_empty() || !inputs.argstr.is_empty() {
        return Err(Failure::text(
            "'--arg' and '--argstr' are incompatible with flakes",
        ));
    }
    let flags = lock_flags(&inputs.lock)?;
    let system = session.settings.system.clone();
    with_evaluator_for(session, inputs, true, |ev, flakes| {
        let mut done = Vec::new();
        let mut called: Vec<(FlakeRef, Value)> = Vec::new();
        for one in wanted {
            let known = called
                .iter()
                .find(|(reference, _)| *reference == one.reference);
            let outputs = match known {
                Some((_, outputs)) => *outputs,
                None => {
                    let locked = lock(session, ev, flakes, &one.reference, &flags)?;
                    let flake = flakes.call(ev, &locked)?;
                    let outputs = outputs::of_flake(ev, flake)?;
                    called.push((one.reference.clone(), outputs));
                    outputs
                }
            };
            let paths = attr_paths(&one.name, &system);
            let shown = one.reference.show();
            let (value, path) = outputs::select(ev, outputs, &shown, &paths)?;
            done.push(work(ev, value, &path)?);
        }
        Ok(done)
    })
}

/// Locks a flake, and hands its value, with inputs and outputs, to `work`.
pub(crate) fn with_flake<T: Send>(
    session: &Arc<Session>,
    inputs: &Inputs,
    reference: &FlakeRef,
    work: impl FnOnce(&mut Evaluator, Value) -> Result<T, Problem> + Send,
) -> Result<T, Failure> {
    let flags = lock_flags(&inputs.lock)?;
    with_evaluator_for(session, inputs, true, |ev, flakes| {
        let locked = lock(session, ev, flakes, reference, &flags)?;
        let flake = flakes.call(ev, &locked)?;
        work(ev, flake)
    })
}

/// What outputs of flakes are realised as; with `write`, their derivations are in the store.
pub(crate) fn wanted(
    session: &Arc<Session>,
    inputs: &Inputs,
    wanted: &[Output],
    write: bool,
) -> Result<Vec<Wanted>, Failure> {
    with_outputs(session, inputs, wanted, |ev, value, path| {
        let target = outputs::target(ev, value, path)?;
        if write {
            ev.flush()?;
        }
        Ok(match target {
            Target::Outputs(drv, outputs) => {
                Wanted::Outputs(drv, Some(outputs.into_iter().collect::<BTreeSet<_>>()))
            }
            Target::Path(path) => Wanted::Path(path),
        })
    })
}

/// A flake, as `builtins.getFlake` gives it, whatever the settings say of experiments. No lock file is written.
pub(crate) fn flake(ev: &mut Evaluator, reference: &FlakeRef) -> Result<Value, Problem> {
    let shown = reference.show();
    let Some(flakes) = ev.flakes.clone() else {
        return Err(Failure::text(format!("'{shown}' is a flake, and there are none here")).into());
    };
    for feature in ["flakes", "fetch-tree"] {
        if !ev.settings.has_feature(feature) {
            ev.settings.features.push(feature.to_owned());
        }
    }
    Ok(flakes.get_flake(ev, &shown, Pos::NONE)?)
}

/// An output of a flake, under the rules of an evaluator that others use as well. No lock file is written.
pub(crate) fn value(
    ev: &mut Evaluator,
    reference: &FlakeRef,
    name: &str,
) -> Result<Value, Problem> {
    let flake = flake(ev, reference)?;
    let outputs = outputs::of_flake(ev, flake)?;
    let shown = reference.show();
    let paths = attr_paths(name, &ev.settings.system.clone());
    Ok(outputs::select(ev, outputs, &shown, &paths)?.0)
}
