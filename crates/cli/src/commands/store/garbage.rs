//! `xbuild store gc`, `delete` and `roots`

use std::collections::BTreeMap;
use std::time::Duration;

use xbuild_store::{GcOptions, GcReport};
use xbuild_store_model::StorePath;

use crate::args::Gc;
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;
use xbuild_report::words::{count, size};

pub(super) fn print_roots(session: &Session, json: bool) -> Result<(), Failure> {
    let roots = session.store.roots()?;
    if json {
        let mut by_path: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for root in roots {
            by_path
                .entry(root.path.to_string())
                .or_default()
                .push(root.root);
        }
        return output::line(serde_json::json!(by_path).to_string());
    }
    for root in roots {
        output::line(format!("{} -> {}", root.root, root.path))?;
    }
    Ok(())
}

pub(super) fn collect(session: &Session, args: &Gc) -> Result<(), Failure> {
    if args.print_roots {
        return print_roots(session, args.json);
    }
    let max_freed = args.max.as_deref().map(bytes).transpose()?;
    let age = match &args.delete_older_than {
        Some(text) => Some(days(text)?),
        None => args.delete_old.then_some(Duration::ZERO),
    };
    let mut without_roots = Vec::new();
    if let Some(age) = age {
        for link in session.store.delete_old_generations(age, args.dry_run)? {
            let would = if args.dry_run {
                "would remove"
            } else {
                "removing"
            };
            output::note(format!("{would} old generation '{}'", link.display()));
            without_roots.push(link);
        }
    }
    let options = GcOptions {
        dry_run: args.dry_run,
        max_freed,
        keep_outputs: session.settings.store.keep_outputs,
        keep_derivations: session.settings.store.keep_derivations,
        without_roots,
        ..GcOptions::default()
    };
    let result = session
        .store
        .gc(&options)
        .map_err(|error| stuck(session, error))?;
    report(&result, args.dry_run, args.json)?;
    if !args.dry_run && !args.json {
        let saved = session.store.sharing()?.bytes_saved;
        if saved > 0 {
            output::note(format!(
                "identical files, which are stored once, save {}",
                size(saved)
            ));
        }
    }
    Ok(())
}

/// The failure of a deletion. On a disk that is too full even for that, the user has to begin.
fn stuck(session: &Session, error: xbuild_store::Error) -> Failure {
    let full = error.is_disk_full();
    let mut failure = Failure::from(error);
    if full {
        failure.message += &format!(
            "\nhint: a deletion, too, needs some room for the database. Delete something else on that disk first, such as logs of builds in '{}'",
            session.store.root().join("nix/var/log/nix/drvs").display()
        );
    }
    failure
}

fn report(report: &GcReport, dry_run: bool, json: bool) -> Result<(), Failure> {
    if json {
        let paths = |paths: &[StorePath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
        let object = serde_json::json!({
            "paths": paths(&report.paths),
            "leftovers": report.leftovers.len(),
            "bytesFreed": report.bytes_freed,
            "limitReached": report.limit_reached,
            "ofOthers": paths(&report.of_others),
        });
        return output::line(object.to_string());
    }
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
    if !report.of_others.is_empty() {
        output::note(format!(
            "{} of other users can be deleted by them, or by root",
            count(report.of_others.len(), "store path", "store paths")
        ));
    }
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

/// `30d`: days, as in Nix.
fn days(text: &str) -> Result<Duration, Failure> {
    text.strip_suffix('d')
        .and_then(|days| days.parse::<u32>().ok())
        .filter(|&days| days >= 1)
        .map(|days| Duration::from_secs(u64::from(days) * 24 * 3600))
        .ok_or_else(|| {
            Failure::text(format!(
                "--delete-older-than: `{text}` is not a number of days, such as 30d"
            ))
        })
}

pub(super) fn delete(
    session: &Session,
    names: &[String],
    ignore_liveness: bool,
    recursive: bool,
    stdin: bool,
) -> Result<(), Failure> {
    let mut names = names.to_vec();
    if stdin {
        names.extend(installable::names_from_stdin()?);
    }
    let mut paths: Vec<StorePath> = names
        .iter()
        .map(|name| installable::existing(session, name))
        .collect::<Result<_, Failure>>()?;
    if recursive {
        paths = session.store.closure(&paths)?;
    }
    let deleted = if ignore_liveness {
        session.store.delete_ignoring_liveness(&paths)
    } else {
        session.store.delete(&paths)
    };
    let deleted = deleted.map_err(|error| stuck(session, error))?;
    report(&deleted, false, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes_and_days() {
        assert_eq!(bytes("12").unwrap(), 12);
        assert_eq!(bytes("3k").unwrap(), 3072);
        assert_eq!(bytes("10G").unwrap(), 10 << 30);
        assert!(
            bytes("").is_err()
                && bytes("G").is_err()
                && bytes("1X").is_err()
                && bytes("99999999T").is_err()
        );
        assert_eq!(days("2d").unwrap(), Duration::from_secs(172_800));
        for wrong in ["", "d", "0d", "-1d", "3", "3h", "1.5d"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }
}
