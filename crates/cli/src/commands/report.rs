//! `xbuild report`

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use xbuild_report::recording::{History, read};
use xbuild_report::{ReadError, html, summary, text, timeline};

use crate::args::{Common, Report};
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

pub(crate) fn run(common: &Common, args: &Report) -> Result<(), Failure> {
    let session = Session::open(common, &[], false)?;
    let history = History::new(Session::runs_dir(&session.store));
    if args.list {
        return list(&history, args.json);
    }
    let (name, path) = chosen(&history, args.run.as_deref()).map_err(failure)?;
    let run = read(&path).map_err(failure)?;
    if let Some(path) = &args.html {
        put(path, &html::html(&run, &name))?;
    }
    if let Some(path) = &args.timeline {
        put(path, &timeline::timeline(&run))?;
    }
    if args.json {
        return output::line(summary::summary(&run).to_string());
    }
    if args.html.is_none() && args.timeline.is_none() {
        return output::bytes(text::text(&run, &name).as_bytes());
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: ReadError) -> Failure {
    Failure::text(error.to_string())
}

/// The run that is meant: its name and its file.
fn chosen(history: &History, run: Option<&str>) -> Result<(String, PathBuf), ReadError> {
    if let Some(file) = run.map(Path::new).filter(|file| file.is_file()) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('.').next().unwrap_or_default();
        return Ok((name.to_owned(), file.to_owned()));
    }
    let name = history.find(run)?;
    let path = history.path(&name);
    Ok((name, path))
}

/// The runs, the newest first. One that cannot be read does not hide the others.
fn list(history: &History, json: bool) -> Result<(), Failure> {
    let mut all = Vec::new();
    for name in history.names().map_err(failure)? {
        match read(&history.path(&name)) {
            Ok(run) if json => {
                let mut one = summary::head(&run);
                one["run"] = name.into();
                all.push(one);
            }
            Ok(run) => output::line(text::line(&run, &name))?,
            Err(error) => output::note(format!("warning: {error}")),
        }
    }
    if json {
        output::line(serde_json::Value::Array(all).to_string())?;
    }
    Ok(())
}

/// Writes to a file, or to stdout if it is `-`.
fn put(path: &Path, content: &str) -> Result<(), Failure> {
    if path == Path::new("-") {
        return output::bytes(content.as_bytes());
    }
    write(path, create(path)?, content)
}

/// Opens a file to be written.
pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    File::create(path)
        .map_err(|error| Failure::text(format!("cannot write {}: {error}", path.display())))
}

/// Writes what the user asked for.
pub(crate) fn write(path: &Path, mut file: File, content: &str) -> Result<(), Failure> {
    file.write_all(content.as_bytes())
        .map_err(|error| Failure::text(format!("cannot write {}: {error}", path.display())))
}
