//! `xbuild instantiate`

use std::path::PathBuf;
use std::sync::Arc;

use xbuild_realise::Wanted;

use crate::args::{Common, Instantiate};
use crate::failure::Failure;
use crate::installable::{self, Expression};
use crate::output;
use crate::session::Session;

pub(crate) fn run(common: &Common, args: &Instantiate) -> Result<(), Failure> {
    let session = Arc::new(Session::open(common, &[], false)?);
    let expressions: Vec<Expression> = match &args.expr {
        Some(text) => vec![Expression::Text(text.clone())],
        None if args.files.is_empty() => vec![Expression::File(PathBuf::from("default.nix"))],
        None => args.files.iter().cloned().map(Expression::File).collect(),
    };
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
        .collect();
    let derivations = installable::derivations(&session, &all, &args.inputs)?;
    for wanted in derivations.into_iter().flatten() {
        if let Wanted::Outputs(drv, outputs) = wanted {
            // As nix-instantiate: an output that is not the default one is named after the derivation.
            let other = outputs.iter().flatten().find(|output| *output != "out");
            output::line(
                other.map_or_else(|| drv.to_string(), |output| format!("{drv}!{output}")),
            )?;
        }
    }
    Ok(())
}
