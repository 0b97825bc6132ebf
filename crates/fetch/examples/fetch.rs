//! Downloads a file and says its hash, or merges packages: `fetch URL DEST`, `fetch --debs DEST DEB…`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use xbuild_fetch::{FetchOptions, Fetcher, deb};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--debs", dest, ref debs @ ..] => {
            let debs: Vec<PathBuf> = debs.iter().map(PathBuf::from).collect();
            deb::unpack(&debs, Path::new(dest)).map_err(|error| error.to_string())
        }
        [url, dest] => {
            let fetcher = Fetcher::new(FetchOptions::default());
            let fetched = fetcher.fetch(
                url,
                Path::new(dest),
                None,
                &mut |_| {},
                &AtomicBool::new(false),
            );
            fetched
                .map(|fetched| println!("{} {}", fetched.hash.to_sri(), fetched.size))
                .map_err(|error| error.to_string())
        }
        _ => Err("usage: fetch URL DEST | fetch --debs DEST DEB…".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
