//! Connections: how the HTTP library resolves names, connects, and speaks to proxies.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, TcpConnector, Transport,
};
use ureq::{Agent, Error, Proxy, ProxyProtocol};

use super::proxy::ProxyUrl;
use super::{Limits, Route};
use crate::dns::Dns;

/// An agent for one route. `roots` are needed for TLS.
pub(super) fn agent(
    route: &Route,
    limits: &Limits,
    roots: Option<Vec<Certificate<'static>>>,
    dns: &Arc<Dns>,
) -> Result<Agent, String> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("xbuild/", env!("CARGO_PKG_VERSION")))
        // A file is what is stored, never a compressed form of it.
        .accept_encoding("identity")
        .timeout_connect(Some(limits.connect_timeout))
        .timeout_resolve(Some(limits.connect_timeout))
        .timeout_recv_response(Some(limits.stall_timeout))
        .timeout_per_read(Some(limits.stall_timeout))
        .timeout_per_write(Some(limits.stall_timeout))
        // Else the library reads the environment in its own way.
        .proxy(None);
    if let Some(roots) = roots {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        config = config.tls_config(tls.build());
    }
    let resolver = |through: Option<&ProxyUrl>| HostResolver {
        dns: Arc::clone(dns),
        instead: through.map(|proxy| (proxy.host.clone(), proxy.port)),
    };
    Ok(match &route.proxy {
        None => Agent::with_parts(config.build(), DefaultConnector::new(), resolver(None)),
        Some(proxy) if route.tls => {
            let mut builder = Proxy::builder(ProxyProtocol::Http)
                .host(&proxy.host)
                .port(proxy.port);
            if let Some((user, password)) = &proxy.login {
                builder = builder.username(user).password(password);
            }
            let proxy = builder.build().map_err(|error| error.to_string())?;
            Agent::with_parts(
                config.proxy(Some(proxy)).build(),
                DefaultConnector::new(),
                resolver(None),
            )
        }
        // The library would open a tunnel, which proxies allow for TLS only.
        Some(proxy) => Agent::with_parts(
            config.build(),
            ().chain(TcpConnector::default()).chain(ForwardConnector),
            resolver(Some(proxy)),
        ),
    })
}

/// Our resolver, as the HTTP library wants it.
struct HostResolver {
    dns: Arc<Dns>,
    /// Host and port of a proxy, to connect to in place of the server.
    instead: Option<(String, u16)>,
}

impl fmt::Debug for HostResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostResolver")
            .field("instead", &self.instead)
            .finish_non_exhaustive()
    }
}

impl Resolver for HostResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let default_port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let (host, port) = match &self.instead {
            Some((host, port)) => (host.as_str(), *port),
            None => (
                uri.host().unwrap_or_default(),
                uri.port_u16().unwrap_or(default_port),
            ),
        };
        let deadline = (!timeout.after.is_not_happening()).then(|| Instant::now() + *timeout.after);
        let addresses = self
            .dns
            .resolve(host, deadline)
            .map_err(|error| Error::Other(Box::new(error)))?;
        let mut resolved = self.empty();
        // The most that the library's array can hold.
        for address in addresses.into_iter().take(16) {
            resolved.push(SocketAddr::new(address, port));
        }
        Ok(resolved)
    }
}

/// Makes plain HTTP requests fit for a proxy: the request line names the whole URL (RFC 9112, section 3.2.2).
#[derive(Debug)]
struct ForwardConnector;

impl<T: Transport> Connector<T> for ForwardConnector {
    type Out = ForwardTransport<T>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<T>,
    ) -> Result<Option<Self::Out>, Error> {
        let server = details
            .uri
            .authority()
            .map(|authority| format!("http://{authority}"))
            .unwrap_or_default();
        Ok(chained.map(|inner| ForwardTransport { inner, server }))
    }
}

#[derive(Debug)]
struct ForwardTransport<T> {
    inner: T,
    /// What to put before the path of a request line.
    server: String,
}

impl<T: Transport> Transport for ForwardTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        const START: &[u8] = b"GET ";
        let output = self.inner.buffers().output();
        let mut amount = amount;
        // Only GET is ever sent, without a body: what starts like this is the head of a request.
        if output[..amount].starts_with(b"GET /") {
            let (from, to) = (START.len(), START.len() + self.server.len());
            if amount + self.server.len() > output.len() {
                return Err(Error::BodyExceedsLimit(output.len() as u64));
            }
            output.copy_within(from..amount, to);
            output[from..to].copy_from_slice(self.server.as_bytes());
            amount += self.server.len();
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
