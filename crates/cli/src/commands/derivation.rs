//! `xbuild derivation show`

use std::sync::Arc;

use xbuild_realise::Wanted;
use xbuild_realise::plan::read_derivation;

use crate::args::{Common, Derivation};
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;

/// The version of the JSON form that stock Nix 2.34 prints.
const JSON_VERSION: u32 = 4;

pub(crate) fn run(common: &Common, args: &Derivation) -> Result<(), Failure> {
    let Derivation::Show {
        recursive,
        installables,
        source,
    } = args;
    let overrides: &[_] = if source.impure {
        &[("pure-eval", "false".to_owned())]
    } else {
        &[]
    };
    let session = Arc::new(Session::open(common, overrides, false)?);
    let mut paths = Vec::new();
    let installables = installable::or_here(installables, source);
    for wanted in installable::resolve(&session, &installables, source)? {
        paths.push(match wanted {
            Wanted::Outputs(drv, _) => drv,
            Wanted::Path(path) => {
                let info = session.store.query_path_info(&path)?;
                info.and_then(|info| info.deriver).ok_or_else(|| {
                    Failure::text(format!(
                        "{path} is not a derivation, and the store does not know what made it"
                    ))
                })?
            }
        });
    }
    let mut shown = serde_json::Map::new();
    while let Some(path) = paths.pop() {
        if shown.contains_key(path.base_name()) {
            continue;
        }
        let derivation = read_derivation(&session.store, &path)?;
        let json = derivation
            .to_json()
            .map_err(|error| Failure::text(format!("{path}: {error}")))?;
        if *recursive {
            paths.extend(derivation.input_drvs.keys().cloned());
        }
        shown.insert(path.base_name().to_owned(), json);
    }
    output::line(serde_json::json!({ "derivations": shown, "version": JSON_VERSION }).to_string())
}
