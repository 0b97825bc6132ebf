//! QEMU: its arguments, and the running process.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

use rustix::io::FdFlags;

use crate::description::{Interface, Machine, Network};
use crate::error::{Error, Result};

/// The loader that starts the programs of a bundle, and its libraries: both in `lib` of the bundle.
const LOADER: &str = "lib/ld-linux-x86-64.so.2";
/// What is kept of QEMU's own messages.
const MAX_MESSAGES: u64 = 64 << 10;

/// What the user may choose.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// The port of this machine (on its loopback address only) that leads to the guest's ssh.
    pub ssh_port: Option<u16>,
    /// The guest reaches nothing but what the user's network of QEMU itself offers (addresses by DHCP).
    pub isolated: bool,
    /// The disk is to survive a crash of this machine.
    pub durable: bool,
}

/// A command that runs `program` of a bundle: through the loader, because the store is not where the program was made for.
#[must_use]
pub fn bundled(bundle: &Path, program: &str) -> Command {
    let mut command = Command::new(bundle.join(LOADER));
    command
        .arg("--library-path")
        .arg(bundle.join("lib"))
        .arg(bundle.join("bin").join(program))
        // Of the user's variables, none is for it; some (LD_PRELOAD) would break it.
        .env_clear();
    xbuild_sandbox::end_with_caller(&mut command);
    command
}

/// QEMU's arguments for `machine`, whose disk is open as descriptor `disk`.
#[must_use]
pub fn arguments(machine: &Machine, choices: &Choices, disk: i32) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    let mut add = |words: &[&dyn AsRef<OsStr>]| {
        all.extend(words.iter().map(|word| word.as_ref().to_owned()));
    };
    add(&[&"-nodefaults", &"-no-user-config", &"-no-reboot"]);
    add(&[&"-display", &"none", &"-monitor", &"none"]);
    add(&[&"-L", &machine.qemu.join("share")]);
    add(&[&"-machine", &machine.machine]);
    if let Some(cpu) = &machine.cpu {
        add(&[&"-cpu", cpu]);
    }
    add(&[&"-smp", &machine.cpus.to_string()]);
    add(&[&"-m", &format!("{}M", machine.memory)]);
    if let Some(firmware) = &machine.firmware {
        add(&[&"-bios", firmware]);
    }
    if let Some(kernel) = &machine.kernel {
        add(&[&"-kernel", &kernel.image]);
        add(&[&"-dtb", &kernel.device_tree]);
        add(&[&"-append", &kernel.append]);
    }
    // The file has no name; QEMU finds it by its descriptor.
    add(&[&"-add-fd", &format!("fd={disk},set=1")]);
    let cache = if choices.durable {
        "writeback"
    } else {
        "unsafe"
    };
    let drive = format!(
        "id=disk,file=/dev/fdset/1,format=raw,auto-read-only=off,cache={cache},discard=unmap"
    );
    let on = |interface: &str| format!("if={interface},{drive}");
    match machine.disk.interface {
        Interface::Sd => {
            let bus = machine.disk.bus;
            add(&[&"-drive", &on(&format!("sd,bus={bus}"))]);
        }
        Interface::Nvme => {
            add(&[&"-drive", &on("none")]);
            let device = "nvme,drive=disk,serial=xbuild,bootindex=0";
            add(&[&"-device", &device]);
        }
        Interface::Virtio => {
            add(&[&"-drive", &on("none")]);
            add(&[&"-device", &"virtio-blk-pci,drive=disk,bootindex=0"]);
        }
    }
    let mut user = String::from("user");
    if choices.isolated {
        user += ",restrict=on";
    }
    if let Some(port) = choices.ssh_port {
        user += &format!(",hostfwd=tcp:127.0.0.1:{port}-:22");
    }
    match machine.network {
        None => add(&[&"-nic", &"none"]),
        Some(Network::Onboard) => add(&[&"-nic", &user]),
        Some(Network::Virtio) => {
            add(&[&"-netdev", &format!("{user},id=network")]);
            // Without the ROM that boots over the network.
            add(&[&"-device", &"virtio-net-pci,netdev=network,romfile="]);
        }
    }
    add(&[&"-chardev", &"stdio,id=console,signal=off"]);
    for _ in 0..machine.console.serial {
        add(&[&"-serial", &"null"]);
    }
    add(&[&"-serial", &"chardev:console"]);
    all
}

/// A running QEMU. Dropping it ends it.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    messages: Option<JoinHandle<Vec<u8>>>,
}

impl Qemu {
    /// Starts QEMU. It ends at the latest when the calling thread does.
    ///
    /// # Errors
    /// A program that cannot be started. That QEMU refuses its arguments shows when its output ends.
    pub fn start(machine: &Machine, choices: &Choices, disk: &File) -> Result<Self> {
        let mut command = bundled(&machine.qemu, "qemu-system-aarch64");
        command
            .args(arguments(machine, choices, disk.as_raw_fd()))
            .env("QEMU_MODULE_DIR", machine.qemu.join("lib/qemu"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal is for xbuild, which ends QEMU itself.
            .process_group(0);
        if let Some(directory) = std::env::var_os("TMPDIR") {
            command.env("TMPDIR", directory);
        }
        rustix::io::fcntl_setfd(disk, FdFlags::empty()).map_err(Error::system("share the disk"))?;
        let started = command.spawn();
        rustix::io::fcntl_setfd(disk, FdFlags::CLOEXEC).map_err(Error::system("share the disk"))?;
        let mut child = started.map_err(|error| Error::Start {
            program: machine.qemu.join("bin/qemu-system-aarch64"),
            error,
        })?;
        let no_pipe = || Error::System {
            what: "talk to QEMU",
            error: io::ErrorKind::BrokenPipe.into(),
        };
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or_else(no_pipe)?;
        let mut stderr = child.stderr.take().ok_or_else(no_pipe)?;
        let messages = thread::Builder::new()
            .name("qemu messages".to_owned())
            .spawn(move || {
                let mut kept = Vec::new();
                let _ = stderr.by_ref().take(MAX_MESSAGES).read_to_end(&mut kept);
                // The rest is read, so that QEMU does not wait for a reader.
                let _ = io::copy(&mut stderr, &mut io::sink());
                kept
            })
            .map_err(Error::system("start a thread"))?;
        Ok(Self {
            child,
            input,
            output,
            messages: Some(messages),
        })
    }

    /// Types `bytes` on the console. That nobody reads any more is no error: it shows when the output ends.
    ///
    /// # Errors
    /// Other errors of the pipe.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        match input.write_all(bytes).and_then(|()| input.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.input = None;
                Ok(())
            }
            result => result.map_err(Error::system("write to QEMU's console")),
        }
    }

    /// The console's output, to be waited for.
    #[must_use]
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// What the console printed; empty when there will be no more.
    ///
    /// # Errors
    /// Errors of the pipe.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.output.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(Error::system("read QEMU's console")),
            }
        }
    }

    /// Ends QEMU as if the power was cut.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }

    /// Waits until QEMU has ended, and says how.
    ///
    /// # Errors
    /// Only those that waiting can have.
    pub fn wait(&mut self) -> Result<Ending> {
        let status = self.child.wait().map_err(Error::system("wait for QEMU"))?;
        let messages = match self.messages.take() {
            Some(thread) => thread.join().unwrap_or_default(),
            None => Vec::new(),
        };
        Ok(Ending {
            success: status.success(),
            status: describe(status),
            messages: String::from_utf8_lossy(&messages).trim_end().to_owned(),
        })
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// How QEMU ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// By itself and without an error: the guest switched off, or started again.
    pub success: bool,
    /// The exit status, in words.
    pub status: String,
    /// What it printed on stderr.
    pub messages: String,
}

impl Ending {
    /// The error that a failed QEMU is.
    #[must_use]
    pub fn into_error(self) -> Error {
        Error::Qemu {
            status: self.status,
            message: if self.messages.is_empty() {
                "it printed no message".to_owned()
            } else {
                self.messages
            },
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(more: &str) -> Machine {
        let text = format!(
            r#"{{"version": 1, "name": "n", "board": "b", "qemu": "/q", "sshClient": "/s", "cpus": 2, "memory": 1024, "image": "/i",
                "timeouts": {{"ready": 1, "selftest": 1, "ssh": 1, "powerOff": 1}}, {more}}}"#
        );
        Machine::parse(text.as_bytes()).unwrap()
    }

    fn line(machine: &Machine, choices: &Choices) -> String {
        let words = arguments(machine, choices, 7);
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    const COMMON: &str =
        "-nodefaults -no-user-config -no-reboot -display none -monitor none -L /q/share";
    const DRIVE: &str = "id=disk,file=/dev/fdset/1,format=raw,auto-read-only=off";

    #[test]
    fn a_machine_with_firmware() {
        let machine = machine(
            r#""machine": "virt,acpi=off", "cpu": "cortex-a76", "firmware": "/f", "kernel": null, "disk": {"interface": "nvme", "grow": 1},
               "network": "virtio", "console": {"serial": 0, "dialect": "shell", "ready": "r", "bootMenu": {"mark": "m", "keys": "2\r"}}"#,
        );
        let choices = Choices {
            ssh_port: Some(22022),
            isolated: true,
            durable: false,
        };
        assert_eq!(
            line(&machine, &choices),
            format!(
                "{COMMON} -machine virt,acpi=off -cpu cortex-a76 -smp 2 -m 1024M -bios /f -add-fd fd=7,set=1 \
                 -drive if=none,{DRIVE},cache=unsafe,discard=unmap -device nvme,drive=disk,serial=xbuild,bootindex=0 \
                 -netdev user,restrict=on,hostfwd=tcp:127.0.0.1:22022-:22,id=network -device virtio-net-pci,netdev=network,romfile= \
                 -chardev stdio,id=console,signal=off -serial chardev:console"
            )
        );
    }

    #[test]
    fn a_machine_with_a_kernel() {
        let machine = machine(
            r#""machine": "imx8mp-evk", "cpu": null, "firmware": null, "kernel": {"image": "/k", "deviceTree": "/d", "append": "console=x root=y"},
               "disk": {"interface": "sd", "bus": 1, "grow": 1, "powerOfTwo": true}, "network": "onboard",
               "console": {"serial": 1, "dialect": "status", "ready": "r", "bootMenu": null}"#,
        );
        let choices = Choices {
            durable: true,
            ..Choices::default()
        };
        assert_eq!(
            line(&machine, &choices),
            format!(
                "{COMMON} -machine imx8mp-evk -smp 2 -m 1024M -kernel /k -dtb /d -append console=x root=y -add-fd fd=7,set=1 \
                 -drive if=sd,bus=1,{DRIVE},cache=writeback,discard=unmap -nic user \
                 -chardev stdio,id=console,signal=off -serial null -serial chardev:console"
            )
        );
    }
}
