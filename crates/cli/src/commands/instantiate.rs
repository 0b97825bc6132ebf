//! `xbuild instantiate`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xbuild_eval::derivation::INTERNAL_FILES;
use xbuild_realise::Wanted;

use crate::args::{Common, Instantiate};
use crate::commands::eval::{self, evaluate_to_print, expression_of, with_evaluator};
use crate::failure::Failure;
use crate::installable::{self, Expression};
use crate::output;
use crate::session::Session;
use crate::value_output::{self, Style};

pub(crate) fn run(common: &Common, args: &Instantiate) -> Result<(), Failure> {
    let mut common = args.mode.apply(common);
    // nix-instantiate evaluates so without looking into the store.
    common.trust_store_paths = args.eval && !args.mode.read_write_mode;
    let common = &common;
    if args.find_file {
        return find_file(common, args);
    }
    let expressions = expressions(args)?;
    if args.form.parse {
        return expressions
            .iter()
            .try_for_each(|expression| eval::parse(common, expression));
    }
    let session = Arc::new(Session::open(common, &[], false)?);
    let attributes = if args.attributes.is_empty() {
        vec![String::new()]
    } else {
        args.attributes.clone()
    };
    let all: Vec<(Expression, String)> = expressions
        .iter()
        .flat_map(|expression| {
            attributes
                .iter()
                .map(|attribute| (expression.clone(), attribute.clone()))
        })
        .map(|(expression, attribute)| match &expression {
            // An installable, as with the other commands.
            Expression::File(file) if !file.exists() => match file.to_str() {
                Some(name) if name.contains('#') && attribute.is_empty() => {
                    installable::expression(&session, name)
                }
                _ => Ok((expression, attribute)),
            },
            _ => Ok((expression, attribute)),
        })
        .collect::<Result<_, Failure>>()?;
    if args.eval {
        return print_values(&session, &all, args);
    }
    let write = !args.mode.read_only;
    let derivations = installable::derivations(&session, &all, &args.inputs, write)?;
    let mut roots = 0;
    for wanted in derivations.into_iter().flatten() {
        if let Wanted::Outputs(drv, outputs) = wanted {
            let shown = match &args.add_root {
                Some(name) => {
                    roots += 1;
                    let link = root_name(name, roots)?;
                    session.store.make_out_link(&link, &drv)?;
                    link.display().to_string()
                }
                None => drv.to_string(),
            };
            // As nix-instantiate: an output that is not the default one is named after the derivation.
            let other = outputs.iter().flatten().find(|output| *output != "out");
            output::line(
                other.map_or_else(|| shown.clone(), |output| format!("{shown}!{output}")),
            )?;
        }
    }
    Ok(())
}

/// The link of the `n`th root, absolute.
fn root_name(name: &Path, n: usize) -> Result<PathBuf, Failure> {
    let mut name = std::path::absolute(name)
        .map_err(|error| Failure::text(format!("cannot find {}: {error}", name.display())))?
        .into_os_string();
    if n > 1 {
        name.push(format!("-{n}"));
    }
    Ok(name.into())
}

fn expressions(args: &Instantiate) -> Result<Vec<Expression>, Failure> {
    if args.expr {
        return Ok(args.files.iter().cloned().map(Expression::Text).collect());
    }
    if args.files.is_empty() {
        return Ok(vec![Expression::File(PathBuf::from("default.nix"))]);
    }
    args.files
        .iter()
        .map(|file| expression_of(Path::new(file)))
        .collect()
}

/// `--eval`
fn print_values(
    session: &Arc<Session>,
    all: &[(Expression, String)],
    args: &Instantiate,
) -> Result<(), Failure> {
    with_evaluator(session, &args.inputs, |evaluator| {
        for (expression, attribute) in all {
            let value = evaluate_to_print(evaluator, expression, attribute, &args.inputs)?;
            let style = Style::Instantiate;
            // What follows may fail.
            let mut printed = Vec::new();
            value_output::print(evaluator, value, &args.form, style, false, &mut printed)?;
            output::bytes(&printed)?;
        }
        if args.mode.read_write_mode {
            evaluator.flush()?;
        }
        Ok(())
    })
}

/// `--find-file`
fn find_file(common: &Common, args: &Instantiate) -> Result<(), Failure> {
    let session = Arc::new(Session::open(common, &[], false)?);
    with_evaluator(&session, &args.inputs, |evaluator| {
        for name in &args.files {
            let path = eval::find_file(evaluator, name)?;
            if path.starts_with(INTERNAL_FILES) {
                return Err(Failure::text(format!("'<{name}>' has no physical path")).into());
            }
            output::line(path.display().to_string())?;
        }
        Ok(())
    })
}
