//! Board images: one target from expressions to a booted system. On a new checkout its store is empty at first, so this is
//! also the whole road: toolchain, kernel, packages, root file system, disk image, boot, flash script.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;

use support::world::World;
use support::{expressions, name_of, progress};

const TARGET: &str = "nxp-imx8mp-evk-debug-from-x86_64";

static BUILT: LazyLock<World> = LazyLock::new(|| {
    let world = World::images("boards");
    expressions::copy(&world);
    progress("boards: a board image and its flash script");
    let image = format!(".#{TARGET}");
    let script = format!(".#{TARGET}-flash-script");
    world
        .xbuild(&["realise", &image, "--out-link", "evk"])
        .succeeds();
    world
        .xbuild(&["realise", &script, "--out-link", "flash-script"])
        .succeeds();
    world
});

/// All files of a built output, by a link of the working directory.
fn files(world: &World, link: &str) -> BTreeSet<String> {
    fs::read_dir(world.path(link))
        .expect("list an output")
        .map(|entry| {
            let entry = entry.expect("list an output");
            entry.file_name().into_string().expect("UTF-8")
        })
        .collect()
}

#[test]
fn every_target_has_its_names() {
    let world = &*BUILT;
    let listed = world.xbuild(&["targets", "--json"]).succeeds().json();
    let names: BTreeSet<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|target| target["name"].as_str().expect("a name"))
        .collect();
    for board in [
        "nvidia-jetson-orin-agx",
        "nvidia-jetson-orin-agx64",
        "nvidia-jetson-orin-nx",
        "nvidia-jetson-orin-nano",
        "nxp-imx8mp-evk",
    ] {
        for variant in ["debug", "release"] {
            for demo in ["", "-nodemoapps"] {
                for system in ["", "-from-x86_64"] {
                    let name = format!("{board}-{variant}{demo}{system}");
                    assert!(
                        names.contains(name.as_str()),
                        "{name} is missing: {names:?}"
                    );
                }
            }
        }
    }
    assert_eq!(names.len(), 40, "{names:?}");
    let text = world.xbuild(&["targets"]).succeeds();
    for name in names {
        assert!(text.stdout.contains(name), "{name}:\n{}", text.stdout);
    }
}

/// Hours under emulation, so it is only planned: with the emulator, and with programs of its own for what the cross build has.
#[test]
fn natively_built_targets_are_planned_with_an_emulator() {
    let world = &*BUILT;
    let native = TARGET.strip_suffix("-from-x86_64").expect("a cross target");
    for name in [native.to_owned(), format!("{native}-flash-script")] {
        let told = world
            .xbuild(&["realise", "--dry-run", &format!(".#{name}")])
            .succeeds();
        let told = told.says(&[
            "-qemu-aarch64.drv",
            "-linux-aarch64-linux-6.12",
            &format!("-{native}-image.drv"),
            "expected to take",
        ]);
        told.does_not_say(&["-from-x86_64"]);
    }
}

#[test]
fn the_image_is_what_its_table_says() {
    let world = &*BUILT;
    let files = files(world, "evk");
    for name in ["disk.img.gz", "layout.json", "layout.txt"] {
        assert!(files.contains(name), "{name}: {files:?}");
    }
    let eval = [
        "eval",
        "-A",
        &format!("{TARGET}.layout"),
        "--strict",
        "--json",
        ".",
    ];
    let shown = world.xbuild(&eval).succeeds().json();
    let layout = fs::read_to_string(world.path("evk/layout.json")).expect("a layout");
    let layout: serde_json::Value = serde_json::from_str(&layout).expect("JSON");
    assert_eq!(shown["bytes"], layout["size"], "{shown}\n{layout}");
    let text = fs::read_to_string(world.path("evk/layout.txt")).expect("a table");
    for partition in layout["partitions"].as_array().expect("a list") {
        let name = partition["name"].as_str().expect("a name");
        assert_eq!(shown["byName"][name]["uuid"], partition["uuid"], "{name}");
        assert!(
            text.contains(partition["uuid"].as_str().expect("text")),
            "{text}"
        );
    }
    assert!(text.contains("boot loader: none"), "{text}");
}

#[test]
fn the_image_boots_and_passes_its_checks() {
    let world = &*BUILT;
    let target = format!(".#{TARGET}");
    let ran = world
        .xbuild(&["test", &target, "--transcript", "transcript.txt"])
        .succeeds();
    let transcript = fs::read_to_string(world.path("transcript.txt")).expect("a transcript");
    for line in [
        format!("xbuild-ready: {TARGET}"),
        "selftest: ok".to_owned(),
        "reboot: Power down".to_owned(),
    ] {
        assert!(transcript.contains(&line), "{line}\n{}", ran.report());
    }
    assert!(!transcript.contains("selftest: FAIL"), "{transcript}");
}

#[test]
fn images_are_made_again_bit_for_bit() {
    let world = &*BUILT;
    for attribute in ["", ".rootTree", "-flash-script"] {
        let attribute = format!(".#{TARGET}{attribute}");
        world
            .xbuild(&["realise", "--rebuild", "--no-out-link", &attribute])
            .succeeds();
    }
}

#[test]
fn an_image_of_your_own() {
    let world = &*BUILT;
    let built = world
        .xbuild(&["realise", "examples/own-image#", "--out-link", "own"])
        .succeeds();
    assert!(!name_of(built.line()).is_empty());
    world.xbuild(&["test", "examples/own-image#"]).succeeds();
}
