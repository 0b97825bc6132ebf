//! `vm.json`: the machine that stands in for a board.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

/// The version of the format that is read here.
const VERSION: u32 = 1;

/// A machine. Paths are those of the store (`/nix/store/…`) until [`Machine::map_paths`] was called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    /// The format's version.
    pub version: u32,
    /// The image's name.
    pub name: String,
    /// The board's name.
    pub board: String,
    /// The directory with `lib/ld-linux-x86-64.so.2`, the libraries, and `bin/qemu-system-aarch64`.
    pub qemu: PathBuf,
    /// The directory with `bin/dbclient` and `bin/dropbearkey`, in the same form.
    pub ssh_client: PathBuf,
    /// `-machine`
    pub machine: String,
    /// `-cpu`, if it is not the machine's own.
    pub cpu: Option<String>,
    /// Number of CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// The UEFI firmware. With it, the image's own boot chain runs.
    pub firmware: Option<PathBuf>,
    /// What QEMU loads in place of a boot loader, without firmware.
    pub kernel: Option<Kernel>,
    /// The packed image.
    pub image: PathBuf,
    /// How the image is attached.
    pub disk: Disk,
    /// How the machine reaches the network; absent: not at all.
    pub network: Option<Network>,
    /// The console.
    pub console: Console,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// What QEMU loads itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kernel {
    /// The arm64 `Image`.
    pub image: PathBuf,
    /// The device tree.
    pub device_tree: PathBuf,
    /// The kernel's command line.
    pub append: String,
}

/// How the disk is attached, and what becomes of its size.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disk {
    /// On what.
    pub interface: Interface,
    /// The number of the bus, for SD cards.
    #[serde(default)]
    pub bus: u32,
    /// MiB that the disk is larger than the image at the least, as a board's storage is: so the data partition has room to grow.
    pub grow: u64,
    /// Whether the size must be a power of two (QEMU's SD cards).
    #[serde(default)]
    pub power_of_two: bool,
}

/// What a disk hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// A card in the SD controller `bus`.
    Sd,
    /// NVMe behind PCIe.
    Nvme,
    /// virtio behind PCIe.
    Virtio,
}

/// A network device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// That of the machine itself.
    Onboard,
    /// virtio behind PCIe.
    Virtio,
}

/// The console.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Console {
    /// Which of the machine's UARTs it is, from 0.
    pub serial: u32,
    /// What is behind it when the machine is up.
    pub dialect: Dialect,
    /// The line that says so.
    pub ready: String,
    /// The boot menu, if a key must be pressed there.
    pub boot_menu: Option<BootMenu>,
}

/// What a console understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// A root shell.
    Shell,
    /// A few words: `help`, `status`, `selftest`, `log`, `reboot`, `poweroff`.
    Status,
}

/// A menu of a boot loader.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootMenu {
    /// A text by which the menu is recognised.
    pub mark: String,
    /// What is typed then.
    pub keys: String,
}

/// How long the machine may take, in seconds. An emulated machine on a loaded one is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// From the start to the ready mark.
    pub ready: u64,
    /// For the image's own checks.
    pub selftest: u64,
    /// Until somebody has logged in by ssh.
    pub ssh: u64,
    /// To shut down.
    pub power_off: u64,
}

impl Machine {
    /// Reads a description.
    ///
    /// # Errors
    /// A file that cannot be read or is no description.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(Error::file("read", path))?;
        Self::parse(&text).map_err(|problem| Error::Description {
            path: path.to_owned(),
            problem,
        })
    }

    /// Understands a description.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(text)
            .map_err(|error| format!("this is no description of a machine: {error}"))?;
        if version != VERSION {
            return Err(format!(
                "the description has version {version}, and this xbuild understands version {VERSION}"
            ));
        }
        let machine: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if machine.firmware.is_some() == machine.kernel.is_some() {
            return Err("the machine must have either `firmware` or `kernel`".to_owned());
        }
        if machine.cpus == 0 || machine.memory == 0 {
            return Err("the machine has no CPU or no memory".to_owned());
        }
        if machine.console.ready.trim().is_empty() {
            return Err("`console.ready` is empty".to_owned());
        }
        Ok(machine)
    }

    /// Replaces every path by what `place` says.
    ///
    /// # Errors
    /// What `place` refuses.
    pub fn map_paths<E>(&mut self, place: impl Fn(&Path) -> Result<PathBuf, E>) -> Result<(), E> {
        let kernel = self.kernel.as_mut();
        let kernel = kernel.map(|kernel| [&mut kernel.image, &mut kernel.device_tree]);
        let paths = [&mut self.qemu, &mut self.ssh_client, &mut self.image]
            .into_iter()
            .chain(&mut self.firmware)
            .chain(kernel.into_iter().flatten());
        for path in paths {
            *path = place(path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"version": 1, "name": "n", "board": "b", "qemu": "/q", "sshClient": "/s", "machine": "virt", "cpu": null, "cpus": 2,
        "memory": 1024, "firmware": "/f", "kernel": null, "image": "/i", "disk": {"interface": "virtio", "grow": 1}, "network": null,
        "console": {"serial": 0, "dialect": "shell", "ready": "r", "bootMenu": null},
        "timeouts": {"ready": 1, "selftest": 1, "ssh": 1, "powerOff": 1}}"#;

    fn problem(from: &str, to: &str) -> String {
        assert!(TEXT.contains(from), "{from}");
        Machine::parse(TEXT.replace(from, to).as_bytes()).unwrap_err()
    }

    #[test]
    fn paths_are_mapped() {
        let mut machine = Machine::parse(TEXT.as_bytes()).unwrap();
        let place =
            |path: &Path| Ok::<_, ()>(Path::new("/store").join(path.strip_prefix("/").unwrap()));
        machine.map_paths(place).unwrap();
        let paths = [&machine.qemu, &machine.ssh_client, &machine.image];
        assert_eq!(paths, ["/store/q", "/store/s", "/store/i"].map(Path::new));
        assert_eq!(machine.firmware.as_deref(), Some(Path::new("/store/f")));
    }

    #[test]
    fn what_is_no_description() {
        assert!(
            problem("{\"version\"", "[\"version\"")
                .starts_with("this is no description of a machine: ")
        );
        assert_eq!(
            problem("\"version\": 1", "\"version\": 9"),
            "the description has version 9, and this xbuild understands version 1"
        );
        assert_eq!(
            problem("\"firmware\": \"/f\"", "\"firmware\": null"),
            "the machine must have either `firmware` or `kernel`"
        );
        assert_eq!(
            problem("\"cpus\": 2", "\"cpus\": 0"),
            "the machine has no CPU or no memory"
        );
        assert_eq!(
            problem("\"ready\": \"r\"", "\"ready\": \" \""),
            "`console.ready` is empty"
        );
        assert!(problem("\"virtio\"", "\"floppy\"").contains("unknown variant `floppy`"));
        assert!(problem("\"memory\"", "\"memori\"").contains("unknown field `memori`"));
    }
}
