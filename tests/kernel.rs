//! Kernels: configurations are merged and checked, a change rebuilds what it must and nothing else, device trees are those of the
//! board. Configurations are built, kernels are not: tests/boards.rs boots one.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use support::world::{Who, World};
use support::{expressions, progress};

/// A place to evaluate, which builds nothing.
static EVALUATING: LazyLock<World> = LazyLock::new(|| {
    let world = World::new("kernel", Who::Caller);
    expressions::copy(&world);
    world
});

/// The place where the kernel's source is unpacked; shared with what builds images.
static BUILDING: LazyLock<World> = LazyLock::new(|| {
    let world = World::images("kernel");
    expressions::copy(&world);
    progress("kernel: the source");
    world
        .xbuild(&["realise", ".#linux.source", "--out-link", "linux-source"])
        .succeeds();
    world
});

/// The text of the value of an expression, or of its error.
fn eval(expression: &str) -> support::ran::Ran {
    EVALUATING.xbuild(&["eval", "--strict", "-E", expression])
}

/// The message that `options` for the kernel fail with at evaluation.
fn refused(options: &str) -> String {
    let failed = eval(&format!(
        "((import ./.).linux.withOptions {options}).drvPath"
    ))
    .fails(1);
    let stderr = failed.stderr;
    let message = stderr
        .rfind("error: ")
        .map(|at| stderr[at..].trim_end())
        .expect("an error");
    message
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_option_has_a_reason_and_a_place() {
    let options = EVALUATING
        .xbuild(&["eval", "--strict", "--json", ".", "-A", "linux.options"])
        .succeeds()
        .json();
    let options = options.as_object().expect("a set");
    assert!(options.len() > 200, "only {} options", options.len());
    for (name, option) in options {
        let reason = option["reason"].as_str().unwrap_or_default();
        let origin = option["origin"].as_str().unwrap_or_default();
        assert!(!reason.is_empty(), "{name} has no reason");
        assert!(origin.starts_with("config/"), "{name}: {origin}");
    }
}

#[test]
fn values_that_cannot_be_are_refused_at_evaluation() {
    for (options, expected) in [
        (
            r#"{ SQUASHFS = "n"; }"#,
            "error: the kernel option SQUASHFS has conflicting values:\n\"y\"  by config/filesystems.nix: the release root\n\"n\"  by linux.withOptions\nremove one, or set the one that is to hold with `linux.force VALUE', in a module `lib.mkForce VALUE'",
        ),
        (
            r#"{ "my reason" = { NR_CPUS = 4; }; }"#,
            "error: the kernel option NR_CPUS has conflicting values:\n16  by config/arm64.nix: twelve cores at most (Jetson AGX Orin)\n4  by linux.withOptions: my reason\nremove one, or set the one that is to hold with `linux.force VALUE', in a module `lib.mkForce VALUE'",
        ),
        (
            r#"{ USB_TMC = "m"; }"#,
            "error: the kernel option USB_TMC, set by linux.withOptions, is \"m\", but these kernels load no modules: write \"y\"",
        ),
        (
            "{ USB_TMC = true; }",
            "error: the kernel option USB_TMC, set by linux.withOptions, is true: write \"y\"",
        ),
        (
            "{ USB_TMC = null; }",
            "error: the kernel option USB_TMC, set by linux.withOptions, is of type null: it must be \"y\", \"n\", a number or a text",
        ),
        (
            r#"{ USB_TMC = ""; }"#,
            "error: the kernel option USB_TMC, set by linux.withOptions, is an empty text: write \"n\" to switch it off, or `force \"\"' if the empty text is meant",
        ),
        (
            r#"{ CONFIG_USB_TMC = "y"; }"#,
            "error: the kernel option CONFIG_USB_TMC, set by linux.withOptions, is not a name that Kconfig knows: write it without CONFIG_",
        ),
    ] {
        assert_eq!(refused(options), expected, "{options}");
    }
    // Twice the same is no conflict, and what is forced wins.
    let forced = eval(
        r#"let linux = (import ./.).linux; in assert (linux.withOptions { SQUASHFS = "y"; }).drvPath == linux.drvPath; (linux.withOptions { SQUASHFS = linux.force "n"; }).options.SQUASHFS.value"#,
    );
    assert_eq!(forced.succeeds().line(), "\"n\"");
}

/// In `boot.kernel.options` priorities are those of modules.
#[test]
fn modules_force_options() {
    let value = |options: &str, name: &str| {
        eval(&format!(
            "let all = import ./.; in (all.lib.image {{ name = \"test\"; board = \"nxp-imx8mp-evk\"; modules = [ ({{ lib, pkgs, ... }}: {{ boot.kernel.options = {options}; }}) ]; }}).kernel.options.{name}.value"
        ))
    };
    for (options, expected) in [
        ("{ mine.NR_CPUS = lib.mkForce 8; }", "8"),
        ("{ mine = lib.mkForce { NR_CPUS = 8; }; }", "8"),
        ("{ NR_CPUS = lib.mkForce 8; }", "8"),
        ("{ mine.NR_CPUS = pkgs.linux.force 8; }", "8"),
        ("{ mine.NR_CPUS = lib.mkDefault 8; }", "16"),
        ("{ mine.NR_CPUS = lib.mkIf false 8; }", "16"),
        (
            "lib.mkMerge [ { mine.NR_CPUS = 8; } { mine.NR_CPUS = lib.mkForce 4; } ]",
            "4",
        ),
    ] {
        assert_eq!(
            value(options, "NR_CPUS").succeeds().line(),
            expected,
            "{options}"
        );
    }
    value("{ mine.NR_CPUS = 8; }", "NR_CPUS").fails(1).says(&[
        "16  by config/arm64.nix: twelve cores at most (Jetson AGX Orin)",
        "8  by boot.kernel.options: mine",
        "lib.mkForce VALUE",
    ]);
    value("{ mine.USB_TMC = \"\"; }", "USB_TMC").fails(1).says(&[
        "The option `boot.kernel.options.mine.USB_TMC` must be \"y\", \"n\", a number, or a text that is not empty",
    ]);
}

#[test]
fn an_option_changes_the_kernel_and_what_contains_it() {
    let paths = |options: &str| -> BTreeMap<String, String> {
        let expression = format!(
            r#"let
  all = import ./.;
  facts = (import ./boards).nxp-imx8mp-evk;
  board = facts // {{ kernel = facts.kernel // {{ options = {options}; }}; }};
  pkgs = all.nxp-imx8mp-evk;
  linux = pkgs.linux.kernelFor {{ inherit board; }};
  image = all.lib.image {{ name = "test"; inherit board; modules = [ ./modules/profiles/debug.nix ]; }};
in {{
  config = linux.config.drvPath;
  kernel = linux.drvPath;
  image = image.drvPath;
  inImage = image.kernel.drvPath;
  source = linux.source.drvPath;
  trees = (linux.deviceTreesFor {{ inherit board; }}).drvPath;
  busybox = pkgs.busybox.drvPath;
  dropbear = pkgs.dropbear.drvPath;
  cc = pkgs.stdenv.cc.drvPath;
}}"#
        );
        let value = EVALUATING
            .xbuild(&["eval", "--strict", "--json", "-E", &expression])
            .succeeds()
            .json();
        let value = value.as_object().expect("a set").clone();
        value
            .into_iter()
            .map(|(name, path)| (name, path.as_str().expect("a path").to_owned()))
            .collect()
    };
    let before = paths("{ }");
    assert_eq!(before["kernel"], before["inImage"]);
    let changed = |options: &str| -> Vec<String> {
        let after = paths(options);
        before
            .iter()
            .filter(|(name, path)| after[*name] != **path)
            .map(|(name, _)| name.clone())
            .collect()
    };
    assert_eq!(
        changed(r#"{ "instruments" = { USB_TMC = "y"; }; }"#),
        ["config", "image", "inImage", "kernel"]
    );
    // An option that is there already, for a reason of the board's own, makes the same kernel.
    assert_eq!(
        changed(r#"{ "this board has it too" = { SQUASHFS = "y"; }; }"#),
        Vec::<String>::new()
    );
}

#[test]
fn boards_share_the_kernel() {
    let shared = eval(
        "let
  all = import ./.;
  boards = builtins.attrNames (import ./boards);
in assert builtins.length boards >= 5; builtins.all (board: all.${board}.linux.drvPath == all.linux.drvPath) boards",
    );
    assert_eq!(shared.succeeds().line(), "true");
}

/// Without the build of a kernel: the configuration is a derivation of its own.
#[test]
fn options_that_do_not_get_their_value_are_explained() {
    let world = &*BUILDING;
    world.write(
        "wrong.nix",
        r#"let linux = (import ./default.nix).linux; in (linux.withOptions {
  # A dependency of a dependency.
  SND_SOC_TEGRA = "y";
  # Something selects it.
  GPIOLIB = linux.force "n";
  # A misspelt name, also where it is to be off.
  SQUASHFS_ZTSD = "n";
  # Out of range.
  LOG_BUF_SHIFT = linux.force 90;
  # The other answer of a choice.
  HZ_1000 = "y";
  # No prompt.
  SQUASHFS_DECOMP_SINGLE = "y";
  # A switch, not a number.
  USB_TMC = 3;
  # Its code is not in the source.
  DRM_AMDGPU = "y";
  # One that is fine.
  USB_PRINTER = "y";
}).config
"#,
    );
    let failed = world
        .xbuild(&["realise", "-L", "--no-out-link", "./wrong.nix"])
        .fails(100);
    let explained: Vec<&str> = failed
        .stderr
        .lines()
        .filter_map(|line| line.split_once("> ").map(|(_, text)| text))
        .skip_while(|text| !text.contains("did not get the value"))
        .take_while(|text| !text.contains("xbuild eval"))
        .collect();
    // Lines of files in the kernel's source come and go with its updates.
    let mut text = String::new();
    for line in explained {
        match (line.rfind(" ("), line.ends_with(')')) {
            (Some(at), true) if line.contains(": asked for") => text += &line[..at],
            _ => text += line,
        }
        text.push('\n');
    }
    assert_eq!(
        text.trim_end(),
        "\
8 kernel options did not get the value that was asked for:

DRM_AMDGPU: its driver is not in the source (pkgs/linux/source.nix leaves it out)
GPIOLIB: asked for n, got y
  it is switched on by ARCH_TEGRA; that must be switched off first
HZ_1000: asked for y, got n
  it is one answer of the choice `Timer frequency', which is HZ_250
LOG_BUF_SHIFT: asked for 90, got 25
  it must be from 12 to 25
SND_SOC_TEGRA: asked for y, got n
  it depends on SOUND, which is n
    can be switched on: SOUND = \"y\"
  it depends on SND, which is n
  it depends on SND_SOC, which is n
SQUASHFS_DECOMP_SINGLE: asked for y, got n
  it cannot be set: it has no prompt, and is switched on by SQUASHFS_CHOICE_DECOMP_BY_MOUNT, SQUASHFS_COMPILE_DECOMP_SINGLE
SQUASHFS_ZTSD: there is no such option in Linux 6.12.95
  did you mean SQUASHFS_ZSTD or SQUASHFS_ZLIB?
USB_TMC: asked for 3, got n
  it is a switch: its value is \"y\" or \"n\"",
        "{}",
        failed.stderr
    );
}

#[test]
fn the_configuration_has_what_was_asked_for() {
    let world = &*BUILDING;
    let built = world
        .xbuild(&["realise", ".#linux.config", "--out-link", "linux-config"])
        .succeeds();
    let config = world.read(built.line());
    for line in [
        "CONFIG_ARM64=y",
        "CONFIG_SQUASHFS_ZSTD=y",
        "CONFIG_NR_CPUS=16",
        "CONFIG_LSM=\"landlock,yama\"",
        "# CONFIG_MODULES is not set",
    ] {
        assert!(config.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn device_trees_are_those_of_the_board() {
    let world = &*BUILDING;
    let built = world
        .xbuild(&[
            "realise",
            ".#nxp-imx8mp-evk.deviceTrees",
            "--out-link",
            "device-trees",
        ])
        .succeeds();
    let tree = fs::read(world.physical(built.line()).join("imx8mp-evk.dtb")).expect("the tree");
    assert_eq!(tree[..4], [0xd0, 0x0d, 0xfe, 0xed]);

    world.write(
        "other-board.nix",
        r#"let board = (import ./boards).nxp-imx8mp-evk // { name = "mine"; compatible = [ "acme,mine" ]; };
in (import ./default.nix).linux.deviceTreesFor { inherit board; }
"#,
    );
    world
        .xbuild(&["realise", "--no-out-link", "./other-board.nix"])
        .fails(112)
        .says(&[
            "imx8mp-evk.dtb",
            "the device tree is for fsl,imx8mp-evk",
            "expected acme,mine",
        ]);
}
