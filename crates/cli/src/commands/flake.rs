//! `xbuild flake`

use std::path::Path;
use std::sync::Arc;

use xbuild_eval::{EvalError, Evaluator, Pos};
use xbuild_flake::check::{CheckOptions, Checked, Told, check};
use xbuild_flake::outputs::of_flake;
use xbuild_flake::show::{self, ShowOptions, show};
use xbuild_flake::{LockFlags, metadata, parse_input_path};
use xbuild_realise::{Mode, Wanted};

use crate::args::{Common, Flake, Inputs, LockArgs};
use crate::commands::eval::with_evaluator_for;
use crate::commands::template;
use crate::failure::Failure;
use crate::flake_installable::{self as flakes, lock_flags};
use crate::output;
use crate::session::Session;

pub(crate) fn run(common: &Common, args: &Flake) -> Result<(), Failure> {
    match args {
        Flake::Show {
            flake,
            json,
            legacy,
            all_systems,
            impure,
            lock,
        } => {
            let session = open(common, *impure, false)?;
            let options = ShowOptions {
                json: *json,
                legacy: *legacy,
                all_systems: *all_systems,
                system: session.settings.system.clone(),
            };
            run_show(&session, flake, lock, &options)
        }
        Flake::Init { template, lock } => {
            let here = Path::new("");
            template::run(&open(common, false, true)?, template, here, lock)
        }
        Flake::New {
            directory,
            template,
            lock,
        } => template::run(&open(common, false, true)?, template, directory, lock),
        Flake::Metadata { flake, json, lock } => {
            run_metadata(&open(common, false, false)?, flake, *json, lock)
        }
        Flake::Lock { flake, lock } => {
            let flags = LockFlags {
                fail_on_unlocked: true,
                ..lock_flags(lock)?
            };
            run_lock(&fresh(common)?, flake, &flags)
        }
        Flake::Update {
            inputs,
            flake,
            lock,
        } => run_update(common, inputs, flake, lock),
        Flake::Archive {
            flake,
            json,
            dry_run,
            to,
            lock,
        } => {
            if let Some(to) = to {
                return Err(Failure::text(format!(
                    "cannot copy to '{to}': xbuild copies no paths from store to store\n\
                     hint: `xbuild flake archive --store DIR` fetches into another store; `xbuild store export` writes paths to a file"
                )));
            }
            run_archive(&open(common, false, false)?, flake, *json, *dry_run, lock)
        }
        Flake::Clone { flake, dest } => {
            let reference = flakes::parse_whole(flake)?;
            let session = open(common, false, false)?;
            with_evaluator_for(&session, &inputs(), true, |ev, all| {
                Ok(all.clone_to(ev, &reference, dest)?)
            })
        }
        Flake::Prefetch {
            flake,
            json,
            out_link,
        } => run_prefetch(&fresh(common)?, flake, *json, out_link.as_deref()),
        Flake::Check {
            flake,
            no_build,
            all_systems,
            impure,
            lock,
        } => run_check(
            &open(common, *impure, !*no_build)?,
            flake,
            lock,
            *all_systems,
            *no_build,
        ),
    }
}

fn open(common: &Common, impure: bool, builds: bool) -> Result<Arc<Session>, Failure> {
    let overrides: &[_] = if impure {
        &[("pure-eval", "false".to_owned())]
    } else {
        &[]
    };
    Ok(Arc::new(Session::open(common, overrides, builds)?))
}

/// A session that takes nothing for what it was some time ago.
fn fresh(common: &Common) -> Result<Arc<Session>, Failure> {
    let overrides = [("tarball-ttl", "0".to_owned())];
    Ok(Arc::new(Session::open(common, &overrides, false)?))
}

fn inputs() -> Inputs {
    Inputs::default()
}

fn run_show(
    session: &Arc<Session>,
    flake: &str,
    lock: &LockArgs,
    options: &ShowOptions,
) -> Result<(), Failure> {
    let reference = flakes::parse_whole(flake)?;
    let flags = lock_flags(lock)?;
    let json = with_evaluator_for(session, &inputs(), true, |ev, all| {
        let locked = flakes::lock(session, ev, all, &reference, &flags)?;
        // To show something, nothing is built, unless the user has it so; what the flake says does not count.
        let allowed = session.settings.eval.allow_import_from_derivation;
        ev.settings.allow_import_from_derivation = allowed.unwrap_or(false);
        let mut not_printed = None;
        let mut tell = |told: show::Told| {
            match told {
                show::Told::Line(line) => not_printed = output::line(line).err(),
                show::Told::Warning(warning) => output::note(format!("warning: {warning}")),
            }
            match &not_printed {
                Some(failure) => Err(EvalError::new(Pos::NONE, failure.message.as_str())),
                None => Ok(()),
            }
        };
        let outputs = |ev: &mut Evaluator| {
            let value = all.call(ev, &locked)?;
            of_flake(ev, value)
        };
        let title = locked.flake.locked.show();
        let shown = show(ev, outputs, &title, options, &mut tell);
        match not_printed {
            Some(failure) => Err(failure.into()),
            None => Ok(shown?),
        }
    })?;
    if options.json {
        return output::line(json.to_string());
    }
    Ok(())
}

fn run_metadata(
    session: &Arc<Session>,
    flake: &str,
    json: bool,
    lock: &LockArgs,
) -> Result<(), Failure> {
    let reference = flakes::parse_whole(flake)?;
    let flags = lock_flags(lock)?;
    let hash_suffices = session.settings.inputs.allow_dirty_locks;
    let text = with_evaluator_for(session, &inputs(), true, |ev, all| {
        let locked = all.lock(ev, &reference, &flags)?;
        let dirty = all.dirty_state(&locked)?;
        let fingerprint = metadata::fingerprint(&locked, dirty, hash_suffices);
        Ok(if json {
            format!("{}\n", metadata::to_json(&locked, fingerprint.as_deref()))
        } else {
            metadata::to_text(&locked, fingerprint.as_deref())
        })
    })?;
    output::bytes(text.as_bytes())
}

fn run_archive(
    session: &Arc<Session>,
    flake: &str,
    json: bool,
    dry_run: bool,
    lock: &LockArgs,
) -> Result<(), Failure> {
    let reference = flakes::parse_whole(flake)?;
    let flags = lock_flags(lock)?;
    let archived = with_evaluator_for(session, &inputs(), true, |ev, all| {
        let locked = flakes::lock(session, ev, all, &reference, &flags)?;
        Ok(all.archive(ev, &locked, dry_run)?)
    })?;
    if json {
        return output::line(archived.to_string());
    }
    Ok(())
}

fn run_prefetch(
    session: &Arc<Session>,
    flake: &str,
    json: bool,
    out_link: Option<&Path>,
) -> Result<(), Failure> {
    let reference = flakes::parse_whole(flake)?;
    let fetched = with_evaluator_for(session, &inputs(), true, |ev, all| {
        Ok(all.prefetch(ev, &reference)?)
    })?;
    if let Some(link) = out_link {
        let link = std::path::absolute(link)
            .map_err(|error| Failure::text(format!("cannot find {}: {error}", link.display())))?;
        session.store.make_out_link(&link, &fetched.path)?;
    }
    if json {
        return output::line(fetched.to_json().to_string());
    }
    output::note(format!(
        "Downloaded '{}' to '{}' (hash '{}').",
        fetched.locked.show(),
        fetched.path,
        fetched.hash
    ));
    Ok(())
}

fn run_lock(session: &Arc<Session>, flake: &str, flags: &LockFlags) -> Result<(), Failure> {
    let reference = flakes::parse_whole(flake)?;
    with_evaluator_for(session, &inputs(), true, |ev, all| {
        flakes::lock(session, ev, all, &reference, flags)?;
        Ok(())
    })
}

fn run_update(
    common: &Common,
    inputs: &[String],
    flake: &str,
    lock: &LockArgs,
) -> Result<(), Failure> {
    let mut flags = lock_flags(lock)?;
    for input in inputs {
        let path = parse_input_path(input).and_then(|path| {
            if path.is_empty() {
                Err("input path to be updated cannot be zero-length; it would refer to the flake itself, not an input".to_owned())
            } else {
                Ok(path)
            }
        });
        let path = path.map_err(|error| {
            output::note(format!("warning: Invalid flake input '{input}'. To update a specific flake, use 'xbuild flake update --flake {input}' instead."));
            Failure::text(error)
        })?;
        if !flags.updates.insert(path) {
            output::note(format!(
                "warning: Input '{input}' was specified multiple times. You may have done this by accident."
            ));
        }
    }
    flags.recreate = flags.updates.is_empty();
    flags.write = true;
    run_lock(&fresh(common)?, flake, &flags)
}

fn run_check(
    session: &Arc<Session>,
    flake: &str,
    lock: &LockArgs,
    all_systems: bool,
    no_build: bool,
) -> Result<(), Failure> {
    let reference = flakes::parse_whole(flake)?;
    let flags = lock_flags(lock)?;
    let options = CheckOptions {
        all_systems,
        keep_going: session.settings.keep_going,
        system: session.settings.system.clone(),
    };
    let full_trace = session.settings.show_trace;
    let found = with_evaluator_for(session, &inputs(), true, |ev, all| {
        let locked = flakes::lock(session, ev, all, &reference, &flags)?;
        let value = all.call(ev, &locked)?;
        let outputs = of_flake(ev, value)?;
        let tell = |ev: &Evaluator, told: Told<'_>| match told {
            Told::Warning(warning) => output::note(format!("warning: {warning}")),
            Told::Error(error) => output::note(ev.render(error, full_trace).trim_end()),
        };
        let found = check(ev, outputs, &options, &tell)?;
        if !no_build {
            ev.flush()?;
        }
        Ok(found)
    })?;
    let Checked {
        checks,
        omitted,
        failed,
    } = found;
    if !no_build && !checks.is_empty() {
        let wanted: Vec<Wanted> = checks
            .into_iter()
            .map(|(_, drv)| Wanted::Outputs(drv, None))
            .collect();
        session.with_realiser(|realiser| realiser.realise(&wanted, Mode::Build))?;
    }
    if failed {
        return Err(Failure::text(
            "some errors were encountered during the evaluation",
        ));
    }
    output::note("all checks passed!");
    if !omitted.is_empty() {
        let omitted: Vec<String> = omitted.into_iter().collect();
        output::note(format!(
            "warning: The check omitted these incompatible systems: {}\nUse '--all-systems' to check all.",
            omitted.join(", ")
        ));
    }
    Ok(())
}
