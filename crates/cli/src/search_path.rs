//! Where `<…>` is looked up: `-I`, then `NIX_PATH` or the setting `nix-path`, then the channels of the user and of root.

use std::path::{Path, PathBuf};

use xbuild_eval::eval::is_pseudo_url;
use xbuild_eval::settings::SearchPathEntry;
use xbuild_realise::Settings;

/// The search path of this run, of which `include` are the `-I` options.
pub(crate) fn entries(settings: &Settings, include: &[String]) -> Vec<SearchPathEntry> {
    if settings.eval.pure {
        return Vec::new();
    }
    let configured = match std::env::var("NIX_PATH") {
        Ok(variable) => split(&variable),
        Err(_) => settings.eval.nix_path.clone(),
    };
    let channels = if settings.eval.restrict {
        Vec::new()
    } else {
        channels()
    };
    include
        .iter()
        .chain(&configured)
        .chain(&channels)
        .map(|entry| SearchPathEntry::parse(entry))
        .collect()
}

/// The entries of a `NIX_PATH`. They are separated by colons, and URLs among them have such, too.
fn split(variable: &str) -> Vec<String> {
    let mut entries = Vec::new();
    let mut rest = variable;
    while !rest.is_empty() {
        let mut end = rest.find(':').unwrap_or(rest.len());
        let value = rest[..end].rfind('=').map_or(0, |equals| equals + 1);
        if end < rest.len()
            && (is_pseudo_url(&rest[value..]) || rest[value..].starts_with("flake:"))
        {
            end = rest[end + 1..]
                .find(':')
                .map_or(rest.len(), |next| end + 1 + next);
        }
        if end > 0 {
            entries.push(rest[..end].to_owned());
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    entries
}

/// The channels that Nix's installer and `nix-channel` set up, as far as they are there.
fn channels() -> Vec<String> {
    let state = std::env::var_os("NIX_STATE_DIR")
        .map_or_else(|| PathBuf::from("/nix/var/nix"), PathBuf::from);
    let of_root = state.join("profiles/per-user/root/channels");
    let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(".nix-defexpr/channels"));
    let mut found = Vec::new();
    let mut add = |prefix: &str, path: &Path| {
        if path.exists() {
            found.push(format!("{prefix}{}", path.display()));
        }
    };
    if let Some(own) = own {
        add("", &own);
    }
    add("nixpkgs=", &of_root.join("nixpkgs"));
    add("", &of_root);
    found
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn urls_keep_their_colons() {
        assert_eq!(split("a=/b:/c"), ["a=/b", "/c"]);
        assert_eq!(
            split("nixpkgs=https://example.org/a.tar.gz:x=channel:nixos-25.05:/d"),
            [
                "nixpkgs=https://example.org/a.tar.gz",
                "x=channel:nixos-25.05",
                "/d"
            ]
        );
        assert_eq!(split("n=flake:nixpkgs:/e"), ["n=flake:nixpkgs", "/e"]);
        assert_eq!(split("::/a::"), ["/a"]);
        assert!(split("").is_empty());
    }
}
