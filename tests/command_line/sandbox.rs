//! What a build sees: its inputs, its own root, no network.

use std::sync::atomic::Ordering;

use crate::for_each_user;
use crate::support::web::web_server;
use crate::support::{emulate, repository};

for_each_user! {
    fn only_inputs_are_visible(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in run "seen" ''
                 ls /nix/store | sed 's/^[^-]*-//' | sort
                 ls -d /home /root /work /var /usr 2>/dev/null || true
                 ls /dev | sort
                 id -u; id -g; hostname; ls /build; pwd
                 touch ${run "other" "echo >$out" { }} 2>/dev/null || echo inputs are read-only
                 echo >$out
               '' { }"#,
        );
        let built = world.xbuild(&["realise", "."]).succeeds();
        let log = world.xbuild(&["log", built.line()]).succeeds();
        let lines = log.lines();
        assert!(lines.starts_with(&["other", "tools"]), "{}", log.report());
        assert!(lines.ends_with(&["1000", "100", "localhost", "/build", "inputs are read-only"]), "{}", log.report());
        for device in ["null", "zero", "random", "urandom", "full", "tty", "ptmx"] {
            assert!(lines.contains(&device), "/dev/{device}: {}", log.report());
        }
        for host in ["/home", "/root", "/work", "/var", "kmsg", "sda", "vda"] {
            assert!(!lines.contains(&host), "{host}: {}", log.report());
        }
    }

    /// What a build does to the directories that it has does not keep its output from the store, nor stays for the next build.
    fn directories_that_a_build_shuts(world) {
        world.write(
            "default.nix",
            r#"let
                 run = import ./run.nix;
                 script = "seen=$(stat -c %a /nix/store /build /tmp; ls -A /nix/store /build /tmp); echo \"$seen\" >$out";
                 shut = "; mkdir /tmp/d /nix/store/d; echo >/build/f; chmod 000 $out /tmp/d /nix/store/d /tmp /build /nix/store";
                 one = run "one" (script + shut) { };
               in [ one (run "two" (script + "; true ${one}") { }) ]"#,
        );
        let built = world.xbuild(&["realise", "--no-out-link", "--max-jobs", "1", "."]).succeeds();
        let [one, two] = built.lines()[..] else { panic!("{}", built.report()) };
        let (one, two) = (world.read(one), world.read(two));
        assert!(one.starts_with("755\n700\n1777\n"), "{one}");
        let input = two.lines().find(|line| line.ends_with("-one")).map(|line| format!("{line}\n")).unwrap();
        assert_eq!(one, two.replacen(&input, "", 1));
    }

    /// A build reaches nobody; a fixed output may.
    fn network(world) {
        let (port, connections) = web_server();
        world.write(
            "default.nix",
            format!(
                r#"let script = "wget -q -O page http://127.0.0.1:{port}/ && cat page >$out"; run = import ./run.nix; in {{
                     closed = run "closed" "{{ ${{script}}; }} || ip -o link | cut -d ' ' -f 2 >$out" {{ }};
                     open = run "open" script {{ outputHash = "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="; outputHashMode = "flat"; }};
                     fetched = builtins.fetchurl "http://127.0.0.1:{port}/fetched";
                   }}"#
            ),
        );
        let closed = world.xbuild(&["realise", "--no-out-link", ".#closed"]).succeeds();
        assert_eq!(world.read(closed.line()), "lo:\n", "the only interface");
        assert_eq!(connections.load(Ordering::SeqCst), 0);
        let open = world.xbuild(&["realise", "--no-out-link", ".#open"]).succeeds();
        assert_eq!(world.read(open.line()), "hello\n");
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        let fetched = world.xbuild(&["eval", "--raw", "default.nix", "-A", "fetched"]).succeeds();
        assert_eq!(world.read(fetched.line()), "hello\n");
    }

    /// A store path as the root's `/usr`, with `/bin` and `/lib` leading into it.
    fn sandbox_root(world) {
        world.write(
            "default.nix",
            r#"let
                 tree = import ./run.nix "tree" ''
                   mkdir -p $out/usr/bin $out/usr/lib $out/usr/share
                   ln -s usr/bin $out/bin
                   cp ${./tools}/busybox $out/usr/bin/busybox
                   for applet in sh cat ls; do ln -s busybox $out/usr/bin/$applet; done
                   echo shared >$out/usr/share/file
                 '' { };
               in derivation {
                 name = "rooted";
                 system = "x86_64-linux";
                 builder = "/usr/bin/sh";
                 args = [ "-euc" "/bin/cat /usr/share/file >$out; /bin/sh -c 'ls -d /usr/bin/sh' >>$out; touch /usr/share/new 2>/dev/null || echo read-only >>$out" ];
                 sandboxRoot = tree;
               }"#,
        );
        let built = world.xbuild(&["realise", "."]).succeeds();
        assert_eq!(world.read(built.line()), "shared\n/usr/bin/sh\nread-only\n");
        world.write(
            "outside.nix",
            r#"import ./run.nix "outside" "echo >$out" { sandboxRoot = "/nix/store/00000000000000000000000000000000-nowhere"; }"#,
        );
        world.xbuild(&["realise", "./outside.nix"]).fails(100).says(&["sandboxRoot", "-nowhere", "not an input"]);
    }

    /// As stock Nix: paths of the host, shown to every build.
    fn sandbox_paths(world) {
        let busybox = world.path("tools/busybox");
        world.write("default.nix", r#"derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo yes >$out" ]; }"#);
        world.xbuild(&["realise", "."]).fails(100).says(&["/bin/sh"]);
        let shell = format!("/bin/sh={}", busybox.display());
        let built = world.xbuild(&["realise", ".", "--option", "sandbox-paths", &format!("{shell} /nowhere/at/all?")]).succeeds();
        assert_eq!(world.read(built.line()), "yes\n");
        world.write("again.nix", r#"derivation { name = "y"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo yes >$out" ]; }"#);
        world.xbuild(&["realise", "./again.nix", "--option", "sandbox-paths", "/nowhere/at/all"]).fails(100).says(&["/nowhere/at/all"]);
    }

    /// A derivation for AArch64, through an emulator that the build does not see; its output's path does not depend on that.
    fn emulated_builds(world) {
        world.write("tools/hello", emulate::name_writer());
        std::fs::set_permissions(world.path("tools/hello"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        world.write(
            "default.nix",
            r#"derivation { name = "native"; system = "aarch64-linux"; builder = "${./tools}/hello"; args = [ (placeholder "out") ]; }"#,
        );
        world.tool("qemu", "qemu");
        let emulators = format!("aarch64-linux={}", world.path("qemu").display());
        let path = world.xbuild(&["eval", "--raw", "-E", "(import ./default.nix).outPath"]).succeeds();
        let built = world.xbuild(&["realise", "--no-out-link", ".", "--option", "emulators", &emulators]).succeeds();
        assert_eq!(built.line(), path.line());
        assert_eq!(world.read(built.line()), "hello");
        // Without the setting it is the one of the lock, which the expressions have as well.
        world.write("other.nix", r#"derivation { name = "other"; system = "aarch64-linux"; builder = "${./tools}/hello"; args = [ (placeholder "out") ]; }"#);
        let toolchains = repository().join("toolchains");
        let expression = format!("(import {} {{ }}).emulator", toolchains.display());
        let emulator = world.xbuild(&["instantiate", "-E", &expression]).succeeds();
        world.xbuild(&["realise", "--dry-run", "./other.nix"]).succeeds().says(&[emulator.line(), "-other.drv"]);
        world.xbuild(&["realise", "./other.nix", "--option", "emulators", "aarch64-linux=/does/not/exist"]).fails(100).says(&["the emulator /does/not/exist"]);
    }

    /// What stands in the way of builds, and how to mend it.
    fn doctor(world) {
        let checked = world.xbuild(&["doctor", "--offline", "--json"]).succeeds();
        let checks: serde_json::Value = serde_json::from_str(checked.line()).unwrap();
        let of = |name: &str| checks.as_array().unwrap().iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {checks}"));
        assert_eq!(of("sandbox")["state"], "ok");
        assert_eq!(of("sandbox")["remedy"], serde_json::Value::Null);
        assert_eq!(of("emulation")["state"], "ok");
        for check in checks.as_array().unwrap() {
            assert_eq!(check["state"] == "ok", check["remedy"].is_null(), "{check}");
        }
        world.write("default.nix", r#"import ./run.nix "x" "echo >$out" { }"#);
        let built = world.xbuild(&["realise", "--no-out-link", "."]).succeeds();
        let physical = world.store().join(built.line().trim_start_matches('/'));
        xbuild_store::remove_tree(&physical).unwrap();
        let damaged = world.xbuild(&["doctor", "--offline"]).fails(1);
        assert!(damaged.stdout.contains("ERROR") && damaged.stdout.contains(built.line()), "{}", damaged.report());
        assert!(damaged.stdout.contains("to mend it: `xbuild store verify --check-contents`"), "{}", damaged.report());
    }

    fn attributes_as_files(world) {
        world.write(
            "default.nix",
            r#"{ files = import ./run.nix "files" "cat $bigPath $smallPath >$out; [ -z \"\${big-}\" ]" { big = "large\n"; small = "little\n"; passAsFile = [ "big" "small" ]; };
                 structured = derivation { name = "structured"; system = "x86_64-linux"; builder = "${./tools}/busybox"; __structuredAttrs = true;
                   args = [ "sh" "-euc" "cat $NIX_ATTRS_JSON_FILE >\${out:-/build/o}; cp /build/o ${placeholder "out"}" ]; list = [ 1 "two" ]; set.a = true; }; }"#,
        );
        let built = world.xbuild(&["realise", "--no-out-link", ".#files"]).succeeds();
        assert_eq!(world.read(built.line()), "large\nlittle\n");
        let built = world.xbuild(&["realise", "--no-out-link", ".#structured"]).succeeds();
        let attributes: serde_json::Value = serde_json::from_str(&world.read(built.line())).unwrap();
        assert_eq!(attributes["list"], serde_json::json!([1, "two"]));
        assert_eq!(attributes["set"], serde_json::json!({ "a": true }));
        assert_eq!(attributes["outputs"]["out"], built.line());
    }
}
