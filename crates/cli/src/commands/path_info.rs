//! `xbuild path-info`

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use xbuild_store::PathInfo as Info;
use xbuild_store_model::{ContentAddressMethod, FileIngestionMethod, STORE_DIR, StorePath};

use crate::args::{Common, PathInfo};
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;

pub(crate) fn run(common: &Common, args: &PathInfo) -> Result<(), Failure> {
    let session = Arc::new(Session::open(common, &[], false)?);
    let paths: BTreeSet<StorePath> = if args.all {
        session.store.all_valid()?.into_iter().collect()
    } else {
        let mut names = args.paths.clone();
        if args.stdin {
            names.extend(installable::names_from_stdin()?);
        }
        let named = installable::valid_paths(&session, &names)?;
        match args.recursive {
            true => session.store.closure(&named)?.into_iter().collect(),
            false => named.into_iter().collect(),
        }
    };
    let paths = session.store.in_order(&paths)?;
    // What follows the paths stands below each other.
    let width = match args.size || args.closure_size || args.sigs {
        true => paths.iter().map(|path| path.to_string().len()).max(),
        false => None,
    };
    let width = width.unwrap_or(0);
    let mut json = Map::new();
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
            let (name, described) = match args.json_format.as_str() {
                "2" => (path.base_name().to_owned(), describe_2(&info, closure)),
                _ => (path.to_string(), describe(&info, closure)),
            };
            json.insert(name, described);
        } else {
            let mut line = format!("{:<width$}", path.to_string());
            for size in [args.size.then_some(info.nar_size), closure]
                .into_iter()
                .flatten()
            {
                line += &match args.human_readable {
                    true => format!("\t{}", with_unit(size)),
                    false => format!("\t{size:>11}"),
                };
            }
            if args.sigs {
                line += &format!("\t{}", signatures(&info));
            }
            output::line(line)?;
        }
    }
    if args.json {
        let json = match args.json_format.as_str() {
            "2" => json!({ "info": json, "storeDir": STORE_DIR, "version": 2 }),
            _ => Value::Object(json),
        };
        output::line(json.to_string())?;
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

/// A size as Nix writes it in a column: ten wide, never smaller than KiB.
fn with_unit(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let mut value = bytes as f64 / 1024.0;
    let mut units = "KMGTPE".chars();
    let mut unit = units.next();
    while value >= 1024.0 {
        value /= 1024.0;
        unit = units.next().or(unit);
    }
    format!("{value:>6.1} {}iB", unit.unwrap_or('E'))
}

/// Why to trust a path: who built it, what it is addressed by, who has signed it.
fn signatures(info: &Info) -> String {
    let ultimate = info.ultimate.then(|| "ultimate".to_owned());
    let address = info.ca.as_ref().map(|ca| format!("ca:{ca}"));
    let all: Vec<String> = ultimate
        .into_iter()
        .chain(address)
        .chain(info.sigs.iter().cloned())
        .collect();
    all.join(" ")
}

/// The form of `nix path-info --json --json-format 1`.
fn describe(info: &Info, closure_size: Option<u64>) -> Value {
    with_closure_size(
        closure_size,
        json!({
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
        }),
    )
}

/// The form of `nix path-info --json --json-format 2`.
fn describe_2(info: &Info, closure_size: Option<u64>) -> Value {
    let ca = info.ca.as_ref().map(|ca| {
        let method = match ca.method() {
            ContentAddressMethod::Text => "text",
            ContentAddressMethod::Fixed(FileIngestionMethod::Flat) => "flat",
            ContentAddressMethod::Fixed(FileIngestionMethod::NixArchive) => "nar",
        };
        json!({ "hash": ca.hash().to_sri(), "method": method })
    });
    with_closure_size(
        closure_size,
        json!({
            "ca": ca,
            "deriver": info.deriver.as_ref().map(StorePath::base_name),
            "narHash": info.nar_hash.to_sri(),
            "narSize": info.nar_size,
            "references": info.references.iter().map(StorePath::base_name).collect::<Vec<_>>(),
            "registrationTime": info.registration_time,
            "signatures": info.sigs,
            "storeDir": STORE_DIR,
            "ultimate": info.ultimate,
            "version": 2,
        }),
    )
}

fn with_closure_size(closure_size: Option<u64>, mut object: Value) -> Value {
    if let (Some(size), Some(object)) = (closure_size, object.as_object_mut()) {
        object.insert("closureSize".to_owned(), size.into());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_units_are_a_column() {
        assert_eq!(with_unit(0), "   0.0 KiB");
        assert_eq!(with_unit(160), "   0.2 KiB");
        assert_eq!(with_unit(1023 << 10), "1023.0 KiB");
        assert_eq!(with_unit(3_000_112), "   2.9 MiB");
        assert_eq!(with_unit(u64::MAX), "  16.0 EiB");
    }
}
