//! `xbuild eval`, and the evaluation that other commands start with.

use std::io::{IsTerminal as _, Read as _};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use xbuild_eval::eval::is_pseudo_url;
use xbuild_eval::flakes::FlakeLoader;
use xbuild_eval::local_host::LocalHost;
use xbuild_eval::{EvalError, Evaluator, Pos, Value, stack};
use xbuild_flake::Flakes;
use xbuild_syntax::symbol::Symbol;

use crate::args::{Common, Eval, Inputs};
use crate::failure::Failure;
use crate::flake_installable;
use crate::installable::{self, Expression};
use crate::output;
use crate::session::Session;
use crate::value_output::{self, Style};

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
    let common = &args.mode.apply(common);
    let (named, style) = named(args)?;
    // JSON has no word for what is not evaluated.
    let mut form = args.form.clone();
    form.strict |= form.json;
    if form.parse {
        for named in &named {
            match named {
                Named::Attribute(expression, _) => parse(common, expression)?,
                Named::Installable(name) => {
                    return Err(Failure::text(format!(
                        "--parse takes a file or an expression, and `{name}` is an installable"
                    )));
                }
            }
        }
        return Ok(());
    }
    let session = Arc::new(Session::open(common, &[], false)?);
    let pretty = args.pretty || (std::io::stdout().is_terminal() && !args.no_pretty);
    let show = |evaluator: &mut Evaluator, mut value: Value, printed: &mut Vec<u8>| {
        if let Some(function) = &args.apply {
            let function = evaluator.eval_expr(function, &current_dir()?)?;
            value = evaluator.call(function, &[value], Pos::NONE)?;
        }
        match &args.write_to {
            Some(path) => value_output::write_to(evaluator, value, path)?,
            None => value_output::print(evaluator, value, &form, style, pretty, printed)?,
        }
        Ok::<_, Problem>(())
    };
    let mut attributes = Vec::new();
    let mut outputs = Vec::new();
    for named in named {
        let (expression, attribute) = match named {
            Named::Attribute(expression, attribute) => (expression, attribute),
            Named::Installable(name) => installable::expression(&session, &name)?,
        };
        match expression {
            Expression::Flake(reference) => outputs.push(flake_installable::Output {
                reference: *reference,
                name: attribute,
            }),
            expression => attributes.push((expression, attribute)),
        }
    }
    if !outputs.is_empty() {
        if !attributes.is_empty() {
            return Err(Failure::text(
                "flakes and files are evaluated under different rules: give them to two commands",
            ));
        }
        let inputs = &args.inputs;
        let printed =
            flake_installable::with_outputs(&session, inputs, &outputs, |evaluator, value, _| {
                let mut printed = Vec::new();
                show(evaluator, value, &mut printed)?;
                if args.mode.read_write_mode {
                    evaluator.flush()?;
                }
                Ok(printed)
            })?;
        return output::bytes(&printed.concat());
    }
    let printed = with_evaluator(&session, &args.inputs, |evaluator| {
        let mut printed = Vec::new();
        for (expression, attribute) in &attributes {
            let value = evaluate_to_print(evaluator, expression, attribute, &args.inputs)?;
            show(evaluator, value, &mut printed)?;
        }
        // Derivations that nobody asked to have are not written, as with `nix-instantiate --eval`.
        if args.mode.read_write_mode {
            evaluator.flush()?;
        }
        Ok(printed)
    })?;
    output::bytes(&printed)
}

/// What the user wants to have evaluated.
enum Named {
    /// An attribute of an expression; "" is the expression itself.
    Attribute(Expression, String),
    /// `DIR#ATTR`
    Installable(String),
}

/// What is evaluated, and in which style it is printed: as by `nix eval` if it is named in the way of that command.
fn named(args: &Eval) -> Result<(Vec<Named>, Style), Failure> {
    let root = match (&args.expr, &args.file) {
        (Some(text), _) => Some(Expression::Text(text.clone())),
        (None, Some(file)) => Some(expression_of(file)?),
        (None, None) => None,
    };
    if let Some(root) = root {
        // The attributes, by whichever of the two ways they were given; without any, the expression itself.
        let without_outputs = |what: &String| what.split('^').next().unwrap_or_default().to_owned();
        let what = args.what.iter().map(without_outputs);
        let mut attributes: Vec<String> = args.attributes.iter().cloned().chain(what).collect();
        if attributes.is_empty() {
            attributes.push(String::new());
        }
        let named = attributes
            .into_iter()
            .map(|attribute| Named::Attribute(root.clone(), attribute));
        let style = if args.file.is_some() || !args.what.is_empty() || args.apply.is_some() {
            Style::Eval
        } else {
            Style::Instantiate
        };
        return Ok((named.collect(), style));
    }
    let mut style = if args.apply.is_some() {
        Style::Eval
    } else {
        Style::Instantiate
    };
    let mut named = Vec::new();
    let here = ".".to_owned();
    if args.what.is_empty() && args.attributes.is_empty() {
        return Ok((vec![Named::Installable(here)], Style::Eval));
    }
    // As `nix-instantiate -A ATTR`.
    let alone = args.what.is_empty().then_some(&here);
    for what in args.what.iter().chain(alone) {
        if what.contains('#') || is_flake_url(what) {
            if !args.attributes.is_empty() {
                return Err(Failure::text(format!(
                    "-A takes an attribute of a file; with an installable, write `{what}.{}`",
                    args.attributes[0]
                )));
            }
            style = Style::Eval;
            named.push(Named::Installable(what.clone()));
            continue;
        }
        let path = Path::new(what);
        if path.join("flake.nix").is_file() && !path.join("default.nix").exists() {
            style = Style::Eval;
            if args.attributes.is_empty() {
                named.push(Named::Installable(format!("{what}#")));
            }
            for attribute in &args.attributes {
                named.push(Named::Installable(format!("{what}#{attribute}")));
            }
            continue;
        }
        let expression = expression_of(path)?;
        if args.attributes.is_empty() {
            named.push(Named::Attribute(expression.clone(), String::new()));
        }
        for attribute in &args.attributes {
            named.push(Named::Attribute(expression.clone(), attribute.clone()));
        }
    }
    Ok((named, style))
}

/// Whether an argument is the URL of a flake: one that `nix-instantiate` would not take for that of an archive.
fn is_flake_url(argument: &str) -> bool {
    let scheme = argument.split_once(':').map(|(scheme, _)| scheme);
    let known = |scheme: &str| {
        ["path", "github", "gitlab", "sourcehut", "flake"].contains(&scheme) || scheme.contains('+')
    };
    scheme.is_some_and(known) && !is_pseudo_url(argument)
}

/// The expression that a file argument names: `-` is standard input.
pub(crate) fn expression_of(file: &Path) -> Result<Expression, Failure> {
    if file != Path::new("-") {
        return Ok(Expression::File(file.to_owned()));
    }
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).map_err(|error| {
        Failure::text(format!(
            "cannot read the expression from standard input: {error}"
        ))
    })?;
    Ok(Expression::Input(text))
}

/// Prints the normalised expression. Needs no store.
pub(crate) fn parse(common: &Common, expression: &Expression) -> Result<(), Failure> {
    let settings = Session::settings(common, &[])?;
    let (name, text, base) = match expression {
        Expression::Text(text) => (
            "«string»".to_owned(),
            text.clone().into_bytes(),
            current_dir()?,
        ),
        Expression::Input(text) => (
            xbuild_eval::import::INPUT_NAME.to_owned(),
            text.clone(),
            current_dir()?,
        ),
        Expression::Flake(reference) => {
            return Err(Failure::text(format!(
                "'{}' is a flake: there is nothing to parse",
                reference.show()
            )));
        }
        Expression::File(file) => {
            let file = if file.is_dir() {
                file.join("default.nix")
            } else {
                file.clone()
            };
            // In stock Nix's words, where it has such.
            let cannot_read = |error: std::io::Error| {
                use std::io::ErrorKind;
                let shown = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
                let shown = shown.display();
                Failure::text(match error.kind() {
                    ErrorKind::NotFound | ErrorKind::NotADirectory => {
                        format!("path '{shown}' does not exist")
                    }
                    _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                        format!(
                            "too many symbolic links encountered while traversing the path '{shown}'"
                        )
                    }
                    _ => format!("cannot read '{shown}': {error}"),
                })
            };
            let file_name = file.canonicalize().map_err(cannot_read)?;
            let text = std::fs::read(&file).map_err(cannot_read)?;
            let base = file_name.parent().unwrap_or(Path::new("/")).to_owned();
            (file_name.display().to_string(), text, base)
        }
    };
    let eval_settings = xbuild_eval::Settings {
        features: settings.experimental_features,
        lints: settings.eval.lints,
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
    Failure::text(error.to_string())
}

pub(crate) fn current_dir() -> Result<PathBuf, Failure> {
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
    with_evaluator_for(session, inputs, false, |evaluator, _| work(evaluator))
}

/// The same for flakes, which are evaluated purely (without `--impure`), if `flake` says so.
pub(crate) fn with_evaluator_for<T: Send>(
    session: &Arc<Session>,
    inputs: &Inputs,
    flake: bool,
    work: impl FnOnce(&mut Evaluator, &Flakes) -> Result<T, Problem> + Send,
) -> Result<T, Failure> {
    stack::with_big_stack(|| {
        let host = session.host();
        let flakes = flake_installable::flakes(session, &host);
        let mut settings = session.eval_settings(inputs);
        settings.parse_ahead =
            std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1);
        if flake {
            settings.pure = !session.settings.eval.impure_flakes;
            // Who names a flake wants it to be one, whatever the settings say of experiments.
            for feature in ["flakes", "fetch-tree"] {
                if !settings.has_feature(feature) {
                    settings.features.push(feature.to_owned());
                }
            }
        }
        // Never dropped: the program ends soon after, and to take all its tables apart takes time.
        let mut evaluator = ManuallyDrop::new(Evaluator::new(Box::new(host), settings));
        evaluator.flakes = Some(Rc::clone(&flakes) as Rc<dyn FlakeLoader>);
        let ended = work(&mut evaluator, &flakes).map_err(|problem| match problem {
            Problem::Other(failure) => failure,
            Problem::Eval(error) => {
                let text = evaluator.render(&error, session.settings.show_trace);
                Failure {
                    message: without_prefix(&text),
                    code: if session.cancel.is_cancelled() {
                        130
                    } else {
                        error.data().exit_code
                    },
                }
            }
        });
        // But for the host, which has the store open: its temporary roots end with it.
        evaluator.flakes = None;
        evaluator.host = Rc::new(LocalHost::new());
        ended
    })
    .map_err(|error| no_stack(&error))?
}

/// The value of an attribute of an expression; "" is the expression itself. A function of a set is called.
pub(crate) fn evaluate(
    evaluator: &mut Evaluator,
    expression: &Expression,
    attribute: &str,
    inputs: &Inputs,
) -> Result<Value, Problem> {
    let arguments = arguments(evaluator, inputs)?;
    let value = select(evaluator, expression, attribute, &arguments)?;
    Ok(evaluator.auto_call(value, &arguments)?)
}

/// As [`evaluate`], for a value that is printed: a function is called only if there are arguments for it.
pub(crate) fn evaluate_to_print(
    evaluator: &mut Evaluator,
    expression: &Expression,
    attribute: &str,
    inputs: &Inputs,
) -> Result<Value, Problem> {
    let arguments = arguments(evaluator, inputs)?;
    let value = select(evaluator, expression, attribute, &arguments)?;
    if arguments.is_empty() {
        return Ok(value);
    }
    Ok(evaluator.auto_call(value, &arguments)?)
}

/// The value of an attribute. Functions on the way to it are called.
fn select(
    evaluator: &mut Evaluator,
    expression: &Expression,
    attribute: &str,
    arguments: &[(Symbol, Value)],
) -> Result<Value, Problem> {
    let root = match expression {
        Expression::File(file) => {
            let file = lookup(evaluator, file)?;
            evaluator.eval_file(&file)?
        }
        Expression::Text(text) => evaluator.eval_expr(text, &current_dir()?)?,
        Expression::Input(text) => evaluator.eval_input(text, &current_dir()?)?,
        Expression::Flake(reference) => {
            return flake_installable::value(evaluator, reference, attribute);
        }
    };
    Ok(evaluator.select_path_with(root, attribute, arguments)?)
}

/// The file that a file argument means: `<name>` is in the search path, a URL is that of a tarball.
pub(crate) fn lookup(evaluator: &mut Evaluator, file: &Path) -> Result<PathBuf, Problem> {
    if let Some(text) = file.to_str() {
        if let Some(name) = text
            .strip_prefix('<')
            .and_then(|text| text.strip_suffix('>'))
        {
            return find_file(evaluator, name);
        }
        if is_pseudo_url(text) {
            let fetched = evaluator.resolve_search_entry(text, Pos::NONE)?;
            return fetched
                .ok_or_else(|| Failure::text(format!("cannot download '{text}'")).into());
        }
    }
    let file = std::path::absolute(file)
        .map_err(|error| Failure::text(format!("cannot find {}: {error}", file.display())))?;
    Ok(file)
}

/// Where `<name>` is.
pub(crate) fn find_file(evaluator: &mut Evaluator, name: &str) -> Result<PathBuf, Problem> {
    let entries = evaluator.settings.search_path.clone();
    let found = evaluator.find_file(&entries, name.as_bytes(), Pos::NONE)?;
    let what = "while looking up a file in the search path";
    Ok(evaluator.coerce_to_real_path(found, Pos::NONE, what)?)
}

/// `--arg`, `--argstr` and their kin.
pub(crate) fn arguments(
    evaluator: &mut Evaluator,
    inputs: &Inputs,
) -> Result<Vec<(Symbol, Value)>, Problem> {
    let mut arguments = Vec::new();
    let mut put = |name: Symbol, value: Value| {
        // The last one counts.
        arguments.retain(|(other, _)| *other != name);
        arguments.push((name, value));
    };
    for pair in inputs.arg.chunks_exact(2) {
        let value = evaluator.delay_expr(&pair[1], &current_dir()?)?;
        put(evaluator.intern(pair[0].as_bytes()), value);
    }
    for pair in inputs.argstr.chunks_exact(2) {
        let value = evaluator.string(pair[1].as_bytes());
        put(evaluator.intern(pair[0].as_bytes()), value);
    }
    for pair in inputs.arg_from_file.chunks_exact(2) {
        let text = std::fs::read(&pair[1])
            .map_err(|error| Failure::text(format!("cannot read {}: {error}", pair[1])))?;
        let value = evaluator.string(&text);
        put(evaluator.intern(pair[0].as_bytes()), value);
    }
    if let Some(name) = &inputs.arg_from_stdin {
        // It can be read once only, and arguments are asked for again.
        static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
        if TEXT.get().is_none() {
            let mut text = Vec::new();
            std::io::stdin()
                .read_to_end(&mut text)
                .map_err(|error| Failure::text(format!("cannot read standard input: {error}")))?;
            let _ = TEXT.set(text);
        }
        let value = evaluator.string(TEXT.get().map_or(b"", Vec::as_slice));
        put(evaluator.intern(name.as_bytes()), value);
    }
    Ok(arguments)
}
