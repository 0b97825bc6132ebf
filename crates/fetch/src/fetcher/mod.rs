//! One download: attempts, resuming, the hash, the temporary file.

mod connection;
mod partial;

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use xbuild_store_model::Hash;

use crate::error::FetchError;
use crate::http::proxy::ProxySettings;
use crate::http::{Client, Limits, Question, Resume};
use crate::mirror::Mirrors;
use connection::{Event, Head};
use partial::Partial;

/// How often a waiting download looks whether it was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How to download.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// How long a connection may take to come about, name lookup and TLS included: nix.conf's `connect-timeout`. Default: 15 s.
    pub connect_timeout: Duration,
    /// How long a server may send nothing: nix.conf's `stalled-download-timeout`. Default: 300 s.
    pub stall_timeout: Duration,
    /// How often to try, the first time included: nix.conf's `download-attempts`. Default: 5.
    pub attempts: u32,
    /// The pause after the first failed attempt; it doubles with each further one, up to 10 s. Default: 250 ms.
    pub first_pause: Duration,
    /// The trusted certificates, in PEM form: nix.conf's `ssl-cert-file`. Default: the file that `NIX_SSL_CERT_FILE` or `SSL_CERT_FILE` names, else the host's.
    pub ca_file: Option<PathBuf>,
    /// Whether the proxies of the environment are used (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`). Default: yes.
    pub proxies_from_env: bool,
    /// Where `mirror://` URLs lead. Default: as the host's apt is configured.
    pub mirrors: Mirrors,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(300),
            attempts: 5,
            first_pause: Duration::from_millis(250),
            ca_file: None,
            proxies_from_env: true,
            mirrors: Mirrors::from_host_apt_sources(),
        }
    }
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The bytes that are there. Goes back to 0 when a broken download has to start anew.
    pub received: u64,
    /// The size of the file in bytes, if the server says it.
    pub total: Option<u64>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// A finished download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The hash of the content: with the algorithm of the expected hash, else SHA-256.
    pub hash: Hash,
    /// The size in bytes.
    pub size: u64,
}

/// What is asked for besides the URL.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Further headers, by name. A server that a redirect leads to does not get them.
    pub headers: Vec<(String, String)>,
    /// The entity tag (RFC 9110, section 8.8.3) of a version that is there already: it need not be sent again.
    pub known_etag: Option<String>,
}

/// What a server says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The file; `None` if it is the version that was there already.
    pub fetched: Option<Fetched>,
    /// Its entity tag.
    pub etag: Option<String>,
    /// Where it came from, after redirects.
    pub url: String,
    /// A URL of the same content that never changes, if the server told one: the `Link` header with `rel="immutable"`.
    pub immutable_url: Option<String>,
}

/// Downloads files. Connections to a server are used again; share one `Fetcher` between all threads.
#[derive(Debug)]
pub struct Fetcher {
    options: FetchOptions,
    client: Arc<Client>,
}

/// One call of [`Fetcher::fetch`].
struct Download<'a> {
    /// The URL to show, in quotes: the one fetched from, and the one asked for if that is another.
    shown: String,
    expected: Option<&'a Hash>,
    progress: &'a mut dyn FnMut(Progress),
    cancel: &'a AtomicBool,
    partial: Partial,
    attempt: u32,
    /// Of the file whose first part we have.
    validator: Option<String>,
    total: Option<u64>,
    /// Some of the content came from a later connection than the rest.
    resumed: bool,
    request: &'a Request,
    etag: Option<String>,
    url: String,
    immutable_url: Option<String>,
    not_modified: bool,
}

/// How an attempt ended, if it did not bring the file.
struct Broken {
    reason: String,
    transient: bool,
    /// How long the server wants us to wait.
    wait: Option<Duration>,
}

impl Broken {
    fn transient(reason: impl Into<String>) -> Attempt {
        Attempt::Broken(Self {
            reason: reason.into(),
            transient: true,
            wait: None,
        })
    }
}

enum Attempt {
    Complete,
    Broken(Broken),
}

impl Fetcher {
    /// A fetcher. Nothing is opened or looked up before it is needed.
    #[must_use]
    pub fn new(options: FetchOptions) -> Self {
        let limits = Limits {
            connect_timeout: options.connect_timeout,
            stall_timeout: options.stall_timeout,
        };
        let proxies = if options.proxies_from_env {
            ProxySettings::from_env(|name| std::env::var(name).ok())
        } else {
            ProxySettings::default()
        };
        let client = Arc::new(Client::new(limits, options.ca_file.clone(), proxies));
        Self { options, client }
    }

    /// Downloads `url` (`mirror://`, `http://`, `https://`, `file://`, or an absolute path) to the file `dest`, which is replaced if it exists.
    ///
    /// The content is taken as it is stored on the server: it is not decompressed. Its hash is computed while it arrives; if
    /// `expected` is given and differs, that is an error. A download that breaks off is resumed where it broke off, if the
    /// server can do that and the file has not changed. `progress` is called when something has arrived; setting `cancel`
    /// ends the call within a fraction of a second.
    ///
    /// # Errors
    /// See [`FetchError`]. `dest` is untouched then, and no temporary file is left.
    pub fn fetch(
        &self,
        url: &str,
        dest: &Path,
        expected: Option<&Hash>,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<Fetched, FetchError> {
        let request = Request::default();
        let answer = self.ask(url, &request, dest, expected, progress, cancel)?;
        answer.fetched.ok_or(FetchError::Status {
            url: answer.url,
            status: 304,
        })
    }

    /// As [`Fetcher::fetch`], with a request of more than a URL, and an answer of more than the file.
    ///
    /// # Errors
    /// See [`FetchError`]. `dest` is untouched then, and no temporary file is left.
    pub fn ask(
        &self,
        url: &str,
        request: &Request,
        dest: &Path,
        expected: Option<&Hash>,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<Answer, FetchError> {
        let actual = self.options.mirrors.resolve(url)?;
        let shown = if actual == url {
            url.to_owned()
        } else {
            format!("{actual}' for '{url}")
        };
        let mut download = Download {
            partial: Partial::create(dest, expected.map(Hash::algo))?,
            shown,
            expected,
            progress,
            cancel,
            attempt: 1,
            validator: None,
            total: None,
            resumed: false,
            request,
            etag: None,
            url: actual.clone(),
            immutable_url: None,
            not_modified: false,
        };
        match local_path(&actual)? {
            Some(path) => download.copy(&path)?,
            None => self.download(&actual, &mut download)?,
        }
        let answer = |fetched, download: &Download<'_>| Answer {
            fetched,
            etag: download.etag.clone(),
            url: download.url.clone(),
            immutable_url: download.immutable_url.clone(),
        };
        if download.not_modified {
            return Ok(answer(None, &download));
        }
        let fetched = download.partial.fetched();
        if let Some(&expected) = expected.filter(|&&expected| expected != fetched.hash) {
            return Err(FetchError::HashMismatch {
                url: download.shown,
                expected: Box::new(expected),
                got: Box::new(fetched.hash),
            });
        }
        let answer = answer(Some(fetched), &download);
        download.partial.persist(dest)?;
        Ok(answer)
    }

    fn download(&self, url: &str, download: &mut Download<'_>) -> Result<(), FetchError> {
        let mut pause = self.options.first_pause;
        loop {
            let broken = match download.attempt(&self.client, url)? {
                Attempt::Complete if download.must_start_anew() => {
                    // Parts of two files, perhaps: a server that does not tell its versions apart.
                    download.restart()?;
                    Broken {
                        reason: "the file has changed while it was downloaded".to_owned(),
                        transient: true,
                        wait: None,
                    }
                }
                Attempt::Complete => return Ok(()),
                Attempt::Broken(broken) => broken,
            };
            if !broken.transient || download.attempt >= self.options.attempts {
                let attempts = download.attempt;
                return Err(FetchError::Transfer {
                    url: download.shown.clone(),
                    attempts,
                    reason: broken.reason,
                });
            }
            download.sleep(broken.wait.unwrap_or_default().max(pause))?;
            pause = (pause * 2).min(MAX_PAUSE);
            download.attempt += 1;
        }
    }
}

/// The path that a `file://` URL or a plain absolute path names.
fn local_path(url: &str) -> Result<Option<PathBuf>, FetchError> {
    let bad = |reason: &str| FetchError::BadUrl {
        url: url.to_owned(),
        reason: reason.to_owned(),
    };
    if url.starts_with('/') {
        return Ok(Some(PathBuf::from(url)));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(bad("it is neither a URL nor an absolute path"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => Ok(None),
        "file" => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                return Err(bad(
                    "a file:// URL must name an absolute path of this machine: file:///PATH",
                ));
            }
            let path: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
            Ok(Some(PathBuf::from(std::ffi::OsStr::from_bytes(&path))))
        }
        _ => Err(bad(
            "supported are mirror://, http://, https:// and file://",
        )),
    }
}

impl Download<'_> {
    fn check_cancelled(&self) -> Result<(), FetchError> {
        if self.cancel.load(Ordering::Relaxed) {
            Err(FetchError::Cancelled {
                url: self.shown.clone(),
            })
        } else {
            Ok(())
        }
    }

    fn sleep(&self, duration: Duration) -> Result<(), FetchError> {
        let until = Instant::now() + duration;
        loop {
            self.check_cancelled()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(CANCEL_POLL));
        }
    }

    fn report(&mut self) {
        (self.progress)(Progress {
            received: self.partial.size(),
            total: self.total,
            attempt: self.attempt,
        });
    }

    fn restart(&mut self) -> Result<(), FetchError> {
        self.resumed = false;
        self.validator = None;
        self.total = None;
        self.partial.restart()
    }

    fn must_start_anew(&self) -> bool {
        self.resumed
            && self
                .expected
                .is_some_and(|&expected| expected != self.partial.fetched().hash)
    }

    fn copy(&mut self, path: &Path) -> Result<(), FetchError> {
        let failed = |source| FetchError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(|source| FetchError::Local {
            url: self.shown.clone(),
            path: path.to_owned(),
            source,
        })?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            let reason = "it is not a regular file".to_owned();
            return Err(FetchError::BadUrl {
                url: self.shown.clone(),
                reason,
            });
        }
        self.total = Some(metadata.len());
        let mut buffer = vec![0; connection::CHUNK];
        loop {
            self.check_cancelled()?;
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => self.partial.write(&buffer[..length])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            }
            self.report();
        }
    }

    /// One connection. Errors are those that end the download.
    fn attempt(&mut self, client: &Arc<Client>, url: &str) -> Result<Attempt, FetchError> {
        // Without a validator the hash will tell whether the parts fit.
        let resumable =
            self.partial.size() > 0 && (self.validator.is_some() || self.expected.is_some());
        if !resumable {
            self.restart()?;
        }
        let resume = resumable.then(|| Resume {
            offset: self.partial.size(),
            validator: self.validator.clone(),
        });
        let question = Question {
            // The rest of a file is of the version whose begin is there.
            known: self.request.known_etag.clone().filter(|_| !resumable),
            headers: self.request.headers.clone(),
            resume,
        };
        let events =
            connection::start(client, url, question).map_err(|error| FetchError::Transfer {
                url: self.shown.clone(),
                attempts: self.attempt,
                reason: format!("cannot start a thread: {error}"),
            })?;
        loop {
            self.check_cancelled()?;
            match events.recv_timeout(CANCEL_POLL) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Broken::transient("the connection's thread has died"));
                }
                Ok(Event::Failed(failure)) => {
                    return Ok(Attempt::Broken(Broken {
                        reason: failure.reason,
                        transient: failure.transient,
                        wait: None,
                    }));
                }
                Ok(Event::Head(head)) => {
                    if let Some(broken) = self.begin(head)? {
                        return Ok(Attempt::Broken(broken));
                    }
                    self.report();
                }
                Ok(Event::Data(data)) => {
                    self.partial.write(&data)?;
                    self.report();
                }
                Ok(Event::End) => {
                    let size = self.partial.size();
                    return Ok(match self.total {
                        Some(total) if total != size => {
                            Broken::transient(format!("it ended after {size} of {total} bytes"))
                        }
                        _ => Attempt::Complete,
                    });
                }
            }
        }
    }

    /// What the response's head means: goes on, starts the file anew, or gives up this attempt.
    fn begin(&mut self, head: Head) -> Result<Option<Broken>, FetchError> {
        match head.status {
            200 => {
                self.restart()?;
                self.total = head.length;
                self.validator = head.validator;
                self.etag = head.etag;
                self.url = head.url;
                self.immutable_url = head.immutable_url;
                Ok(None)
            }
            304 if self.request.known_etag.is_some() => {
                self.restart()?;
                self.not_modified = true;
                self.etag = head.etag;
                self.url = head.url;
                self.immutable_url = head.immutable_url;
                Ok(None)
            }
            206 if head.range_start == Some(self.partial.size()) && self.partial.size() > 0 => {
                self.total = head.range_total.or(head
                    .length
                    .map(|length| length.saturating_add(self.partial.size())));
                self.resumed = true;
                Ok(None)
            }
            // Not the part that was asked for, or nothing is left to send: the file is not the one it was.
            206 | 416 => {
                self.restart()?;
                let reason = format!(
                    "the server answered {} to a request for the rest of the file",
                    head.status
                );
                Ok(Some(Broken {
                    reason,
                    transient: true,
                    wait: None,
                }))
            }
            status @ (408 | 425 | 429 | 500..=599) => Ok(Some(Broken {
                reason: format!("HTTP error {status}"),
                transient: true,
                wait: head.retry_after,
            })),
            status => Err(FetchError::Status {
                url: head.url,
                status,
            }),
        }
    }
}
