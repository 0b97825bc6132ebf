//! Logging in to the guest, with a key that is thrown away.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result};
use crate::qemu::bundled;

/// What is kept of a client's output.
const MAX_OUTPUT: u64 = 16 << 10;

/// A key, in a directory that goes with it.
#[derive(Debug)]
pub struct Key {
    directory: tempfile::TempDir,
    bundle: PathBuf,
    /// The public half, as it stands in `authorized_keys`.
    pub public: String,
}

impl Key {
    /// Makes a key with the programs of `bundle`.
    ///
    /// # Errors
    /// A program that cannot be started, or fails.
    pub fn generate(bundle: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("xbuild-ssh-")
            .tempdir()
            .map_err(Error::system("make a temporary directory"))?;
        let program = bundle.join("bin/dropbearkey");
        let mut command = bundled(bundle, "dropbearkey");
        command
            .args(["-t", "ed25519", "-f"])
            .arg(directory.path().join("key"))
            .stdin(Stdio::null());
        let made = command.output().map_err(|error| Error::Start {
            program: program.clone(),
            error,
        })?;
        let text = String::from_utf8_lossy(&made.stdout);
        let words = text
            .lines()
            .find(|line| line.starts_with("ssh-ed25519 "))
            .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        match words {
            Some(public) if made.status.success() => Ok(Self {
                directory,
                bundle: bundle.to_owned(),
                public: format!("{public} xbuild-test"),
            }),
            _ => Err(Error::Start {
                program,
                error: std::io::Error::other(format!(
                    "it made no key: {}",
                    String::from_utf8_lossy(&made.stderr).trim_end()
                )),
            }),
        }
    }

    /// Starts to run `command` as root on the guest behind `port` of this machine. The host key is not checked: the guest has just
    /// made it, and the port leads to nobody else.
    ///
    /// # Errors
    /// A client that cannot be started.
    pub fn run(&self, port: u16, command: &str) -> Result<Login> {
        let mut client: Command = bundled(&self.bundle, "dbclient");
        client
            .args(["-y", "-y", "-T", "-i"])
            .arg(self.directory.path().join("key"))
            .args(["-p", &port.to_string(), "root@127.0.0.1", command])
            // It keeps the keys of hosts there.
            .env("HOME", self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = client.spawn().map_err(|error| Error::Start {
            program: self.bundle.join("bin/dbclient"),
            error,
        })?;
        Ok(Login(child))
    }
}

/// An attempt to log in. Dropping it ends it.
#[derive(Debug)]
pub struct Login(Child);

impl Login {
    /// What the command printed, or why it did not run; `None` as long as it runs.
    ///
    /// # Errors
    /// Only those that waiting can have.
    pub fn poll(&mut self) -> Result<Option<Result<String, String>>> {
        let status = self
            .0
            .try_wait()
            .map_err(Error::system("wait for the ssh client"))?;
        let Some(status) = status else {
            return Ok(None);
        };
        let read = |from: Option<&mut dyn std::io::Read>| {
            let mut bytes = Vec::new();
            if let Some(from) = from {
                // What it has printed is in the pipe.
                let _ = from.take(MAX_OUTPUT).read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).trim_end().to_owned()
        };
        let output = read(self.0.stdout.as_mut().map(|pipe| pipe as _));
        let messages = read(self.0.stderr.as_mut().map(|pipe| pipe as _));
        Ok(Some(if status.success() {
            Ok(output)
        } else if messages.is_empty() {
            Err(format!("the ssh client failed ({status})"))
        } else {
            Err(messages)
        }))
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
