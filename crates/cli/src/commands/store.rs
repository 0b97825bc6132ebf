//! `xbuild store`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xbuild_realise::Error;
use xbuild_store::{GcOptions, GcReport};
use xbuild_store_model::{FileIngestionMethod, HashAlgo, StorePath};

use crate::args::{Common, StoreCommand};
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;
use xbuild_report::words::{count, size};

pub(crate) fn run(common: &Common, args: &StoreCommand) -> Result<(), Failure> {
    let session = match args {
        StoreCommand::Gc { .. } | StoreCommand::Delete { .. } => Session::open_to_delete(common)?,
        _ => Session::open(common, &[], false)?,
    };
    let session = Arc::new(session);
    match args {
        StoreCommand::Gc {
            print_roots: true, ..
        } => print_roots(&session),
        StoreCommand::Gc { dry_run, max, .. } => gc(&session, *dry_run, max.as_deref()),
        StoreCommand::Verify { check_contents } => verify(&session, *check_contents),
        StoreCommand::Add {
            paths,
            name,
            mode,
            hash_algo,
        } => add(&session, paths, name.as_deref(), mode, hash_algo),
        StoreCommand::Delete { paths } => delete(&session, paths),
    }
}

fn print_roots(session: &Session) -> Result<(), Failure> {
    for root in session.store.roots()? {
        output::line(format!("{} -> {}", root.root, root.path))?;
    }
    Ok(())
}

fn gc(session: &Session, dry_run: bool, max: Option<&str>) -> Result<(), Failure> {
    let options = GcOptions {
        dry_run,
        max_freed: max.map(bytes).transpose()?,
        keep_outputs: session.settings.keep_outputs,
        keep_derivations: session.settings.keep_derivations,
    };
    report(&session.store.gc(&options)?, dry_run)
}

fn report(report: &GcReport, dry_run: bool) -> Result<(), Failure> {
    for path in &report.paths {
        output::line(path.to_string())?;
    }
    let leftovers = match report.leftovers.len() {
        0 => String::new(),
        n => format!(
            " and {}",
            count(n, "unfinished leftover", "unfinished leftovers")
        ),
    };
    let (would, freed) = if dry_run {
        ("would be ", "of contents")
    } else {
        ("", "freed")
    };
    output::note(format!(
        "{}{leftovers} {would}deleted, {} {freed}",
        count(report.paths.len(), "store path", "store paths"),
        size(report.bytes_freed)
    ));
    Ok(())
}

/// `10G`, `500M`, `4096`: binary units, as in Nix.
fn bytes(text: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::text(format!(
            "--max: `{text}` is not a number of bytes, such as 4096, 500M or 10G"
        ))
    };
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        Some((at, 'T' | 't')) => (&text[..at], 40),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(wrong)
}

fn verify(session: &Session, check_contents: bool) -> Result<(), Failure> {
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
            count(report.paths, "store path", "store paths")
        ));
        return Ok(());
    }
    Err(Failure::text(format!(
        "{} of {} store paths are not sound{read}",
        report.findings.len(),
        report.paths
    )))
}

fn add(
    session: &Session,
    paths: &[PathBuf],
    name: Option<&str>,
    mode: &str,
    algo: &str,
) -> Result<(), Failure> {
    let algo: HashAlgo = algo
        .parse()
        .map_err(|error| Failure::text(format!("--hash-algo: {error}")))?;
    let method = if mode == "flat" {
        FileIngestionMethod::Flat
    } else {
        FileIngestionMethod::NixArchive
    };
    if name.is_some() && paths.len() > 1 {
        return Err(Failure::text("--name is for one PATH, not for several"));
    }
    for path in paths {
        let own_name = || {
            let absolute = std::path::absolute(path).ok();
            absolute
                .as_deref()
                .and_then(Path::file_name)
                .and_then(|name| name.to_str())
                .map(str::to_owned)
        };
        let name = name.map(str::to_owned).or_else(own_name).ok_or_else(|| {
            Failure::text(format!(
                "{} has no name that a store path could have; give one with --name",
                path.display()
            ))
        })?;
        let added = session
            .store
            .add_path(&name, path, method, algo, None, None)
            .map_err(Error::from)?;
        output::line(added.to_string())?;
    }
    Ok(())
}

fn delete(session: &Session, names: &[String]) -> Result<(), Failure> {
    let paths: Vec<StorePath> = names
        .iter()
        .map(|name| installable::existing(session, name))
        .collect::<Result<_, Failure>>()?;
    report(&session.store.delete(&paths)?, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes() {
        assert_eq!(bytes("12").unwrap(), 12);
        assert_eq!(bytes("3k").unwrap(), 3072);
        assert_eq!(bytes("10G").unwrap(), 10 << 30);
        assert!(
            bytes("").is_err()
                && bytes("G").is_err()
                && bytes("1X").is_err()
                && bytes("99999999T").is_err()
        );
    }
}
