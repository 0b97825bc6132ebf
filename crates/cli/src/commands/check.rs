//! `xbuild check`

use std::collections::BTreeMap;
use std::sync::Arc;

use xbuild_elf::{Exceptions, Report, Root, Target};
use xbuild_realise::attribute;
use xbuild_realise::plan::read_derivation;
use xbuild_store_model::StorePath;

use crate::args::{Check, Common};
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;
use xbuild_report::words::{count, size};

/// The exit code for a file that is not genuine; the same as when a build fails for it.
const NOT_GENUINE: u8 = 96 + 16;

pub(crate) fn run(common: &Common, args: &Check) -> Result<(), Failure> {
    let session = Arc::new(Session::open(common, &[], false)?);
    let given = args.target.as_deref().map(target_called).transpose()?;
    let paths = installable::valid_outputs(&session, &args.paths)?;
    let mut reports = Vec::new();
    for path in &paths {
        let declared = declared(&session, path)?;
        let target = match (&given, &declared.target) {
            (Some(target), _) => target.clone(),
            (None, Some(name)) => target_called(name)?,
            (None, None) => target_called("aarch64-linux")?,
        };
        let target = target.with_compatible(&declared.compatible);
        let closure: BTreeMap<_, _> = session
            .store
            .closure(std::slice::from_ref(path))?
            .into_iter()
            .map(|path| (path.clone(), session.store.physical(&path)))
            .collect();
        let root = Root {
            logical: path.clone(),
            physical: session.store.physical(path),
        };
        reports.push((
            path,
            xbuild_elf::check(
                &[root],
                &|path| closure.get(path).cloned(),
                &target,
                &declared.exceptions,
            ),
        ));
    }
    if args.json {
        let json: serde_json::Map<_, _> = reports
            .iter()
            .map(|(path, report)| Ok((path.to_string(), to_json(report)?)))
            .collect::<Result<_, Failure>>()?;
        output::line(serde_json::Value::Object(json).to_string())?;
    } else {
        for (path, report) in &reports {
            output::line(summary(path, report))?;
        }
    }
    if reports.iter().all(|(_, report)| report.is_genuine()) {
        Ok(())
    } else {
        Err(Failure {
            message: String::new(),
            code: NOT_GENUINE,
        })
    }
}

fn to_json(report: &Report) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(report).map_err(|error| Failure::text(error.to_string()))
}

fn summary(path: &StorePath, report: &Report) -> String {
    let looked = format!(
        "{}, {}, {}",
        count(report.files, "file", "files"),
        count(report.binaries, "binary", "binaries"),
        size(report.bytes)
    );
    let mut text = if report.is_genuine() {
        format!("{path}: genuine for {} ({looked})", report.target)
    } else {
        format!(
            "{path}: NOT genuine for {} ({looked})\n{}",
            report.target,
            report.to_string().trim_end()
        )
    };
    for (finding, reason) in &report.accepted {
        text += &format!("\n  accepted: {finding}, because: {reason}");
    }
    text
}

fn target_called(name: &str) -> Result<Target, Failure> {
    Target::by_name(name).ok_or_else(|| {
        let known: Vec<_> = Target::names().collect();
        Failure::text(format!(
            "there is no target `{name}`; known are {}",
            known.join(", ")
        ))
    })
}

/// What the path's derivation says for the validator.
#[derive(Default)]
struct Declared {
    target: Option<String>,
    compatible: String,
    exceptions: Exceptions,
}

/// What the path's derivation says, if it is known.
fn declared(session: &Session, path: &StorePath) -> Result<Declared, Failure> {
    let deriver = session
        .store
        .query_path_info(path)?
        .and_then(|info| info.deriver);
    let Some(deriver) = deriver else {
        return Ok(Declared::default());
    };
    if !session.store.is_valid(&deriver)? {
        return Ok(Declared::default());
    }
    let derivation = read_derivation(&session.store, &deriver)?;
    let exceptions =
        Exceptions::parse(&attribute(&derivation, "xbuildExceptions").unwrap_or_default())
            .map_err(|error| Failure::text(format!("{deriver}: {error}")))?;
    Ok(Declared {
        target: attribute(&derivation, "xbuildTarget"),
        compatible: attribute(&derivation, "xbuildCompatible").unwrap_or_default(),
        exceptions,
    })
}
