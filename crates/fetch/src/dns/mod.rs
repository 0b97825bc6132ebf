//! Host names to addresses, without the C library.
//!
//! A static binary cannot use getaddrinfo(3) safely: glibc loads the host's name service modules at run time, and they fit only
//! the glibc that they were built with. So this is a stub resolver of its own: /etc/hosts (hosts(5)), then the servers of
//! /etc/resolv.conf (resolv.conf(5), with `search`, `ndots`, `timeout`, `attempts`). Names that only other modules of
//! nsswitch.conf(5) know (mDNS, LDAP) are not found, unless a local server such as systemd-resolved answers for them.

mod config;
mod message;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use config::ResolvConf;
use message::{Question, RecordType, Reply};

/// How long an answer is used again. Names are looked up for each connection, and a set of downloads makes many to one host.
const CACHED_FOR: Duration = Duration::from_secs(60);

/// How long to wait for the second address family when the first one is known.
const GRACE: Duration = Duration::from_millis(300);

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The servers say that there is no such name, or that it has no address.
    #[error(
        "the host name '{name}' is not known: check its spelling, and /etc/resolv.conf and /etc/hosts"
    )]
    NotFound {
        /// The name.
        name: String,
    },
    /// It cannot be a host name.
    #[error(
        "'{name}' is not a host name: it has characters other than ASCII letters, digits, '-', '_' and '.', or a component that is empty or too long"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// No server gave a usable answer.
    #[error("the host name '{name}' could not be looked up: {reason}")]
    Unanswered {
        /// The name.
        name: String,
        /// What went wrong with the server that was asked last.
        reason: String,
    },
}

/// A stub resolver; see the [module's documentation](self).
#[derive(Debug)]
pub(crate) struct Dns {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    port: u16,
    cache: Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>,
}

impl Dns {
    /// The resolver that the host's files configure.
    pub(crate) fn of_host() -> Self {
        Self::new("/etc/hosts".into(), "/etc/resolv.conf".into(), 53)
    }

    fn new(hosts: PathBuf, resolv_conf: PathBuf, port: u16) -> Self {
        Self {
            hosts,
            resolv_conf,
            port,
            cache: Mutex::default(),
        }
    }

    /// The addresses of `host`, at least one, the one to try first first. `host` may be an address itself, in brackets if it is IPv6.
    pub(crate) fn resolve(
        &self,
        host: &str,
        deadline: Option<Instant>,
    ) -> Result<Vec<IpAddr>, DnsError> {
        let name = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        // RFC 6761, section 6.3: never asked of a server.
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![
                IpAddr::from([127, 0, 0, 1]),
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ]);
        }
        // Bytes that are not UTF-8 can only be in a comment or a name that nobody asks for.
        let hosts = std::fs::read(&self.hosts).unwrap_or_default();
        let mut addresses = config::in_hosts(&String::from_utf8_lossy(&hosts), &name);
        if addresses.is_empty() {
            if let Some(cached) = self.cached(&name) {
                return Ok(cached);
            }
            addresses = self.ask(&name, host.ends_with('.'), deadline)?;
            sort(&mut addresses);
            self.lock_cache()
                .insert(name, (Instant::now(), addresses.clone()));
        }
        Ok(addresses)
    }

    fn cached(&self, name: &str) -> Option<Vec<IpAddr>> {
        let cache = self.lock_cache();
        let (since, addresses) = cache.get(name)?;
        (since.elapsed() < CACHED_FOR).then(|| addresses.clone())
    }

    fn lock_cache(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Vec<IpAddr>)>> {
        // What is in it is valid at any moment, so a panic elsewhere does no harm.
        self.cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks the servers for `name`, then with each search domain, or the other way round for a name with few dots.
    fn ask(
        &self,
        name: &str,
        absolute: bool,
        deadline: Option<Instant>,
    ) -> Result<Vec<IpAddr>, DnsError> {
        let text = std::fs::read(&self.resolv_conf).unwrap_or_default();
        let conf = ResolvConf::parse(&String::from_utf8_lossy(&text));
        let mut last = DnsError::NotFound {
            name: name.to_owned(),
        };
        for candidate in conf.candidates(name, absolute) {
            match self.ask_for(&candidate, &conf, deadline) {
                Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
                Ok(_) => {}
                // A search domain may make a name too long; the name itself decides.
                Err(error @ DnsError::BadName { .. }) if candidate == name => return Err(error),
                Err(DnsError::BadName { .. }) => {}
                Err(error) => last = error,
            }
        }
        Err(match last {
            DnsError::Unanswered { reason, .. } => DnsError::Unanswered {
                name: name.to_owned(),
                reason,
            },
            other => other,
        })
    }

    /// The addresses of one fully qualified name; none if the servers say that it has none.
    fn ask_for(
        &self,
        name: &str,
        conf: &ResolvConf,
        deadline: Option<Instant>,
    ) -> Result<Vec<IpAddr>, DnsError> {
        let bad_name = || DnsError::BadName {
            name: name.to_owned(),
        };
        let questions = [
            Question::new(name, RecordType::A).ok_or_else(bad_name)?,
            Question::new(name, RecordType::Aaaa).ok_or_else(bad_name)?,
        ];
        let unanswered = |reason: String| DnsError::Unanswered {
            name: name.to_owned(),
            reason,
        };
        let mut reason = "no name server answered in time".to_owned();
        for _ in 0..conf.attempts {
            for &server in &conf.servers {
                let server = SocketAddr::new(server, self.port);
                let now = Instant::now();
                let until = deadline.map_or(now + conf.timeout, |deadline| {
                    deadline.min(now + conf.timeout)
                });
                if until <= now {
                    return Err(unanswered(reason));
                }
                match exchange(server, &questions, until) {
                    Ok(addresses) => return Ok(addresses),
                    Err(failed) => reason = format!("name server {}: {failed}", server.ip()),
                }
            }
        }
        Err(unanswered(reason))
    }
}

/// Asks one server both questions. An error means: try another server.
fn exchange(
    server: SocketAddr,
    questions: &[Question; 2],
    until: Instant,
) -> Result<Vec<IpAddr>, String> {
    let text = |error: std::io::Error| error.to_string();
    let any: IpAddr = if server.is_ipv4() {
        [0_u8; 4].into()
    } else {
        [0_u8; 16].into()
    };
    let socket = UdpSocket::bind((any, 0)).map_err(text)?;
    // Connected, the socket takes nothing from other senders.
    socket.connect(server).map_err(text)?;
    for question in questions {
        socket.send(question.packet()).map_err(text)?;
    }
    let mut until = until;
    let mut replies: [Option<Reply>; 2] = [None, None];
    let mut buffer = [0; 4096];
    while replies.iter().any(Option::is_none) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left)).map_err(text)?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                break;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.to_string()),
        };
        for (question, slot) in questions.iter().zip(&mut replies) {
            // What does not answer a question of ours, or is malformed, is as if it had not come.
            if let Some(mut reply) = question.reply(&buffer[..length]) {
                if reply.truncated {
                    reply = ask_by_tcp(server, question, until)
                        .map_err(text)?
                        .ok_or("malformed answer")?;
                }
                if !reply.addresses.is_empty() {
                    until = until.min(Instant::now() + GRACE);
                }
                *slot = Some(reply);
            }
        }
    }
    let mut addresses = Vec::new();
    let mut failure = None;
    for reply in replies {
        match reply {
            None => failure = Some("no answer in time".to_owned()),
            Some(Reply {
                code: 0 | message::NO_SUCH_NAME,
                addresses: mut found,
                ..
            }) => addresses.append(&mut found),
            Some(Reply { code, .. }) => failure = Some(message::code_text(code)),
        }
    }
    match failure {
        Some(failure) if addresses.is_empty() => Err(failure),
        _ => Ok(addresses),
    }
}

/// RFC 7766: the same question over a stream, each message after its length in two bytes.
fn ask_by_tcp(
    server: SocketAddr,
    question: &Question,
    until: Instant,
) -> std::io::Result<Option<Reply>> {
    let left = || {
        until
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1))
    };
    let mut stream = TcpStream::connect_timeout(&server, left())?;
    stream.set_write_timeout(Some(left()))?;
    let mut packet = (question.packet().len() as u16).to_be_bytes().to_vec();
    packet.extend_from_slice(question.packet());
    stream.write_all(&packet)?;
    stream.set_read_timeout(Some(left()))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(question.reply(&answer))
}

/// Puts addresses that the host has a route to before the others, and IPv6 before IPv4 (in the spirit of RFC 6724).
fn sort(addresses: &mut [IpAddr]) {
    addresses.sort_by_cached_key(|&address| {
        // Connecting a datagram socket sends nothing, but fails without a route.
        let any: IpAddr = if address.is_ipv4() {
            [0_u8; 4].into()
        } else {
            [0_u8; 16].into()
        };
        let routed = UdpSocket::bind((any, 0))
            .and_then(|socket| socket.connect((address, 9)))
            .is_ok();
        (!routed, address.is_ipv4())
    });
}

#[cfg(test)]
mod tests;
