//! What the user names: `DIR#attr.path`, a store path, a `.drv`, or a file with attributes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xbuild_eval::Pos;
use xbuild_flake_ref::FlakeRef;
use xbuild_realise::Wanted;
use xbuild_realise::plan::read_derivation;
use xbuild_store_model::StorePath;

use crate::args::{Inputs, Source};
use crate::commands::eval::{arguments, evaluate, with_evaluator};
use crate::failure::Failure;
use crate::flake_installable::{self, Output};
use crate::session::Session;

/// Where an expression is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// A file, or a directory with a `default.nix`.
    File(PathBuf),
    /// A text, given on the command line.
    Text(String),
    /// What came from the standard input.
    Input(Vec<u8>),
    /// A flake.
    Flake(Box<FlakeRef>),
}

/// An argument, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Installable {
    /// Nothing is evaluated.
    Direct(Wanted),
    /// An attribute of an expression; "" is the expression itself.
    Attribute(Expression, String, Chosen),
}

/// The outputs that are asked for behind `^`: these, or all (`*`). Without `^`, those that the expression chooses.
type Chosen = Option<Option<BTreeSet<String>>>;

/// Finds out what the arguments mean, evaluating what must be.
pub(crate) fn resolve(
    session: &Arc<Session>,
    names: &[String],
    source: &Source,
) -> Result<Vec<Wanted>, Failure> {
    let mut installables = Vec::new();
    for name in names {
        installables.push(parse(session, name, source)?);
    }
    let given = match (given(source), names, source.attributes.as_slice()) {
        (Some(expression), _, _) => Some(expression),
        // As `nix-build -A ATTR`.
        (None, [], [_, ..]) => Some(Expression::File(PathBuf::from("."))),
        _ => None,
    };
    if let Some(expression) = given {
        if source.attributes.is_empty() && names.is_empty() {
            installables.push(Installable::Attribute(
                expression.clone(),
                String::new(),
                None,
            ));
        }
        for attribute in &source.attributes {
            installables.push(Installable::Attribute(
                expression.clone(),
                attribute.clone(),
                None,
            ));
        }
    } else if !source.attributes.is_empty() {
        return Err(Failure::text(
            "-A ATTR takes an attribute of a file; name it with -f FILE (or write DIR#ATTR), or give one with -E",
        ));
    }
    let attributes: Vec<(Expression, String)> = installables
        .iter()
        .filter_map(|installable| match installable {
            Installable::Direct(_) => None,
            Installable::Attribute(expression, attribute, _) => {
                Some((expression.clone(), attribute.clone()))
            }
        })
        .collect();
    let found = if attributes.is_empty() {
        Vec::new()
    } else {
        derivations(session, &attributes, &source.inputs, true)?
    };
    // In the order in which they were asked for.
    let mut found = found.into_iter();
    let mut wanted = Vec::new();
    for installable in installables {
        match installable {
            Installable::Direct(direct) => wanted.push(direct),
            Installable::Attribute(_, _, chosen) => {
                let of_one = found.next().unwrap_or_default();
                wanted.extend(of_one.into_iter().map(|one| match (one, &chosen) {
                    (Wanted::Outputs(drv, _), Some(outputs)) => {
                        Wanted::Outputs(drv, outputs.clone())
                    }
                    (one, _) => one,
                }));
            }
        }
    }
    Ok(wanted)
}

/// The derivations that attributes of expressions evaluate to, those of each by themselves. They are written if `write`.
pub(crate) fn derivations(
    session: &Arc<Session>,
    attributes: &[(Expression, String)],
    inputs: &Inputs,
    write: bool,
) -> Result<Vec<Vec<Wanted>>, Failure> {
    let mut outputs = Vec::new();
    let mut others = Vec::new();
    for (index, (expression, attribute)) in attributes.iter().enumerate() {
        match expression {
            Expression::Flake(reference) => outputs.push((
                index,
                Output {
                    reference: (**reference).clone(),
                    name: attribute.clone(),
                },
            )),
            _ => others.push((index, expression, attribute)),
        }
    }
    // Flakes are evaluated under other rules.
    let mut found: Vec<Vec<Wanted>> = vec![Vec::new(); attributes.len()];
    if !outputs.is_empty() {
        let (places, outputs): (Vec<_>, Vec<_>) = outputs.into_iter().unzip();
        let wanted = flake_installable::wanted(session, inputs, &outputs, write)?;
        for (index, wanted) in places.into_iter().zip(wanted) {
            found[index] = vec![wanted];
        }
        if others.is_empty() {
            return Ok(found);
        }
    }
    let wanted = with_evaluator(session, inputs, |evaluator| {
        let mut wanted = Vec::new();
        for (_, expression, attribute) in &others {
            let value = evaluate(evaluator, expression, attribute, inputs)?;
            let arguments = arguments(evaluator, inputs)?;
            let found =
                evaluator.derivations(value, &arguments).map_err(|error| {
                    match attribute.as_str() {
                        "" => error,
                        name => error.context_always(
                            Pos::NONE,
                            format!("while looking for derivations in the attribute '{name}'"),
                        ),
                    }
                })?;
            let outputs = found.into_iter().map(|found| {
                Wanted::Outputs(found.drv_path, Some(found.outputs.into_iter().collect()))
            });
            wanted.push(outputs.collect());
        }
        if write {
            evaluator.flush()?;
        }
        Ok(wanted)
    })?;
    for ((index, _, _), wanted) in others.into_iter().zip(wanted) {
        found[index] = wanted;
    }
    Ok(found)
}

/// The expression and the attribute that an installable names, for a command that wants its value: whichever of its outputs are
/// chosen.
pub(crate) fn expression(session: &Session, name: &str) -> Result<(Expression, String), Failure> {
    match parse(session, name, &Source::default())? {
        Installable::Attribute(expression, attribute, _) => Ok((expression, attribute)),
        Installable::Direct(_) => Err(Failure::text(format!(
            "`{name}` is a store path: it has no value"
        ))),
    }
}

/// What is named; where nothing is, that is the current directory.
pub(crate) fn or_here(names: &[String], source: &Source) -> Vec<String> {
    if names.is_empty() && given(source).is_none() && source.attributes.is_empty() {
        return vec![".".to_owned()];
    }
    names.to_owned()
}

/// The expression that options give, from which the arguments then choose.
fn given(source: &Source) -> Option<Expression> {
    match (&source.file, &source.expr) {
        (Some(file), _) => Some(Expression::File(file.clone())),
        (None, Some(text)) => Some(Expression::Text(text.clone())),
        (None, None) => None,
    }
}

/// Whether an output could be called so.
fn is_output_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

/// Understands one argument.
fn parse(session: &Session, name: &str, source: &Source) -> Result<Installable, Failure> {
    // `….drv!OUTPUT` is what `instantiate` prints, as stock Nix does.
    let chosen = name.split_once('^').or_else(|| {
        name.split_once('!')
            .filter(|(place, _)| place.ends_with(".drv"))
    });
    let (place, outputs) = match chosen {
        Some((place, "*")) => (place, Some(None)),
        Some((place, names)) => {
            let names: BTreeSet<String> = names.split(',').map(str::to_owned).collect();
            if !names.iter().all(|name| is_output_name(name)) {
                return Err(Failure::text(format!(
                    "invalid extended outputs specifier '{name}'"
                )));
            }
            (place, Some(Some(names)))
        }
        None => (name, None),
    };
    if let Some(expression) = given(source) {
        // As in `nix build -f FILE ATTR`.
        return Ok(Installable::Attribute(
            expression,
            place.to_owned(),
            outputs,
        ));
    }
    if !place.contains('#')
        && let Some(path) = store_path(session, Path::new(place))
    {
        return Ok(Installable::Direct(match (path.is_derivation(), outputs) {
            (true, outputs) => Wanted::Outputs(path, outputs.flatten()),
            (false, None) => Wanted::Path(path),
            (false, Some(_)) => {
                return Err(Failure::text(format!(
                    "{place} is not a derivation: it has no outputs to choose from"
                )));
            }
        }));
    }
    if name.is_empty() {
        return Err(Failure::text(
            "an installable is empty; the expression in this directory is written `.`",
        ));
    }
    if let Some((reference, attribute)) = flake_installable::named(session, place)? {
        let expression = Expression::Flake(Box::new(reference));
        return Ok(Installable::Attribute(expression, attribute, outputs));
    }
    let (directory, attribute) = place.split_once('#').unwrap_or((place, ""));
    let directory = if directory.is_empty() { "." } else { directory };
    let path = PathBuf::from(directory);
    if let Ok((within, rest)) = StorePath::parse_prefix(directory) {
        return Err(Failure::text(format!(
            "`{name}` is not a store path, but `{rest}` in one\nhint: name the store path itself: {within}"
        )));
    }
    if !path.exists() {
        return Err(Failure::text(format!(
            "`{name}`: there is no {directory}\nhint: an installable is DIR#attr.path, a store path, or a .drv; an \
             attribute of this directory is written .#{name}"
        )));
    }
    if path.is_dir() && !path.join("default.nix").is_file() {
        let directory = match directory {
            "." => "the current directory",
            other => other,
        };
        return Err(Failure::text(format!(
            "`{name}`: {directory} has neither a default.nix nor a flake.nix"
        )));
    }
    Ok(Installable::Attribute(
        Expression::File(path),
        attribute.to_owned(),
        outputs,
    ))
}

/// The store path that `path` is, or leads to through links (such as `result`).
pub(crate) fn store_path(session: &Session, path: &Path) -> Option<StorePath> {
    let (found, rest) = in_store(session, path)?;
    rest.as_os_str().is_empty().then_some(found)
}

/// The store path that `path` is or is in, also through links, and the rest of it.
pub(crate) fn in_store(session: &Session, path: &Path) -> Option<(StorePath, PathBuf)> {
    let mut path = std::path::absolute(path).ok()?;
    for _ in 0..40 {
        if let Some((found, rest)) = session.store.logical(&path) {
            return Some((found, rest.to_owned()));
        }
        let canonical_parent = path
            .parent()
            .and_then(|parent| parent.canonicalize().ok())?;
        let in_parent = canonical_parent.join(path.file_name()?);
        if let Some((found, rest)) = session.store.logical(&in_parent) {
            return Some((found, rest.to_owned()));
        }
        path = canonical_parent.join(fs::read_link(&in_parent).ok()?);
    }
    None
}

/// The store path that an argument names, valid or not.
pub(crate) fn existing(session: &Session, name: &str) -> Result<StorePath, Failure> {
    store_path(session, Path::new(name)).ok_or_else(|| {
        Failure::text(format!(
            "`{name}` is not a store path, and no link to one in {}",
            session.store.root().display()
        ))
    })
}

/// The arguments that stand on the standard input, one a line or a word.
pub(crate) fn names_from_stdin() -> Result<Vec<String>, Failure> {
    let text = std::io::read_to_string(std::io::stdin())
        .map_err(|error| Failure::text(format!("cannot read standard input: {error}")))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// The valid paths that arguments mean: store paths as they are, files in them by the path they are in, installables by their
/// outputs.
pub(crate) fn valid_paths(
    session: &Arc<Session>,
    names: &[String],
) -> Result<Vec<StorePath>, Failure> {
    let named = named_paths(session, names)?;
    all_valid(session, named)
}

/// The valid outputs that arguments mean: as [`valid_paths`], but a derivation stands for its outputs.
pub(crate) fn valid_outputs(
    session: &Arc<Session>,
    names: &[String],
) -> Result<Vec<StorePath>, Failure> {
    let mut outputs = Vec::new();
    for path in named_paths(session, names)? {
        if path.is_derivation() {
            let derivation = read_derivation(&session.store, &path)?;
            outputs.extend(
                session
                    .output_paths()
                    .require(&path, &derivation, None)?
                    .into_values(),
            );
        } else {
            outputs.push(path);
        }
    }
    all_valid(session, outputs)
}

fn all_valid(session: &Session, paths: Vec<StorePath>) -> Result<Vec<StorePath>, Failure> {
    for path in &paths {
        if !session.store.is_valid(path)? {
            return Err(Failure::text(format!(
                "path {path} is not valid: it is not in the store; `xbuild realise` makes it"
            )));
        }
    }
    Ok(paths)
}

fn named_paths(session: &Arc<Session>, names: &[String]) -> Result<Vec<StorePath>, Failure> {
    let source = Source::default();
    let mut paths = Vec::new();
    for name in names {
        if !name.contains('#')
            && let Some((path, _)) = in_store(session, Path::new(name))
        {
            paths.push(path);
            continue;
        }
        let before = paths.len();
        for wanted in resolve(session, std::slice::from_ref(name), &source)? {
            match wanted {
                Wanted::Path(path) => paths.push(path),
                Wanted::Outputs(drv, outputs) => {
                    let derivation = read_derivation(&session.store, &drv)?;
                    let outputs =
                        session
                            .output_paths()
                            .require(&drv, &derivation, outputs.as_ref())?;
                    paths.extend(outputs.into_values());
                }
            }
        }
        if paths.len() == before {
            return Err(Failure::text(format!(
                "`{name}` evaluates to no derivation: there is nothing to look at"
            )));
        }
    }
    Ok(paths)
}
