//! What the schemes of inputs accept, and how they are printed.

use crate::attrs::{self, AttrValue, Attrs, attrs_to_json};
use crate::error::{RefError, Result};
use crate::input::{FINAL, Input, Scheme};
use crate::names::{is_flake_id, is_legal_ref_name, is_rev, looks_like_ref};
use crate::url::{Authority, Url};

pub(crate) const PATH_ATTRS: &[&str] = &["path", "rev", "revCount", "lastModified", "narHash"];
pub(crate) const INDIRECT_ATTRS: &[&str] = &["id", "ref", "rev", "narHash"];
pub(crate) const CURL_ATTRS: &[&str] = &[
    "url",
    "narHash",
    "name",
    "unpack",
    "rev",
    "revCount",
    "lastModified",
];
pub(crate) const ARCHIVE_ATTRS: &[&str] = &[
    "owner",
    "repo",
    "ref",
    "rev",
    "narHash",
    "lastModified",
    "host",
    "treeHash",
];
pub(crate) const MERCURIAL_ATTRS: &[&str] = &["url", "ref", "rev", "revCount", "narHash", "name"];
pub(crate) const GIT_ATTRS: &[&str] = &[
    "url",
    "ref",
    "rev",
    "shallow",
    "submodules",
    "lfs",
    "exportIgnore",
    "lastModified",
    "revCount",
    "narHash",
    "allRefs",
    "name",
    "dirtyRev",
    "dirtyShortRev",
    "verifyCommit",
    "keytype",
    "publicKey",
    "publicKeys",
];

/// The endings of what is unpacked without being asked for.
const ARCHIVE_ENDINGS: &[&str] = &[
    ".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst",
];

// Directories.

pub(crate) fn path_from_url(url: &Url) -> Result<Option<Attrs>> {
    if url.scheme != "path" {
        return Ok(None);
    }
    if let Some(authority) = &url.authority
        && !authority.host.is_empty()
    {
        return Err(RefError::invalid(format!(
            "path URL '{url}' should not have an authority ('{authority}')"
        )));
    }
    let mut attrs = Attrs::new();
    attrs.insert("path".to_owned(), url.plain_path().into());
    for (name, value) in &url.query {
        let value = match name.as_str() {
            "rev" | "narHash" => value.as_str().into(),
            "revCount" | "lastModified" => AttrValue::Int(value.parse().map_err(|_| {
                RefError::invalid(format!("path URL '{url}' has invalid parameter '{name}'"))
            })?),
            _ => {
                return Err(RefError::invalid(format!(
                    "path URL '{url}' has unsupported parameter '{name}'"
                )));
            }
        };
        attrs.insert(name.clone(), value);
    }
    Ok(Some(attrs))
}

pub(crate) fn path_to_url(input: &Input) -> Result<Url> {
    let path = attrs::needed(&input.attrs, "path")?;
    let query = input
        .attrs
        .iter()
        .filter(|(name, _)| !["path", "type", FINAL].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.to_query()))
        .collect();
    Ok(Url {
        scheme: "path".to_owned(),
        path: path.split('/').map(str::to_owned).collect(),
        query,
        ..Url::default()
    })
}

// Names of registries.

pub(crate) fn indirect_from_url(url: &Url) -> Result<Option<Attrs>> {
    if url.scheme != "flake" {
        return Ok(None);
    }
    let path = url.segments();
    let mut attrs = Attrs::new();
    let not_a_rev = |text: &str| {
        RefError::bad_url(format!(
            "in flake URL '{url}', '{text}' is not a commit hash"
        ))
    };
    match path.as_slice() {
        [_] => {}
        [_, rev] if is_rev(rev) => {
            attrs.insert("rev".to_owned(), rev.to_lowercase().into());
        }
        [_, reference] if is_legal_ref_name(reference) => {
            attrs.insert("ref".to_owned(), reference.as_str().into());
        }
        [_, text] => {
            return Err(RefError::bad_url(format!(
                "in flake URL '{url}', '{text}' is not a commit hash or branch/tag name"
            )));
        }
        [_, reference, _] if !is_legal_ref_name(reference) => {
            return Err(RefError::bad_url(format!(
                "in flake URL '{url}', '{reference}' is not a branch/tag name"
            )));
        }
        [_, reference, rev] => {
            if !is_rev(rev) {
                return Err(not_a_rev(rev));
            }
            attrs.insert("ref".to_owned(), reference.as_str().into());
            attrs.insert("rev".to_owned(), rev.to_lowercase().into());
        }
        _ => {
            // The text is that of stock Nix.
            return Err(RefError::bad_url(format!("GitHub URL '{url}' is invalid")));
        }
    }
    attrs.insert("id".to_owned(), path[0].as_str().into());
    Ok(Some(attrs))
}

pub(crate) fn check_indirect(attrs: Attrs) -> Result<Attrs> {
    let id = attrs::needed(&attrs, "id")?;
    if !is_flake_id(id) {
        return Err(RefError::bad_url(format!("'{id}' is not a valid flake ID")));
    }
    Ok(attrs)
}

pub(crate) fn indirect_to_url(input: &Input) -> Result<Url> {
    let mut path = vec![attrs::needed(&input.attrs, "id")?.to_owned()];
    path.extend(input.text("ref").map(str::to_owned));
    path.extend(input.rev()?);
    Ok(Url {
        scheme: "flake".to_owned(),
        path,
        ..Url::default()
    })
}

// Files and archives from URLs.

pub(crate) fn curl_from_url(scheme: Scheme, url: &Url, need_tree: bool) -> Option<Attrs> {
    if !["file", "http", "https"].contains(&url.transport()) {
        return None;
    }
    let last = url.path.last().map(String::as_str).unwrap_or_default();
    let is_archive = ARCHIVE_ENDINGS.iter().any(|ending| last.ends_with(ending));
    let ours = match url.application() {
        Some(application) => application == scheme.name(),
        None => (need_tree || is_archive) == (scheme == Scheme::Tarball),
    };
    if !ours {
        return None;
    }
    let mut url = url.clone();
    url.scheme = url.transport().to_owned();
    let mut attrs = Attrs::new();
    for name in ["narHash", "rev"] {
        if let Some(value) = url.query.get(name) {
            attrs.insert(name.to_owned(), value.as_str().into());
        }
    }
    for name in ["revCount", "lastModified"] {
        if let Some(number) = url.query.get(name).and_then(|text| text.parse().ok()) {
            attrs.insert(name.to_owned(), AttrValue::Int(number));
        }
    }
    // What is for us is not sent to the server.
    url.query
        .retain(|name, _| !CURL_ATTRS.contains(&name.as_str()));
    attrs.insert("url".to_owned(), url.to_string().into());
    Some(attrs)
}

pub(crate) fn curl_to_url(input: &Input) -> Result<Url> {
    let mut url = Url::parse(attrs::needed(&input.attrs, "url")?)?;
    if let Some(hash) = input.nar_hash()? {
        url.query.insert("narHash".to_owned(), hash.to_sri());
    }
    Ok(url)
}

// Archives of forges.

pub(crate) fn archive_from_url(scheme: Scheme, url: &Url) -> Result<Option<Attrs>> {
    if url.scheme != scheme.name() {
        return Ok(None);
    }
    let path = url.segments();
    let [owner, repo, rest @ ..] = path.as_slice() else {
        return Err(RefError::bad_url(format!("URL '{url}' is invalid")));
    };
    let mut rev = None;
    let mut reference = None;
    match rest {
        [] => {}
        [one] if is_rev(one) => rev = Some(one.clone()),
        several => reference = Some(several.join("/")),
    }
    let mut attrs = Attrs::new();
    for (name, value) in &url.query {
        match name.as_str() {
            "rev" if rev.is_some() => {
                return Err(RefError::bad_url(format!(
                    "URL '{url}' contains multiple commit hashes"
                )));
            }
            "rev" => rev = Some(value.clone()),
            "ref" if reference.is_some() => {
                return Err(RefError::bad_url(format!(
                    "URL '{url}' contains multiple branch/tag names"
                )));
            }
            "ref" => reference = Some(value.clone()),
            "host" | "narHash" => {
                attrs.insert(name.clone(), value.as_str().into());
            }
            _ => {}
        }
    }
    attrs.insert("type".to_owned(), scheme.name().into());
    attrs.insert("owner".to_owned(), owner.as_str().into());
    attrs.insert("repo".to_owned(), repo.as_str().into());
    if let Some(rev) = rev {
        attrs.insert("rev".to_owned(), rev.into());
    }
    if let Some(reference) = reference {
        attrs.insert("ref".to_owned(), reference.into());
    }
    Ok(Some(attrs))
}

pub(crate) fn check_archive(attrs: Attrs) -> Result<Attrs> {
    attrs::needed(&attrs, "owner")?;
    attrs::needed(&attrs, "repo")?;
    let reference = attrs::string(&attrs, "ref")?;
    let rev = attrs::string(&attrs, "rev")?;
    let shown = attrs_to_json(&attrs);
    if let (Some(reference), Some(rev)) = (reference, rev) {
        return Err(RefError::bad_url(format!(
            "input {shown} contains both a commit hash ('{rev}') and a branch/tag name ('{reference}')"
        )));
    }
    if let Some(rev) = rev {
        let algo = Some(xbuild_store_model::HashAlgo::Sha1);
        xbuild_store_model::Hash::parse_any(rev, algo)
            .map_err(|error| RefError::invalid(error.to_string()))?;
    }
    if reference.is_some_and(|reference| !is_legal_ref_name(reference)) {
        return Err(RefError::bad_url(format!(
            "input {shown} contains an invalid branch/tag name"
        )));
    }
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if attrs::string(&attrs, "host")?.is_some_and(|host| !host.bytes().all(is_host)) {
        return Err(RefError::bad_url(format!(
            "input {shown} contains an invalid instance host"
        )));
    }
    Ok(attrs)
}

pub(crate) fn archive_to_url(scheme: Scheme, input: &Input) -> Result<Url> {
    let mut path = vec![
        attrs::needed(&input.attrs, "owner")?.to_owned(),
        attrs::needed(&input.attrs, "repo")?.to_owned(),
    ];
    path.extend(input.text("ref").map(str::to_owned));
    path.extend(input.rev()?);
    let mut url = Url {
        scheme: scheme.name().to_owned(),
        path,
        ..Url::default()
    };
    if let Some(hash) = input.nar_hash()? {
        url.query.insert("narHash".to_owned(), hash.to_sri());
    }
    if let Some(host) = input.text("host") {
        url.query.insert("host".to_owned(), host.to_owned());
    }
    Ok(url)
}

// Git.

pub(crate) fn git_from_url(url: &Url) -> Option<Attrs> {
    if url.scheme != "git" && url.application() != Some("git") {
        return None;
    }
    let mut rest = url.clone();
    rest.query.clear();
    let mut attrs = Attrs::new();
    for (name, value) in &url.query {
        match name.as_str() {
            "rev" | "ref" | "keytype" | "publicKey" | "publicKeys" => {
                attrs.insert(name.clone(), value.as_str().into());
            }
            "shallow" | "submodules" | "lfs" | "exportIgnore" | "allRefs" | "verifyCommit" => {
                attrs.insert(name.clone(), (value == "1").into());
            }
            _ => {
                rest.query.insert(name.clone(), value.clone());
            }
        }
    }
    attrs.insert("url".to_owned(), rest.to_string().into());
    Some(attrs)
}

pub(crate) fn check_git(mut attrs: Attrs) -> Result<Attrs> {
    for name in ["verifyCommit", "keytype", "publicKey", "publicKeys"] {
        if attrs.contains_key(name) {
            return Err(RefError::Feature("verified-fetches"));
        }
    }
    if let Some(reference) = attrs::string(&attrs, "ref")?
        && !is_legal_ref_name(reference)
    {
        return Err(RefError::bad_url(format!(
            "invalid Git branch/tag name '{reference}'"
        )));
    }
    let url = fix_git_url(attrs::needed(&attrs, "url")?)?;
    for name in ["shallow", "submodules", "allRefs"] {
        attrs::boolean(&attrs, name)?;
    }
    attrs.insert("url".to_owned(), url.to_string().into());
    Ok(attrs)
}

/// The URL that Git's own notations stand for: `git@host:path` is `ssh://git@host/path`, a path is `file://…`.
///
/// # Errors
/// If it is neither.
pub fn fix_git_url(text: &str) -> Result<Url> {
    let mut text = text.to_owned();
    if !text.starts_with('/')
        && let Some((host, path)) = text.rsplit_once(':')
        && let Some((user, _)) = host.rsplit_once('@')
        && !user.contains('/')
    {
        text = format!("ssh://{host}/{path}");
    }
    if !text.starts_with("file:") && !text.starts_with("git+file:") && !text.contains("://") {
        let path: Vec<String> = text.split('/').map(str::to_owned).collect();
        if path[0].contains(':') {
            return Err(RefError::bad_url(format!(
                "SCP-like URL '{text}' is not supported; use SSH URL syntax instead (ssh://...)"
            )));
        }
        return Ok(Url {
            scheme: "file".to_owned(),
            authority: text.starts_with('/').then(Authority::default),
            path,
            ..Url::default()
        });
    }
    let mut url = Url::parse(&text)?;
    if url.application() == Some("git") {
        url.scheme = url.transport().to_owned();
    }
    Ok(url)
}

pub(crate) fn git_to_url(input: &Input) -> Result<Url> {
    let mut url = Url::parse(attrs::needed(&input.attrs, "url")?)?;
    if url.scheme != "git" {
        url.scheme.insert_str(0, "git+");
    }
    let mut set = |name: &str, value: String| url.query.insert(name.to_owned(), value);
    if let Some(rev) = input.rev()? {
        set("rev", rev);
    }
    if let Some(reference) = input.text("ref") {
        set("ref", reference.to_owned());
    }
    for name in ["shallow", "lfs", "submodules", "exportIgnore"] {
        if input.flag(name) {
            set(name, "1".to_owned());
        }
    }
    Ok(url)
}

// Mercurial.

pub(crate) fn mercurial_from_url(url: &Url) -> Option<Attrs> {
    if url.application() != Some("hg")
        || !["http", "https", "ssh", "file"].contains(&url.transport())
    {
        return None;
    }
    let mut rest = url.clone();
    rest.scheme = url.transport().to_owned();
    let mut attrs = Attrs::new();
    for name in ["rev", "ref"] {
        if let Some(value) = rest.query.remove(name) {
            attrs.insert(name.to_owned(), value.into());
        }
    }
    attrs.insert("url".to_owned(), rest.to_string().into());
    Some(attrs)
}

pub(crate) fn check_mercurial(attrs: Attrs) -> Result<Attrs> {
    Url::parse(attrs::needed(&attrs, "url")?)?;
    if let Some(reference) = attrs::string(&attrs, "ref")?
        && !looks_like_ref(reference)
    {
        return Err(RefError::bad_url(format!(
            "invalid Mercurial branch/tag name '{reference}'"
        )));
    }
    Ok(attrs)
}

pub(crate) fn mercurial_to_url(input: &Input) -> Result<Url> {
    let mut url = Url::parse(attrs::needed(&input.attrs, "url")?)?;
    url.scheme.insert_str(0, "hg+");
    if let Some(rev) = input.rev()? {
        url.query.insert("rev".to_owned(), rev);
    }
    if let Some(reference) = input.text("ref") {
        url.query.insert("ref".to_owned(), reference.to_owned());
    }
    Ok(url)
}
