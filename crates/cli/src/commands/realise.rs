//! `xbuild realise`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use xbuild_realise::estimate::Demands;
use xbuild_realise::plan::read_derivation;
use xbuild_realise::{Error, Mode, Plan, Realised, Settings, StepKind, Wanted};
use xbuild_report::words::{count, size};
use xbuild_scheduler::Forecast;
use xbuild_store_model::StorePath;

use crate::args::{Common, Realise};
use crate::commands::report;
use crate::commands::store::check_and_repair;
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;

pub(crate) fn run(common: &Common, args: &Realise) -> Result<(), Failure> {
    let mut overrides = Vec::new();
    if let Some(jobs) = &args.jobs {
        overrides.push(("max-jobs", jobs.clone()));
    }
    if let Some(cores) = args.cores {
        overrides.push(("cores", cores.to_string()));
    }
    for (key, given) in [
        ("keep-going", args.keep_going),
        ("keep-failed", args.keep_failed),
    ] {
        if given {
            overrides.push((key, "true".to_owned()));
        }
    }
    if args.source.impure {
        overrides.push(("pure-eval", "false".to_owned()));
    }
    let session = Arc::new(Session::open(common, &overrides, !args.dry_run)?);
    let wanted = installable::resolve(
        &session,
        &installable::or_here(&args.installables, &args.source),
        &args.source,
    )?;
    if wanted.is_empty() {
        return Err(Failure::text(
            "the expression evaluates to no derivation: there is nothing to build",
        ));
    }
    let wanted = if args.rebuild {
        wanted
            .into_iter()
            .map(|wanted| rebuildable(&session, wanted))
            .collect::<Result<_, Failure>>()?
    } else {
        wanted
    };
    if args.dry_run {
        return dry_run(&session, &wanted, args.json);
    }
    let link = (!args.no_out_link && args.profile.is_none()).then_some(&*args.out_link);
    if let Some(link) = link {
        check_links(&wanted, link)?;
    }
    let mode = if args.rebuild {
        Mode::Rebuild
    } else {
        Mode::Build
    };
    let timeline = args.timeline.as_deref();
    // Now, and not after hours of building.
    let timeline = timeline.map(|path| report::create(path).map(|file| (path, file)));
    let timeline = timeline.transpose()?;
    let realised = session.with_realiser(|realiser| realiser.realise(&wanted, mode));
    if let Some((path, file)) = timeline {
        report::write(
            path,
            file,
            &xbuild_report::timeline::timeline(&session.run()?),
        )?;
    }
    // Failed steps were reported when they failed; what is left to say is the summary.
    let realised = realised?;
    if args.repair {
        let outputs: Vec<StorePath> = realised
            .iter()
            .flat_map(|one| one.outputs.values().cloned())
            .collect();
        check_and_repair(&session, &session.store.closure(&outputs)?)?;
    }
    if let Some(link) = link {
        make_links(&session, &realised, link)?;
    }
    if let Some(profile) = &args.profile {
        let mut outputs = realised.iter().flat_map(|one| one.outputs.values());
        let (Some(output), None) = (outputs.next(), outputs.next()) else {
            return Err(Failure::text(
                "--profile takes one output, and here are several; name one (`INSTALLABLE^out`)",
            ));
        };
        session.store.set_profile(profile, output)?;
    }
    print(&realised, args.json)
}

/// The arguments; this directory, as in Nix, where nothing says what to build.
/// What makes a store path: `--rebuild` has nothing to do for a path by itself.
fn rebuildable(session: &Session, wanted: Wanted) -> Result<Wanted, Failure> {
    let Wanted::Path(path) = wanted else {
        return Ok(wanted);
    };
    let deriver = session
        .store
        .query_path_info(&path)?
        .and_then(|info| info.deriver);
    if let Some(drv) = deriver
        && session.store.is_valid(&drv)?
    {
        let derivation = read_derivation(&session.store, &drv)?;
        let name = session
            .output_paths()
            .get(&drv, &derivation, None)?
            .into_iter()
            .find_map(|(name, output)| (output.as_ref() == Some(&path)).then_some(name));
        if let Some(name) = name {
            return Ok(Wanted::Outputs(drv, Some(BTreeSet::from([name]))));
        }
    }
    Err(Failure::text(format!(
        "{path} cannot be built again: the store does not have the derivation that made it\n\
         hint: name the expression (DIR#attr) or the .drv"
    )))
}

fn dry_run(session: &Session, wanted: &[Wanted], json: bool) -> Result<(), Failure> {
    let plan = xbuild_realise::plan_for(&session.output_paths(), &session.settings, wanted)?;
    let list = |kind: StepKind, what: &str| {
        let steps: Vec<_> = plan.steps.iter().filter(|step| step.kind == kind).collect();
        match steps.len() {
            0 => return,
            1 => output::note(format!("this derivation will be {what}:")),
            n => output::note(format!("these {n} derivations will be {what}:")),
        }
        for step in steps.iter().rev() {
            output::note(format!("  {}", step.drv_path));
        }
    };
    list(StepKind::Build, "built");
    list(StepKind::Fetch, "fetched");
    let (demands, forecast) = xbuild_realise::forecast(&plan, &session.store, &session.settings)?;
    if !plan.steps.is_empty() {
        output::note(estimate(&plan, &demands, &forecast, &session.settings));
    }
    if json {
        let steps: Vec<_> = (0..plan.steps.len())
            .map(|index| step_json(&plan, &demands, &forecast, index))
            .collect();
        output::line(serde_json::Value::from(steps).to_string())?;
    }
    Ok(())
}

/// How long it will take, in words.
fn estimate(plan: &Plan, demands: &Demands, forecast: &Forecast, settings: &Settings) -> String {
    let (builds, fetches) = plan.counts();
    let duration = |ms: u64| approximate(Duration::from_millis(ms));
    let mut text = format!("expected to take {}", duration(forecast.makespan));
    if builds > 1 {
        text += &format!(
            " with -j{} (the longest chain alone {})",
            settings.max_jobs,
            duration(forecast.critical_path)
        );
    }
    if fetches > 0 {
        let sizes = (0..plan.steps.len())
            .filter(|&index| plan.steps[index].kind == StepKind::Fetch)
            .map(|index| demands.get(index).download);
        text += &format!("; {}", downloads(sizes));
    }
    let is_guess =
        |index: &usize| plan.steps[*index].kind != StepKind::Fetch && !demands.get(*index).known;
    let guessed = (0..plan.steps.len()).filter(is_guess).count();
    if guessed > 0 {
        text += &format!("; {guessed} of {builds} guessed, since never built in this store");
    }
    text
}

/// How many downloads there are, and how large they are, as far as that is known.
fn downloads(sizes: impl Iterator<Item = Option<u64>>) -> String {
    let (mut known, mut bytes, mut unknown) = (0, 0_u64, 0);
    for size in sizes {
        match size {
            Some(size) => (known, bytes) = (known + 1, bytes.saturating_add(size)),
            None => unknown += 1,
        }
    }
    let all = count(known + unknown, "download", "downloads");
    match (known, unknown) {
        (_, 0) => format!("{all} of {}", size(bytes)),
        (0, 1) => format!("{all}, whose size is not known before"),
        (0, _) => format!("{all}, whose sizes are not known before"),
        (_, n) => format!("{all} of {} and {n} of unknown size", size(bytes)),
    }
}

/// A duration for people: no more digits than an estimate has.
fn approximate(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..2 => "a second or less".to_owned(),
        2..100 => format!("{seconds} seconds"),
        100..6000 => format!("{} minutes", (seconds + 30) / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

fn step_json(
    plan: &Plan,
    demands: &Demands,
    forecast: &Forecast,
    index: usize,
) -> serde_json::Value {
    let step = &plan.steps[index];
    let demand = demands.get(index);
    let after: Vec<String> = step
        .after
        .iter()
        .map(|before| plan.steps[*before].drv_path.to_string())
        .collect();
    serde_json::json!({
        "drvPath": step.drv_path.to_string(),
        "kind": if step.kind == StepKind::Fetch { "fetch" } else { "build" },
        "after": after,
        "expectedMs": demand.spec.expected_ms,
        "expectedStartMs": forecast.starts[index],
        "known": demand.known,
        "downloadSize": demand.download,
        "processors": demand.spec.processors,
        "memory": demand.spec.memory,
    })
}

/// The name of a link: `result`, `result-dev` for another output, `result-2` for the second installable, as stock Nix names them.
fn link_name(link: &Path, index: usize, output: &str) -> PathBuf {
    let base = if index == 0 {
        link.as_os_str().to_owned()
    } else {
        suffixed(link, &(index + 1).to_string())
    };
    PathBuf::from(if output == "out" {
        base
    } else {
        suffixed(Path::new(&base), output)
    })
}

fn make_links(session: &Session, realised: &[Realised], link: &Path) -> Result<(), Failure> {
    for (index, one) in realised.iter().enumerate() {
        for (output, path) in &one.outputs {
            let link = link_name(link, index, output);
            session
                .store
                .make_out_link(&link, path)
                .map_err(Error::from)?;
        }
    }
    Ok(())
}

/// Refuses links that cannot be made because something of the user's has their name: now, and not after hours of building.
fn check_links(wanted: &[Wanted], link: &Path) -> Result<(), Failure> {
    for (index, one) in wanted.iter().enumerate() {
        let outputs = match one {
            Wanted::Outputs(_, Some(outputs)) => outputs.iter().map(String::as_str).collect(),
            _ => vec!["out"],
        };
        for output in outputs {
            let link = link_name(link, index, output);
            if std::fs::symlink_metadata(&link).is_ok_and(|found| !found.is_symlink()) {
                return Err(xbuild_store::Error::NotAnOutLink(link).into());
            }
        }
    }
    Ok(())
}

fn suffixed(link: &Path, suffix: &str) -> std::ffi::OsString {
    let mut name = link.as_os_str().to_owned();
    name.push("-");
    name.push(suffix);
    name
}

fn print(realised: &[Realised], json: bool) -> Result<(), Failure> {
    if json {
        let list: Vec<serde_json::Value> = realised
            .iter()
            .map(|one| {
                let outputs: serde_json::Map<_, _> =
                    one.outputs.iter().map(|(name, path)| (name.clone(), path.to_string().into())).collect();
                serde_json::json!({ "drvPath": one.drv.as_ref().map(ToString::to_string), "outputs": outputs })
            })
            .collect();
        return output::line(serde_json::Value::Array(list).to_string());
    }
    for one in realised {
        for path in one.outputs.values() {
            output::line(path.to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_in_words() {
        let said = |sizes: &[Option<u64>]| downloads(sizes.iter().copied());
        assert_eq!(said(&[Some(2048)]), "1 download of 2.0 KiB");
        assert_eq!(said(&[Some(1024); 2]), "2 downloads of 2.0 KiB");
        assert_eq!(said(&[None]), "1 download, whose size is not known before");
        assert_eq!(
            said(&[None; 3]),
            "3 downloads, whose sizes are not known before"
        );
        assert_eq!(
            said(&[None, Some(1024), None]),
            "3 downloads of 1.0 KiB and 2 of unknown size"
        );
    }

    #[test]
    fn links_are_named_as_in_nix() {
        let name = |index, output| {
            link_name(Path::new("a/result"), index, output)
                .display()
                .to_string()
        };
        assert_eq!(name(0, "out"), "a/result");
        assert_eq!(name(0, "dev"), "a/result-dev");
        assert_eq!(name(1, "out"), "a/result-2");
        assert_eq!(name(1, "dev"), "a/result-2-dev");
    }
}
