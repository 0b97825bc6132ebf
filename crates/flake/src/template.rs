//! Templates: outputs of flakes that are copied to begin something with (manual, "nix flake init").

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use xbuild_eval::host::{FileType, HostError};
use xbuild_eval::{EvalError, Evaluator, Pos, Result, Value};
use xbuild_store_model::StorePath;

use crate::flake_nix::error;

/// The attribute paths at which a template is looked for, in this order.
#[must_use]
pub fn attr_paths(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec!["templates.default".to_owned(), "defaultTemplate".to_owned()];
    }
    vec![format!("templates.{name}"), name.to_owned()]
}

/// A template.
#[derive(Debug, Clone)]
pub struct Template {
    /// Its directory, as the language knows it.
    pub path: PathBuf,
    /// What it has to say when it was copied.
    pub welcome: Option<String>,
}

/// Reads a template; `value` is the one at `path`.
///
/// # Errors
/// If it is none, or the evaluation fails.
pub fn read(ev: &mut Evaluator, value: Value, path: &str) -> Result<Template> {
    let set = ev.force_attrs(value, Pos::NONE, "while evaluating a template")?;
    let name = ev.intern(b"path");
    let Some(attr) = set.get(name) else {
        return Err(error(format!("attribute '{path}.path' does not exist")));
    };
    let what = "while evaluating the path of a template";
    let directory = ev.coerce_to_real_path(attr.value, attr.pos, what)?;
    let name = ev.intern(b"welcomeText");
    let welcome = match set.get(name) {
        Some(attr) => {
            let what = "while evaluating the welcome text of a template";
            let text = ev.force_string(attr.value, attr.pos, what)?;
            Some(String::from_utf8_lossy(text.bytes()).into_owned())
        }
        None => None,
    };
    Ok(Template {
        path: directory,
        welcome,
    })
}

/// What copying has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// What was written, absolute.
    pub written: Vec<PathBuf>,
    /// How many files are there already, with other contents.
    pub conflicts: usize,
}

/// Copies a template to a directory, which is made if it is not there. No file is overwritten. `tell` gets a line for each file.
///
/// # Errors
/// If something cannot be read or written.
pub fn copy(
    ev: &Evaluator,
    template: &Template,
    to: &Path,
    tell: &mut dyn FnMut(String),
) -> Result<Copied> {
    let mut copied = Copied::default();
    Copying {
        ev,
        copied: &mut copied,
        tell,
    }
    .directory(&template.path, to)?;
    Ok(copied)
}

struct Copying<'a> {
    ev: &'a Evaluator,
    copied: &'a mut Copied,
    tell: &'a mut dyn FnMut(String),
}

fn host_error(failed: &HostError) -> EvalError {
    EvalError::host(Pos::NONE, failed)
}

fn io_error<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> EvalError + 'a {
    move |failed| error(format!("cannot {action} '{}': {failed}", path.display()))
}

impl Copying<'_> {
    fn directory(&mut self, from: &Path, to: &Path) -> Result<()> {
        fs::create_dir_all(to).map_err(io_error("create", to))?;
        let host = &self.ev.host;
        let mut entries = host.read_dir(from).map_err(|failed| host_error(&failed))?;
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, kind) in entries {
            let (from, to) = (from.join(&name), to.join(&name));
            match kind {
                FileType::Directory => self.directory(&from, &to)?,
                FileType::Symlink => {
                    let target = self.ev.host.read_link(&from);
                    let target = target.map_err(|failed| host_error(&failed))?;
                    if to.symlink_metadata().is_ok() {
                        self.compare(
                            &from,
                            &to,
                            fs::read_link(&to).is_ok_and(|has| has == target),
                        );
                        continue;
                    }
                    symlink(&target, &to).map_err(io_error("create", &to))?;
                }
                _ => {
                    let text = self.ev.host.read_file(&from);
                    let text = text.map_err(|failed| host_error(&failed))?;
                    if let Ok(there) = to.symlink_metadata() {
                        let same = there.is_file() && fs::read(&to).is_ok_and(|has| has == text);
                        self.compare(&from, &to, same);
                        continue;
                    }
                    fs::write(&to, text).map_err(io_error("write", &to))?;
                }
            }
            (self.tell)(format!("wrote: \"{}\"", to.display()));
            self.copied.written.push(to);
        }
        Ok(())
    }

    /// Tells of a file that is there already.
    fn compare(&mut self, from: &Path, to: &Path, same: bool) {
        // Where it really is, for who has to look at it.
        let from = match StorePath::parse_prefix(&from.to_string_lossy()) {
            Ok((path, rest)) => self
                .ev
                .host
                .physical(&path)
                .join(rest.trim_start_matches('/')),
            Err(_) => from.to_owned(),
        };
        if same {
            (self.tell)(format!("skipping identical file: {}", from.display()));
            return;
        }
        self.copied.conflicts += 1;
        (self.tell)(format!(
            "refusing to overwrite existing file \"{}\"\n please merge it manually with '{}'",
            to.display(),
            from.display()
        ));
    }
}
