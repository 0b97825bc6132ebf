//! `mirror://NAME/PATH`: sources named without a host, so that an expression's hash does not depend on where a user downloads from.

use std::path::Path;

use crate::apt;

/// How a URL of a mirror starts.
pub const MIRROR_SCHEME: &str = "mirror://";

/// The base URL of each mirror that is known by name. There is one: `debian`, the Debian archive, the directory that holds `pool/`.
#[derive(Clone, Debug)]
pub struct Mirrors {
    debian: Option<String>,
}

/// Why a `mirror://` URL stands for no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// Nothing says where the mirror is.
    #[error(
        "no place is known for '{url}': this machine's apt sources name no Debian archive; \
         set one with '--option debian-mirror URL', or 'debian-mirror = URL' in nix.conf, \
         where URL is the directory that contains 'pool/'"
    )]
    NotConfigured {
        /// The URL that was asked for.
        url: String,
    },
    /// There is no mirror of this name.
    #[error("'{url}' names the unknown mirror '{name}'; known mirrors are: debian")]
    Unknown {
        /// The URL that was asked for.
        url: String,
        /// The name in it.
        name: String,
    },
    /// The path is empty or leads out of the mirror.
    #[error(
        "'{url}' does not name a file of the mirror: expected mirror://NAME/PATH, where PATH has no empty, '.' or '..' component"
    )]
    BadPath {
        /// The URL that was asked for.
        url: String,
    },
    /// The setting is no URL that can be fetched from.
    #[error(
        "the setting 'debian-mirror' is '{value}', which is not a URL that starts with http://, https:// or file://, nor an absolute path"
    )]
    BadSetting {
        /// What it is set to.
        value: String,
    },
}

impl Mirrors {
    /// The mirrors by the settings: `debian_mirror` if it is given and not empty, else what the host's apt sources say. That there is
    /// neither is an error only when a URL needs it.
    ///
    /// # Errors
    /// [`MirrorError::BadSetting`].
    pub fn from_settings(debian_mirror: Option<&str>) -> Result<Self, MirrorError> {
        let Some(value) = debian_mirror
            .map(str::trim)
            .filter(|value| !value.is_empty())
        else {
            return Ok(Self::from_host_apt_sources());
        };
        let base = value.trim_end_matches('/');
        let known = ["http://", "https://", "file:///", "/"]
            .iter()
            .any(|start| value.starts_with(start));
        if !known {
            return Err(MirrorError::BadSetting {
                value: value.to_owned(),
            });
        }
        Ok(Self {
            debian: Some(base.to_owned()),
        })
    }

    /// The mirrors that the host's apt is configured with.
    #[must_use]
    pub fn from_host_apt_sources() -> Self {
        Self::from_apt_dir(Path::new(apt::APT_DIR))
    }

    /// As [`from_host_apt_sources`](Self::from_host_apt_sources), with `apt_dir` in place of `/etc/apt`.
    #[must_use]
    pub fn from_apt_dir(apt_dir: &Path) -> Self {
        Self {
            debian: apt::debian_archive(apt_dir),
        }
    }

    /// The URL to fetch from: that of the mirror's file, or `url` itself if it is not `mirror://`.
    ///
    /// # Errors
    /// If the mirror is unknown or not configured, or the path is not one.
    pub fn resolve(&self, url: &str) -> Result<String, MirrorError> {
        let Some(rest) = url.strip_prefix(MIRROR_SCHEME) else {
            return Ok(url.to_owned());
        };
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        if name != "debian" {
            return Err(MirrorError::Unknown {
                url: url.to_owned(),
                name: name.to_owned(),
            });
        }
        if path
            .split('/')
            .any(|component| ["", ".", ".."].contains(&component))
        {
            return Err(MirrorError::BadPath {
                url: url.to_owned(),
            });
        }
        match &self.debian {
            Some(base) => Ok(format!("{base}/{path}")),
            None => Err(MirrorError::NotConfigured {
                url: url.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn error(mirrors: &Mirrors, url: &str) -> String {
        mirrors.resolve(url).unwrap_err().to_string()
    }

    #[test]
    fn the_setting_decides() {
        let mirrors = Mirrors::from_settings(Some("https://mirror.example/debian//")).unwrap();
        assert_eq!(
            mirrors
                .resolve("mirror://debian/pool/main/h/hello.deb")
                .unwrap(),
            "https://mirror.example/debian/pool/main/h/hello.deb"
        );
        assert_eq!(
            mirrors.resolve("https://elsewhere.example/x").unwrap(),
            "https://elsewhere.example/x"
        );
    }

    #[test]
    fn errors_say_what_to_do() {
        let none = Mirrors::from_apt_dir(Path::new("/nonexistent"));
        assert_snapshot!(error(&none, "mirror://debian/pool/x"), @"no place is known for 'mirror://debian/pool/x': this machine's apt sources name no Debian archive; set one with '--option debian-mirror URL', or 'debian-mirror = URL' in nix.conf, where URL is the directory that contains 'pool/'");
        assert_snapshot!(error(&none, "mirror://gnu/hello"), @"'mirror://gnu/hello' names the unknown mirror 'gnu'; known mirrors are: debian");
        assert_snapshot!(error(&none, "mirror://debian/a/../b"), @"'mirror://debian/a/../b' does not name a file of the mirror: expected mirror://NAME/PATH, where PATH has no empty, '.' or '..' component");
        assert_snapshot!(error(&none, "mirror://debian"), @"'mirror://debian' does not name a file of the mirror: expected mirror://NAME/PATH, where PATH has no empty, '.' or '..' component");
        assert_snapshot!(Mirrors::from_settings(Some("ftp.example")).unwrap_err(), @"the setting 'debian-mirror' is 'ftp.example', which is not a URL that starts with http://, https:// or file://, nor an absolute path");
    }
}
