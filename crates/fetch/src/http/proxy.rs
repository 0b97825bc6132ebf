//! The proxies that the environment names, in the way of curl (and so of Nix): `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`.

use data_encoding::BASE64;

/// A proxy that speaks HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProxyUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: Option<(String, String)>,
}

/// Which proxy to use for what.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProxySettings {
    http: Option<String>,
    https: Option<String>,
    no_proxy: Vec<String>,
}

impl ProxySettings {
    /// From the environment, which `variable` looks things up in.
    pub(crate) fn from_env(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| variable(name).filter(|value| !value.is_empty()))
        };
        let all = first(&["all_proxy", "ALL_PROXY"]);
        Self {
            // Not HTTP_PROXY: under CGI that comes from a request's header.
            http: first(&["http_proxy"]).or_else(|| all.clone()),
            https: first(&["https_proxy", "HTTPS_PROXY"]).or(all),
            no_proxy: first(&["no_proxy", "NO_PROXY"])
                .unwrap_or_default()
                .split([',', ' '])
                .map(str::to_ascii_lowercase)
                .filter(|entry| !entry.is_empty())
                .collect(),
        }
    }

    /// The proxy for requests to a host, if any.
    pub(crate) fn choose(
        &self,
        tls: bool,
        host: &str,
        port: u16,
    ) -> Result<Option<ProxyUrl>, String> {
        let (variable, value) = if tls {
            ("https_proxy", &self.https)
        } else {
            ("http_proxy", &self.http)
        };
        match value {
            Some(value) if !self.is_exempt(host, port) => {
                let proxy = ProxyUrl::parse(value);
                proxy.map(Some).map_err(|reason| {
                    format!(
                        "the proxy '{}' ({variable} or all_proxy) cannot be used: {reason}",
                        without_login(value)
                    )
                })
            }
            _ => Ok(None),
        }
    }

    /// An entry is `*`, or a domain that stands for all hosts in it, too; with a port, it is for that port only.
    fn is_exempt(&self, host: &str, port: u16) -> bool {
        let host = host
            .trim_matches(['[', ']'])
            .trim_end_matches('.')
            .to_ascii_lowercase();
        self.no_proxy.iter().any(|entry| {
            let (entry, for_port) = match entry
                .rsplit_once(':')
                .map(|(name, port)| (name, port.parse::<u16>()))
            {
                Some((name, Ok(port))) if !name.contains(':') || name.ends_with(']') => {
                    (name, Some(port))
                }
                _ => (entry.as_str(), None),
            };
            let domain = entry
                .trim_matches(['[', ']'])
                .trim_start_matches("*.")
                .trim_start_matches('.');
            let inside = host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            (entry == "*" || (!domain.is_empty() && inside))
                && for_port.is_none_or(|for_port| for_port == port)
        })
    }
}

impl ProxyUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) => {
                return Err(format!(
                    "only proxies that speak HTTP are supported (http://HOST:PORT), not '{scheme}'"
                ));
            }
            None => text,
        };
        let rest = rest.split('/').next().unwrap_or_default();
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (decode(user), decode(password))
        });
        // curl's default port of a proxy.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                port.parse()
                    .map_err(|_| format!("'{port}' is not a port"))?,
            ),
            _ => (place, 1080),
        };
        if host.is_empty() {
            return Err("it names no host".to_owned());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            login,
        })
    }

    /// The value of a Proxy-Authorization header (RFC 7617).
    pub(super) fn authorization(&self) -> Option<String> {
        let (user, password) = self.login.as_ref()?;
        Some(format!(
            "Basic {}",
            BASE64.encode(format!("{user}:{password}").as_bytes())
        ))
    }
}

/// A proxy's URL as it may be shown.
fn without_login(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, place)| place)
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> ProxySettings {
        ProxySettings::from_env(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn place(proxy: Option<ProxyUrl>) -> Option<(String, u16)> {
        proxy.map(|proxy| (proxy.host, proxy.port))
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let settings = settings(&[
            ("http_proxy", "http://a.example:3128/"),
            ("ALL_PROXY", "b.example"),
            ("HTTP_PROXY", "http://evil.example:1"),
        ]);
        assert_eq!(
            place(settings.choose(false, "x.example", 80).unwrap()),
            Some(("a.example".into(), 3128))
        );
        assert_eq!(
            place(settings.choose(true, "x.example", 443).unwrap()),
            Some(("b.example".into(), 1080))
        );
        assert_eq!(
            place(
                ProxySettings::default()
                    .choose(true, "x.example", 443)
                    .unwrap()
            ),
            None
        );
    }

    #[test]
    fn exempt_hosts() {
        let settings = settings(&[
            ("all_proxy", "p.example:1"),
            (
                "no_proxy",
                "localhost, .corp.example,10.0.0.1,[::1],x.example:8080,*.dev.example",
            ),
        ]);
        let exempt = |host, port| settings.choose(false, host, port).unwrap().is_none();
        for host in [
            "localhost",
            "a.corp.example",
            "corp.example",
            "10.0.0.1",
            "[::1]",
            "A.B.Corp.Example.",
            "q.dev.example",
        ] {
            assert!(exempt(host, 80), "{host}");
        }
        for host in [
            "notlocalhost",
            "acorp.example",
            "10.0.0.10",
            "x.example",
            "example",
        ] {
            assert!(!exempt(host, 80), "{host}");
        }
        assert!(exempt("x.example", 8080));
        let all = ProxySettings {
            no_proxy: vec!["*".into()],
            ..settings
        };
        assert!(all.choose(true, "any.example", 443).unwrap().is_none());
    }

    #[test]
    fn logins_are_used_and_not_shown() {
        let proxy = ProxyUrl::parse("http://us%40er:pa:ss@[2001:db8::1]:8080").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("[2001:db8::1]", 8080));
        assert_eq!(
            proxy.authorization().as_deref(),
            Some("Basic dXNAZXI6cGE6c3M=")
        );
        let bad = settings(&[("https_proxy", "socks5://me:secret@p.example:1080")]);
        insta::assert_snapshot!(bad.choose(true, "x.example", 443).unwrap_err(), @"the proxy 'p.example:1080' (https_proxy or all_proxy) cannot be used: only proxies that speak HTTP are supported (http://HOST:PORT), not 'socks5'");
        for bad in ["", "http://", "http://h:port", "h:99999"] {
            assert!(ProxyUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
