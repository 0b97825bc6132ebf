//! `xbuild path-info`

use std::collections::BTreeSet;
use std::sync::Arc;

use xbuild_store::PathInfo as Info;
use xbuild_store_model::{STORE_DIR, StorePath};

use crate::args::{Common, PathInfo};
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;

pub(crate) fn run(common: &Common, args: &PathInfo) -> Result<(), Failure> {
    let session = Arc::new(Session::open(common, &[], false)?);
    let named = installable::valid_paths(&session, &args.paths)?;
    let paths: BTreeSet<StorePath> = match args.recursive {
        true => session.store.closure(&named)?.into_iter().collect(),
        false => named.into_iter().collect(),
    };
    let paths = session.store.in_order(&paths)?;
    // Sizes stand below each other.
    let width = match args.size || args.closure_size {
        true => paths.iter().map(|path| path.to_string().len()).max(),
        false => None,
    };
    let width = width.unwrap_or(0);
    let mut json = serde_json::Map::new();
    for path in &paths {
        let info = session
            .store
            .query_path_info(path)?
            .ok_or_else(|| Failure::text(format!("path {path} is not valid")))?;
        let closure = if args.closure_size {
            Some(closure_size(&session, path)?)
        } else {
            None
        };
        if args.json {
            json.insert(path.to_string(), describe(&info, closure));
        } else {
            let mut line = format!("{:<width$}", path.to_string());
            for size in [args.size.then_some(info.nar_size), closure]
                .into_iter()
                .flatten()
            {
                line += &format!("\t{size:>11}");
            }
            output::line(line)?;
        }
    }
    if args.json {
        output::line(serde_json::Value::Object(json).to_string())?;
    }
    Ok(())
}

fn closure_size(session: &Session, path: &StorePath) -> Result<u64, Failure> {
    let mut size = 0;
    for path in session.store.closure(std::slice::from_ref(path))? {
        size += session
            .store
            .query_path_info(&path)?
            .map_or(0, |info| info.nar_size);
    }
    Ok(size)
}

/// The form of `nix path-info --json --json-format 1`.
fn describe(info: &Info, closure_size: Option<u64>) -> serde_json::Value {
    let mut object = serde_json::json!({
        "ca": info.ca.as_ref().map(ToString::to_string),
        "deriver": info.deriver.as_ref().map(ToString::to_string),
        "narHash": info.nar_hash.to_sri(),
        "narSize": info.nar_size,
        "references": info.references.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "registrationTime": info.registration_time,
        "signatures": info.sigs,
        "storeDir": STORE_DIR,
        "ultimate": info.ultimate,
        "version": 1,
    });
    if let (Some(size), Some(object)) = (closure_size, object.as_object_mut()) {
        object.insert("closureSize".to_owned(), size.into());
    }
    object
}
