//! `xbuild eval`, and the evaluation that other commands start with.

use std::io::Read as _;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xbuild_eval::local_host::LocalHost;
use xbuild_eval::string::ContextSet;
use xbuild_eval::{EvalError, Evaluator, Pos, Value, stack};
use xbuild_syntax::symbol::Symbol;

use crate::args::{Common, Eval, Inputs};
use crate::failure::Failure;
use crate::installable::Expression;
use crate::output;
use crate::session::Session;

/// Why a piece of work with an evaluator failed.
pub(crate) enum Problem {
    /// The evaluation did.
    Eval(EvalError),
    /// Something else did.
    Other(Failure),
}

impl From<EvalError> for Problem {
    fn from(error: EvalError) -> Self {
        Self::Eval(error)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

pub(crate) fn run(common: &Common, args: &Eval) -> Result<(), Failure> {
    let expression = expression(args)?;
    if args.parse {
        return parse(common, &expression);
    }
    let session = Arc::new(Session::open(common, &[], false)?);
    let attributes = if args.attributes.is_empty() {
        vec![String::new()]
    } else {
        args.attributes.clone()
    };
    let printed = with_evaluator(&session, &args.inputs, |evaluator| {
        let mut printed = Vec::new();
        for attribute in &attributes {
            let value = evaluate(evaluator, &expression, attribute, &args.inputs)?;
            if args.raw {
                printed.extend(evaluator.raw_text(value)?);
                continue;
            }
            if args.json {
                printed.extend(evaluator.to_json(
                    value,
                    Pos::NONE,
                    &mut ContextSet::new(),
                    true,
                )?);
            } else {
                printed.extend(evaluator.print(value, args.strict)?);
            }
            printed.push(b'\n');
        }
        // Derivations that nobody asked to have are not written, as with `nix-instantiate --eval`.
        Ok(printed)
    })?;
    output::bytes(&printed)
}

fn expression(args: &Eval) -> Result<Expression, Failure> {
    match (&args.expr, &args.file) {
        (Some(text), _) => Ok(Expression::Text(text.clone())),
        (None, Some(file)) if file == Path::new("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| {
                    Failure::text(format!(
                        "cannot read the expression from standard input: {error}"
                    ))
                })?;
            Ok(Expression::Text(text))
        }
        (None, Some(file)) => Ok(Expression::File(file.clone())),
        (None, None) => Err(Failure::text(
            "nothing to evaluate: give a FILE or --expr E",
        )),
    }
}

/// Prints the normalised expression. Needs no store.
fn parse(common: &Common, expression: &Expression) -> Result<(), Failure> {
    let settings = Session::settings(common, &[])?;
    let (name, text, base) = match expression {
        Expression::Text(text) => (
            "«string»".to_owned(),
            text.clone().into_bytes(),
            current_dir()?,
        ),
        Expression::File(file) => {
            let file = if file.is_dir() {
                file.join("default.nix")
            } else {
                file.clone()
            };
            let cannot_read =
                |error| Failure::text(format!("cannot read {}: {error}", file.display()));
            let file_name = file.canonicalize().map_err(cannot_read)?;
            let text = std::fs::read(&file).map_err(cannot_read)?;
            let base = file_name.parent().unwrap_or(Path::new("/")).to_owned();
            (file_name.display().to_string(), text, base)
        }
    };
    let eval_settings = xbuild_eval::Settings {
        features: settings.experimental_features,
        ..xbuild_eval::Settings::default()
    };
    let shown = stack::with_big_stack(|| {
        let mut evaluator = Evaluator::new(Box::new(LocalHost::new()), eval_settings);
        evaluator
            .show_parsed(&text, name, &base)
            .map_err(|error| without_prefix(&evaluator.render(&error, settings.show_trace)))
    });
    match shown {
        Ok(Ok(shown)) => output::line(shown),
        Ok(Err(message)) => Err(Failure::text(message)),
        Err(error) => Err(no_stack(&error)),
    }
}

fn no_stack(error: &std::io::Error) -> Failure {
    Failure::text(format!("cannot get a stack to evaluate on: {error}"))
}

fn current_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::text(format!("cannot find the current directory: {error}")))
}

fn without_prefix(message: &str) -> String {
    let message = message.strip_prefix("error:").unwrap_or(message);
    // A trace begins on a line of its own.
    message
        .strip_prefix(' ')
        .unwrap_or(message)
        .trim_end()
        .to_owned()
}

/// Runs `work` with an evaluator on a stack that is big enough, and renders its error.
pub(crate) fn with_evaluator<T: Send>(
    session: &Arc<Session>,
    inputs: &Inputs,
    work: impl FnOnce(&mut Evaluator) -> Result<T, Problem> + Send,
) -> Result<T, Failure> {
    stack::with_big_stack(|| {
        let host = Box::new(session.host());
        // Never dropped: the program ends soon after, and to take all its tables apart takes time.
        let mut evaluator = ManuallyDrop::new(Evaluator::new(host, session.eval_settings(inputs)));
        work(&mut evaluator).map_err(|problem| match problem {
            Problem::Other(failure) => failure,
            Problem::Eval(error) => {
                let text = evaluator.render(&error, session.settings.show_trace);
                Failure {
                    message: without_prefix(&text),
                    code: if session.cancel.is_cancelled() {
                        130
                    } else {
                        1
                    },
                }
            }
        })
    })
    .map_err(|error| no_stack(&error))?
}

/// The value of an attribute of an expression; "" is the expression itself, called if it is a function of a set.
pub(crate) fn evaluate(
    evaluator: &mut Evaluator,
    expression: &Expression,
    attribute: &str,
    inputs: &Inputs,
) -> Result<Value, Problem> {
    let root = match expression {
        Expression::File(file) => {
            let file = std::path::absolute(file).map_err(|error| {
                Failure::text(format!("cannot find {}: {error}", file.display()))
            })?;
            evaluator.eval_file(&file)?
        }
        Expression::Text(text) => evaluator.eval_expr(text, &current_dir()?)?,
    };
    let arguments = arguments(evaluator, inputs)?;
    let value = evaluator.select_path_with(root, attribute, &arguments)?;
    Ok(evaluator.auto_call(value, &arguments)?)
}

/// `--arg` and `--argstr`.
pub(crate) fn arguments(
    evaluator: &mut Evaluator,
    inputs: &Inputs,
) -> Result<Vec<(Symbol, Value)>, Problem> {
    let mut arguments = Vec::new();
    for pair in inputs.arg.chunks_exact(2) {
        let value = evaluator.eval_expr(&pair[1], &current_dir()?)?;
        arguments.push((evaluator.intern(pair[0].as_bytes()), value));
    }
    for pair in inputs.argstr.chunks_exact(2) {
        let value = evaluator.string(pair[1].as_bytes());
        arguments.push((evaluator.intern(pair[0].as_bytes()), value));
    }
    Ok(arguments)
}
