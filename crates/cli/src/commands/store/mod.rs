//! `xbuild store`

mod closures;
mod contents;
mod garbage;
mod repair;
mod stream;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xbuild_realise::Error;
use xbuild_store_model::{ContentAddressMethod, HashAlgo};

use crate::args::{Common, StoreCommand};
use crate::failure::Failure;
use crate::output;
use crate::session::Session;
use xbuild_report::words::{count, size};

pub(crate) use repair::check_and_repair;

pub(crate) fn run(common: &Common, args: &StoreCommand) -> Result<(), Failure> {
    let session = match args {
        StoreCommand::Gc(_) | StoreCommand::Delete { .. } => Session::open_to_delete(common)?,
        StoreCommand::Verify { repair: true, .. } | StoreCommand::Repair { .. } => {
            Session::open(common, &[], true)?
        }
        _ => Session::open(common, &[], false)?,
    };
    let session = Arc::new(session);
    match args {
        StoreCommand::Gc(args) => garbage::collect(&session, args),
        StoreCommand::Delete {
            paths,
            ignore_liveness,
            recursive,
            stdin,
        } => garbage::delete(&session, paths, *ignore_liveness, *recursive, *stdin),
        StoreCommand::Roots { json } => garbage::print_roots(&session, *json),
        StoreCommand::Verify {
            check_contents,
            repair,
        } => repair::verify(&session, *check_contents, *repair),
        StoreCommand::Repair { paths } => repair::repair(&session, paths),
        StoreCommand::Add {
            paths,
            name,
            mode,
            hash_algo,
            dry_run,
        } => {
            let method = match mode.as_str() {
                "flat" => ContentAddressMethod::FLAT,
                "text" => ContentAddressMethod::Text,
                _ => ContentAddressMethod::NIX_ARCHIVE,
            };
            add(
                &session,
                paths,
                name.as_deref(),
                method,
                hash_algo,
                *dry_run,
            )
        }
        StoreCommand::Cat { path } => contents::cat(&session, path),
        StoreCommand::Ls(args) => contents::ls(&session, args),
        StoreCommand::Optimise { json } => optimise(&session, *json),
        StoreCommand::Du(args) => closures::du(&session, args),
        StoreCommand::DiffClosures {
            before,
            after,
            json,
        } => closures::diff(&session, before, after, *json),
        StoreCommand::WhyDepends(args) => closures::why_depends(&session, args),
        StoreCommand::Export { paths, recursive } => stream::export(&session, paths, *recursive),
        StoreCommand::Import => stream::import(&session),
        StoreCommand::Ping { json } => ping(&session, *json),
    }
}

fn add(
    session: &Session,
    paths: &[PathBuf],
    name: Option<&str>,
    method: ContentAddressMethod,
    algo: &str,
    dry_run: bool,
) -> Result<(), Failure> {
    let algo: HashAlgo = algo
        .parse()
        .map_err(|error| Failure::text(format!("--hash-algo: {error}")))?;
    if name.is_some() && paths.len() > 1 {
        return Err(Failure::text("--name is for one PATH, not for several"));
    }
    for path in paths {
        let own_name = || {
            let absolute = std::path::absolute(path).ok();
            absolute
                .as_deref()
                .and_then(Path::file_name)
                .and_then(|name| name.to_str())
                .map(str::to_owned)
        };
        let name = name.map(str::to_owned).or_else(own_name).ok_or_else(|| {
            Failure::text(format!(
                "{} has no name that a store path could have; give one with --name",
                path.display()
            ))
        })?;
        let added = if dry_run {
            xbuild_store::path_of(&name, path, method, algo)
        } else {
            session
                .store
                .add_path(&name, path, method, algo, None, None)
        };
        let added = added.map_err(Error::from)?;
        output::line(added.to_string())?;
    }
    Ok(())
}

fn optimise(session: &Session, json: bool) -> Result<(), Failure> {
    let report = session.store.optimise()?;
    let sharing = session.store.sharing()?;
    if json {
        let object = serde_json::json!({
            "bytesFreed": report.bytes_freed,
            "filesLinked": report.files_linked,
            "bytesSaved": sharing.bytes_saved,
        });
        return output::line(object.to_string());
    }
    let linked = usize::try_from(report.files_linked).unwrap_or(usize::MAX);
    output::note(format!(
        "{} freed by hard-linking {}; identical files save {} now",
        size(report.bytes_freed),
        count(linked, "file", "files"),
        size(sharing.bytes_saved)
    ));
    Ok(())
}

/// As `nix store ping`: what there is to say goes to stderr, but as JSON to stdout.
fn ping(session: &Session, json: bool) -> Result<(), Failure> {
    let url = format!("local://?root={}", session.store.root().display());
    let version = env!("CARGO_PKG_VERSION");
    // A store that can be opened answers. What is in it is its user's, who is trusted.
    session.store.free_space()?;
    if json {
        let object = serde_json::json!({ "trusted": true, "url": url, "version": version });
        return output::line(object.to_string());
    }
    output::note(format!("Store URL: {url}\nVersion: {version}\nTrusted: 1"));
    Ok(())
}
