//! `xbuild eval-jobs`

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use xbuild_eval::{EvalError, Evaluator, Pos, Value};
use xbuild_eval_jobs::line::{Line, Outcome};
use xbuild_eval_jobs::worker::{Options, Root, Worker, refuse};
use xbuild_eval_jobs::{memory, supervisor};

use crate::args::{Common, EvalJobs};
use crate::commands::eval::{
    Problem, arguments, current_dir, evaluate, expression_of, with_evaluator,
};
use crate::failure::Failure;
use crate::flake_installable;
use crate::installable::{self, Expression};
use crate::output;
use crate::session::Session;
use xbuild_report::words::count;
use xbuild_store_model::StorePath;

pub(crate) fn run(common: &Common, args: &EvalJobs) -> Result<(), Failure> {
    if args.worker {
        return work(common, args);
    }
    if args.inputs.arg_from_stdin.is_some() {
        return Err(Failure::text(
            "--arg-from-stdin cannot be shared by several processes; use --arg-from-file",
        ));
    }
    // Mistakes of the command line are told once, not by each worker; and a signal ends the program.
    let session = Session::open(common, &[], false)?;
    let workers = args
        .workers
        .map_or_else(xbuild_realise::settings::processors, usize::from);
    let program = std::env::current_exe()
        .map_err(|error| Failure::text(format!("cannot find the program itself: {error}")))?;
    let start = || -> io::Result<Child> {
        Command::new(&program)
            .args(std::env::args_os().skip(1))
            .arg("--worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    };
    let sink = |line: &Line| -> io::Result<()> {
        if let (Some(directory), Outcome::Job(job)) = (&args.gc_roots_dir, &line.result) {
            keep(&session, directory, &job.drv_path)?;
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut stdout = io::stdout().lock();
        stdout.write_all(&text)?;
        stdout.flush()
    };
    if let Some(directory) = &args.gc_roots_dir {
        std::fs::create_dir_all(directory).map_err(|error| {
            let directory = directory.display();
            Failure::text(format!("cannot make the directory '{directory}': {error}"))
        })?;
    }
    let summary = supervisor::run(workers, &start, &sink).map_err(|error| match error {
        supervisor::Error::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => Failure {
            message: String::new(),
            code: 141,
        },
        error => Failure::text(error.to_string()),
    })?;
    if session.cancel.is_cancelled() {
        return Err(Failure {
            message: "interrupted".to_owned(),
            code: 130,
        });
    }
    if summary.failed > 0 {
        let failed = count(summary.failed, "attribute", "attributes");
        output::note(format!(
            "xbuild: {failed} could not be evaluated, {} could",
            summary.jobs
        ));
    }
    Ok(())
}

/// Makes a link to a derivation in `directory`, so that it is not collected as long as that is there.
fn keep(session: &Session, directory: &Path, drv: &str) -> io::Result<()> {
    let drv = StorePath::parse(drv).map_err(io::Error::other)?;
    let link = directory.join(drv.base_name());
    session
        .store
        .make_out_link(&link, &drv)
        .map_err(io::Error::other)
}

/// What `--select` makes of the whole.
fn selected(evaluator: &mut Evaluator, args: &EvalJobs, whole: Value) -> Result<Value, EvalError> {
    let Some(function) = &args.select else {
        return Ok(whole);
    };
    let directory = current_dir().map_err(|failure| as_eval_error(failure.into()))?;
    let function = evaluator.eval_expr(function, &directory)?;
    let chosen = evaluator.call(function, &[whole], Pos::NONE)?;
    evaluator.force(chosen, Pos::NONE)
}

/// A worker process.
fn work(common: &Common, args: &EvalJobs) -> Result<(), Failure> {
    let cannot = |what: &str, error: io::Error| Failure::text(format!("cannot {what}: {error}"));
    // Without a supervisor there is nobody to work for.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| cannot("watch the supervisor", error.into()))?;
    let mut common = common.clone();
    if args.impure {
        common
            .option
            .extend(["pure-eval".to_owned(), "false".to_owned()]);
    }
    let session = Arc::new(Session::open(&common, &[], false)?);
    let limit = args.max_memory_size.saturating_mul(1 << 20);
    memory::watch(limit.saturating_add(limit / 2))
        .map_err(|error| cannot("watch the memory", error))?;
    let options = Options {
        force_recurse: args.force_recurse,
        meta: args.meta,
        check_cache_status: args.check_cache_status,
        no_instantiate: args.no_instantiate,
        show_trace: session.settings.show_trace,
        max_memory: limit,
    };
    let (expression, attribute) = named(&session, args)?;
    let serve = |evaluator: &mut Evaluator, root: Root<'_>, given| {
        let apply = match &args.apply {
            Some(function) => Some(evaluator.eval_expr(function, &current_dir()?)?),
            None => None,
        };
        Worker::new(evaluator, root, given, apply, options.clone())
            .serve(io::stdin().lock(), io::stdout().lock())
            .map_err(|error| Problem::Other(cannot("talk to the supervisor", error)))
    };
    if let Expression::Flake(reference) = expression {
        let mut served = false;
        let mut serve_flake = |evaluator: &mut Evaluator, value| {
            served = true;
            let evaluate = Box::new(move |ev: &mut Evaluator| selected(ev, args, value));
            let root = Root {
                value: None,
                evaluate,
            };
            serve(evaluator, root, Vec::new())
        };
        let ended = if args.select.is_some() && attribute.is_empty() {
            flake_installable::with_flake(&session, &args.inputs, &reference, |ev, flake| {
                let text = "flake: { inherit (flake) inputs outputs; }";
                let whole = ev.eval_expr(text, Path::new("/"))?;
                let whole = ev.call(whole, &[flake], Pos::NONE)?;
                serve_flake(ev, whole)
            })
        } else {
            let output = flake_installable::Output {
                reference: *reference,
                // The attribute itself, not one of the places where packages are.
                name: format!(".{attribute}"),
            };
            let outputs = [output];
            flake_installable::with_outputs(&session, &args.inputs, &outputs, |ev, value, _| {
                serve_flake(ev, value)
            })
            .map(|_| ())
        };
        return match ended {
            // A flake that cannot be evaluated is an error of the root.
            Err(failure) if !served => {
                let error = format!("error: {}", failure.message).replacen(": \n", ":\n", 1);
                refuse(&error, io::stdin().lock(), io::stdout().lock())
                    .map_err(|error| cannot("talk to the supervisor", error))
            }
            ended => ended,
        };
    }
    with_evaluator(&session, &args.inputs, |evaluator| {
        // The other workers have the other processors.
        evaluator.settings.parse_ahead = false;
        // The root is evaluated when it is asked for, so that its errors are told in a line.
        let root = Root {
            value: None,
            evaluate: Box::new(move |evaluator| {
                let whole = evaluate(evaluator, &expression, &attribute, &args.inputs);
                selected(evaluator, args, whole.map_err(as_eval_error)?)
            }),
        };
        let given = arguments(evaluator, &args.inputs)?;
        serve(evaluator, root, given)
    })
}

fn as_eval_error(problem: Problem) -> EvalError {
    match problem {
        Problem::Eval(error) => error,
        Problem::Other(failure) => EvalError::new(Pos::NONE, failure.message),
    }
}

/// The expression, and the attribute whose attributes are wanted.
fn named(session: &Session, args: &EvalJobs) -> Result<(Expression, String), Failure> {
    let attribute = args.attribute.clone().unwrap_or_default();
    match (&args.expr, &args.what) {
        (None, Some(what)) if args.flake => {
            let (reference, path) = flake_installable::parse(what)?;
            let attribute = below(path, attribute);
            Ok((Expression::Flake(Box::new(reference)), attribute))
        }
        (Some(text), _) => Ok((Expression::Text(text.clone()), attribute)),
        (None, Some(what)) if what.contains('#') => {
            let (expression, path) = installable::expression(session, what)?;
            Ok((expression, below(path, attribute)))
        }
        (None, Some(what)) if what == "-" => Err(Failure::text(
            "standard input cannot be shared by several processes; name a file",
        )),
        (None, Some(what)) => Ok((expression_of(Path::new(what))?, attribute)),
        (None, None) => Err(Failure::text(
            "nothing to evaluate: give a FILE or --expr E",
        )),
    }
}

/// The path of `attribute` in what `path` leads to.
fn below(path: String, attribute: String) -> String {
    match (path.as_str(), attribute.as_str()) {
        ("", _) => attribute,
        (_, "") => path,
        _ => format!("{path}.{attribute}"),
    }
}
