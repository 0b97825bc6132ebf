//! `xbuild log`

use std::fs;
use std::sync::Arc;

use xbuild_realise::Wanted;
use xbuild_realise::plan::read_derivation;

use crate::args::{Common, Log, Source};
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;

pub(crate) fn run(common: &Common, args: &Log) -> Result<(), Failure> {
    let session = Arc::new(Session::open(common, &[], false)?);
    let mut derivations = Vec::new();
    for wanted in installable::resolve(
        &session,
        std::slice::from_ref(&args.path),
        &Source::default(),
    )? {
        match wanted {
            Wanted::Outputs(drv, outputs) => {
                // What was built may be the derivation that this one resolves to.
                let derivation = read_derivation(&session.store, &drv)?;
                let made = session
                    .output_paths()
                    .get(&drv, &derivation, outputs.as_ref())?;
                derivations.push(drv);
                for path in made.into_values().flatten() {
                    let info = session.store.query_path_info(&path)?;
                    derivations.extend(info.and_then(|info| info.deriver));
                }
            }
            Wanted::Path(path) => {
                derivations.extend(
                    session
                        .store
                        .query_path_info(&path)?
                        .and_then(|info| info.deriver),
                );
                derivations.extend(session.store.derivers(&path)?);
            }
        }
    }
    for drv in &derivations {
        match fs::read(session.store.log_path(drv)) {
            Ok(log) => return output::bytes(&log),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Failure::text(format!(
                    "cannot read the log of {drv}: {error}"
                )));
            }
        }
    }
    Err(Failure::text(format!(
        "there is no log of `{}`: it was not built in this store ({}), or it printed nothing",
        args.path,
        session.store.root().display()
    )))
}
