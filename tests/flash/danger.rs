//! What could cost a disk: one that was exchanged or is used by somebody, one that is built in, two boards, an end in the middle.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::support::ran::Ran;
use crate::{IMAGE, IMX, SCRIPT, image_of};

impl Machine {
    /// Runs a script that asks; something happens before the answer.
    fn run_and_change(&self, change: impl FnOnce(), answer: &str) -> Ran {
        let mut child = self.start(&SCRIPT, &["--stand-in", self.place()]);
        read_until(&mut child, "to go on: ");
        change();
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(answer.as_bytes()).expect("answer");
        drop(stdin);
        Ran::new(
            "a flash script that asks".to_owned(),
            &child.wait_with_output().expect("wait for the script"),
        )
    }

    /// A disk disappears, its file stays.
    fn remove(&self, name: &str, path: &str) {
        fs::remove_dir_all(self.root.join(format!("sys/devices/{path}/block/{name}")))
            .expect("remove a disk");
        for link in ["sys/class/block", "sys/block"] {
            fs::remove_file(self.root.join(link).join(name)).expect("remove a link");
        }
    }
}

fn read_until(child: &mut Child, text: &str) {
    let stdout = child.stdout.as_mut().expect("a pipe");
    let mut said = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&said).ends_with(text) {
        let count = stdout.read(&mut byte).expect("read what it says");
        let so_far = String::from_utf8_lossy(&said);
        assert!(count > 0, "it does not say `{text}`, but: {so_far}");
        said.extend(byte);
    }
}

const SDB: &str = "pci/usb1/1-1";

#[test]
fn a_disk_that_was_exchanged_is_not_written_to() {
    // Another disk, which is mounted.
    let machine = Machine::new("exchanged-mounted");
    machine.disk("sdb", SDB, "8:16");
    machine
        .run_and_change(
            || {
                machine.remove("sdb", SDB);
                machine.disk("sdb", "pci/usb1/1-2", "8:16");
                machine.partition("sdb", "pci/usb1/1-2", "sdb1", "8:17");
                machine.mount("8:17", "/dev/sdb1", "/media/stick");
            },
            "sdb\n",
        )
        .fails(3)
        .says(&["is not the disk any more that was shown; nothing was written"])
        .does_not_say(&["line "]);
    machine.is_untouched();

    // Another one at the same port, which looks the same.
    let machine = Machine::new("exchanged-alike");
    machine.disk("sdb", SDB, "8:16");
    machine
        .run_and_change(
            || {
                let old = machine.root.join(format!("sys/devices/{SDB}/block/sdb"));
                fs::rename(&old, machine.root.join("old")).expect("take it away");
                fs::remove_file(machine.root.join("sys/class/block/sdb")).expect("remove a link");
                fs::remove_file(machine.root.join("sys/block/sdb")).expect("remove a link");
                machine.disk("sdb", SDB, "8:16");
            },
            "sdb\n",
        )
        .fails(3)
        .says(&["is not the disk any more that was shown"]);
    machine.is_untouched();

    // None at all.
    let machine = Machine::new("exchanged-gone");
    machine.disk("sdb", SDB, "8:16");
    machine
        .run_and_change(|| machine.remove("sdb", SDB), "sdb\n")
        .fails(3)
        .says(&["is not the disk any more that was shown"]);
    machine.is_untouched();

    // The same one, but in use now.
    let machine = Machine::new("mounted-meanwhile");
    machine.disk("sdb", SDB, "8:16");
    machine
        .run_and_change(
            || machine.mount("8:16", "/dev/sdb", "/media/stick"),
            "sdb\n",
        )
        .fails(3)
        .says(&["sdb at /media/stick (umount it first)"]);
    machine.is_untouched();

    // The same one.
    let machine = Machine::new("not-exchanged");
    machine.disk("sdb", SDB, "8:16");
    machine.run_and_change(|| (), "sdb\n").succeeds();
}

#[test]
fn a_disk_is_locked_while_the_script_has_it() {
    let machine = Machine::new("locked");
    let card = machine.disk("sdb", SDB, "8:16");
    let try_lock = || {
        Command::new("flock")
            .arg("-n")
            .arg(&card)
            .arg("true")
            .status()
            .expect("run flock")
            .success()
    };
    machine
        .run_and_change(|| assert!(!try_lock(), "it is locked"), "no\n")
        .fails(5);
    assert!(try_lock(), "it is no longer locked");

    let mut other = Command::new("flock")
        .arg(&card)
        .args(["sh", "-c", "echo locked; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run flock");
    read_until(&mut other, "locked\n");
    machine
        .run(&SCRIPT, &[], "sdb\n")
        .fails(3)
        .says(&["is in use: another program has locked it"]);
    drop(other.stdin.take());
    other.wait().expect("wait for flock");
    machine.is_untouched();
}

#[test]
fn sectors_of_another_size_are_refused() {
    let machine = Machine::new("sectors");
    let sectors = |name: &str, size: &str| {
        machine.add(
            &format!("sys/class/block/{name}/queue/logical_block_size"),
            &format!("{size}\n"),
        );
    };
    machine.disk("sdb", SDB, "8:16");
    sectors("sdb", "4096");
    let device = machine.dev("sdb");
    machine
        .run(
            &SCRIPT,
            &["--yes", "--device", device.to_str().expect("UTF-8")],
            "",
        )
        .fails(3)
        .says(&["has sectors of 4096 bytes; the image's partition table is for sectors of 512"]);
    machine.is_untouched();
    machine.disk("sdc", "pci/usb1/1-2", "8:32");
    sectors("sdc", "512");
    machine.run(&SCRIPT, &[], "sdc\n").succeeds();
}

#[test]
fn an_emmc_must_be_named() {
    let machine = Machine::new("emmc");
    let emmc = machine.disk("mmcblk0", "platform/mmc0", "179:0");
    let kind = machine.root.join("sys/class/block/mmcblk0/device/type");
    fs::write(kind, "MMC\n").expect("write a file");
    machine
        .run(&SCRIPT, &[], "mmcblk0\n")
        .fails(4)
        .says(&["there is no SD card or USB disk to write to"]);
    machine.lists_a_built_in_disk();
    machine.is_untouched();
    // A card beside it is the only one that can be meant.
    machine.disk("mmcblk1", "platform/mmc1", "179:8");
    machine.run(&SCRIPT, &[], "mmcblk1\n").succeeds();
    let device = emmc.to_str().expect("UTF-8");
    machine
        .run(&SCRIPT, &["--device", device], "mmcblk0\n")
        .succeeds();
    assert!(fs::read(emmc).expect("read the eMMC").starts_with(&IMAGE));
}

#[test]
fn of_two_boards_none_is_taken() {
    let machine = Machine::new("two-boards");
    let board = |place: &str, id: (&str, &str)| {
        let usb = format!("sys/bus/usb/devices/{place}");
        machine.add(&format!("{usb}/idVendor"), &format!("{}\n", id.0));
        machine.add(&format!("{usb}/idProduct"), &format!("{}\n", id.1));
    };
    let message = "mode on USB; disconnect all but one";
    machine.program("uuu", "#!/bin/sh\n: >called\n");
    fs::write(machine.root.join("flash.bin"), "loader").expect("write a boot loader");
    board("1-1", ("1fc9", "0146"));
    board("1-2", ("1fc9", "0146"));
    for last in ["--dry-run", "--yes"] {
        machine
            .run(&IMX, &["--uuu", "--boot-loader", "flash.bin", last], "")
            .fails(4)
            .says(&[message]);
    }
    machine.bsp();
    board("1-3", ("0955", "7023"));
    board("1-4", ("0955", "7023"));
    machine
        .run(&SCRIPT, &["--bsp", "Linux_for_Tegra", "--yes"], "")
        .fails(4)
        .says(&[message]);
    assert!(!machine.root.join("called").exists() && !machine.root.join("calls").exists());
}

#[test]
fn an_end_in_the_middle_is_told() {
    let machine = Machine::new("ended");
    let card = machine.disk("sdb", SDB, "8:16");
    let device = card.to_str().expect("UTF-8");
    // It writes for minutes.
    machine.program(
        "dd",
        &format!(
            "#!/bin/bash\nPATH=${{PATH#*:}}\ncase \" $* \" in *\" of={device} \"*) : >started; exec sleep 300 ;; esac\nexec dd \"$@\"\n"
        ),
    );
    let started = machine.root.join("started");
    let child = machine.start(
        &SCRIPT,
        &["--stand-in", machine.place(), "--yes", "--device", device],
    );
    while !started.exists() {
        sleep(Duration::from_millis(50));
    }
    let since = Instant::now();
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(killed.expect("run kill").success());
    let output = child.wait_with_output().expect("wait for the script");
    Ran::new("a flash script that is ended".to_owned(), &output)
        .fails(143)
        .says(&["holds a part of the image and does not start a board"]);
    assert!(
        since.elapsed() < Duration::from_secs(200),
        "it does not write to the end first"
    );
}

#[test]
fn an_old_table_goes_from_a_disk_that_is_hardly_larger() {
    let machine = Machine::new("hardly-larger");
    let card = machine.disk_of("sdb", SDB, "8:16", IMAGE.len() + 5 * 512);
    machine.run(&SCRIPT, &[], "sdb\n").succeeds();
    let written = fs::read(card).expect("read the card");
    assert!(written.starts_with(&IMAGE));
    assert!(written[IMAGE.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn an_extracted_image_has_the_boot_loader() {
    let machine = Machine::new("extract-loader");
    fs::write(machine.root.join("flash.bin"), vec![7; 70_001]).expect("write a boot loader");
    let args = ["--extract", "disk.img", "--boot-loader", "flash.bin"];
    let dry = [&args[..], &["--dry-run"]].concat();
    machine.run_bare(&IMX, &dry, "").succeeds();
    assert!(!machine.root.join("disk.img").exists());
    machine.run_bare(&IMX, &args, "").succeeds();
    let mut expected = image_of("small.imx.disk");
    expected[32 * 1024..][..70_001].fill(7);
    assert!(fs::read(machine.root.join("disk.img")).expect("read the image") == expected);
    machine
        .run_bare(
            &IMX,
            &["--extract", "other.img", "--boot-loader", "none"],
            "",
        )
        .fails(2)
        .says(&["cannot read none"]);
    machine
        .run_bare(&IMX, &["--extract", "other.img", "--uuu"], "")
        .fails(2)
        .says(&["--uuu does not go with it"]);
    assert!(!machine.root.join("other.img").exists());
}
