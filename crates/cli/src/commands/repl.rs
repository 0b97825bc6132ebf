//! `xbuild repl`

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use xbuild_eval::eval::is_pseudo_url;
use xbuild_eval::{EvalError, Evaluator, Value, stack};
use xbuild_realise::{Error, Realised, Wanted};
use xbuild_repl::input::{Given, Input};
use xbuild_repl::{Actions, After, Repl};
use xbuild_store_model::StorePath;

use crate::args::{Common, Inputs, Repl as Arguments};
use crate::commands::eval::{Problem, arguments, current_dir, lookup};
use crate::failure::Failure;
use crate::flake_installable;
use crate::output;
use crate::session::Session;
use crate::signals::Interrupts;

pub(crate) fn run(common: &Common, args: &Arguments) -> Result<(), Failure> {
    let common = args.mode.apply(common);
    let interrupts = Arc::new(Interrupts::default());
    let session = Arc::new(Session::open_interactive(&common, &interrupts)?);
    let directory = current_dir()?;
    let ended = stack::with_big_stack(|| {
        let _ = interrupts.limit.set(stack::limit());
        let runner = || Runner {
            session: Arc::clone(&session),
            common: common.clone(),
            inputs: args.inputs.clone(),
        };
        let builder = runner();
        let build = Box::new(move |wanted: &[Wanted]| builder.realise(wanted));
        let host = session.host_that_builds(build);
        let flakes = flake_installable::flakes(&session, &host);
        let settings = session.eval_settings(&args.inputs);
        let mut evaluator = Evaluator::new(Box::new(host), settings);
        evaluator.flakes = Some(flakes);
        let repl = Repl::new(
            evaluator,
            directory,
            Box::new(runner()),
            session.settings.show_trace,
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        );
        converse(&session, &Rc::new(RefCell::new(repl)), args, &interrupts)
    });
    ended.map_err(|error| Failure::text(error.to_string()))?
}

/// Reads lines until the end.
fn converse(
    session: &Session,
    repl: &Rc<RefCell<Repl>>,
    args: &Arguments,
    interrupts: &Arc<Interrupts>,
) -> Result<(), Failure> {
    let history = history();
    let of_completion = Arc::clone(interrupts);
    let interruptible = Box::new(move |work: &mut dyn FnMut()| of_completion.during(work));
    let mut input = Input::open(repl, history.as_deref(), interruptible)
        .map_err(|error| Failure::text(format!("cannot use the terminal: {error}")))?;
    if input.is_terminal() {
        output::note(format!(
            "xbuild {}, with the language of Nix {}\nType :? for help.",
            env!("CARGO_PKG_VERSION"),
            xbuild_eval::globals::NIX_VERSION
        ));
    }
    if !interrupts.during(|| load(session, &mut repl.borrow_mut(), args))? {
        // It is told already.
        return Err(Failure::text(""));
    }
    let mut text = String::new();
    loop {
        let given = input
            .next(!text.is_empty())
            .map_err(|error| Failure::text(format!("cannot read a line: {error}")))?;
        match given {
            Given::Discard => {
                text.clear();
                continue;
            }
            Given::End => break,
            Given::Line(line) => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&line);
            }
        }
        let mut printed = Vec::new();
        let after = interrupts.during(|| repl.borrow_mut().handle(&text, &mut printed));
        match after {
            After::More => continue,
            After::Leave => return Ok(()),
            After::Next => {
                if !text.trim().is_empty() {
                    printed.push(b'\n');
                }
                output::bytes(&printed)?;
                text.clear();
            }
        }
    }
    if !text.trim().is_empty() {
        repl.borrow_mut().unfinished(&text);
    }
    Ok(())
}

/// Loads what the command line names; says whether all could be loaded.
fn load(session: &Session, repl: &mut Repl, args: &Arguments) -> Result<bool, Failure> {
    // With a file or an expression, the other arguments are attributes of it, as in `nix repl`.
    let whole = !args.file.is_empty() || !args.expr.is_empty();
    if whole && !args.what.is_empty() {
        return Ok(args.what.iter().all(|attribute| {
            let mut files = args.file.iter();
            let mut texts = args.expr.iter();
            files.all(|file| repl.load_attribute_of_file(file, attribute))
                && texts.all(|text| repl.load_attribute_of_expression(text, attribute))
        }));
    }
    if !args.file.iter().all(|name| repl.load_file(name)) {
        return Ok(false);
    }
    for name in &args.what {
        let loaded = if let Some((place, attribute)) = name.split_once('#') {
            repl.load_installable(if place.is_empty() { "." } else { place }, attribute)
        } else if !is_pseudo_url(name) && flake_installable::named(session, name)?.is_some() {
            repl.load_installable(name, "")
        } else {
            repl.load_file(name)
        };
        if !loaded {
            return Ok(false);
        }
    }
    Ok(args.expr.iter().all(|text| repl.load_expression(text)))
}

/// `xbuild/repl-history` in the user's data directory.
fn history() -> Option<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")))?;
    Some(data.join("xbuild/repl-history"))
}

/// Does what is not evaluation by other commands of this program, in processes of their own: Ctrl-C, which all processes of a
/// terminal get, ends them and not the conversation.
struct Runner {
    session: Arc<Session>,
    common: Common,
    inputs: Inputs,
}

impl Runner {
    fn command(&self, command: &str) -> Result<Command, String> {
        static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
        let program = PROGRAM
            .get_or_init(|| std::env::current_exe().ok())
            .as_ref()
            .ok_or("cannot find the program itself")?;
        let mut process = Command::new(program);
        process
            .arg(command)
            .arg("--store")
            .arg(self.session.store.root())
            .args(self.common.for_another_command());
        process.stdin(Stdio::null()).stderr(Stdio::inherit());
        Ok(process)
    }

    fn output_of(mut process: Command) -> Result<Vec<u8>, String> {
        let output = process
            .stdout(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .map_err(|error| format!("cannot run {}: {error}", process.get_program().display()))?;
        match output.status.code() {
            Some(0) => Ok(output.stdout),
            Some(130) | None => Err("interrupted by the user".to_owned()),
            Some(code) => Err(format!("it failed with exit code {code}")),
        }
    }

    /// Builds what an evaluation needs.
    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<Realised>, Error> {
        let failed = |message: String| Error::Internal(message);
        let mut process = self.command("realise").map_err(failed)?;
        process.args(["--json", "--no-out-link"]);
        let mut realised = Vec::new();
        let mut missing = false;
        for wanted in wanted {
            match wanted {
                Wanted::Path(path) if self.session.store.is_valid(path)? => {
                    realised.push(Realised {
                        drv: None,
                        outputs: BTreeMap::from([("out".to_owned(), path.clone())]),
                    });
                    continue;
                }
                Wanted::Path(path) => process.arg(path.to_string()),
                Wanted::Outputs(drv, outputs) => {
                    let names: Vec<&str> = outputs.iter().flatten().map(String::as_str).collect();
                    let names = if names.is_empty() {
                        "*".to_owned()
                    } else {
                        names.join(",")
                    };
                    process.arg(format!("{drv}^{names}"))
                }
            };
            missing = true;
        }
        if !missing {
            return Ok(realised);
        }
        let json = Self::output_of(process).map_err(|message| {
            if message.starts_with("interrupted") {
                Error::Interrupted
            } else {
                failed(format!("a build that the evaluation needs: {message}"))
            }
        })?;
        let built = parse_realised(&json)
            .ok_or_else(|| failed("`xbuild realise --json` printed something else".to_owned()))?;
        realised.extend(built);
        Ok(realised)
    }
}

/// Reads what `xbuild realise --json` prints.
fn parse_realised(json: &[u8]) -> Option<Vec<Realised>> {
    let list: Vec<serde_json::Value> = serde_json::from_slice(json).ok()?;
    let path = |value: &serde_json::Value| StorePath::parse(value.as_str()?).ok();
    let one = |value: &serde_json::Value| {
        let outputs = value.get("outputs")?.as_object()?.iter();
        Some(Realised {
            drv: value.get("drvPath").and_then(path),
            outputs: outputs
                .map(|(name, value)| Some((name.clone(), path(value)?)))
                .collect::<Option<_>>()?,
        })
    };
    list.iter().map(one).collect()
}

impl Actions for Runner {
    fn build(&self, drv: &StorePath, link: Option<&str>) -> Result<Vec<(String, String)>, String> {
        let mut process = self.command("realise")?;
        process.args([&format!("{drv}^*"), "--json", "--no-out-link"]);
        let json = Self::output_of(process)?;
        let built: serde_json::Value =
            serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        let mut outputs = Vec::new();
        for (name, path) in built[0]["outputs"].as_object().into_iter().flatten() {
            let path = path.as_str().unwrap_or_default();
            if let Some(link) = link {
                let target = StorePath::parse(path).map_err(|error| error.to_string())?;
                let link = PathBuf::from(format!("{link}-{name}"));
                let linked = self.session.store.make_out_link(&link, &target);
                linked.map_err(|error| error.to_string())?;
            }
            outputs.push((name.clone(), path.to_owned()));
        }
        Ok(outputs)
    }

    fn log(&self, drv: &StorePath) -> Result<Vec<u8>, String> {
        let mut process = self.command("log")?;
        process.arg(drv.to_string());
        Self::output_of(process)
    }

    fn edit(&self, file: &Path, line: u32) -> Result<(), String> {
        let editor = std::env::var("EDITOR").unwrap_or_else(|_| "nano".to_owned());
        let mut words = editor.split_whitespace();
        let program = words.next().ok_or("EDITOR is empty")?;
        let mut process = Command::new(program);
        process.args(words);
        let takes_line = ["emacs", "nano", "vim", "kak", "vi"]
            .iter()
            .any(|known| program.ends_with(known));
        if line > 0 && takes_line {
            process.arg(format!("+{line}"));
        }
        // The file may be one of the store, which lies elsewhere than it says.
        let file = match self.session.store.logical(file) {
            Some((path, rest)) => self.session.store.physical(&path).join(rest),
            None => file.to_owned(),
        };
        let status = process
            .arg(file)
            .status()
            .map_err(|error| format!("cannot run the editor '{program}': {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the editor '{program}' failed: {status}"))
        }
    }

    fn find_file(&self, evaluator: &mut Evaluator, name: &str) -> Result<PathBuf, EvalError> {
        lookup(evaluator, Path::new(name)).map_err(as_eval_error)
    }

    fn output(
        &self,
        evaluator: &mut Evaluator,
        place: &str,
        attribute: &str,
    ) -> Result<Option<Value>, EvalError> {
        let named = flake_installable::named(&self.session, &format!("{place}#{attribute}"));
        // All of them, where Nix's other commands take the default package.
        let name = |name: String| {
            if name.is_empty() {
                ".".to_owned()
            } else {
                name
            }
        };
        match named.map_err(|failure| as_eval_error(failure.into()))? {
            Some((reference, attribute)) => {
                flake_installable::value(evaluator, &reference, &name(attribute))
                    .map(Some)
                    .map_err(as_eval_error)
            }
            None => Ok(None),
        }
    }

    fn flake(&self, evaluator: &mut Evaluator, reference: &str) -> Result<Value, EvalError> {
        let reference = flake_installable::parse_whole(reference)
            .map_err(|failure| as_eval_error(failure.into()))?;
        flake_installable::flake(evaluator, &reference).map_err(as_eval_error)
    }

    fn auto_call(&self, evaluator: &mut Evaluator, value: Value) -> Result<Value, EvalError> {
        let arguments = arguments(evaluator, &self.inputs).map_err(as_eval_error)?;
        evaluator.auto_call(value, &arguments)
    }
}

fn as_eval_error(problem: Problem) -> EvalError {
    match problem {
        Problem::Eval(error) => error,
        Problem::Other(failure) => EvalError::new(xbuild_eval::Pos::NONE, failure.message),
    }
}

impl Interrupts {
    /// Runs an evaluation, which Ctrl-C stops.
    fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let resume = || {
            if let Some(limit) = self.limit.get() {
                limit.resume();
            }
        };
        resume();
        let _busy = Busy::new(&self.busy);
        let result = work();
        resume();
        result
    }
}

/// Says, as long as it lives, that an evaluation goes on.
struct Busy<'b>(&'b AtomicBool);

impl<'b> Busy<'b> {
    fn new(busy: &'b AtomicBool) -> Self {
        busy.store(true, Ordering::SeqCst);
        Self(busy)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
