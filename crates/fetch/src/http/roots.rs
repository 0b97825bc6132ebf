//! The certificate authorities that are trusted: the host's own, as for every other program on it.

use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, PemItem, parse_pem};

/// The variables that name a bundle, in the order in which Nix looks at them.
const VARIABLES: [&str; 2] = ["NIX_SSL_CERT_FILE", "SSL_CERT_FILE"];

/// Where distributions keep the bundle.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
];

/// The certificates of `configured`, else of what the environment names, else of the host's bundle.
pub(super) fn load(configured: Option<&Path>) -> Result<Vec<Certificate<'static>>, String> {
    let named = configured
        .map(|path| ("the setting 'ssl-cert-file'", path.to_owned()))
        .or_else(|| {
            VARIABLES.iter().find_map(|&variable| {
                let value = std::env::var_os(variable).filter(|value| !value.is_empty())?;
                Some((variable, PathBuf::from(value)))
            })
        });
    if let Some((by, path)) = named {
        return read(&path).map_err(|reason| {
            format!(
                "the certificates in '{}', which {by} names, cannot be used: {reason}",
                path.display()
            )
        });
    }
    let found = BUNDLES.iter().find_map(|path| read(Path::new(path)).ok());
    found.ok_or_else(|| {
        format!(
            "https needs the certificates of authorities, and none of these files has any: {}; \
             install the package ca-certificates, or name a file with {}",
            BUNDLES.join(", "),
            VARIABLES[0]
        )
    })
}

fn read(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        Err("it contains no certificate in PEM form".to_owned())
    } else {
        Ok(certificates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_must_be_usable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = load(Some(file.path()))
            .unwrap_err()
            .replace(file.path().to_str().unwrap(), "FILE");
        insta::assert_snapshot!(error, @"the certificates in 'FILE', which the setting 'ssl-cert-file' names, cannot be used: it contains no certificate in PEM form");
    }
}
