//! Something that can be fetched.

use std::collections::BTreeMap;

use xbuild_store_model::{Hash, HashAlgo};

use crate::attrs::{self, AttrValue, Attrs, attrs_to_json};
use crate::error::{RefError, Result};
use crate::schemes;
use crate::url::Url;

/// The attribute of an input whose other attributes are all there are: of a lock file. It is not for users.
pub const FINAL: &str = "__final";

/// How an input is fetched: its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// A file, as it is, from a URL.
    File,
    /// A tree of a Git repository.
    Git,
    /// An archive that github.com, or GitHub elsewhere, makes of a commit.
    Github,
    /// The same of gitlab.com, or GitLab elsewhere.
    Gitlab,
    /// A tree of a Mercurial repository.
    Mercurial,
    /// A name that a registry knows.
    Indirect,
    /// A directory.
    Path,
    /// An archive that SourceHut makes of a commit.
    Sourcehut,
    /// An archive from a URL, unpacked.
    Tarball,
}

impl Scheme {
    /// All of them, in the order of their names: that in which they are tried for a URL.
    const ALL: [Self; 9] = [
        Self::File,
        Self::Git,
        Self::Github,
        Self::Gitlab,
        Self::Mercurial,
        Self::Indirect,
        Self::Path,
        Self::Sourcehut,
        Self::Tarball,
    ];

    /// The `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Git => "git",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Mercurial => "hg",
            Self::Indirect => "indirect",
            Self::Path => "path",
            Self::Sourcehut => "sourcehut",
            Self::Tarball => "tarball",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }

    /// The experimental feature that it belongs to.
    fn needs_flakes(self) -> bool {
        matches!(
            self,
            Self::Github | Self::Gitlab | Self::Sourcehut | Self::Indirect | Self::Path
        )
    }

    fn allowed(self) -> &'static [&'static str] {
        match self {
            Self::File | Self::Tarball => schemes::CURL_ATTRS,
            Self::Git => schemes::GIT_ATTRS,
            Self::Github | Self::Gitlab | Self::Sourcehut => schemes::ARCHIVE_ATTRS,
            Self::Mercurial => schemes::MERCURIAL_ATTRS,
            Self::Indirect => schemes::INDIRECT_ATTRS,
            Self::Path => schemes::PATH_ATTRS,
        }
    }
}

/// Something that can be fetched: a scheme and its attributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Input {
    scheme: Option<Scheme>,
    /// The attributes. Whoever changes them keeps to those of the scheme.
    pub attrs: Attrs,
}

impl Input {
    /// An input by its attributes; `type` names the scheme. One of an unknown scheme can be kept and printed, not fetched.
    ///
    /// # Errors
    /// If an attribute is missing, unknown, of the wrong type or malformed.
    pub fn from_attrs(attrs: Attrs) -> Result<Self> {
        let Some(kind) = attrs::string(&attrs, "type")? else {
            return Err(RefError::invalid(
                "'type' attribute to specify input scheme is required but not provided",
            ));
        };
        let Some(scheme) = Scheme::from_name(kind) else {
            let input = Self {
                scheme: None,
                attrs,
            };
            input.check_common()?;
            return Ok(input);
        };
        for name in attrs.keys() {
            if name != "type" && name != FINAL && !scheme.allowed().contains(&name.as_str()) {
                return Err(RefError::invalid(format!(
                    "input attribute '{name}' not supported by scheme '{}'",
                    scheme.name()
                )));
            }
        }
        let attrs = match scheme {
            Scheme::File | Scheme::Tarball => attrs,
            Scheme::Git => schemes::check_git(attrs)?,
            Scheme::Github | Scheme::Gitlab | Scheme::Sourcehut => schemes::check_archive(attrs)?,
            Scheme::Mercurial => schemes::check_mercurial(attrs)?,
            Scheme::Indirect => schemes::check_indirect(attrs)?,
            Scheme::Path => {
                attrs::needed(&attrs, "path")?;
                attrs
            }
        };
        let input = Self {
            scheme: Some(scheme),
            attrs,
        };
        input.check_common()?;
        Ok(input)
    }

    /// An input by its URL. Without `need_tree`, `https://…` without the ending of an archive is a file.
    ///
    /// # Errors
    /// If no scheme takes it, or the one that does cannot use it.
    pub fn from_url(url: &Url, need_tree: bool) -> Result<Self> {
        for scheme in Scheme::ALL {
            let attrs = match scheme {
                Scheme::File | Scheme::Tarball => schemes::curl_from_url(scheme, url, need_tree),
                Scheme::Git => schemes::git_from_url(url),
                Scheme::Github | Scheme::Gitlab | Scheme::Sourcehut => {
                    schemes::archive_from_url(scheme, url)?
                }
                Scheme::Mercurial => schemes::mercurial_from_url(url),
                Scheme::Indirect => schemes::indirect_from_url(url)?,
                Scheme::Path => schemes::path_from_url(url)?,
            };
            if let Some(mut attrs) = attrs {
                attrs.insert("type".to_owned(), scheme.name().into());
                return Self::from_attrs(attrs);
            }
        }
        if url.scheme == "file+git" {
            return Err(RefError::invalid(format!(
                "input '{url}' is unsupported; did you mean 'git+file' instead of 'file+git'?"
            )));
        }
        Err(RefError::invalid(format!("input '{url}' is unsupported")))
    }

    /// Says no if the scheme belongs to an experimental feature and `flakes` is off.
    ///
    /// # Errors
    /// [`RefError::Feature`].
    pub fn require_features(&self, flakes: bool) -> Result<()> {
        match self.scheme {
            Some(scheme) if scheme.needs_flakes() && !flakes => Err(RefError::Feature("flakes")),
            _ => Ok(()),
        }
    }

    fn check_common(&self) -> Result<()> {
        attrs::string(&self.attrs, "ref")?;
        attrs::int(&self.attrs, "revCount")?;
        attrs::int(&self.attrs, "lastModified")?;
        Ok(())
    }

    /// How it is fetched; `None` if the `type` is not known.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// A string attribute.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attrs.get(name) {
            Some(AttrValue::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// A number.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<u64> {
        match self.attrs.get(name) {
            Some(AttrValue::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// A truth value; what is not there is false.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.attrs.get(name) == Some(&AttrValue::Bool(true))
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: impl Into<AttrValue>) {
        self.attrs.insert(name.to_owned(), value.into());
    }

    /// `type`
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("type").unwrap_or_default()
    }

    /// The name of its store path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("name").unwrap_or("source")
    }

    /// The commit, in hexadecimal.
    ///
    /// # Errors
    /// If it is no hash.
    pub fn rev(&self) -> Result<Option<String>> {
        let Some(text) = attrs::string(&self.attrs, "rev")? else {
            return Ok(None);
        };
        let hash = Hash::parse_any(text, None)
            .or_else(|_| Hash::parse_any(text, Some(HashAlgo::Sha1)))
            .map_err(|error| RefError::invalid(error.to_string()))?;
        Ok(Some(hash.to_base16()))
    }

    /// `narHash`. An empty one is a hash that nothing has.
    ///
    /// # Errors
    /// If it is no SHA-256 hash in SRI form.
    pub fn nar_hash(&self) -> Result<Option<Hash>> {
        let Some(text) = attrs::string(&self.attrs, "narHash")? else {
            return Ok(None);
        };
        if text.is_empty() {
            return Ok(Some(Hash::zero(HashAlgo::Sha256)));
        }
        let hash = Hash::parse_sri(text).map_err(|error| RefError::invalid(error.to_string()))?;
        if hash.algo() != HashAlgo::Sha256 {
            return Err(RefError::invalid("narHash must use SHA-256"));
        }
        Ok(Some(hash))
    }

    /// Whether it stands for something by itself; otherwise a registry must be asked.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.scheme != Some(Scheme::Indirect)
    }

    /// Whether it always means the same: it has a commit, or a hash.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let has = |name| self.attrs.contains_key(name);
        match self.scheme {
            Some(Scheme::Path | Scheme::File | Scheme::Tarball) => has("narHash"),
            Some(Scheme::Git | Scheme::Mercurial) => self
                .rev()
                .is_ok_and(|rev| rev.is_some_and(|rev| rev.bytes().any(|digit| digit != b'0'))),
            Some(Scheme::Github | Scheme::Gitlab | Scheme::Sourcehut) => has("rev"),
            Some(Scheme::Indirect) | None => false,
        }
    }

    /// Whether there is nothing to add to its attributes (see [`FINAL`]).
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.flag(FINAL)
    }

    /// The path, if it is one relative to something.
    #[must_use]
    pub fn relative_path(&self) -> Option<&str> {
        match self.scheme {
            Some(Scheme::Path) => self.text("path").filter(|path| !path.starts_with('/')),
            _ => None,
        }
    }

    /// As a URL.
    ///
    /// # Errors
    /// If its type is not known, or an attribute is malformed.
    pub fn to_url(&self) -> Result<Url> {
        let Some(scheme) = self.scheme else {
            return Err(RefError::invalid(format!(
                "cannot show unsupported input '{}'",
                attrs_to_json(&self.attrs)
            )));
        };
        match scheme {
            Scheme::File | Scheme::Tarball => schemes::curl_to_url(self),
            Scheme::Git => schemes::git_to_url(self),
            Scheme::Github | Scheme::Gitlab | Scheme::Sourcehut => {
                schemes::archive_to_url(scheme, self)
            }
            Scheme::Mercurial => schemes::mercurial_to_url(self),
            Scheme::Indirect => schemes::indirect_to_url(self),
            Scheme::Path => schemes::path_to_url(self),
        }
    }

    /// As the text of a URL with further parameters.
    ///
    /// # Errors
    /// As [`Input::to_url`].
    pub fn to_url_text(&self, more: &BTreeMap<String, String>) -> Result<String> {
        let mut url = self.to_url()?;
        for (name, value) in more {
            url.query
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        Ok(url.to_string())
    }

    /// For messages: the URL, or the attributes if it has none.
    #[must_use]
    pub fn show(&self) -> String {
        self.to_url().map_or_else(
            |_| attrs_to_json(&self.attrs).to_string(),
            |url| url.to_string(),
        )
    }

    /// Whether `other` is this, or this with a branch or commit chosen.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        let mut other = other.clone();
        other.attrs.remove("ref");
        other.attrs.remove("rev");
        *self == other
    }

    /// The same with a branch or commit chosen.
    ///
    /// # Errors
    /// If it has no such thing.
    pub fn with_overrides(&self, reference: Option<&str>, rev: Option<&str>) -> Result<Self> {
        let mut input = self.clone();
        match self.scheme {
            None => {}
            Some(Scheme::Git | Scheme::Indirect | Scheme::Mercurial) => {
                if let Some(rev) = rev {
                    input.set("rev", rev);
                }
                if let Some(reference) = reference {
                    input.set("ref", reference);
                }
                if self.scheme == Some(Scheme::Git)
                    && input.text("rev").is_some()
                    && input.text("ref").is_none()
                {
                    return Err(RefError::invalid(format!(
                        "Git input '{}' has a commit hash but no branch/tag name",
                        input.show()
                    )));
                }
            }
            Some(Scheme::Github | Scheme::Gitlab | Scheme::Sourcehut) => {
                if let (Some(rev), Some(reference)) = (rev, reference) {
                    return Err(RefError::bad_url(format!(
                        "cannot apply both a commit hash ({rev}) and a branch/tag name ('{reference}') to input '{}'",
                        self.show()
                    )));
                }
                if let Some(rev) = rev {
                    input.set("rev", rev);
                    input.attrs.remove("ref");
                }
                if let Some(reference) = reference {
                    input.set("ref", reference);
                    input.attrs.remove("rev");
                }
            }
            Some(Scheme::Path | Scheme::File | Scheme::Tarball) => {
                if let Some(reference) = reference {
                    return Err(RefError::invalid(format!(
                        "don't know how to set branch/tag name of input '{}' to '{reference}'",
                        self.show()
                    )));
                }
                if let Some(rev) = rev {
                    return Err(RefError::invalid(format!(
                        "don't know how to set revision of input '{}' to '{rev}'",
                        self.show()
                    )));
                }
            }
        }
        Ok(input)
    }
}
