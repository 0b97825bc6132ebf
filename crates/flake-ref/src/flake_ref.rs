//! Flake references: an input, and the directory of the flake in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::attrs::{self, Attrs};
use crate::error::{RefError, Result};
use crate::input::Input;
use crate::names::{is_flake_id, is_rev, looks_like_ref};
use crate::url::{Authority, Url, decode_query_lenient, encode_only, percent_decode};

/// A flake: where it comes from, and its directory there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlakeRef {
    /// What is fetched.
    pub input: Input,
    /// The directory with `flake.nix`; empty for the top.
    pub subdir: String,
}

/// How a reference is read.
#[derive(Debug, Clone, Copy)]
pub struct ParseOptions<'a> {
    /// What relative paths are relative to. Without one, they are an error, and no file is looked at.
    pub base_dir: Option<&'a Path>,
    /// Whether a path needs no `flake.nix`: otherwise it is searched for upwards.
    pub allow_missing: bool,
    /// Whether it is of a flake; otherwise `https://…` may be a file.
    pub is_flake: bool,
    /// Whether relative paths stay what they are, without a base directory.
    pub keep_relative: bool,
}

impl Default for ParseOptions<'_> {
    fn default() -> Self {
        Self {
            base_dir: None,
            allow_missing: false,
            is_flake: true,
            keep_relative: false,
        }
    }
}

impl FlakeRef {
    /// Reads what users write: `nixpkgs/REF`, a URL, or a path. Gives the reference, and what stands behind `#`.
    /// `notice` gets lines for the user.
    ///
    /// # Errors
    /// If it is none of these, or the path is no flake.
    pub fn parse_with_fragment(
        text: &str,
        options: ParseOptions<'_>,
        notice: &mut dyn FnMut(String),
    ) -> Result<(Self, String)> {
        if let Some((url, fragment)) = flake_id(text) {
            let input = Input::from_url(&url, options.is_flake)?;
            let subdir = String::new();
            return Ok((Self { input, subdir }, percent_decode(fragment)?));
        }
        warn_of_query(text, notice);
        match Url::parse_lenient(text).and_then(|url| from_absolute_url(url, options)) {
            Err(RefError::BadUrl(_)) => from_path(text, options, notice),
            other => other,
        }
    }

    /// The same where there must be no fragment.
    ///
    /// # Errors
    /// As [`FlakeRef::parse_with_fragment`].
    pub fn parse(
        text: &str,
        options: ParseOptions<'_>,
        notice: &mut dyn FnMut(String),
    ) -> Result<Self> {
        let (flake_ref, fragment) = Self::parse_with_fragment(text, options, notice)?;
        if fragment.is_empty() {
            return Ok(flake_ref);
        }
        Err(RefError::invalid(format!(
            "unexpected fragment '{fragment}' in flake reference '{text}'"
        )))
    }

    /// By its attributes: those of the input, and `dir`.
    ///
    /// # Errors
    /// As [`Input::from_attrs`].
    pub fn from_attrs(mut attrs: Attrs) -> Result<Self> {
        let subdir = attrs::string(&attrs, "dir")?.unwrap_or_default().to_owned();
        attrs.remove("dir");
        Ok(Self {
            input: Input::from_attrs(attrs)?,
            subdir,
        })
    }

    /// The attributes of the input, and `dir`.
    #[must_use]
    pub fn to_attrs(&self) -> Attrs {
        let mut attrs = self.input.attrs.clone();
        if !self.subdir.is_empty() {
            attrs
                .entry("dir".to_owned())
                .or_insert_with(|| self.subdir.as_str().into());
        }
        attrs
    }

    /// As a URL.
    ///
    /// # Errors
    /// As [`Input::to_url`].
    pub fn to_url_text(&self) -> Result<String> {
        let mut query = BTreeMap::new();
        if !self.subdir.is_empty() {
            query.insert("dir".to_owned(), self.subdir.clone());
        }
        self.input.to_url_text(&query)
    }

    /// For messages.
    #[must_use]
    pub fn show(&self) -> String {
        self.to_url_text().unwrap_or_else(|_| self.input.show())
    }

    /// The same without what earlier versions of Nix wrote into lock files: `dir` in the `url`, too.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let mut canonical = self.clone();
        if let Some(text) = self.input.text("url")
            && let Ok(mut url) = Url::parse_lenient(text)
        {
            if !self.subdir.is_empty() && url.query.get("dir") == Some(&self.subdir) {
                url.query.remove("dir");
            }
            canonical.input.set("url", url.to_string());
        }
        canonical
    }
}

/// `ID`, `ID/REF`, `ID/REV` and `ID/REF/REV` with a fragment, as a URL.
fn flake_id(text: &str) -> Option<(Url, &str)> {
    let (name, fragment) = text.split_once('#').unwrap_or((text, ""));
    let fragment_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'\"()*+,;=:@/? ^".contains(&byte);
    if !fragment.bytes().all(fragment_byte) {
        return None;
    }
    let fits = match name.split_once('/') {
        None => is_flake_id(name),
        Some((id, rest)) => is_flake_id(id) && (is_rev(rest) || looks_like_ref(rest)),
    };
    let url = Url {
        scheme: "flake".to_owned(),
        path: name.split('/').map(str::to_owned).collect(),
        ..Url::default()
    };
    fits.then_some((url, fragment))
}

/// What has no `=` in the query of a URL is ignored, which is told.
fn warn_of_query(text: &str, notice: &mut dyn FnMut(String)) {
    let before_fragment = text.split('#').next().unwrap_or_default();
    let Some((_, query)) = before_fragment.split_once('?') else {
        return;
    };
    for part in query.split('&') {
        if !query.is_empty() && !part.contains('=') {
            notice(format!(
                "warning: dubious URI query '{}' is missing equal sign '=', ignoring",
                encode_only(part, " \"")
            ));
        }
    }
}

fn from_absolute_url(mut url: Url, options: ParseOptions<'_>) -> Result<(FlakeRef, String)> {
    if let Some(base) = options.base_dir
        && (url.scheme == "path" || url.scheme == "git+file")
    {
        let path = url.plain_path();
        if !path.starts_with('/') {
            let absolute = normal(&base.join(path));
            url.path = url_path(&absolute)?;
        }
    }
    from_url(url, options)
}

fn from_url(mut url: Url, options: ParseOptions<'_>) -> Result<(FlakeRef, String)> {
    let subdir = url.query.remove("dir").unwrap_or_default();
    let fragment = std::mem::take(&mut url.fragment);
    let input = Input::from_url(&url, options.is_flake)?;
    Ok((FlakeRef { input, subdir }, fragment))
}

fn url_path(path: &Path) -> Result<Vec<String>> {
    let text = path.to_str().ok_or_else(|| {
        RefError::invalid(format!(
            "the path '{}' is not UTF-8: a flake reference cannot name it",
            path.display()
        ))
    })?;
    let relative = text.trim_start_matches('/');
    let mut parts = Vec::new();
    if text.starts_with('/') {
        parts.push(String::new());
    }
    let names = relative.split('/').filter(|name| !name.is_empty());
    parts.extend(names.map(str::to_owned));
    // As stock Nix has it: an empty name at the end stands there twice.
    if relative.ends_with('/') {
        parts.push(String::new());
    }
    if text.is_empty() || text.ends_with('/') {
        parts.push(String::new());
    }
    Ok(parts)
}

/// Without `.`, `..` and doubled slashes; links are not looked at.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// As stock Nix shows paths in messages.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

fn from_path(
    text: &str,
    options: ParseOptions<'_>,
    notice: &mut dyn FnMut(String),
) -> Result<(FlakeRef, String)> {
    let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (path, query) = before.split_once('?').unwrap_or((before, ""));
    let mut query = decode_query_lenient(query)?;
    let fragment = percent_decode(fragment)?;
    let mut path = PathBuf::from(path);
    let Some(base) = options.base_dir else {
        if !options.keep_relative && !path.is_absolute() {
            return Err(RefError::bad_url(format!(
                "flake reference '{text}' is not an absolute path"
            )));
        }
        return from_url(path_url(&path, query, fragment)?, options);
    };
    let joined = normal(&base.join(&path));
    path = fs::canonicalize(&joined).unwrap_or(joined);
    if options.is_flake {
        path = flake_directory(&path, options.allow_missing, notice)?;
        let mut root = path.as_path();
        let mut subdir = String::new();
        loop {
            if root.join(".git").exists() {
                if !subdir.is_empty() {
                    if query.contains_key("dir") {
                        return Err(RefError::invalid(format!(
                            "flake URL '{text}' has an inconsistent 'dir' parameter"
                        )));
                    }
                    query.insert("dir".to_owned(), subdir);
                }
                if root.join(".git/shallow").exists() {
                    query.insert("shallow".to_owned(), "1".to_owned());
                }
                let url = Url {
                    scheme: "git+file".to_owned(),
                    authority: Some(Authority::default()),
                    path: url_path(root)?,
                    query,
                    fragment,
                };
                return from_url(url, options);
            }
            let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
                break;
            };
            let name = name.to_string_lossy();
            subdir = if subdir.is_empty() {
                name.into_owned()
            } else {
                format!("{name}/{subdir}")
            };
            root = parent;
        }
    }
    from_url(path_url(&path, query, fragment)?, options)
}

fn path_url(path: &Path, query: BTreeMap<String, String>, fragment: String) -> Result<Url> {
    Ok(Url {
        scheme: "path".to_owned(),
        authority: path.is_absolute().then(Authority::default),
        path: url_path(path)?,
        query,
        fragment,
    })
}

/// The directory of the flake that `path` is in.
fn flake_directory(
    path: &Path,
    allow_missing: bool,
    notice: &mut dyn FnMut(String),
) -> Result<PathBuf> {
    let status = |path: &Path| {
        fs::symlink_metadata(path).map_err(|error| {
            RefError::invalid(format!(
                "getting status of {}: {}",
                quoted(path),
                system_text(&error)
            ))
        })
    };
    let mut path = path.to_owned();
    if !status(&path)?.is_dir() {
        match path.parent() {
            Some(parent) if path.file_name().is_some_and(|name| name == "flake.nix") => {
                notice(format!(
                    "warning: Path {} should point at the directory containing the 'flake.nix' file, not the file itself. Pretending that you meant {}",
                    quoted(&path),
                    quoted(parent)
                ));
                path = parent.to_owned();
            }
            _ => {
                return Err(RefError::bad_url(format!(
                    "path {} is not a flake (because it's not a directory)",
                    quoted(&path)
                )));
            }
        }
    }
    if allow_missing || path.join("flake.nix").exists() {
        return Ok(path);
    }
    notice(format!(
        "path {} does not contain a 'flake.nix', searching up",
        quoted(&path)
    ));
    let device = status(&path)?.dev();
    let mut current = path.as_path();
    while let Some(parent) = current.parent() {
        if current.join("flake.nix").exists() {
            return Ok(current.to_owned());
        }
        if current.join(".git").exists() {
            return Err(RefError::invalid(format!(
                "path {} is not part of a flake (neither it nor its parent directories contain a 'flake.nix' file)",
                quoted(current)
            )));
        }
        if status(current)?.dev() != device {
            return Err(RefError::invalid(format!(
                "unable to find a flake before encountering filesystem boundary at {}",
                quoted(current)
            )));
        }
        current = parent;
    }
    Err(RefError::bad_url("could not find a flake.nix file"))
}

/// "No such file or directory", without the number.
fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FlakeRef> {
        let options = ParseOptions {
            allow_missing: true,
            ..ParseOptions::default()
        };
        FlakeRef::parse(text, options, &mut |_| {})
    }

    #[test]
    fn printed_as_read() {
        for text in [
            "flake:nixpkgs",
            "flake:nixpkgs/release/0123456789012345678901234567890123456789",
            "github:o/r/branch%2Fof%2Fslashes?dir=x&host=h",
            "git+https://h/x?dir=y&ref=z&submodules=1",
            "path:/a/b?lastModified=3",
            "https://h/x.tar.gz?narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D",
        ] {
            let read = parse(text).unwrap();
            assert_eq!(read.to_url_text().unwrap(), text);
            assert_eq!(FlakeRef::from_attrs(read.to_attrs()).unwrap(), read);
        }
    }

    #[test]
    fn directories() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let deep = top.join("flake/deep/er");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(top.join(".git")).unwrap();
        let read = |text: &str| {
            let mut notices = Vec::new();
            let options = ParseOptions {
                base_dir: Some(&deep),
                ..ParseOptions::default()
            };
            let read =
                FlakeRef::parse_with_fragment(text, options, &mut |notice| notices.push(notice));
            (read, notices)
        };
        let (none, _) = read(".#x");
        assert!(
            none.unwrap_err()
                .to_string()
                .contains("is not part of a flake")
        );
        fs::write(top.join("flake/flake.nix"), "{}").unwrap();
        let (found, notices) = read(".#x");
        let (found, fragment) = found.unwrap();
        let expected = format!("git+file://{}?dir=flake", top.display());
        assert_eq!(found.to_url_text().unwrap(), expected);
        assert_eq!((fragment.as_str(), notices.len()), ("x", 1));
        let (found, notices) = read("../..?bare word&shallow=1&=#x");
        let (_, fragment) = found.unwrap();
        assert_eq!(fragment, "x");
        assert_eq!(
            notices,
            ["warning: dubious URI query 'bare%20word' is missing equal sign '=', ignoring"]
        );
        let (found, notices) = read("../..");
        assert_eq!(found.unwrap().0.to_url_text().unwrap(), expected);
        assert!(notices.is_empty());
    }
}
