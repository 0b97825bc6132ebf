//! Flash scripts: on plain files that stand in for disks, with a stand-in for /sys and /proc, a stand-in BSP and a stand-in uuu that
//! record how they are called. Nothing here touches a device.

mod danger;
mod jetson;
mod machine;
#[path = "../support/mod.rs"]
mod support;
mod whole;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use machine::Machine;
use support::world::World;
use support::{expressions, progress, test_tool};

const AGX: &str = "small-nvidia-jetson-orin-agx";

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let world = World::images("flash");
    expressions::copy(&world);
    world.write("small.nix", include_str!("../images/small.nix"));
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

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where the program ends in a script, and the image begins.
fn end_of_text(script: &[u8]) -> usize {
    script
        .windows(6)
        .position(|window| window == b"\nexit\n")
        .expect("it ends in exit")
        + 6
}

#[test]
fn scripts_are_free_of_objections() {
    let shellcheck = test_tool("shellcheck");
    for script in [&*SCRIPT, &*IMX] {
        let bytes = fs::read(script).expect("read a script");
        let end = end_of_text(&bytes);
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
        "there is no SD card or USB disk to write to",
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
        .says(&["there is no SD card or USB disk"]);
    machine.lists_a_built_in_disk();
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
