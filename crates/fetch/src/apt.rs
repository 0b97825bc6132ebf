//! The Debian archive that a machine is configured with, from its apt sources.
//!
//! Formats: sources.list(5) (both the one-line style and deb822) and apt-transport-mirror(1).

use std::path::{Path, PathBuf};

/// Where apt keeps its configuration.
pub(crate) const APT_DIR: &str = "/etc/apt";

/// One place that a source names, with one of its suites.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
    components: Vec<String>,
}

/// The base URL of the Debian archive (the directory that holds `pool/` and `dists/`) that the sources below `apt_dir` name: the
/// first one that apt itself would read. Security updates, debug symbols and archives of others are not candidates. A source file
/// that cannot be read is passed over, as apt may be set up for root only.
pub(crate) fn debian_archive(apt_dir: &Path) -> Option<String> {
    let mut sources = Vec::new();
    for file in source_files(apt_dir) {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        if file
            .extension()
            .is_some_and(|extension| extension == "sources")
        {
            parse_deb822(&text, &mut sources);
        } else {
            parse_one_line(&text, &mut sources);
        }
    }
    // An archive whose path says that it is Debian's is taken before one that only has Debian's suite names.
    let by_path = sources
        .iter()
        .filter(|source| source.is_debian() && source.path_ends_with("debian"));
    let by_suite = sources.iter().filter(|source| source.is_debian());
    by_path
        .chain(by_suite)
        .find_map(|source| plain_url(&source.uri))
}

/// The files that apt reads, in its order (apt.conf(5), sources.list(5)).
fn source_files(apt_dir: &Path) -> Vec<PathBuf> {
    let mut files = vec![apt_dir.join("sources.list")];
    let mut parts: Vec<PathBuf> = std::fs::read_dir(apt_dir.join("sources.list.d"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let valid = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
            valid && (name.ends_with(".list") || name.ends_with(".sources"))
        })
        .collect();
    parts.sort();
    files.append(&mut parts);
    files
}

fn parse_one_line(text: &str, sources: &mut Vec<Source>) {
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some((kind, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        if kind != "deb" && kind != "deb-src" {
            continue;
        }
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => match options.split_once(']') {
                Some((_, rest)) => rest,
                None => continue,
            },
            None => rest,
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            sources.push(Source {
                uri,
                suite,
                components: words.collect(),
            });
        }
    }
}

fn parse_deb822(text: &str, sources: &mut Vec<Source>) {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines.chain(std::iter::once("")) {
        if line.trim().is_empty() {
            add_stanza(&fields, sources);
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

fn add_stanza(fields: &[(String, String)], sources: &mut Vec<Source>) {
    let words = |name: &str| {
        let value = fields
            .iter()
            .find(|(field, _)| field == name)
            .map_or("", |(_, value)| value);
        value
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // What apt takes for "no": StringToBool in its strutl.cc.
    let disabled = words("enabled").first().is_some_and(|word| {
        ["no", "false", "without", "off", "disable", "0"]
            .contains(&word.to_ascii_lowercase().as_str())
    });
    if disabled
        || !words("types")
            .iter()
            .any(|kind| kind == "deb" || kind == "deb-src")
    {
        return;
    }
    for uri in words("uris") {
        for suite in words("suites") {
            sources.push(Source {
                uri: uri.clone(),
                suite,
                components: words("components"),
            });
        }
    }
}

impl Source {
    /// Whether this can be Debian's main archive.
    fn is_debian(&self) -> bool {
        const SUITES: [&str; 14] = [
            "oldoldstable",
            "oldstable",
            "stable",
            "testing",
            "unstable",
            "sid",
            "experimental",
            "buster",
            "bullseye",
            "bookworm",
            "trixie",
            "forky",
            "duke",
            "rc-buggy",
        ];
        let (release, pocket) = self
            .suite
            .split_once(['-', '/'])
            .unwrap_or((&self.suite, ""));
        // `bookworm-security`, and before that `buster/updates`, live in an archive of their own.
        let elsewhere = ["security", "updates/"]
            .iter()
            .any(|name| pocket.starts_with(name))
            || (self.suite.contains('/') && pocket == "updates")
            || pocket.contains("debug")
            || ["debian-security", "debian-debug", "debian-ports"]
                .iter()
                .any(|path| self.uri.contains(path));
        let debians_own = SUITES.contains(&release) || self.path_ends_with("debian");
        debians_own && !elsewhere && self.components.iter().any(|component| component == "main")
    }

    fn path_ends_with(&self, name: &str) -> bool {
        self.uri.trim_end_matches('/').rsplit('/').next() == Some(name)
    }
}

/// The URL without apt's own additions to the scheme; `None` for transports that only apt has (`cdrom:`, `tor+http:`, …).
fn plain_url(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let url = match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => uri.to_owned(),
        "file" | "copy" => format!("file://{}", rest.strip_prefix("//").unwrap_or(rest)),
        // A list of mirrors, one a line, in order of preference if nothing else is said.
        "mirror+file" => {
            let list = std::fs::read_to_string(rest.strip_prefix("//").unwrap_or(rest)).ok()?;
            let first = list
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with('#'))?;
            let first = first.split_whitespace().next()?;
            // A list that names a list is not a thing.
            return (!first.starts_with("mirror"))
                .then(|| plain_url(first))
                .flatten();
        }
        _ => return None,
    };
    Some(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            std::fs::write(
                dir.path().join(name),
                text.replace("@DIR@", dir.path().to_str().unwrap()),
            )
            .unwrap();
        }
        debian_archive(dir.path())
    }

    #[test]
    fn one_line_style() {
        let list = "
            # deb http://commented.example/debian bookworm main
            deb cdrom:[Debian GNU/Linux 12]/ bookworm main
            deb http://security.example/debian-security bookworm-security main
            deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian/ bookworm main contrib # the one
            deb http://other.example/debian bookworm main
        ";
        assert_eq!(
            archive(&[("sources.list", list)]).as_deref(),
            Some("http://mirror.example/debian")
        );
    }

    #[test]
    fn deb822_style() {
        let sources = "
Types: deb
Enabled: no
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

# A comment between the stanzas,
Types: deb deb-src
URIs: http://mirror.example/debian
# and one inside.
Suites: bookworm
 bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGPL0BUBEADmW5NdOOHwPIJlgPu6JDcKw/NZJPR8lsD3K87ZM18gzyQZJD+w

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
";
        assert_eq!(
            archive(&[("sources.list.d/debian.sources", sources)]).as_deref(),
            Some("http://mirror.example/debian")
        );
    }

    #[test]
    fn security_alone_is_not_enough() {
        let list = "
            deb http://deb.example/debian-security bookworm-security main
            deb http://security.example/debian buster/updates main
            deb http://security.example/debian bookworm-security main
        ";
        assert_eq!(archive(&[("sources.list", list)]), None);
    }

    #[test]
    fn archives_of_others_are_not_debians() {
        let files = [
            (
                "sources.list.d/a.list",
                "deb https://node.example/node_20.x nodistro main\ndeb http://ubuntu.example/ubuntu jammy main",
            ),
            (
                "sources.list.d/b.list",
                "deb https://apt.example/repos stable main",
            ),
            (
                "sources.list.d/c.list",
                "deb https://mirror.example/debian bookworm main",
            ),
            (
                "sources.list.d/d.list.save",
                "deb https://old.example/debian bookworm main",
            ),
        ];
        assert_eq!(
            archive(&files).as_deref(),
            Some("https://mirror.example/debian")
        );
    }

    #[test]
    fn snapshots_have_other_paths() {
        let list = "deb http://snapshot.example/archive/debian/20250520T000000Z bookworm main";
        let expected = "http://snapshot.example/archive/debian/20250520T000000Z";
        assert_eq!(
            archive(&[("sources.list", list)]).as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn mirror_lists_and_local_archives() {
        let sources =
            "Types: deb\nURIs: mirror+file://@DIR@/mirrors\nSuites: trixie\nComponents: main\n";
        let files = [
            ("sources.list.d/debian.sources", sources),
            (
                "mirrors",
                "# ours\nhttps://mirror.example/debian/\tpriority:1\n",
            ),
        ];
        assert_eq!(
            archive(&files).as_deref(),
            Some("https://mirror.example/debian")
        );
        let list = "deb [trusted=yes] copy:/srv/mirror/debian bookworm main";
        assert_eq!(
            archive(&[("sources.list", list)]).as_deref(),
            Some("file:///srv/mirror/debian")
        );
    }

    #[test]
    fn no_sources() {
        assert_eq!(archive(&[]), None);
        assert_eq!(debian_archive(Path::new("/nonexistent")), None);
        assert_eq!(
            archive(&[("sources.list", "deb\ndeb [\ndeb [x]\ndeb http://x\n:\n")]),
            None
        );
    }
}
