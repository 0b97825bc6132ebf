//! Archives of commits, from GitHub, GitLab and SourceHut.

use std::path::Path;

use serde_json::Value;
use xbuild_fetch::Request;
use xbuild_flake_ref::{Input, Scheme};

use crate::error::{Error, Result};
use crate::inputs::{Found, Inputs};

/// The largest answer to the question for a commit, in bytes.
const MAX_ANSWER: u64 = 16 << 20;

/// Where an input is: its host, owner and repository.
struct Place<'a> {
    scheme: Scheme,
    host: &'a str,
    owner: &'a str,
    repo: &'a str,
}

impl Inputs {
    pub(crate) fn fetch_forge(&self, scheme: Scheme, input: &Input) -> Result<Found> {
        let default = match scheme {
            Scheme::Gitlab => "gitlab.com",
            Scheme::Sourcehut => "git.sr.ht",
            _ => "github.com",
        };
        let place = Place {
            scheme,
            host: input.text("host").unwrap_or(default),
            owner: input.text("owner").unwrap_or_default(),
            repo: input.text("repo").unwrap_or_default(),
        };
        let rev = match input.rev()? {
            Some(rev) => rev,
            None => self.rev_of_ref(&place, input.text("ref").unwrap_or("HEAD"), input)?,
        };
        let mut found = input.clone();
        found.attrs.remove("ref");
        found.set("rev", rev.as_str());
        let key = format!("commit {rev}");
        if let Some(known) = self.cache.get(&key)
            && let Some(path) = self.valid_text("source", known.text("narHash"))?
            && let Some(seconds) = known.number("lastModified")
        {
            found.set("lastModified", seconds);
            return Ok((path, found));
        }
        let scratch = self.store.work_dir()?;
        let file = scratch.path().join("download");
        let headers = self.authorization(&place);
        let url = place.archive(&rev, !headers.is_empty());
        self.download(&url, headers, &file)?;
        let (path, last_modified) = self.unpack(&url, "source", &file, scratch.path())?;
        self.cache.put(
            &key,
            &[
                ("narHash", Value::from(self.nar_hash(&path)?)),
                ("lastModified", Value::from(last_modified)),
            ],
        );
        found.set("lastModified", last_modified);
        Ok((path, found))
    }

    fn download(&self, url: &str, headers: Vec<(String, String)>, file: &Path) -> Result<()> {
        let request = Request {
            headers,
            known_etag: None,
        };
        self.fetcher.ask(
            url,
            &request,
            file,
            None,
            &mut |_| {},
            (*self.cancel).as_ref(),
        )?;
        Ok(())
    }

    /// The commit of a branch or tag now (as of `tarball-ttl`).
    fn rev_of_ref(&self, place: &Place<'_>, reference: &str, input: &Input) -> Result<String> {
        let key = format!(
            "ref {} {}/{}/{} {reference}",
            place.scheme.name(),
            place.host,
            place.owner,
            place.repo
        );
        if let Some(known) = self.cache.get(&key)
            && !known.expired
            && let Some(rev) = known.text("rev")
        {
            return Ok(rev.to_owned());
        }
        let rev = match place.scheme {
            Scheme::Sourcehut => self.rev_of_sourcehut_ref(place, reference, input)?,
            _ => {
                let url = place.commit_question(reference);
                let answer = self.ask_text(&url, place)?;
                let json: Value = serde_json::from_str(&answer).map_err(|error| {
                    Error::refused(format!("the answer of '{url}' is not JSON: {error}"))
                })?;
                let rev = match place.scheme {
                    Scheme::Gitlab => {
                        if json.as_array().is_some_and(Vec::is_empty) {
                            return Err(Error::refused(
                                "No commits returned by GitLab API -- does the git ref really exist?",
                            ));
                        }
                        json.pointer("/0/id")
                    }
                    _ => json.pointer("/sha"),
                };
                rev.and_then(Value::as_str)
                    .ok_or_else(|| {
                        Error::refused(format!("the answer of '{url}' names no commit: {json}"))
                    })?
                    .to_owned()
            }
        };
        if !xbuild_flake_ref::is_rev(&rev) {
            return Err(Error::refused(format!(
                "'{}': the server says that '{reference}' is '{rev}', which is no commit",
                input.show()
            )));
        }
        self.cache.put(&key, &[("rev", Value::from(rev.as_str()))]);
        Ok(rev)
    }

    /// SourceHut has what `git` itself would ask for.
    fn rev_of_sourcehut_ref(
        &self,
        place: &Place<'_>,
        reference: &str,
        input: &Input,
    ) -> Result<String> {
        let base = format!("https://{}/{}/{}", place.host, place.owner, place.repo);
        let wanted: Vec<String> = if reference == "HEAD" {
            let head = self.ask_text(&format!("{base}/HEAD"), place)?;
            let target = head.lines().next().and_then(|line| {
                let line = line.strip_prefix("ref:").unwrap_or(line);
                line.split_whitespace().next()
            });
            vec![
                target
                    .ok_or_else(|| {
                        Error::refused(format!(
                            "in '{}', couldn't resolve HEAD ref '{reference}'",
                            input.show()
                        ))
                    })?
                    .to_owned(),
            ]
        } else {
            vec![
                format!("refs/heads/{reference}"),
                format!("refs/tags/{reference}"),
            ]
        };
        let refs = self.ask_text(&format!("{base}/info/refs"), place)?;
        refs.lines()
            .filter_map(|line| line.split_once(char::is_whitespace))
            .find(|(_, name)| wanted.iter().any(|wanted| wanted == name.trim()))
            .map(|(rev, _)| rev.to_owned())
            .ok_or_else(|| {
                Error::refused(format!(
                    "in '{}', couldn't find ref '{reference}'",
                    input.show()
                ))
            })
    }

    fn ask_text(&self, url: &str, place: &Place<'_>) -> Result<String> {
        let scratch = self.store.work_dir()?;
        let file = scratch.path().join("answer");
        self.download(url, self.authorization(place), &file)?;
        let size = std::fs::metadata(&file)
            .map_err(Error::io("read", &file))?
            .len();
        if size > MAX_ANSWER {
            return Err(Error::refused(format!(
                "the answer of '{url}' is too long: {size} bytes"
            )));
        }
        std::fs::read_to_string(&file).map_err(Error::io("read", &file))
    }

    /// The header for a token of the user's, if there is one for the place: the most specific one.
    fn authorization(&self, place: &Place<'_>) -> Vec<(String, String)> {
        let whole = format!("{}/{}/{}", place.host, place.owner, place.repo);
        let covers = |name: &str| {
            whole
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let token = self
            .options
            .access_tokens
            .iter()
            .filter(|(name, _)| covers(name))
            .max_by_key(|(name, _)| name.len());
        let Some((_, token)) = token else {
            return Vec::new();
        };
        let header = match place.scheme {
            Scheme::Gitlab => match token.split_once(':') {
                Some(("OAuth2", token)) => ("Authorization".to_owned(), format!("Bearer {token}")),
                Some(("PAT", token)) => ("Private-token".to_owned(), token.to_owned()),
                Some((name, value)) => {
                    self.warn(&format!("Unrecognized GitLab token type {name}"));
                    (name.to_owned(), value.to_owned())
                }
                None => {
                    self.warn(&format!(
                        "Unrecognized access token for host '{}'",
                        place.host
                    ));
                    return Vec::new();
                }
            },
            Scheme::Sourcehut => ("Authorization".to_owned(), format!("Bearer {token}")),
            _ => ("Authorization".to_owned(), format!("token {token}")),
        };
        vec![header]
    }
}

impl Place<'_> {
    /// Where the server says what a branch or tag is.
    fn commit_question(&self, reference: &str) -> String {
        let Self {
            host, owner, repo, ..
        } = self;
        match self.scheme {
            Scheme::Gitlab => format!(
                "https://{host}/api/v4/projects/{owner}%2F{repo}/repository/commits?ref_name={reference}"
            ),
            _ if *host == "github.com" => {
                format!("https://api.{host}/repos/{owner}/{repo}/commits/{reference}")
            }
            _ => format!("https://{host}/api/v3/repos/{owner}/{repo}/commits/{reference}"),
        }
    }

    /// Where the archive of a commit is.
    fn archive(&self, rev: &str, with_token: bool) -> String {
        let Self {
            host, owner, repo, ..
        } = self;
        match self.scheme {
            Scheme::Gitlab => format!(
                "https://{host}/api/v4/projects/{owner}%2F{repo}/repository/archive.tar.gz?sha={rev}"
            ),
            Scheme::Sourcehut => format!("https://{host}/{owner}/{repo}/archive/{rev}.tar.gz"),
            _ if *host != "github.com" => {
                format!("https://{host}/api/v3/repos/{owner}/{repo}/tarball/{rev}")
            }
            _ if with_token => format!("https://api.{host}/repos/{owner}/{repo}/tarball/{rev}"),
            _ => format!("https://{host}/{owner}/{repo}/archive/{rev}.tar.gz"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = |scheme, host| Place {
            scheme,
            host,
            owner: "o",
            repo: "r",
        };
        let rev = "0123";
        let archive = |scheme, host, token| place(scheme, host).archive(rev, token);
        assert_eq!(
            archive(Scheme::Github, "github.com", false),
            "https://github.com/o/r/archive/0123.tar.gz"
        );
        assert_eq!(
            archive(Scheme::Github, "github.com", true),
            "https://api.github.com/repos/o/r/tarball/0123"
        );
        assert_eq!(
            archive(Scheme::Github, "git.example", false),
            "https://git.example/api/v3/repos/o/r/tarball/0123"
        );
        assert_eq!(
            archive(Scheme::Gitlab, "gitlab.com", false),
            "https://gitlab.com/api/v4/projects/o%2Fr/repository/archive.tar.gz?sha=0123"
        );
        assert_eq!(
            archive(Scheme::Sourcehut, "git.sr.ht", false),
            "https://git.sr.ht/o/r/archive/0123.tar.gz"
        );
        assert_eq!(
            place(Scheme::Github, "github.com").commit_question("main"),
            "https://api.github.com/repos/o/r/commits/main"
        );
    }
}
