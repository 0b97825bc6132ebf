//! A machine that is played: files that stand in for /sys, /proc and /dev, and programs that stand in for the machine's.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::ran::Ran;
use crate::{IMAGE, SCRIPT, WORLD};

/// A machine with disks.
pub(crate) struct Machine {
    pub(crate) root: PathBuf,
}

impl Machine {
    pub(crate) fn new(name: &str) -> Self {
        let root = WORLD.mkdir(&format!("machines/{name}"));
        for directory in [
            "sys/block",
            "sys/class/block",
            "sys/bus/usb/devices",
            "proc/self",
            "dev",
            "tmp",
        ] {
            fs::create_dir_all(root.join(directory)).expect("create a directory");
        }
        let machine = Self { root };
        machine.add("proc/self/mountinfo", "");
        machine.add("proc/swaps", "Filename Type Size Used Priority\n");
        machine
    }

    /// Appends to a file.
    pub(crate) fn add(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("create a directory");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("open a file");
        file.write_all(text.as_bytes()).expect("write a file");
    }

    pub(crate) fn dev(&self, name: &str) -> PathBuf {
        self.root.join("dev").join(name)
    }

    /// A disk that is 1 MiB larger than the image and full of 0xff.
    pub(crate) fn disk(&self, name: &str, path: &str, numbers: &str) -> PathBuf {
        self.disk_of(name, path, numbers, IMAGE.len() + (1 << 20))
    }

    pub(crate) fn disk_of(&self, name: &str, path: &str, numbers: &str, size: usize) -> PathBuf {
        let sys = format!("sys/devices/{path}/block/{name}");
        for (file, text) in [
            ("size", (size / 512).to_string()),
            ("removable", "0".to_owned()),
            ("ro", "0".to_owned()),
            ("dev", numbers.to_owned()),
            ("device/model", format!("Model of {name}")),
        ] {
            self.add(&format!("{sys}/{file}"), &format!("{text}\n"));
        }
        if name.starts_with("mmcblk") {
            self.add(&format!("{sys}/device/type"), "SD\n");
        }
        fs::create_dir_all(self.root.join(&sys).join("holders")).expect("create a directory");
        self.link(name, &sys, true);
        fs::write(self.dev(name), vec![0xff; size]).expect("write a disk");
        self.dev(name)
    }

    pub(crate) fn link(&self, name: &str, sys: &str, disk: bool) {
        let target = self.root.join(sys);
        symlink(&target, self.root.join("sys/class/block").join(name)).expect("make a link");
        if disk {
            symlink(&target, self.root.join("sys/block").join(name)).expect("make a link");
        }
    }

    /// The first partition of a disk.
    pub(crate) fn partition(&self, disk: &str, path: &str, name: &str, numbers: &str) {
        let sys = format!("sys/devices/{path}/block/{disk}/{name}");
        self.add(&format!("{sys}/partition"), "1\n");
        self.add(&format!("{sys}/dev"), &format!("{numbers}\n"));
        fs::create_dir_all(self.root.join(&sys).join("holders")).expect("create a directory");
        self.link(name, &sys, false);
        fs::write(self.dev(name), "partition").expect("write a partition");
    }

    /// Something that is built on a device.
    pub(crate) fn holder(&self, device: &str, name: &str, numbers: &str, nick: &str) {
        let sys = format!("sys/devices/virtual/block/{name}");
        self.add(&format!("{sys}/dev"), &format!("{numbers}\n"));
        self.add(&format!("{sys}/dm/name"), &format!("{nick}\n"));
        self.add(&format!("{sys}/size"), "1000000\n");
        fs::create_dir_all(self.root.join(&sys).join("holders")).expect("create a directory");
        self.link(name, &sys, true);
        fs::write(self.dev(name), "mapping").expect("write a mapping");
        let holders = self
            .root
            .join("sys/class/block")
            .join(device)
            .join("holders")
            .join(name);
        symlink(self.root.join(sys), holders).expect("make a link");
    }

    pub(crate) fn mount(&self, numbers: &str, source: &str, at: &str) {
        self.add(
            "proc/self/mountinfo",
            &format!("30 1 {numbers} / {at} rw,relatime shared:1 - ext4 {source} rw\n"),
        );
    }

    pub(crate) fn usb(&self, id: &str) {
        let (vendor, product) = id.split_once(':').expect("an id");
        self.add("sys/bus/usb/devices/1-2/idVendor", &format!("{vendor}\n"));
        self.add("sys/bus/usb/devices/1-2/idProduct", &format!("{product}\n"));
    }

    /// Where it is, as the scripts' option `--stand-in` takes it.
    pub(crate) fn place(&self) -> &str {
        self.root.to_str().expect("UTF-8")
    }

    /// `--list` shows a disk that is only taken when it is named.
    pub(crate) fn lists_a_built_in_disk(&self) {
        let listed = self.run(&SCRIPT, &["--list"], "").succeeds();
        assert!(
            listed
                .stdout
                .contains("is built in; taken only with --device"),
            "{}",
            listed.report()
        );
    }

    /// Runs a script on this machine, with an answer.
    pub(crate) fn run(&self, script: &Path, args: &[&str], answer: &str) -> Ran {
        let mut all = vec!["--stand-in", self.place()];
        all.extend(args);
        self.run_bare(script, &all, answer)
    }

    /// Starts a program whose programs are those of this machine first; nobody has answered it yet.
    pub(crate) fn start(&self, script: &Path, args: &[&str]) -> Child {
        let path = format!(
            "{}:{}",
            self.root.join("bin").display(),
            std::env::var("PATH").expect("PATH")
        );
        Command::new(script)
            .args(args)
            .env("PATH", path)
            .env("TMPDIR", self.root.join("tmp"))
            .current_dir(&self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the script")
    }

    pub(crate) fn run_bare(&self, script: &Path, args: &[&str], answer: &str) -> Ran {
        let mut child = self.start(script, args);
        // It may end without reading.
        let _ = child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(answer.as_bytes());
        let output = child.wait_with_output().expect("wait for the script");
        let left: Vec<_> = fs::read_dir(self.root.join("tmp"))
            .expect("list a directory")
            .collect();
        assert!(left.is_empty(), "{args:?} leaves files behind: {left:?}");
        Ran::new(format!("{} {args:?}", script.display()), &output)
    }

    /// A program that is found before the machine's.
    pub(crate) fn program(&self, name: &str, text: &str) {
        self.executable(&format!("bin/{name}"), text);
    }

    pub(crate) fn executable(&self, path: &str, text: &str) {
        self.add(path, text);
        fs::set_permissions(self.root.join(path), fs::Permissions::from_mode(0o755))
            .expect("make it executable");
    }

    /// No disk of this machine was written to.
    #[track_caller]
    pub(crate) fn is_untouched(&self) {
        for entry in fs::read_dir(self.root.join("dev")).expect("list the disks") {
            let path = entry.expect("list the disks").path();
            let content = fs::read(&path).expect("read a disk");
            assert!(
                content.iter().all(|byte| *byte == 0xff) || content.len() < 100,
                "{} was written to",
                path.display()
            );
        }
    }
}
