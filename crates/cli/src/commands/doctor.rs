//! `xbuild doctor`

use std::time::Duration;

use xbuild_doctor::{Check, State, Subject, examine};
use xbuild_fetch::{FetchOptions, Fetcher, Mirrors};

use crate::args::{Common, Doctor};
use crate::failure::Failure;
use crate::output;
use crate::session::{Session, store_root};

/// How long a mirror may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(common: &Common, args: &Doctor) -> Result<(), Failure> {
    let settings = Session::settings(common, &[])?;
    let mirrors = Mirrors::from_settings(settings.debian_mirror.as_deref())
        .map_err(|error| Failure::text(error.to_string()))?;
    let fetcher = Fetcher::new(FetchOptions {
        mirrors,
        connect_timeout: settings.connect_timeout.min(PATIENCE),
        attempts: 1,
        ..FetchOptions::default()
    });
    let checks = examine(&Subject {
        store: store_root(common)?,
        max_jobs: settings.max_jobs,
        runs_aarch64: settings
            .extra_platforms
            .iter()
            .any(|system| system == "aarch64-linux"),
        fetcher: (!args.offline).then_some(&fetcher),
        patience: PATIENCE,
    });
    if args.json {
        let text =
            serde_json::to_string(&checks).map_err(|error| Failure::text(error.to_string()))?;
        output::line(text)?;
    } else {
        output::bytes(checks.iter().map(for_people).collect::<String>().as_bytes())?;
    }
    if checks.iter().any(|check| check.state == State::Error) {
        return Err(Failure {
            message: String::new(),
            code: 1,
        });
    }
    Ok(())
}

fn for_people(check: &Check) -> String {
    let state = match check.state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Error => "ERROR",
    };
    let mut text = format!("{:<14} {state:<8} {}\n", check.name, check.found);
    if let Some(remedy) = &check.remedy {
        text += &format!("{:<14} {:<8} to mend it: {remedy}\n", "", "");
    }
    text
}
