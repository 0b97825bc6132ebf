//! `xbuild test`

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use xbuild_vm::Machine;
use xbuild_vm::description::Dialect;
use xbuild_vm::drive;
use xbuild_vm::qemu::{Choices, Qemu};
use xbuild_vm::session::{self, Check, Expected, Outcome, Progress, Stage};
use xbuild_vm::ssh::Key;
use xbuild_vm::transcript::Transcript;

use crate::args::{Common, Test};
use crate::failure::Failure;
use crate::machine;
use crate::output;
use crate::session::Session;
use xbuild_report::words::count;

/// The exit code when a check failed.
const CHECK_FAILED: u8 = 3;
/// The exit code when the machine did not come up, or did not go down in order.
const TROUBLE: u8 = 4;

pub(crate) fn run(common: &Common, args: &Test) -> Result<(), Failure> {
    let session = Arc::new(Session::open(common, &[], true)?);
    let mut machine = machine::prepare(&session, &args.guest)?;
    machine.timeouts.ready = args.timeout.unwrap_or(machine.timeouts.ready);
    let transcript_path = match &args.transcript {
        Some(path) => path.clone(),
        None => default_transcript(&machine.name)?,
    };
    let _run = session.ends_in_order();
    let transcript = Transcript::create(&transcript_path)?;
    let login = login(&machine)?;
    let disk = machine::disk(&session, &machine, None)?;
    let choices = Choices {
        ssh_port: login.as_ref().map(|(_, port)| *port),
        isolated: true,
        durable: false,
    };
    let json = args.json;
    let qemu = Qemu::start(&machine, &choices, &disk.file)?;
    let outcome = drive::Test {
        qemu,
        session: session::Session::new(Expected {
            ready: machine.console.ready.clone(),
            dialect: machine.console.dialect,
            boot_menu: machine.console.boot_menu.clone(),
            firmware: machine.firmware.is_some(),
            login: login.as_ref().map(|(key, _)| key.public.clone()),
            timeouts: machine.timeouts,
        }),
        login,
        transcript,
        tell: &mut |now, progress| tell(now, progress, json),
        cancelled: &|| session.cancel.is_cancelled(),
    }
    .run()?;
    report(&machine, &outcome, &transcript_path, json)
}

/// `xbuild/tests/NAME.log` in the user's state directory (XDG Base Directory Specification).
fn default_transcript(name: &str) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("xbuild/tests").join(format!("{name}.log")))
        .ok_or_else(|| {
            Failure::text("where does the transcript go? neither HOME nor XDG_STATE_HOME is set; name a file with --transcript FILE")
        })
}

/// A key and a free port, if there are a network and a shell that can be logged in to.
fn login(machine: &Machine) -> Result<Option<(Key, u16)>, Failure> {
    if machine.network.is_none() || machine.console.dialect != Dialect::Shell {
        return Ok(None);
    }
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::text(format!("cannot find a free port: {error}")))?
        .port();
    Ok(Some((Key::generate(&machine.ssh_client)?, port)))
}

fn tell(now: Duration, progress: &Progress, json: bool) {
    match progress {
        Progress::Stage(stage) => {
            output::note(format!("[{:6.1} s] {}", now.as_secs_f64(), stage.name()));
        }
        Progress::Check(_) if json => {}
        // A reader who has gone away is noticed at the end.
        Progress::Check(check) => {
            let _ = output::line(line(check));
        }
    }
}

fn line(check: &Check) -> String {
    let Check {
        name,
        passed,
        detail,
    } = check;
    match (passed, detail.as_str()) {
        (true, "") => format!("ok    {name}"),
        (true, detail) => format!("ok    {name} ({detail})"),
        (false, why) => format!("FAIL  {name}: {why}"),
    }
}

fn report(
    machine: &Machine,
    outcome: &Outcome,
    transcript: &Path,
    json: bool,
) -> Result<(), Failure> {
    let failed = outcome.checks.iter().filter(|check| !check.passed).count();
    let passed = outcome.checks.len() - failed;
    if json {
        let stages: serde_json::Map<_, _> = outcome
            .stages
            .iter()
            .map(|(stage, at)| (stage.name().to_owned(), at.as_secs_f64().into()))
            .collect();
        output::line(
            serde_json::json!({
                "name": machine.name,
                "passed": outcome.is_good(),
                "checks": outcome.checks,
                "trouble": outcome.trouble.as_ref().map(ToString::to_string),
                "stages": stages,
                "transcript": transcript,
            })
            .to_string(),
        )?;
    }
    output::note(format!("transcript: {}", transcript.display()));
    if let Some(trouble) = &outcome.trouble {
        let mut message = format!("{}: {trouble}", machine.name);
        if outcome.tail.is_empty() {
            message += "\nthe console printed nothing";
        } else {
            message += "\nthe last lines of the console:";
            for line in &outcome.tail {
                message += &format!("\n> {line}");
            }
        }
        return Err(Failure {
            message,
            code: TROUBLE,
        });
    }
    if failed > 0 {
        return Err(Failure {
            message: format!(
                "{}: {} failed, {passed} passed",
                machine.name,
                count(failed, "check", "checks")
            ),
            code: CHECK_FAILED,
        });
    }
    if !json {
        let ready = outcome
            .stages
            .iter()
            .find(|(stage, _)| *stage == Stage::Ready);
        let ready = ready.map_or(0.0, |(_, at)| at.as_secs_f64());
        output::line(format!(
            "{}: {} passed, up after {ready:.1} s",
            machine.name,
            count(passed, "check", "checks")
        ))?;
    }
    Ok(())
}
