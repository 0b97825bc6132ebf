//! Builds that fail: what is said, what the exit code is, and that nothing wrong is registered.

use std::fs;

use crate::for_each_user;
use crate::support::web::web_server;
use crate::support::without_hashes;

for_each_user! {
    fn a_failed_builder(world) {
        world.write("default.nix", r#"import ./run.nix "broken" "for i in $(seq 30); do echo line $i; done; exit 7" { }"#);
        let failed = world.xbuild(&["realise", "--option", "log-lines", "2", "."]).fails(100);
        assert_eq!(failed.stdout, "");
        let expected = "building /nix/store/HASH-broken.drv
error: build of /nix/store/HASH-broken.drv failed: builder failed with exit code 7
last 2 log lines:
> line 29
> line 30
full log: `xbuild log /nix/store/HASH-broken.drv`
error: build of /nix/store/HASH-broken.drv failed
";
        assert_eq!(without_hashes(&failed.stderr), expected);
        assert!(fs::symlink_metadata(world.path("result")).is_err());
        let log = world.xbuild(&["log", "."]).succeeds();
        assert_eq!(log.lines().len(), 30);
        assert!(world.valid_paths().iter().all(|path| !path.ends_with("-broken")));
    }

    fn a_builder_ended_by_a_signal(world) {
        world.write("default.nix", r#"import ./run.nix "killed" "kill -SEGV $$" { }"#);
        world.xbuild(&["realise", "."]).fails(100).says(&["signal 11 (SIGSEGV)"]);
    }

    fn a_builder_that_is_not_there(world) {
        world.write("default.nix", r#"derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/nowhere"; }"#);
        world.xbuild(&["realise", "."]).fails(100).says(&["/bin/nowhere"]);
        world.write("default.nix", r#"derivation { name = "x"; system = "riscv64-linux"; builder = "/bin/nowhere"; }"#);
        world.xbuild(&["realise", "."]).fails(100).says(&["riscv64-linux", "x86_64-linux"]);
        // What is to be built on another kind of machine is refused before anything that it needs is built.
        world.write(
            "default.nix",
            r#"let native = name: attributes: derivation ({ inherit name; system = "riscv64-linux"; builder = "/bin/nowhere"; } // attributes);
               in native "image" { needs = [ (native "kernel" { }) (import ./run.nix "tool" "echo >$out" { }) ]; crossTarget = "image-from-x86_64"; }"#,
        );
        let told = world.xbuild(&["realise", "."]).fails(100).says(&["-image.drv failed", "riscv64-linux", "extra-platforms"]);
        told.does_not_say(&["-kernel.drv", "-tool.drv"]);
    }

    fn an_output_that_is_not_made(world) {
        world.write("default.nix", r#"import ./run.nix "none" "echo >$out" { outputs = [ "out" "dev" ]; }"#);
        world.xbuild(&["realise", "."]).fails(100).says(&["did not make its output `dev`"]);
        assert!(world.valid_paths().iter().all(|path| !path.ends_with("-none")), "all outputs or none");
    }

    /// What does not depend on a failure is built.
    fn keep_going(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in rec {
                 bad = run "bad" "exit 1" { };
                 good = run "good" "echo >$out" { };
                 between = run "between" "cat ${good} >$out" { };
                 needs-bad = run "needs-bad" "cat ${bad} ${good} >$out" { };
                 needs-both = run "needs-both" "cat ${needs-bad} ${between} >$out" { };
               }"#,
        );
        let failed = world.xbuild(&["realise", "-k", "-j1", ".#needs-both"]).fails(100);
        assert_eq!(failed.stdout, "");
        let summary = without_hashes(&failed.stderr);
        let summary = summary.rsplit_once("error: build of ").expect("a summary").1;
        let mut lines: Vec<&str> = summary.lines().collect();
        lines[2..].sort_unstable();
        assert_eq!(lines, [
            "/nix/store/HASH-bad.drv failed",
            "2 derivations depending on it were not built:",
            "  /nix/store/HASH-needs-bad.drv",
            "  /nix/store/HASH-needs-both.drv",
        ], "{}", failed.report());
        let valid = |name: &str| world.is_valid(&format!(".#{name}"));
        assert!(valid("good") && valid("between"));
        assert!(!valid("bad") && !valid("needs-bad") && !valid("needs-both"));
        // Without -k nothing new starts after the failure.
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; bad = run "bad-2" "exit 1" { }; in run "last" "cat ${bad} >$out" { }"#,
        );
        let failed = world.xbuild(&["realise", "-j1", "."]).fails(100).says(&["1 derivation depending on it was not built"]);
        assert_eq!(failed.stderr.matches("building /nix/store/").count(), 1, "{}", failed.report());
    }

    fn keep_failed(world) {
        world.write("default.nix", r#"import ./run.nix "broken" "mkdir sub; echo evidence >sub/file; exit 1" { marker = "it's"; }"#);
        world.xbuild(&["realise", "."]).fails(100).does_not_say(&["was kept"]);
        let failed = world.xbuild(&["realise", "--keep-failed", "."]).fails(100).says(&["the build directory was kept: "]);
        let place = failed.stderr.lines().find_map(|line| line.strip_prefix("the build directory was kept: ")).unwrap();
        let place = std::path::Path::new(place);
        assert_eq!(fs::read_to_string(place.join("build/sub/file")).unwrap(), "evidence\n");
        let environment = fs::read_to_string(place.join("environment.sh")).unwrap();
        assert!(environment.contains(r"export marker='it'\''s'"), "{environment}");
    }

    fn timeouts(world) {
        world.write("default.nix", r#"{ slow = import ./run.nix "slow" "while :; do echo alive; sleep 0.1; done" { };
            silent = import ./run.nix "silent" "sleep 1000" { }; loud = import ./run.nix "loud" "yes" { }; }"#);
        world.xbuild(&["realise", "--option", "timeout", "1", ".#slow"]).fails(101).says(&["timed out after 1 second", "--option timeout"]);
        world
            .xbuild(&["realise", "--option", "max-silent-time", "1", ".#silent"])
            .fails(101)
            .says(&["printed nothing", "after 1 second", "--option max-silent-time"]);
        world.xbuild(&["realise", "--option", "max-build-log-size", "100000", ".#loud"]).fails(100).says(&["max-build-log-size (100000 bytes)"]);
    }

    /// Both hashes and the URL are named, and nothing is registered.
    fn a_wrong_hash(world) {
        let content = world.write("content", "hello\n");
        let url = format!("file://{}", content.display());
        let right = "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=";
        let wrong = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        world.write(
            "default.nix",
            format!(
                r#"let fetch = outputHash: derivation {{ name = "fetched"; system = "builtin"; builder = "builtin:fetchurl"; url = "{url}";
                     inherit outputHash; outputHashMode = "flat"; }};
                     make = outputHash: import ./run.nix "made" "echo hello >$out" {{ inherit outputHash; outputHashMode = "flat"; }};
                   in {{ right = fetch "{right}"; wrong = fetch "{wrong}"; made-right = make "{right}"; made-wrong = make "{wrong}";
                     nix = import <nix/fetchurl.nix> {{ url = "{url}"; hash = "{right}"; }}; }}"#
            ),
        );
        let failed = world.xbuild(&["realise", ".#wrong"]).fails(102).says(&[&url, right, wrong]);
        assert!(!failed.stderr.contains("panicked"));
        world.xbuild(&["realise", ".#made-wrong"]).fails(102).says(&[right, wrong]);
        assert!(world.valid_paths().iter().all(|path| path.ends_with(".drv") || path.ends_with("-tools")), "{:?}", world.valid_paths());
        for name in ["right", "made-right", "nix"] {
            let built = world.xbuild(&["realise", "--no-out-link", &format!(".#{name}")]).succeeds();
            assert_eq!(world.read(built.line()), "hello\n");
            let info = world.xbuild(&["path-info", "--json", built.line()]).succeeds().json();
            assert_eq!(info[built.line()]["ca"], format!("fixed:sha256:{}", base32_of_hello()));
        }
        fs::remove_file(&content).unwrap();
        world.write("gone.nix", format!(r#"builtins.fetchurl {{ url = "{url}-gone"; sha256 = "{wrong}"; }}"#));
        world.xbuild(&["eval", "gone.nix"]).fails(1).says(&["content-gone"]);
    }

    fn downloads(world) {
        let (port, _) = web_server();
        let wrong = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        world.write(
            "default.nix",
            format!(
                r#"{{ path, hash ? "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=" }}:
                   import <nix/fetchurl.nix> {{ inherit hash; name = "fetched"; url = "http://127.0.0.1:{port}/${{path}}"; }}"#
            ),
        );
        let fetch = |path: &str, options: &[&str]| {
            let mut args = vec!["realise", "--no-out-link", ".", "--argstr", "path", path, "--option", "download-attempts", "1"];
            args.extend(options);
            world.xbuild(&args)
        };
        let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
        fetch("missing", &[]).fails(100).says(&[&url("missing"), "404"]);
        fetch("cut", &[]).fails(100).says(&[&url("cut")]);
        fetch("stalled", &["--option", "stalled-download-timeout", "1"]).fails(100).says(&[&url("stalled"), "download of /nix/store/"]);
        fetch("file", &["--argstr", "hash", wrong]).fails(102).says(&[&url("file"), wrong, "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="]);
        assert!(world.valid_paths().iter().all(|path| path.ends_with(".drv")), "{:?}", world.valid_paths());
        fetch("file", &["--dry-run"]).succeeds().says(&["; 1 download, whose size is not known before"]);
        let fetched = fetch("file", &[]).succeeds().says(&["fetching /nix/store/"]);
        assert_eq!(world.read(fetched.line()), "hello\n");
        // The size is known from now on, and that of a file of this machine always.
        world.xbuild(&["store", "delete", fetched.line()]).succeeds();
        fetch("file", &["--dry-run"]).succeeds().says(&["; 1 download of 6 B"]);
        assert_eq!(fetch("file", &["--dry-run", "--json"]).succeeds().json()[0]["downloadSize"], 6);
        assert!(fetch("file", &["--argstr", "hash", wrong, "--dry-run", "--json"]).succeeds().json()[0]["downloadSize"].is_null());
        let here = world.write("here", "12345");
        world.write("here.nix", format!(r#"import <nix/fetchurl.nix> {{ hash = "{wrong}"; url = "file://{}"; }}"#, here.display()));
        world.xbuild(&["realise", "--dry-run", "./here.nix"]).succeeds().says(&["; 1 download of 5 B"]);
        // What is wrong with an archive is said of its URL.
        world.shell("mkdir tree; head -c 100000 /dev/urandom >tree/file; tar czf whole.tar.gz tree; head -c 50000 whole.tar.gz >cut.tar.gz").succeeds();
        let archive = format!("file://{}", world.path("cut.tar.gz").display());
        world.xbuild(&["eval", "-E", &format!(r#"builtins.fetchTarball "{archive}""#)]).fails(1).says(&[&format!("archive '{archive}'")]);
        // A mirror that is not there.
        world.write("mirror.nix", r#"derivation { name = "mirrored"; system = "builtin"; builder = "builtin:fetchurl"; url = "mirror://debian/pool/x";
          outputHash = "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="; outputHashMode = "flat"; }"#);
        let option = format!("debian-mirror http://127.0.0.1:{port}/debian");
        let mut args = vec!["realise", "--no-out-link", "./mirror.nix", "--option"];
        args.extend(option.split(' '));
        assert_eq!(world.read(world.xbuild(&args).succeeds().line()), "hello\n");
    }

    /// `--rebuild` names what differs, and the registered output stays.
    fn a_build_that_is_not_deterministic(world) {
        world.write(
            "default.nix",
            r#"{ random = import ./run.nix "random" "mkdir $out; echo same >$out/same; cat /proc/sys/kernel/random/uuid >$out/value" { };
                 same = import ./run.nix "same" "mkdir $out; echo same >$out/same" { }; }"#,
        );
        let built = world.xbuild(&["realise", ".#random"]).succeeds();
        let value = world.read(&format!("{}/value", built.line()));
        let failed = world.xbuild(&["realise", "--rebuild", ".#random"]).fails(104).says(&["built again, the output differs:", "value: differs from byte "]);
        assert!(!failed.stderr.contains("same:"), "{}", failed.report());
        assert_eq!(world.read(&format!("{}/value", built.line())), value);
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
        // Also when it was not built before.
        world.xbuild(&["realise", "--rebuild", "--no-out-link", ".#same"]).succeeds().says(&["building /nix/store/", "building again /nix/store/"]);
    }

    /// An x86-64 program is no output for AArch64.
    fn an_output_that_is_not_genuine(world) {
        world.write(
            "default.nix",
            r#"{ wrong = import ./run.nix "wrong" "mkdir -p $out/bin; cp ${./tools}/busybox $out/bin/tool" { xbuildTarget = "aarch64-linux"; };
                 unknown = import ./run.nix "unknown" "echo >$out" { xbuildTarget = "pdp11"; };
                 text = import ./run.nix "text" "mkdir $out; echo text >$out/file" { xbuildTarget = "cortex-a53"; }; }"#,
        );
        let failed = world
            .xbuild(&["realise", ".#wrong"])
            .fails(112)
            .says(&["not genuine for aarch64-linux, so it was not registered", "bin/tool", "x86-64", "elf-machine"]);
        assert_eq!(failed.stdout, "");
        assert!(!world.is_valid(".#wrong") && fs::symlink_metadata(world.path("result")).is_err());
        world.xbuild(&["realise", ".#unknown"]).fails(100).says(&["pdp11", "aarch64-linux", "cortex-a53"]);
        let text = world.xbuild(&["realise", ".#text"]).succeeds();
        let checked = world.xbuild(&["check", text.line()]).succeeds();
        assert!(checked.line().contains("genuine for cortex-a53"), "{}", checked.report());
        // By hand, what was never said to be for AArch64.
        let added = world.xbuild(&["store", "add", "tools"]).succeeds();
        let checked = world.xbuild(&["check", added.line()]).fails(112);
        assert!(checked.stdout.contains("NOT genuine for aarch64-linux") && checked.stdout.contains("busybox"), "{}", checked.report());
        world.xbuild(&["check", "--target", "vax", added.line()]).fails(1).says(&["vax", "aarch64-linux"]);
    }

    fn few_file_descriptors(world) {
        world.write("default.nix", r#"import ./run.nix "few" "echo >$out" { }"#);
        for limit in [4, 10, 12, 14, 16, 18, 20, 22] {
            let script = format!("ulimit -n {limit}; exec timeout 60 \"$xbuild\" realise . --no-out-link");
            let failed = world.shell(&script).fails(1);
            let said = &failed.stderr;
            assert!(said.contains("open files"), "{limit}: {said}");
        }
        world.xbuild(&["realise", "."]).succeeds();
        // The collector, too, comes to its end.
        for limit in 10..20 {
            let ran = world.shell(&format!("ulimit -n {limit}; exec timeout 60 \"$xbuild\" store gc"));
            assert!(ran.code == 0 || ran.code == 1 && ran.stderr.contains("open files"), "{limit}: {}", ran.report());
        }
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
    }

    fn references_that_are_forbidden(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; dep = run "dep" "echo >$out" { }; in {
                 refers = run "refers" "echo ${dep} >$out" { disallowedReferences = [ dep ]; };
                 none = run "none" "echo ${dep} >$out" { allowedReferences = [ ]; };
                 allowed = run "allowed" "echo ${dep} >$out" { allowedReferences = [ dep ]; };
                 requisites = run "requisites" "echo ${run "middle" "echo ${dep} >$out" { }} >$out" { disallowedRequisites = [ dep ]; };
               }"#,
        );
        world.xbuild(&["realise", ".#refers"]).fails(100).says(&["-refers refers to /nix/store/", "-dep, which `disallowedReferences`"]);
        world.xbuild(&["realise", ".#none"]).fails(100).says(&["`allowedReferences`"]);
        world.xbuild(&["realise", ".#requisites"]).fails(100).says(&["`disallowedRequisites`"]);
        world.xbuild(&["realise", ".#allowed"]).succeeds();
    }
}

/// The SHA-256 of "hello\n", as stock Nix writes it in `ca`.
fn base32_of_hello() -> String {
    use xbuild_store_model::{Hash, HashAlgo};
    Hash::of(HashAlgo::Sha256, b"hello\n").to_base32()
}
