//! Jetson's full mode: through NVIDIA's BSP, which is played by a directory of scripts that record how they are called.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::machine::Machine;
use crate::{AGX, IMAGE, SCRIPT, WORLD, script, text};

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
    pub(crate) fn bsp(&self) {
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
