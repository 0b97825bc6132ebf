//! HTTP: which way a request goes (directly, through a proxy, with TLS), and following redirects.

pub(crate) mod proxy;
mod roots;
mod route;
mod url;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{Response, Uri, header};
use ureq::{Agent, Body};

use crate::dns::{Dns, DnsError};
use proxy::{ProxySettings, ProxyUrl};

/// How many redirects are followed; the limit of Nix's downloader, and so of curl as it uses it.
const MAX_REDIRECTS: usize = 10;

/// A request that brought no response.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    /// Whether trying again may help.
    pub(crate) transient: bool,
}

impl Failure {
    fn lasting(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            transient: false,
        }
    }
}

/// Limits of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) connect_timeout: Duration,
    pub(crate) stall_timeout: Duration,
}

/// Which part of a file is wanted: from `offset` on, if the file still is the one that `validator` names.
#[derive(Clone, Debug)]
pub(crate) struct Resume {
    pub(crate) offset: u64,
    /// An entity tag or a date, for If-Range.
    pub(crate) validator: Option<String>,
}

/// What is asked for besides the URL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    pub(crate) resume: Option<Resume>,
    /// Further headers; a server that a redirect leads to does not get them.
    pub(crate) headers: Vec<(String, String)>,
    /// The entity tag of a version that is there already.
    pub(crate) known: Option<String>,
}

/// A response, and how it came.
pub(crate) struct Reply {
    /// Where it came from, after redirects.
    pub(crate) url: String,
    pub(crate) response: Response<Body>,
    /// A URL of the same content that never changes, if a server on the way told one.
    pub(crate) immutable_url: Option<String>,
}

/// How to get to a server. There is one agent, with its pool of open connections, for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Route {
    tls: bool,
    proxy: Option<ProxyUrl>,
}

/// Sends requests; shared by all downloads.
#[derive(Debug)]
pub(crate) struct Client {
    limits: Limits,
    ca_file: Option<PathBuf>,
    proxies: ProxySettings,
    dns: Arc<Dns>,
    agents: Mutex<HashMap<Route, Agent>>,
}

impl Client {
    pub(crate) fn new(limits: Limits, ca_file: Option<PathBuf>, proxies: ProxySettings) -> Self {
        Self {
            limits,
            ca_file,
            proxies,
            dns: Arc::new(Dns::of_host()),
            agents: Mutex::default(),
        }
    }

    /// Asks for `url`, follows redirects, and answers with the final URL and its response, whatever its status.
    pub(crate) fn get(&self, url: &str, question: &Question) -> Result<Reply, Failure> {
        let mut visited = vec![url.to_owned()];
        let mut immutable_url = None;
        let mut first_host = None;
        loop {
            let current = &visited[visited.len() - 1];
            let uri: Uri = current
                .parse()
                .map_err(|error| Failure::lasting(format!("'{current}' is not a URL: {error}")))?;
            let host = uri.host().map(str::to_owned);
            let same_host = *first_host.get_or_insert_with(|| host.clone()) == host;
            let response = self.get_once(&uri, question, same_host)?;
            immutable_url = immutable_link(response.headers()).or(immutable_url);
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(Reply {
                    url: visited.pop().unwrap_or_default(),
                    response,
                    immutable_url,
                });
            }
            let location = response.headers().get(header::LOCATION);
            let location = location.ok_or_else(|| {
                Failure::lasting(format!(
                    "'{current}' redirects to nowhere: the response has no Location"
                ))
            })?;
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let next = url::join(&uri, &location).ok_or_else(|| {
                Failure::lasting(format!(
                    "'{current}' redirects to '{location}', which is not a URL that can be fetched"
                ))
            })?;
            if visited.contains(&next) {
                return Err(Failure::lasting(format!(
                    "'{current}' redirects back to '{next}', in a circle"
                )));
            }
            if visited.len() > MAX_REDIRECTS {
                return Err(Failure::lasting(format!(
                    "more than {MAX_REDIRECTS} redirects, the last one to '{next}'"
                )));
            }
            visited.push(next);
        }
    }

    fn get_once(
        &self,
        uri: &Uri,
        question: &Question,
        same_host: bool,
    ) -> Result<Response<Body>, Failure> {
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => {
                return Err(Failure::lasting(format!(
                    "'{uri}' is neither http:// nor https://"
                )));
            }
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| Failure::lasting(format!("'{uri}' has no host")))?;
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let proxy = self
            .proxies
            .choose(tls, host, port)
            .map_err(Failure::lasting)?;
        let authorization = proxy
            .as_ref()
            .filter(|_| !tls)
            .and_then(ProxyUrl::authorization);
        let agent = self.agent(Route { tls, proxy }).map_err(Failure::lasting)?;
        let mut request = agent.get(uri);
        if let Some(authorization) = authorization {
            request = request.header(header::PROXY_AUTHORIZATION, authorization);
        }
        for (name, value) in question.headers.iter().filter(|_| same_host) {
            request = request.header(name, value);
        }
        if let Some(known) = &question.known {
            request = request.header(header::IF_NONE_MATCH, known);
        }
        if let Some(resume) = &question.resume {
            request = request.header(header::RANGE, format!("bytes={}-", resume.offset));
            if let Some(validator) = &resume.validator {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        request.call().map_err(|error| self.failure(error))
    }

    fn agent(&self, route: Route) -> Result<Agent, String> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&route) {
            return Ok(agent.clone());
        }
        let roots = route
            .tls
            .then(|| roots::load(self.ca_file.as_deref()))
            .transpose()?;
        let agent = route::agent(&route, &self.limits, roots, &self.dns)?;
        Ok(agents.entry(route).or_insert(agent).clone())
    }

    /// What an error of the HTTP library means for a user.
    pub(crate) fn failure(&self, error: ureq::Error) -> Failure {
        let (reason, transient) = match error {
            ureq::Error::Other(other) => match other.downcast_ref::<DnsError>() {
                Some(error) => (
                    error.to_string(),
                    matches!(error, DnsError::Unanswered { .. }),
                ),
                None => (other.to_string(), false),
            },
            ureq::Error::Io(error) => match error.kind() {
                std::io::ErrorKind::UnexpectedEof => (
                    "the connection was closed before the file was complete".to_owned(),
                    true,
                ),
                _ => (error.to_string(), true),
            },
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => (
                format!(
                    "no connection within {} s",
                    self.limits.connect_timeout.as_secs_f32()
                ),
                true,
            ),
            ureq::Error::Timeout(_) => (
                format!("no data for {} s", self.limits.stall_timeout.as_secs_f32()),
                true,
            ),
            ureq::Error::Rustls(rustls::Error::InvalidCertificate(error)) => {
                let reason = format!("the server's certificate is not trusted: {error:?}");
                (
                    format!(
                        "{reason}; if it is issued by an authority of your own, name its file with NIX_SSL_CERT_FILE"
                    ),
                    false,
                )
            }
            ureq::Error::Rustls(error) => (format!("TLS: {error}"), true),
            ureq::Error::Protocol(error) => {
                (format!("the server does not keep to HTTP: {error}"), true)
            }
            error @ (ureq::Error::ConnectProxyFailed(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::BodyStalled) => (error.to_string(), true),
            error => (error.to_string(), false),
        };
        Failure { reason, transient }
    }
}

/// The URL of a `Link: <URL>; rel="immutable"` header (the manual's "Lockable HTTP Tarball Protocol").
fn immutable_link(headers: &ureq::http::HeaderMap) -> Option<String> {
    headers.get_all(header::LINK).iter().find_map(|value| {
        let (url, relation) = value
            .to_str()
            .ok()?
            .trim()
            .strip_prefix('<')?
            .split_once('>')?;
        let relation = relation.trim_start_matches([';', ' ']);
        relation
            .starts_with("rel=\"immutable\"")
            .then(|| url.to_owned())
    })
}
