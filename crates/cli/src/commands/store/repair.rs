//! `xbuild store verify` and `repair`, and what `xbuild realise --repair` does

use std::sync::Arc;

use xbuild_realise::Repaired;
use xbuild_store::Finding;
use xbuild_store_model::StorePath;

use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::progress::{Printer, size};
use crate::session::Session;

pub(super) fn verify(
    session: &Arc<Session>,
    check_contents: bool,
    repair: bool,
) -> Result<(), Failure> {
    let report = session.store.verify(check_contents)?;
    for finding in &report.findings {
        output::note(format!("error: {finding}"));
    }
    let read = if check_contents {
        format!(", {} of contents", size(report.bytes))
    } else {
        String::new()
    };
    if report.is_sound() {
        output::note(format!(
            "{}{read}: all sound",
            output::count(report.paths, "store path", "store paths")
        ));
        return Ok(());
    }
    let unsound = format!(
        "{} of {} store paths are not sound{read}",
        report.findings.len(),
        report.paths
    );
    if !repair {
        return Err(Failure::text(unsound));
    }
    output::note(unsound);
    // First, so that nothing sound becomes a link to something damaged.
    for link in session.store.remove_damaged_links()? {
        output::note(format!("removed '{}'", link.display()));
    }
    let damaged = damaged_paths(&report.findings);
    let beyond = report
        .findings
        .iter()
        .filter(|finding| {
            matches!(
                finding,
                Finding::DamagedDatabase { .. } | Finding::DamagedEntry { .. }
            )
        })
        .count();
    make_again(session, &damaged)?;
    if beyond > 0 {
        return Err(Failure::text(
            "the database is damaged, which cannot be repaired",
        ));
    }
    Ok(())
}

fn damaged_paths(findings: &[Finding]) -> Vec<StorePath> {
    findings
        .iter()
        .filter_map(Finding::damaged_path)
        .cloned()
        .collect()
}

pub(super) fn repair(session: &Arc<Session>, names: &[String]) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for name in names {
        paths.push(installable::existing(session, name)?);
    }
    if !check_and_repair(session, &paths)? {
        output::note(format!(
            "{}: nothing is damaged",
            output::count(paths.len(), "store path", "store paths")
        ));
    }
    Ok(())
}

/// Reads valid paths, and makes again what is damaged. False: nothing was.
pub(crate) fn check_and_repair(
    session: &Arc<Session>,
    paths: &[StorePath],
) -> Result<bool, Failure> {
    let report = session.store.verify_paths(paths)?;
    if report.is_sound() {
        return Ok(false);
    }
    for finding in &report.findings {
        output::note(format!("error: {finding}"));
    }
    make_again(session, &damaged_paths(&report.findings))?;
    Ok(true)
}

fn make_again(session: &Session, damaged: &[StorePath]) -> Result<(), Failure> {
    let printer = Printer::new(false);
    let result = session.with_realiser(&printer, |realiser| realiser.repair(damaged));
    printer.finish();
    let Repaired {
        repaired,
        different,
        unknown,
    } = result?;
    for path in &repaired {
        output::note(format!("repaired '{path}'"));
    }
    for path in &different {
        output::note(format!(
            "repaired '{path}': its build does not always give the same, so it is not what it was"
        ));
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = unknown.iter().map(|path| format!("\n  {path}")).collect();
    Err(Failure::text(format!(
        "the store does not know how to make {}; delete and add {}, or import {} from elsewhere:{}",
        output::count(unknown.len(), "damaged path", "damaged paths"),
        if unknown.len() == 1 {
            "it again"
        } else {
            "them again"
        },
        if unknown.len() == 1 { "it" } else { "them" },
        list.concat()
    )))
}
