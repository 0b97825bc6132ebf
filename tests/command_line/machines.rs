//! `boot`, `test` and `targets`, with a program in place of QEMU that plays a machine's console.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::for_each_user;
use crate::support::world::{World, eventually, process_with_argument};

/// What an image is that answers as it should.
const GOOD: &str = r#"echo "EFI stub: Booting"; echo "xbuild-ready: img"
while read -r line; do
  case $line in
    selftest) echo "/ # selftest"; echo "selftest: ok machine (aarch64)"; echo "selftest: 1 passed, 0 failed" ;;
    poweroff) echo "reboot: Power down"; exit 0 ;;
  esac
done
"#;

/// Writes an expression with an image `img`, whose machine is the shell script `plays`.
fn image(world: &World, plays: &str) {
    for (name, content) in [
        (
            "standin/lib/ld-linux-x86-64.so.2",
            "#!/bin/sh\nshift 2\nexec \"$@\"\n",
        ),
        (
            "standin/bin/qemu-system-aarch64",
            &format!("#!/bin/sh\n{plays}"),
        ),
    ] {
        let path = world.write(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    world.write(
        "default.nix",
        r#"let
  image = import ./run.nix "image" "mkdir $out; echo content | gzip >$out/disk.img.gz" { };
  vm = import ./run.nix "img-vm" "mkdir $out; printf %s \"$description\" >$out/vm.json" {
    description = builtins.toJSON {
      version = 1; name = "img"; board = "a-board"; machine = "virt"; cpu = null; cpus = 1; memory = 64;
      qemu = "${./standin}"; sshClient = "${./standin}"; firmware = "${./standin}/bin"; kernel = null;
      image = "${image}/disk.img.gz";
      disk = { interface = "nvme"; grow = 1; };
      network = null;
      console = { serial = 0; dialect = "shell"; ready = "xbuild-ready: img"; bootMenu = null; };
      timeouts = { ready = 60; selftest = 60; ssh = 60; powerOff = 60; };
    };
  };
in { img = image // { inherit vm; }; broken.vm = image; none = image; }
"#,
    );
}

for_each_user! {
    fn a_test_that_passes(world) {
        image(world, GOOD);
        let ran = world.xbuild(&["test", ".#img", "--transcript", "record/t.log"]).succeeds();
        assert_eq!(ran.stdout.lines().take(2).collect::<Vec<_>>(), ["ok    machine (aarch64)", "ok    power-off"]);
        assert!(ran.stdout.contains("img: 2 checks passed, up after "), "{}", ran.report());
        ran.says(&["virt with 1 CPU, 64.0 MiB, a disk of 2.0 MiB", "] kernel", "] ready", "] off", "transcript: record/t.log"]);
        let transcript = fs::read_to_string(world.path("record/t.log")).unwrap();
        for line in ["xbuild-ready: img", "-- typed \"selftest\\n\"", "reboot: Power down", "-- QEMU ended: exit code 0"] {
            assert!(transcript.contains(line), "{line}:\n{transcript}");
        }
        // Once more, as JSON, with the transcript in its usual place.
        let json = world.xbuild(&["test", ".#img", "--json"]).succeeds().json();
        assert_eq!(json["passed"], true);
        assert_eq!(json["checks"][0]["name"], "machine");
        assert!(json["stages"]["ready"].is_number());
        let place = json["transcript"].as_str().unwrap();
        assert!(place.ends_with("/.local/state/xbuild/tests/img.log") && fs::metadata(place).is_ok(), "{place}");
        // Nothing of the disk is left.
        assert_eq!(fs::read_dir(world.root().join("tmp")).unwrap().count(), 0);
    }

    fn a_check_that_fails(world) {
        image(world, &GOOD.replace("selftest: ok machine (aarch64)\"; echo \"selftest: 1 passed, 0", "selftest: FAIL root: read-only\"; echo \"selftest: 0 passed, 1"));
        let ran = world.xbuild(&["test", ".#img"]).fails(3).says(&["img: 1 check failed, 1 passed"]);
        assert_eq!(ran.stdout, "FAIL  root: read-only\nok    power-off\n");
    }

    fn machines_that_do_not_come_up(world) {
        image(world, "echo 'Kernel panic - not syncing: no init'\nexit 0\n");
        world.xbuild(&["test", ".#img"]).fails(4).says(&["img: the kernel panicked: Kernel panic - not syncing: no init", "\n> Kernel panic"]);
        image(world, "printf 'Shell> '\nread -r line\n");
        world.xbuild(&["test", ".#img"]).fails(4).says(&["the firmware did not boot the disk: it printed `Shell>`"]);
        image(world, "echo 'no such machine' >&2; exit 1\n");
        world.xbuild(&["test", ".#img"]).fails(4).says(&["QEMU failed before the line `xbuild-ready: img`", "exit code 1", "no such machine", "the console printed nothing"]);
        world.xbuild(&["boot", ".#img"]).fails(1).says(&["QEMU failed (exit code 1):\nno such machine"]);
        image(world, "echo starting; sleep 1000\n");
        world.xbuild(&["test", ".#img", "--timeout", "1"]).fails(4).says(&["timed out after 1 s, waiting for the line `xbuild-ready: img`", "> starting"]);
    }

    fn an_interrupted_test_ends_the_machine(world) {
        image(world, "echo up; exec sleep 4711.5\n");
        for signal in [Signal::INT, Signal::TERM] {
            let mut running = world.start(&["test", ".#img"]);
            running.wait_for("virt with");
            eventually("the machine", || process_with_argument("4711.5"));
            running.signal(signal);
            running.end().fails(130).says(&["interrupted"]);
            eventually("the machine's end", || !process_with_argument("4711.5"));
        }
    }

    fn booting_without_a_terminal(world) {
        image(world, "echo \"args $*\"; echo bye\n");
        let ran = world.xbuild(&["boot", ".#img", "--memory", "128", "--cpus", "3", "--keep-disk", "disk"]).succeeds();
        assert!(ran.stdout.ends_with("bye\n"), "{}", ran.report());
        for word in ["-m 128M", "-smp 3", "-bios /", "cache=writeback", "nvme,drive=disk", "-nic none"] {
            assert!(ran.stdout.contains(word), "{word}: {}", ran.report());
        }
        ran.says(&["Ctrl-A X", "the machine is off"]);
        assert_eq!(fs::metadata(world.path("disk")).unwrap().len(), 2 << 20);
        // It is used again.
        let mut disk = vec![1; 3 << 20];
        disk[512..520].copy_from_slice(b"EFI PART");
        fs::write(world.path("disk"), disk).unwrap();
        world.xbuild(&["boot", ".#img", "--keep-disk", "disk"]).succeeds().says(&["a disk of 3.0 MiB"]);
        world.write("notes", "of mine");
        world.xbuild(&["boot", ".#img", "--keep-disk", "notes"]).fails(1).says(&["notes is there already and is no disk"]);
        world.xbuild(&["boot", ".#img", "--ssh-port", "2222"]).fails(1).says(&["--ssh-port: the machine of img has no network"]);
    }

    fn what_is_no_machine(world) {
        image(world, GOOD);
        world.xbuild(&["boot", ".#broken"]).fails(1).says(&["`.#broken` is no machine: there is no vm.json"]);
        world.xbuild(&["test", ".#none"]).fails(1).says(&["`.#none` is no image: it has no attribute `vm`"]);
        world.xbuild(&["test", ".#img^out"]).fails(1).says(&["leave out `^…`"]);
        // The machine itself, by its link.
        world.xbuild(&["realise", ".#img.vm", "-o", "machine"]).succeeds();
        world.xbuild(&["test", "machine"]).succeeds();
        world.write("default.nix", r#"{ x.vm = import ./run.nix "x" "mkdir $out; echo '{\"version\": 2}' >$out/vm.json" { }; }"#);
        world.xbuild(&["test", ".#x"]).fails(1).says(&["vm.json: the description has version 2, and this xbuild understands version 1"]);
    }

    fn listing_targets(world) {
        world.write(
            "default.nix",
            r#"let
  part = import ./run.nix "part" "echo >$out" { };
  image = import ./run.nix "image" "mkdir $out; cat $part; echo '{\"size\":4096,\"compressedSize\":12,\"name\":\"x\"}' >$out/layout.json" { inherit part; };
  paths = package: { inherit (package) drvPath; outputPath = package.outPath; };
in {
  inherit image;
  targets.a-debug = {
    name = "a-debug"; board = "a"; description = "A Board"; cpu = "Cortex-A53"; soc = "s"; variant = "debug"; demoApps = true;
    bootChain = "extlinux"; system = "x86_64-linux"; flashScript = "a-debug-flash-script"; image = paths image; kernel = paths part;
  };
}"#,
        );
        let row = |state: &str| format!("a-debug\ta\tCortex-A53\textlinux\tx86_64-linux\t{state}\n");
        assert_eq!(world.xbuild(&["targets"]).succeeds().stdout, row("missing\tmissing\t2\t0\t-\t-"));
        world.xbuild(&["realise", ".#image", "--no-out-link"]).succeeds();
        assert_eq!(world.xbuild(&["targets", "."]).succeeds().stdout, row("built\tbuilt\t0\t0\t4096\t12"));
        let json = world.xbuild(&["targets", "--json"]).succeeds().json();
        assert_eq!(json[0]["name"], "a-debug");
        assert_eq!(json[0]["imageSize"], 4096);
        assert_eq!(json[0]["imageBuilt"], true);
        world.write("default.nix", "{ targets = [ 1 ]; }");
        world.xbuild(&["targets"]).fails(1).says(&["the attribute `targets` of . is no list of targets"]);
        world.write("default.nix", "{ }");
        world.xbuild(&["targets"]).fails(1).says(&["'targets'", "not found"]);
    }
}
