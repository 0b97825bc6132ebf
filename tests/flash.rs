//! Flash scripts: on plain files that stand in for disks, with a stand-in for /sys and /proc, a stand-in BSP and a stand-in uuu that
//! record how they are called. Nothing here touches a device.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use support::ran::Ran;
use support::world::World;
use support::{expressions, progress, test_tool};

const AGX: &str = "small-nvidia-jetson-orin-agx";

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let world = World::images();
    expressions::copy(&world);
    world.write("small.nix", include_str!("images/small.nix"));
    world
});

/// Builds what an expression makes of `small.nix`, which it knows as `small`.
fn build(expression: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    progress(&format!("flash: {expression}"));
    let name = format!("wanted-{}.nix", NUMBER.fetch_add(1, Ordering::Relaxed));
    WORLD.write(
        &name,
        format!("let small = import ./small.nix; in {expression}"),
    );
    let ran = WORLD
        .xbuild(&["realise", "-f", &name, "--no-out-link"])
        .succeeds();
    WORLD.physical(ran.line())
}

/// A flash script.
fn script(expression: &str) -> PathBuf {
    let bin = build(expression).join("bin");
    let mut entries = fs::read_dir(bin).expect("list bin");
    let script = entries
        .next()
        .expect("there is a script")
        .expect("list bin");
    assert!(entries.next().is_none(), "it is one file");
    script.path()
}

static SCRIPT: LazyLock<PathBuf> = LazyLock::new(|| script("small.agx.script"));
static IMX: LazyLock<PathBuf> = LazyLock::new(|| script("small.imx.script"));

/// The image that a script holds.
static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| image_of("small.agx.disk"));

fn image_of(expression: &str) -> Vec<u8> {
    let packed = build(expression).join("disk.img.gz");
    let output = Command::new("gzip").arg("-dc").arg(packed).output();
    output.expect("run gzip").stdout
}

/// A machine with disks.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn new(name: &str) -> Self {
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
    fn add(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("create a directory");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("open a file");
        file.write_all(text.as_bytes()).expect("write a file");
    }

    fn dev(&self, name: &str) -> PathBuf {
        self.root.join("dev").join(name)
    }

    /// A disk that is 1 MiB larger than the image and full of 0xff.
    fn disk(&self, name: &str, path: &str, numbers: &str) -> PathBuf {
        self.disk_of(name, path, numbers, IMAGE.len() + (1 << 20))
    }

    fn disk_of(&self, name: &str, path: &str, numbers: &str, size: usize) -> PathBuf {
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
        fs::create_dir_all(self.root.join(&sys).join("holders")).expect("create a directory");
        self.link(name, &sys, true);
        fs::write(self.dev(name), vec![0xff; size]).expect("write a disk");
        self.dev(name)
    }

    fn link(&self, name: &str, sys: &str, disk: bool) {
        let target = self.root.join(sys);
        symlink(&target, self.root.join("sys/class/block").join(name)).expect("make a link");
        if disk {
            symlink(&target, self.root.join("sys/block").join(name)).expect("make a link");
        }
    }

    /// The first partition of a disk.
    fn partition(&self, disk: &str, path: &str, name: &str, numbers: &str) {
        let sys = format!("sys/devices/{path}/block/{disk}/{name}");
        self.add(&format!("{sys}/partition"), "1\n");
        self.add(&format!("{sys}/dev"), &format!("{numbers}\n"));
        fs::create_dir_all(self.root.join(&sys).join("holders")).expect("create a directory");
        self.link(name, &sys, false);
        fs::write(self.dev(name), "partition").expect("write a partition");
    }

    /// Something that is built on a device.
    fn holder(&self, device: &str, name: &str, numbers: &str, nick: &str) {
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

    fn mount(&self, numbers: &str, source: &str, at: &str) {
        self.add(
            "proc/self/mountinfo",
            &format!("30 1 {numbers} / {at} rw,relatime shared:1 - ext4 {source} rw\n"),
        );
    }

    fn usb(&self, id: &str) {
        let (vendor, product) = id.split_once(':').expect("an id");
        self.add("sys/bus/usb/devices/1-2/idVendor", &format!("{vendor}\n"));
        self.add("sys/bus/usb/devices/1-2/idProduct", &format!("{product}\n"));
    }

    /// Runs a script on this machine, with an answer.
    fn run(&self, script: &Path, args: &[&str], answer: &str) -> Ran {
        let stand_in = self.root.to_str().expect("UTF-8").to_owned();
        let mut all = vec!["--stand-in", &stand_in];
        all.extend(args);
        self.run_bare(script, &all, answer)
    }

    fn run_bare(&self, script: &Path, args: &[&str], answer: &str) -> Ran {
        let path = format!(
            "{}:{}",
            self.root.join("bin").display(),
            std::env::var("PATH").expect("PATH")
        );
        let mut child = Command::new(script)
            .args(args)
            .env("PATH", path)
            .env("TMPDIR", self.root.join("tmp"))
            .current_dir(&self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the script");
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
    fn program(&self, name: &str, text: &str) {
        self.executable(&format!("bin/{name}"), text);
    }

    fn executable(&self, path: &str, text: &str) {
        self.add(path, text);
        fs::set_permissions(self.root.join(path), fs::Permissions::from_mode(0o755))
            .expect("make it executable");
    }

    /// No disk of this machine was written to.
    #[track_caller]
    fn is_untouched(&self) {
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

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn scripts_are_free_of_objections() {
    let shellcheck = test_tool("shellcheck");
    for script in [&*SCRIPT, &*IMX] {
        let bytes = fs::read(script).expect("read a script");
        let end = bytes
            .windows(6)
            .position(|window| window == b"\nexit\n")
            .expect("it ends in exit")
            + 6;
        let copy = WORLD.write("script.sh", &bytes[..end]);
        let output = Command::new(&shellcheck)
            .arg(&copy)
            .output()
            .expect("run shellcheck");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        let said = String::from_utf8_lossy(&bytes[..end]);
        assert!(
            !said.contains("shellcheck disable"),
            "no objection is switched off"
        );
    }
}

#[test]
fn the_only_card_is_found_written_and_read_back() {
    let machine = Machine::new("card");
    let internal = machine.disk("sda", "pci/ata1", "8:0");
    machine.partition("sda", "pci/ata1", "sda1", "8:1");
    machine.mount("8:1", "/dev/sda1", "/");
    let card = machine.disk("sdb", "pci/usb1/1-1", "8:16");
    let ran = machine.run(&SCRIPT, &[], "sdb\n").succeeds();
    for said in [
        "Model of sdb",
        "Type \"sdb\" to go on",
        "1   esp   16 MiB",
        "holds the image, as read back",
    ] {
        assert!(ran.stdout.contains(said), "{}", ran.report());
    }
    let written = fs::read(card).expect("read the card");
    assert!(
        written[..IMAGE.len()] == IMAGE[..],
        "the card holds the image"
    );
    // The copy of an old partition table is gone, and nothing else.
    let tail = &written[IMAGE.len()..];
    let (kept, wiped) = tail.split_at(tail.len() - 33 * 512);
    assert!(kept.iter().all(|byte| *byte == 0xff));
    assert!(wiped.iter().all(|byte| *byte == 0));
    assert!(
        fs::read(internal)
            .expect("read a disk")
            .iter()
            .all(|byte| *byte == 0xff)
    );
}

#[test]
fn nothing_is_written_without_consent() {
    let machine = Machine::new("consent");
    let card = machine.disk("mmcblk0", "platform/mmc", "179:0");
    let device = card.to_str().expect("UTF-8");
    machine
        .run(&SCRIPT, &[], "")
        .fails(5)
        .says(&["not confirmed; nothing was written"]);
    machine.run(&SCRIPT, &[], "yes\n").fails(5);
    let ran = machine
        .run(&SCRIPT, &["--dry-run", "--yes", "--device", device], "")
        .succeeds();
    assert!(
        ran.stdout.contains("Nothing was written (--dry-run)"),
        "{}",
        ran.report()
    );
    machine
        .run(&SCRIPT, &["--yes"], "")
        .fails(2)
        .says(&["--yes needs --device"]);
    machine.run(&SCRIPT, &["--list"], "").succeeds();
    machine.run(&SCRIPT, &["--layout"], "").succeeds();
    machine.run(&SCRIPT, &["--help"], "").succeeds();
    machine.is_untouched();
    machine
        .run(&SCRIPT, &["--yes", &format!("--device={device}")], "")
        .succeeds();
    assert!(fs::read(card).expect("read the card").starts_with(&IMAGE));
}

#[test]
fn wrong_devices_are_refused() {
    let machine = Machine::new("refused");
    let usb = "pci/usb1/1-1";
    machine.disk("sda", "pci/ata1", "8:0");
    machine.partition("sda", "pci/ata1", "sda1", "8:1");
    machine.mount("8:1", "/dev/sda1", "/");
    machine.disk("sdb", usb, "8:16");
    machine.partition("sdb", usb, "sdb1", "8:17");
    machine.mount("8:17", "/dev/sdb1", "/media/stick");
    // Some file systems show a device number of their own.
    machine.disk("sdc", usb, "8:32");
    machine.mount("0:42", "/dev/sdc", "/data");
    machine.disk("sdd", usb, "8:48");
    machine.partition("sdd", usb, "sdd1", "8:49");
    machine.add("proc/swaps", "/dev/sdd1 partition 1000 0 -2\n");
    machine.disk("sde", usb, "8:64");
    machine.partition("sde", usb, "sde1", "8:65");
    machine.holder("sde1", "dm-0", "253:0", "volume");
    machine.disk("sdf", usb, "8:80");
    machine.holder("sdf", "dm-1", "253:1", "system");
    machine.mount("253:1", "/dev/mapper/system", "/");
    machine.disk_of("sdg", usb, "8:96", IMAGE.len() - 512);
    machine.disk("sdh", usb, "8:112");
    fs::write(machine.root.join("sys/class/block/sdh/ro"), "1\n").expect("write a file");
    machine.disk_of("sdi", usb, "8:128", 0);
    machine.disk("mmcblk0boot0", "platform/mmc", "179:8");
    let file = machine.root.join("file");
    fs::write(&file, vec![0xff; 1000]).expect("write a file");
    symlink(&file, machine.dev("link")).expect("make a link");

    for (device, code, reason) in [
        ("sda", 3, "carries the system that is running (/)"),
        ("sdb", 3, "sdb1 at /media/stick (umount it first)"),
        ("sdb1", 3, "is a partition of"),
        ("sdc", 3, "sdc at /data (umount it first)"),
        ("sdd", 3, "sdd1 (swapoff it first)"),
        ("sde", 3, "is part of dm-0 (volume)"),
        ("dm-0", 3, "is made of other devices"),
        ("sdf", 3, "carries the system that is running (/)"),
        ("sdg", 3, "the image needs"),
        ("sdh", 3, "is read-only"),
        ("sdi", 3, "has no medium in it"),
        (
            "mmcblk0boot0",
            3,
            "is a boot or replay-protected area of an eMMC",
        ),
        ("link", 3, "with --stand-in, only devices in"),
        ("none", 4, "does not exist"),
    ] {
        let path = machine.dev(device);
        let path = path.to_str().expect("UTF-8");
        machine
            .run(&SCRIPT, &["--yes", "--device", path], "")
            .fails(code)
            .says(&[reason]);
    }
    // Without --device, none of them is taken, and each reason is told.
    machine.run(&SCRIPT, &[], "sdb\n").fails(4).says(&[
        "there is no SD card, eMMC or USB disk to write to",
        "sdh: it is read-only",
    ]);
    let listed = machine.run(&SCRIPT, &["--list"], "").succeeds();
    assert!(
        listed.stdout.contains("is part of dm-0 (volume)"),
        "{}",
        listed.report()
    );
    machine.is_untouched();
}

#[test]
fn what_is_not_clear_is_not_guessed() {
    let machine = Machine::new("unclear");
    machine.disk("nvme0n1", "pci/nvme/nvme0", "259:0");
    machine
        .run(&SCRIPT, &[], "")
        .fails(4)
        .says(&["there is no SD card, eMMC or USB disk"]);
    let listed = machine.run(&SCRIPT, &["--list"], "").succeeds();
    assert!(
        listed
            .stdout
            .contains("is built in; taken only with --device"),
        "{}",
        listed.report()
    );
    machine.disk("sda", "pci/usb1/1-1", "8:0");
    machine.disk("sdb", "pci/usb1/1-2", "8:16");
    machine.run(&SCRIPT, &[], "sda\n").fails(4).says(&[
        "more than one disk",
        "Model of sda",
        "Model of sdb",
    ]);
    for (args, message) in [
        (&["--what"][..], "unknown option or argument `--what'"),
        (&["--device"], "--device needs an argument"),
        (
            &["--storage", "tape"],
            "--storage is tape; this board has: emmc nvme",
        ),
    ] {
        machine.run(&SCRIPT, args, "").fails(2).says(&[message]);
    }
    machine.is_untouched();
}

#[test]
fn plain_files_are_overwritten_only_on_demand() {
    let machine = Machine::new("files");
    let file = machine.root.join("disk.img");
    let name = file.to_str().expect("UTF-8");
    machine
        .run_bare(&SCRIPT, &["--extract", name], "")
        .succeeds();
    assert!(fs::read(&file).expect("read a file") == *IMAGE);
    machine
        .run_bare(&SCRIPT, &["--extract", name], "")
        .fails(2)
        .says(&["exists already"]);
    fs::write(&file, vec![0xff; IMAGE.len()]).expect("write a file");
    machine
        .run_bare(&SCRIPT, &["--yes", "--device", name], "")
        .fails(3)
        .says(&["is a plain file, no block device"]);
    assert!(
        fs::read(&file)
            .expect("read a file")
            .iter()
            .all(|byte| *byte == 0xff)
    );
    machine
        .run_bare(&SCRIPT, &["--yes", "--file-ok", "--device", name], "")
        .succeeds();
    assert!(fs::read(&file).expect("read a file") == *IMAGE);
    machine
        .run_bare(&SCRIPT, &["--yes", "--device", "/dev/null"], "")
        .fails(3)
        .says(&["is no block device"]);
    fs::hard_link(&file, machine.root.join("other")).expect("link a file");
    machine
        .run_bare(&SCRIPT, &["--yes", "--file-ok", "--device", name], "")
        .fails(3)
        .says(&["has several names"]);
}

#[test]
fn media_that_lie_or_break_are_found_out() {
    let machine = Machine::new("lying");
    let card = machine.disk("sdb", "pci/usb1/1-1", "8:16");
    let device = card.to_str().expect("UTF-8").to_owned();
    // One byte in the root partition changes after it was written.
    let place = 16 * (1 << 20) + 34 * (1 << 20) + 4000;
    machine.program(
        "dd",
        &format!(
            "#!/bin/bash\nPATH=${{PATH#*:}}\ndd \"$@\" || exit\ncase \" $* \" in *\" of={device} \"*) printf '\\xaa' | dd of={device} bs=1 seek={place} conv=notrunc status=none ;; esac\n"
        ),
    );
    machine
        .run(&SCRIPT, &["--yes", "--device", &device], "")
        .fails(6)
        .says(&[
            "does not hold what was written",
            &format!("byte {}, in partition root", place + 1),
        ]);

    let machine = Machine::new("breaking");
    let card = machine.disk("sdb", "pci/usb1/1-1", "8:16");
    let device = card.to_str().expect("UTF-8").to_owned();
    // A file may not become longer than 1 MiB: real writes fail in the middle.
    let limited = machine.root.join("limited");
    machine.executable(
        "limited",
        &format!(
            "#!/bin/bash\ntrap '' XFSZ\nulimit -f 1024\nexec {} \"$@\"\n",
            SCRIPT.display()
        ),
    );
    machine
        .run(&limited, &["--yes", "--device", &device], "")
        .fails(1)
        .says(&["holds a part of the image and does not start a board"]);
}

#[test]
fn a_damaged_script_writes_nothing() {
    let machine = Machine::new("damaged");
    let card = machine.disk("sdb", "pci/usb1/1-1", "8:16");
    let whole = fs::read(&*SCRIPT).expect("read the script");
    let mut changed = whole.clone();
    *changed.last_mut().expect("it is not empty") ^= 1;
    for (bytes, message) in [
        (&whole[..whole.len() - 1], "this file is damaged: it has"),
        (&changed[..], "this file is damaged: the SHA-256"),
    ] {
        let copy = machine.root.join("copy");
        fs::write(&copy, bytes).expect("write a copy");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("make it executable");
        machine
            .run(
                &copy,
                &["--yes", "--device", card.to_str().expect("UTF-8")],
                "",
            )
            .fails(7)
            .says(&[message]);
    }
    machine.is_untouched();
}

#[test]
fn imx_boot_loaders_go_behind_the_image() {
    let machine = Machine::new("imx");
    let card = machine.disk("mmcblk1", "platform/mmc", "179:0");
    let device = card.to_str().expect("UTF-8").to_owned();
    let loader = machine.root.join("flash.bin");
    fs::write(&loader, vec![7; 70_001]).expect("write a boot loader");
    let args = ["--yes", "--device", &device, "--boot-loader", "flash.bin"];
    machine.run(&IMX, &args, "").succeeds();
    let mut expected = image_of("small.imx.disk");
    expected[32 * 1024..][..70_001].fill(7);
    assert!(
        fs::read(&card)
            .expect("read the card")
            .starts_with(&expected)
    );

    fs::write(&loader, vec![7; 16 << 20]).expect("write a boot loader");
    machine
        .run(&IMX, &args, "")
        .fails(2)
        .says(&["its place has 16744448"]);
    machine
        .run(&IMX, &["--boot-loader", "none", "--device", &device], "")
        .fails(2)
        .says(&["cannot read none"]);
    let plan = machine.run(&IMX, &["--dry-run"], "").succeeds();
    assert!(
        plan.stdout
            .contains("boot loader  none: the board must have one elsewhere"),
        "{}",
        plan.report()
    );
}

#[test]
fn uuu_is_called_as_it_should() {
    let machine = Machine::new("uuu");
    let run = |args: &[&str], answer: &str| machine.run(&IMX, args, answer);
    run(&["--uuu-program", "no-such-uuu"], "")
        .fails(8)
        .says(&["there is no program `no-such-uuu'", "--uuu-program FILE"]);
    machine.program(
        "uuu",
        "#!/bin/sh\necho \"$1 $2\" >calls\ncp \"$3\" loader\ncp \"$4\" image\n",
    );
    run(&["--uuu"], "")
        .fails(8)
        .says(&["--uuu needs a boot loader"]);
    fs::write(machine.root.join("flash.bin"), "loader").expect("write a boot loader");
    let with = ["--uuu", "--boot-loader", "flash.bin", "--medium", "emmc"];
    run(&with, "")
        .fails(4)
        .says(&["no board in serial download mode"]);
    machine.usb("1fc9:0146");
    run(&with, "no\n").fails(5);
    run(&["--uuu", "--boot-loader", "flash.bin", "--dry-run"], "").succeeds();
    assert!(
        !machine.root.join("calls").exists(),
        "uuu was not called so far"
    );
    run(&with, "nxp-imx8mp-evk\n").succeeds();
    assert_eq!(text(&machine.root.join("calls")), "-b emmc_all\n");
    assert_eq!(text(&machine.root.join("loader")), "loader");
    assert!(fs::read(machine.root.join("image")).expect("read") == image_of("small.imx.disk"));

    // The boot loader that is in the image will do.
    let script = script("small.imxWithBootLoader.script");
    machine.run(&script, &["--uuu", "--yes"], "").succeeds();
    let loader = fs::read(machine.root.join("loader")).expect("read");
    assert_eq!(loader.len(), 100_000);
    assert!(loader.starts_with(b"boot loader\n"));
    machine.program("uuu", "exit 3\n");
    machine
        .run(&script, &["--uuu", "--yes"], "")
        .fails(1)
        .says(&["uuu failed"]);
    machine
        .run(&script, &["--uuu", "--device", "/dev/sdb"], "")
        .fails(2);
    machine.run(&script, &["--medium", "tape"], "").fails(2);
}

/// A layout as NVIDIA's are: firmware that must stay, a disk to be replaced.
fn nvidia_layout(device: &str) -> String {
    format!(
        r#"<?xml version="1.0"?>
<partition_layout version="01.00.0000">
    <!-- A comment. -->
    <device type="spi" instance="0" sector_size="512" num_sectors="131072">
        <partition name="BCT" type="boot_config_table"><size> 1048576 </size><filename> br_bct.bin </filename></partition>
    </device>
    <device type="{device}" instance="3" sector_size="512" num_sectors="NUM_SECTORS">
        <partition name="master_boot_record" type="protective_master_boot_record"><size> 512 </size></partition>
        <partition name="primary_gpt" type="primary_gpt"><size> 19968 </size></partition>
        <partition name="APP" id="1" type="data"><size> APPSIZE </size><filename> APPFILE </filename></partition>
        <partition name="kernel" type="data"><size> 1 </size></partition>
        <partition name="secondary_gpt" type="secondary_gpt"><size> 0xFFFFFFFFFFFFFFFF </size></partition>
    </device>
</partition_layout>
"#
    )
}

impl Machine {
    /// A BSP whose tools note how they are called, and what was there for them.
    fn bsp(&self) {
        let record = "#!/bin/bash\necho \"${0##*/} $*\" >>../calls\ncp bootloader/*.img ..\nfor layout in bootloader/generic/cfg/xbuild-*.xml tools/kernel_flash/xbuild-*.xml; do [ ! -e \"$layout\" ] || cp \"$layout\" ../layout.xml; done\n";
        self.executable("Linux_for_Tegra/flash.sh", record);
        self.executable(
            "Linux_for_Tegra/tools/kernel_flash/l4t_initrd_flash.sh",
            record,
        );
        self.add(
            "Linux_for_Tegra/nv_tegra/bsp_version",
            "BSP_BRANCH=36\nBSP_MAJOR=4\nBSP_MINOR=3\n",
        );
        let cfg = "Linux_for_Tegra/bootloader/generic/cfg";
        self.add(
            &format!("{cfg}/flash_t234_qspi_sdmmc.xml"),
            &nvidia_layout("sdmmc_user"),
        );
        self.add(
            &format!("{cfg}/flash_t234_qspi.xml"),
            "<partition_layout/>\n",
        );
        self.add(
            "Linux_for_Tegra/tools/kernel_flash/flash_l4t_t234_nvme.xml",
            &nvidia_layout("external"),
        );
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.root.join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// The layout that the tools got, as a parser of XML sees it: device → partitions (name, type, size, file, UUID, type GUID).
    fn parsed_layout(&self) -> BTreeMap<String, Vec<Vec<String>>> {
        let program = r#"
import json, sys, xml.etree.ElementTree as e
fields = ("size", "filename", "unique_guid", "partition_type_guid")
print(json.dumps({d.get("type"): [[p.get("name"), p.get("type")] + [(p.findtext(f) or "").strip() for f in fields] for p in d.iter("partition")]
    for d in e.parse(sys.argv[1]).getroot().iter("device")}))
"#;
        let output = Command::new("python3")
            .args(["-c", program])
            .arg(self.root.join("layout.xml"))
            .output();
        let output = output.expect("run python3");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("JSON of this form")
    }
}

fn value(attribute: &str) -> String {
    let ran = WORLD
        .xbuild(&["eval", "--raw", "small.nix", "-A", attribute])
        .succeeds();
    ran.line().to_uppercase()
}

/// What the layout given to NVIDIA's tools must hold for a disk.
fn expected_partitions(image: &str, root_name: &str, root_size: &str) -> Vec<Vec<String>> {
    let row = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
    let ours = |name: &str, shown: &str, size: &str| {
        let of = |what: &str| value(&format!("{image}.layout.byName.{name}.{what}"));
        row([
            shown,
            "data",
            size,
            &format!("xbuild-{name}.img"),
            &of("uuid"),
            &of("type"),
        ])
    };
    vec![
        row([
            "master_boot_record",
            "protective_master_boot_record",
            "512",
            "",
            "",
            "",
        ]),
        row(["primary_gpt", "primary_gpt", "19968", "", "", ""]),
        ours("esp", "esp", "35651584"),
        ours("root", root_name, root_size),
        ours("data", "data", "50331648"),
        row([
            "secondary_gpt",
            "secondary_gpt",
            "0xFFFFFFFFFFFFFFFF",
            "",
            "",
            "",
        ]),
    ]
}

#[test]
fn jetson_firmware_and_emmc_are_written_by_the_bsp() {
    let machine = Machine::new("bsp-emmc");
    machine.bsp();
    machine.usb("0955:7023");
    let args = ["--bsp", "Linux_for_Tegra"];
    let plan = machine
        .run(&SCRIPT, &["--bsp", "Linux_for_Tegra", "--dry-run"], "")
        .succeeds();
    assert!(
        plan.stdout.contains("BSP      R36.4.3"),
        "{}",
        plan.report()
    );
    machine.run(&SCRIPT, &args, "no\n").fails(5);
    assert!(machine.calls().is_empty());
    machine
        .run(&SCRIPT, &args, "nvidia-jetson-orin-agx\n")
        .succeeds();
    assert_eq!(
        machine.calls(),
        [format!(
            "flash.sh --no-systemimg -c bootloader/generic/cfg/xbuild-{AGX}.xml jetson-agx-orin-devkit internal"
        )]
    );
    let layout = machine.parsed_layout();
    assert_eq!(layout["spi"].len(), 1, "what is for QSPI flash stays");
    assert_eq!(
        layout["sdmmc_user"],
        expected_partitions("agx", "APP", "8388608")
    );
    assert!(text(&machine.root.join("layout.xml")).contains("A comment."));
    let disk = &*IMAGE;
    for (name, start, size) in [("esp", 16, 34), ("data", 58, 48)] {
        let part =
            fs::read(machine.root.join(format!("xbuild-{name}.img"))).expect("read a partition");
        assert!(part == disk[start << 20..(start + size) << 20], "{name}");
    }
    let root = fs::read(machine.root.join("xbuild-root.img")).expect("read a partition");
    assert!(!root.is_empty() && disk[50 << 20..].starts_with(&root));
    // The BSP is left as it was.
    assert!(
        !machine
            .root
            .join("Linux_for_Tegra/bootloader/xbuild-root.img")
            .exists()
    );
    assert!(
        !machine
            .root
            .join(format!(
                "Linux_for_Tegra/bootloader/generic/cfg/xbuild-{AGX}.xml"
            ))
            .exists()
    );
}

#[test]
fn jetson_nvme_is_written_in_three_steps() {
    let script = script("small.nx.script");
    let machine = Machine::new("bsp-nvme");
    machine.bsp();
    machine.usb("0955:7323");
    machine
        .run(&script, &["--bsp", "Linux_for_Tegra", "--yes"], "")
        .succeeds();
    let ours = "tools/kernel_flash/xbuild-small-nvidia-jetson-orin-nx.xml";
    let tool = "l4t_initrd_flash.sh --showlogs";
    let board = "jetson-orin-nano-devkit";
    assert_eq!(
        machine.calls(),
        [
            format!(
                "{tool} --no-flash --network usb0 -p -c bootloader/generic/cfg/flash_t234_qspi.xml --no-systemimg {board} internal"
            ),
            format!(
                "{tool} --no-flash --network usb0 --external-device nvme0n1 -c {ours} -p --no-systemimg --external-only --append {board} external"
            ),
            format!("{tool} --flash-only --network usb0 {board} external"),
        ]
    );
    assert_eq!(
        machine.parsed_layout()["external"],
        expected_partitions("nx", "root", "8388608")
    );
    machine
        .run(
            &script,
            &["--bsp", "Linux_for_Tegra", "--storage", "emmc"],
            "",
        )
        .fails(2);
}

#[test]
fn a_bsp_that_is_not_right_is_refused() {
    let machine = Machine::new("bsp-wrong");
    let run = |args: &[&str]| machine.run(&SCRIPT, args, "nvidia-jetson-orin-agx\n");
    let bsp = ["--bsp", "Linux_for_Tegra"];
    run(&bsp).fails(8).says(&[
        "there is no BSP at Linux_for_Tegra",
        "Jetson_Linux_R36.…_aarch64.tbz2",
        "developer.nvidia.com/embedded/jetson-linux-archive",
        "flash.bsp.path",
    ]);
    run(&["--full"])
        .fails(8)
        .says(&["no BSP is set for this image"]);
    fs::create_dir(machine.root.join("Linux_for_Tegra")).expect("create a directory");
    run(&bsp).fails(8).says(&["it has no flash.sh"]);
    machine.bsp();
    run(&bsp)
        .fails(4)
        .says(&["no board of this kind in recovery mode", "0955:7023"]);
    // Another board does not count.
    machine.usb("0955:7323");
    run(&bsp).fails(4);
    fs::remove_dir_all(machine.root.join("sys/bus/usb/devices/1-2")).expect("disconnect");
    machine.usb("0955:7023");
    run(&["--bsp", "Linux_for_Tegra", "--device", "/dev/sdb"]).fails(2);

    let version = machine.root.join("Linux_for_Tegra/nv_tegra/bsp_version");
    fs::write(&version, "BSP_BRANCH=35\nBSP_MAJOR=4\nBSP_MINOR=1\n").expect("write");
    run(&bsp)
        .fails(8)
        .says(&["is R35.4.1; the firmware for this image is R36"]);
    fs::write(&version, "$(touch executed)\n").expect("write");
    run(&bsp).fails(8).says(&["does not say its version"]);
    assert!(
        !machine.root.join("executed").exists(),
        "the version is read, not executed"
    );
    fs::write(&version, "BSP_BRANCH=36\nBSP_MAJOR=4\nBSP_MINOR=3\n").expect("write");

    let layout = machine
        .root
        .join("Linux_for_Tegra/bootloader/generic/cfg/flash_t234_qspi_sdmmc.xml");
    for (text, message) in [
        ("<partition_layout>", "no XML that can be read"),
        ("<other/>", "should be <partition_layout>"),
        (
            "<partition_layout><device type=\"spi\"/></partition_layout>",
            "there are: spi",
        ),
        (
            "<partition_layout><device type=\"sdmmc_user\"/></partition_layout>",
            "has no primary_gpt",
        ),
    ] {
        fs::write(&layout, text).expect("write");
        run(&bsp).fails(8).says(&[message]);
    }
    fs::remove_file(&layout).expect("remove");
    run(&bsp)
        .fails(8)
        .says(&["it has no bootloader/generic/cfg/flash_t234_qspi_sdmmc.xml"]);
    assert!(machine.calls().is_empty());
}

#[test]
fn a_pinned_bsp_must_have_its_hash() {
    let machine = Machine::new("bsp-pinned");
    machine.bsp();
    machine.usb("0955:7023");
    let packed = Command::new("tar")
        .args(["-cjf", "bsp.tbz2", "Linux_for_Tegra"])
        .current_dir(&machine.root)
        .status();
    assert!(packed.expect("run tar").success());
    let hash = |file: &str| {
        let output = Command::new("sha256sum")
            .arg(machine.root.join(file))
            .output()
            .expect("run sha256sum");
        String::from_utf8_lossy(&output.stdout)[..64].to_owned()
    };
    let zeros = "0".repeat(64);
    let pinned = |kind: &str, hash: &str| script(&format!("(small.{kind} \"{hash}\").script"));
    let run = |script: &Path, bsp: &str| machine.run(script, &["--yes", "--bsp", bsp], "");

    let right = pinned("agxArchive", &hash("bsp.tbz2"));
    run(&right, "Linux_for_Tegra")
        .fails(8)
        .says(&["so --bsp takes the archive"]);
    run(&pinned("agxArchive", &zeros), "bsp.tbz2")
        .fails(8)
        .says(&[
            "is not the expected file",
            "flash.bsp.archiveHash says 0000",
        ]);
    let right_script = pinned("agxScript", &hash("Linux_for_Tegra/flash.sh"));
    run(&right_script, "bsp.tbz2").fails(8);
    run(&pinned("agxScript", &zeros), "Linux_for_Tegra")
        .fails(8)
        .says(&["flash.bsp.scriptHash says 0000"]);
    assert!(machine.calls().is_empty());
    run(&right_script, "Linux_for_Tegra").succeeds();
    assert_eq!(machine.calls().len(), 1);
    run(&right, "bsp.tbz2").succeeds();
}
