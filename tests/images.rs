//! Disk images: partition tables, file systems and layouts as values, on small images with stand-ins for kernel and root tree.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use support::world::World;
use support::{expressions, progress};

const MIB: usize = 1 << 20;

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let world = World::images("images");
    expressions::copy(&world);
    world.write("small.nix", include_str!("images/small.nix"));
    world
});

/// Builds an attribute of `small.nix`.
fn build(attribute: &str) -> PathBuf {
    progress(&format!("images: {attribute}"));
    let ran = WORLD
        .xbuild(&["realise", "-f", "small.nix", attribute, "--no-out-link"])
        .succeeds();
    WORLD.physical(ran.line())
}

/// The unpacked image and its layout.
fn disk(attribute: &str) -> (Vec<u8>, Value) {
    let output = build(attribute);
    let unpacked = Command::new("gzip")
        .arg("-dc")
        .arg(output.join("disk.img.gz"))
        .output()
        .expect("run gzip");
    assert!(unpacked.status.success());
    let layout = fs::read(output.join("layout.json")).expect("read the layout");
    (
        unpacked.stdout,
        serde_json::from_slice(&layout).expect("the layout is JSON"),
    )
}

fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    bytes[at..at + length]
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// A GUID as GPT stores it: the first three fields in little-endian order.
fn guid(bytes: &[u8]) -> String {
    let hex = |indices: &[usize]| -> String {
        indices
            .iter()
            .map(|index| format!("{:02x}", bytes[*index]))
            .collect()
    };
    [
        hex(&[3, 2, 1, 0]),
        hex(&[5, 4]),
        hex(&[7, 6]),
        hex(&[8, 9]),
        hex(&[10, 11, 12, 13, 14, 15]),
    ]
    .join("-")
}

#[test]
fn the_partition_table_is_the_layout() {
    for (attribute, legacy_boot) in [("agx.disk", false), ("imx.disk", true)] {
        let (disk, layout) = disk(attribute);
        assert_eq!(disk.len(), layout["size"], "{attribute}");
        for header in [&disk[512..1024], &disk[disk.len() - 512..]] {
            assert_eq!(&header[..8], b"EFI PART", "{attribute}");
            assert_eq!(guid(&header[56..72]), layout["uuid"], "{attribute}");
        }
        let partitions = layout["partitions"].as_array().expect("a list");
        assert_eq!(partitions.len(), 3);
        let mut end = 16 * MIB;
        for (index, partition) in partitions.iter().enumerate() {
            let entry = &disk[1024 + 128 * index..][..128];
            let name: String = char::decode_utf16(
                entry[56..]
                    .chunks(2)
                    .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                    .take_while(|unit| *unit != 0),
            )
            .map(|c| c.expect("UTF-16"))
            .collect();
            let start = number(entry, 32, 8) * 512;
            let size = (number(entry, 40, 8) + 1) * 512 - start;
            assert_eq!(name, partition["name"]);
            assert_eq!(guid(&entry[..16]), partition["type"]);
            assert_eq!(guid(&entry[16..32]), partition["uuid"]);
            assert_eq!(start, partition["offset"]);
            assert_eq!(size, partition["size"]);
            assert_eq!(start, end, "partitions follow each other");
            assert_eq!(
                number(entry, 48, 8),
                if legacy_boot && index == 0 { 4 } else { 0 }
            );
            end = start + size;
        }
        assert_eq!(disk.len(), end + MIB, "room for the copy of the table");
        assert_eq!(number(&disk, 1024 + 128 * 3, 16), 0, "there are no others");
    }
}

#[test]
fn a_boot_loader_goes_to_its_place_if_it_is_the_right_one() {
    let (without, layout) = disk("imx.disk");
    assert!(without[32 * 1024..16 * MIB].iter().all(|byte| *byte == 0));
    assert_eq!(layout["firmware"]["sha256"], Value::Null);
    let text = fs::read_to_string(build("imx.disk").join("layout.txt")).expect("read a text");
    assert!(
        text.contains("dd if=flash.bin of=DEVICE bs=1K seek=32 conv=notrunc,fsync"),
        "{text}"
    );

    let (with, layout) = disk("imxWithBootLoader.disk");
    assert!(with[32 * 1024..].starts_with(b"boot loader\nboot loader\n"));
    assert_eq!(layout["firmware"]["size"], 100_000);
    assert_eq!(
        with[16 * MIB..with.len() - MIB],
        without[16 * MIB..without.len() - MIB]
    );

    WORLD
        .xbuild(&["realise", "-f", "small.nix", "imxWithWrongBootLoader.disk", "--no-out-link"])
        .fails(100)
        .says(&[
            "boot.loader.firmware.hash says 0000000000000000000000000000000000000000000000000000000000000000",
            "Is it the right file?",
        ]);
}

#[test]
fn everything_is_made_again_bit_for_bit() {
    let attributes = [
        "agx.esp",
        "agx.root",
        "nx.root",
        "imx.boot",
        "imx.data",
        "imx.disk",
        "imx.script",
    ];
    let with = |flag: &[&'static str]| {
        let mut args = vec!["realise", "-f", "small.nix"];
        args.extend(attributes);
        args.extend(flag);
        args
    };
    progress("images: everything twice");
    WORLD.xbuild(&with(&["--no-out-link"])).succeeds();
    WORLD
        .xbuild(&with(&["--no-out-link", "--rebuild"]))
        .succeeds();
}

/// What the tools of the file systems see in them.
#[test]
fn file_systems_hold_what_they_should() {
    let listing = build("listing");
    let read = |name: &str| {
        let text = fs::read_to_string(listing.join(name)).expect("read a listing");
        support::without_hashes(&text)
    };
    let greeting = "/nix/store/HASH-greeting";
    assert_eq!(
        read("squashfs").lines().collect::<Vec<_>>(),
        [
            "drwxr-xr-x 0/0 78 squashfs-root",
            "drwxr-xr-x 0/0 29 squashfs-root/etc",
            "-rw------- 0/0 7 squashfs-root/etc/shadow",
            "drwxr-xr-x 0/0 28 squashfs-root/nix",
            "drwxr-xr-x 0/0 64 squashfs-root/nix/store",
            &format!("dr-xr-xr-x 0/0 28 squashfs-root{greeting}"),
            &format!("-r-xr-xr-x 0/0 6 squashfs-root{greeting}/hello"),
            "drwxr-xr-x 0/0 27 squashfs-root/sbin",
            &format!("lrwxrwxrwx 0/0 58 squashfs-root/sbin/init -> {greeting}/hello"),
            "drwxrwxrwt 0/0 3 squashfs-root/tmp",
            "drwxr-x--- 1000/100 27 squashfs-root/with blank",
            "-rws--x--x 7/8 5 squashfs-root/with blank/file",
        ]
    );
    assert_eq!(
        read("ext4").lines().collect::<Vec<_>>(),
        [
            "40700 (2) 0 0 16384 1-Jan-1980 00:00 lost+found",
            "40755 (2) 0 0 4096 1-Jan-1980 00:00 etc",
            "40755 (2) 0 0 4096 1-Jan-1980 00:00 sbin",
            "41777 (2) 0 0 4096 1-Jan-1980 00:00 tmp",
            "40750 (2) 1000 100 4096 1-Jan-1980 00:00 with blank",
            "40755 (2) 0 0 4096 1-Jan-1980 00:00 nix",
            "100600 (1) 0 0 7 1-Jan-1980 00:00 shadow",
            "104711 (1) 7 8 5 1-Jan-1980 00:00 file",
            "120777 (7) 0 0 58 1-Jan-1980 00:00 init",
        ]
    );
    // Group descriptors for 2 TiB, a journal for a large file system.
    let data = read("data");
    for line in [
        "volume name: data",
        "Reserved GDT blocks: 255",
        "Total journal size: 16M",
    ] {
        assert!(data.contains(line), "{data}");
    }
    assert_eq!(
        read("fat").lines().collect::<Vec<_>>(),
        [
            "::/EFI/",
            "::/kernel/",
            "::/loader/",
            "::/EFI/BOOT/",
            "::/EFI/BOOT/BOOTAA64.EFI",
            "::/kernel/Image",
            "::/kernel/tegra234-p3737-0000+p3701-0000.dtb",
            "::/loader/entries/",
            "::/loader/loader.conf",
            "::/loader/entries/small-nvidia-jetson-orin-agx-firmware-dt.conf",
            "::/loader/entries/small-nvidia-jetson-orin-agx.conf",
            "::/Image",
            "::/extlinux/",
            "::/imx8mp-evk.dtb",
            "::/extlinux/extlinux.conf",
        ]
    );
    let uuid = WORLD
        .xbuild(&[
            "eval",
            "--raw",
            "small.nix",
            "-A",
            "agx.layout.byName.root.uuid",
        ])
        .succeeds()
        .line()
        .to_owned();
    assert_eq!(
        read("entries"),
        format!(
            "default small-nvidia-jetson-orin-agx.conf\ntimeout 3\neditor no\nauto-entries no\nauto-firmware no\nconsole-mode keep\n\
             title a title\nsort-key 1\nlinux /kernel/Image\ndevicetree /kernel/tegra234-p3737-0000+p3701-0000.dtb\n\
             options root=PARTUUID={uuid} init={greeting}/hello\n\
             title a title (device tree of the firmware)\nsort-key 2\nlinux /kernel/Image\n\
             options root=PARTUUID={uuid} init={greeting}/hello\n"
        )
    );
    let extlinux = read("extlinux");
    for line in [
        "default small-nxp-imx8mp-evk\n",
        "timeout 30\n",
        "label small-nxp-imx8mp-evk\n",
        "  linux /Image\n",
        "  fdt /imx8mp-evk.dtb\n",
        "  append root=PARTUUID=",
    ] {
        assert!(extlinux.contains(line), "{extlinux}");
    }
}

#[test]
fn what_does_not_fit_or_is_wrong_is_refused() {
    let wrong = [
        (
            "tooSmallSquashfs.root",
            "the root file system is 9.00 MiB, its partition only 8 MiB; raise disk.partitions.root.size",
        ),
        (
            "tooSmallExt4.root",
            "do not fit into its partition of 8 MiB; raise disk.partitions.root.size",
        ),
        ("selfReference.root", "refers to itself by its store path"),
        (
            "wrongPermissions.root",
            "permissions, line 1: the tree has no `etc/none'",
        ),
    ];
    for (attribute, message) in wrong {
        WORLD
            .xbuild(&["realise", "-f", "small.nix", attribute, "--no-out-link"])
            .fails(100)
            .says(&[message]);
    }
}

/// What is in the boot partition is the board's, whatever it was made from.
#[test]
fn boot_files_are_validated() {
    for (attribute, device_tree) in [
        ("notTheBoards.boot", "imx8mp-evk.dtb"),
        ("notTheBoardsEsp.esp", "tegra234-p3768-0000+p3767-0000.dtb"),
    ] {
        WORLD
            .xbuild(&["realise", "-f", "small.nix", attribute, "--no-out-link"])
            .fails(112)
            .says(&["[kernel-image]", device_tree, "[device-tree]"]);
    }
}

/// Layouts are values; mistakes in them are found before anything is built.
#[test]
fn layouts_are_computed() {
    let evaluate = |arguments: &str, attribute: &str| {
        let expression = format!(
            "(let layout = (import ./image/layout.nix).layout ({{ name = \"n\"; partitions = [ {{ name = \"a\"; size = 4; }} {{ name = \"b\"; size = 8; }} ]; }} // {arguments}); in builtins.deepSeq layout layout).{attribute}"
        );
        WORLD.xbuild(&["eval", "--json", "--strict", "-E", &expression])
    };
    let value = |arguments, attribute| evaluate(arguments, attribute).succeeds().json();
    assert_eq!(value("{ }", "size"), 16 + 4 + 8 + 1);
    assert_eq!(value("{ }", "byName.b.start"), 20);
    assert_eq!(value("{ sizeMiB = 64; firstMiB = 1; }", "bytes"), 64 * MIB);
    // The same for everybody, forever; and of version 8 and RFC 9562's variant.
    assert_eq!(
        value("{ }", "byName.a.uuid"),
        "1a27c09e-6441-8462-85ba-4a062b5ca005"
    );

    let fails = |arguments: &str, message: &str| {
        evaluate(arguments, "size").fails(1).says(&[message]);
    };
    fails("{ partitions = [ ]; }", "there are no partitions");
    fails(
        "{ sizeMiB = 20; }",
        "disk.size is 20 MiB, but the partitions and the table need 29 MiB",
    );
    fails(
        "{ firstMiB = 0; }",
        "disk.firstMiB is 0 MiB, but must be at least 1",
    );
    fails("{ uuid = \"X\"; }", "disk.uuid is `X', but must be a UUID");
    fails(
        "{ firstMiB = 1; firmware = { offset = 32768; maxSize = 2097152; }; }",
        "the boot loader's place ends at 2129920 bytes, behind the start of the first partition",
    );
    fails(
        "{ partitions = [ { name = \"a\"; size = 4; } { name = \"b\"; size = 4; start = 18; } ]; }",
        "partition `b' begins at 18 MiB, inside partition `a', which ends at 20 MiB",
    );
    fails(
        "{ partitions = [ { name = \"a\"; size = 4; } { name = \"a\"; size = 4; } ]; }",
        "two partitions are called `a'",
    );
    fails(
        "{ partitions = [ { name = \"a b\"; size = 4; } ]; }",
        "the name of partition 1 is `a b'",
    );
    fails(
        "{ partitions = [ { name = \"a\"; size = \"4\"; } ]; }",
        "disk.partitions.a.size is `4', but must be a whole number of MiB",
    );
    fails(
        "{ partitions = [ { name = \"a\"; size = 99999999999; } ]; }",
        "disk.partitions.a.size is 99999999999 MiB, but an image has at most 8388608 (8 TiB)",
    );
    fails(
        "{ partitions = [ { name = \"a\"; size = 8000000; } { name = \"b\"; size = 8000000; } ]; }",
        "the partitions need 16000017 MiB, but an image has at most",
    );
    fails(
        "{ partitions = [ { name = \"a\"; size = 4; type = \"swap\"; } ]; }",
        "disk.partitions.a.type is `swap'; there are `basic-data', `esp', `linux', `linux-root-arm64', and GUIDs",
    );
}
