//! What runs beside what: the jobserver, memory, features of the machine, forecasts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::{for_each_user, shared};

/// A fifo in the shared directory, for everybody.
fn fifo(directory: &Path, name: &str) {
    let path = directory.join(name);
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
}

/// The options as `xbuild` takes them.
fn with<'a>(fixed: &[&'a str], options: &'a [String]) -> Vec<&'a str> {
    fixed
        .iter()
        .copied()
        .chain(options.iter().map(String::as_str))
        .collect()
}

for_each_user! {
    /// Only who asks for the jobserver sees it; derivations are the same in any case.
    fn jobserver_is_asked_for(world) {
        world.write(
            "default.nix",
            r#"let script = "echo \${MAKEFLAGS-none} \${CARGO_MAKEFLAGS-none} >$out; [ -p /nix/jobserver ] && echo pipe >>$out || true"; in {
                 asks = import ./run.nix "asks" script { enableJobserver = true; };
                 sets = import ./run.nix "sets" script { enableJobserver = true; MAKEFLAGS = "V=1"; };
                 not = import ./run.nix "not" script { enableParallelBuilding = true; };
               }"#,
        );
        let read = |attribute: &str, cores: &str| {
            let built = world.xbuild(&["realise", "--no-out-link", "--cores", cores, attribute]).succeeds();
            let text = world.read(built.line());
            // Else nothing would be built with other cores.
            world.xbuild(&["store", "delete", built.line()]).succeeds();
            text
        };
        let flags = "-j4 --jobserver-auth=fifo:/nix/jobserver";
        assert_eq!(read(".#asks", "4"), format!("{flags} {flags}\npipe\n"));
        assert_eq!(read(".#sets", "4"), format!("V=1 {flags}\npipe\n"));
        assert_eq!(read(".#not", "4"), "none none\n");
        assert_eq!(read(".#asks", "1"), "none none\n", "there is nothing to lend");
    }

    /// Two builds with many jobs each: no more jobs run than processors and builds together.
    fn jobs_of_two_builds_share_the_processors(world) {
        let (directory, options) = shared(world);
        let jobs = directory.join("jobs");
        fs::create_dir(&jobs).unwrap();
        fs::set_permissions(&jobs, fs::Permissions::from_mode(0o777)).unwrap();
        world.write(
            "default.nix",
            r#"map (name: import ./run.nix name ''
                 job() { : >/shared/jobs/$name-$1; ls /shared/jobs | wc -l >>counts; usleep 2000; rm /shared/jobs/$name-$1; }
                 exec 3<>/nix/jobserver
                 for i in $(seq 30); do
                   read -r -n 1 token <&3
                   { job $i; printf + >&3; } &
                   job own$i
                 done
                 wait
                 sort -n counts | tail -n 1 >$out
               '' { enableJobserver = true; }) [ "a" "b" ]"#,
        );
        let built = world
            .xbuild(&with(&["realise", "--no-out-link", "-j", "2", "--cores", "4", "."], &options))
            .succeeds();
        // As many as processors, if this machine has no more than four.
        let processors = std::thread::available_parallelism().unwrap().get().max(4);
        let most: Vec<usize> = built.lines().into_iter().map(|path| world.read(path).trim().parse().unwrap()).collect();
        assert!(most.iter().all(|most| *most <= processors + 2), "{most:?}");
        assert!(most.iter().any(|most| *most > 2), "nothing was lent: {most:?}");
    }

    /// A build that dies with all tokens gives them back by that, and one that makes tokens up hurts nobody.
    fn tokens_of_a_dead_build_are_free(world) {
        let (directory, options) = shared(world);
        for name in ["taken", "waits"] {
            fifo(&directory, name);
        }
        world.write(
            "default.nix",
            // All but those that the two hold by themselves.
            r#"let run = import ./run.nix; all = "exec 3<>/nix/jobserver; for i in $(seq 3 $NIX_BUILD_CORES); do read -r -n 1 token <&3; done"; in [
                 (run "dies" "${all}; echo >/shared/taken; read x </shared/waits; printf ++++++++ >&3; exit 3" { enableJobserver = true; })
                 (run "waits" "read x </shared/taken; echo >/shared/waits; ${all}; echo >$out" { enableJobserver = true; })
               ]"#,
        );
        let cores = std::thread::available_parallelism().unwrap().get().max(4).to_string();
        let command = ["realise", "--no-out-link", "-k", "-j", "2", "--cores", &cores, "."];
        world
            .xbuild(&with(&command, &options))
            .fails(100)
            .says(&["exit code 3", "build of", "-dies.drv failed"]);
        let built = world.xbuild(&["realise", "--no-out-link", "--dry-run", "."]).succeeds();
        assert!(!built.stderr.contains("-waits.drv"), "{}", built.report());
    }

    /// A builder that was killed is tried once more, alone, and then given up.
    fn killed_builds_are_tried_once_more(world) {
        let (directory, options) = shared(world);
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in {
                 once = run "once" "if [ ! -e /shared/once ]; then : >/shared/once; kill -9 $$; fi; echo >$out" { };
                 always = run "always" "echo >>/shared/always; kill -9 $$" { };
                 shell = run "shell" "echo >>/shared/shell; exit 137" { };
               }"#,
        );
        let built = world.xbuild(&with(&["realise", "--no-out-link", ".#once"], &options)).succeeds();
        assert!(
            built.stderr.contains("ran out of memory: builder was ended by signal 9") && built.stderr.contains("it is tried once more"),
            "{}",
            built.report()
        );
        for name in ["always", "shell"] {
            let attribute = format!(".#{name}");
            world
                .xbuild(&with(&["realise", "--no-out-link", &attribute], &options))
                .fails(100)
                .says(&["ran out of memory, even when nothing was built beside it", "hint:"]);
            let starts = fs::read_to_string(directory.join(name)).unwrap().lines().count();
            assert_eq!(starts, 2, "{name}");
        }
    }

    /// The benchmark finds its builder, and names what is missing.
    fn steps_are_built_as_a_benchmark(world) {
        let bench = "exec \"$xbuild\" bench scheduler --shape chain --nodes 3 --executor sandbox --json";
        let measured = world.shell(&format!("PATH=$PWD/tools:$PATH; {bench}")).succeeds().json();
        assert_eq!((&measured["nodes"], &measured["edges"]), (&3.into(), &2.into()));
        assert!(measured["microsecondsPerNode"].as_f64().unwrap() > 0.0);
        world.shell(&format!("PATH=/nowhere; {bench}")).fails(1).says(&["no busybox in PATH", "--builder FILE"]);
        world.write("tools/busybox", "no program");
        world.shell(&format!("PATH=$PWD/tools:$PATH; {bench}")).fails(100).says(&["-tools/busybox"]);
    }

    fn features_of_the_machine(world) {
        world.write("structured.nix", r#"import ./run.nix "structured" "echo >$out" { __structuredAttrs = true; requiredSystemFeatures = [ "gpu" ]; }"#);
        let build = |file: &str, more: &[&str]| world.xbuild(&[&["realise", "--no-out-link", file], more].concat());
        build("structured.nix", &[]).fails(100).says(&["`gpu` (`requiredSystemFeatures`)"]);
        world.write("default.nix", r#"import ./run.nix "plain" "echo >$out" { requiredSystemFeatures = [ "big-parallel" "gpu" ]; }"#);
        let failed = build(".", &[]).fails(100).says(&["`gpu`", "--extra-system-features"]);
        assert!(!failed.stderr.contains("building /nix"), "{}", failed.report());
        build(".", &["--system-features", "gpu"]).fails(100).says(&["`big-parallel`", "this one has `gpu`"]);
        build(".", &["--extra-system-features", "gpu"]).succeeds();
    }

    /// `-j 0` builds nothing, but what is a part of xbuild runs, as in Nix.
    fn downloads_need_no_jobs(world) {
        let file = world.write("file", "content");
        world.write(
            "default.nix",
            format!(
                r#"rec {{
                     fetched = derivation {{ name = "f"; builder = "builtin:fetchurl"; system = "builtin"; url = "file://{}"; outputHash = builtins.hashString "sha256" "content"; outputHashAlgo = "sha256"; outputHashMode = "flat"; }};
                     built = import ./run.nix "built" "cat $fetched >$out" {{ inherit fetched; }};
                   }}"#,
                file.display()
            ),
        );
        world.xbuild(&["realise", "-j", "0", ".#built"]).fails(1).says(&["1 derivation must be built, but max-jobs is 0"]);
        let fetched = world.xbuild(&["realise", "--no-out-link", "-j", "0", ".#fetched"]).succeeds();
        assert_eq!(world.read(fetched.line()), "content");
    }

    /// What needed more memory than there is does not run beside another build.
    fn memory_of_earlier_builds_counts(world) {
        let (directory, options) = shared(world);
        world.write(
            "default.nix",
            r#"map (name: import ./run.nix name "echo begin >>/shared/log; usleep 100000; echo end >>/shared/log; echo >$out" { }) [ "a" "b" "c" ]"#,
        );
        world.write("first.nix", r#"import ./run.nix "first" "echo >$out" { }"#);
        world.xbuild(&["realise", "--no-out-link", "./first.nix"]).succeeds();
        let store = xbuild_store::Store::open(world.store(), xbuild_store::StoreOptions::default()).unwrap();
        let usage = xbuild_store::Usage {
            duration: std::time::Duration::from_millis(100),
            peak_memory: 1 << 50,
            processors: 1000,
        };
        for name in ["a", "b", "c"] {
            store.builds().unwrap().record_build(name, "x86_64-linux", usage).unwrap();
        }
        drop(store);
        world.xbuild(&with(&["realise", "--no-out-link", "-j", "3", "."], &options)).succeeds();
        let log = fs::read_to_string(directory.join("log")).unwrap();
        assert_eq!(log, "begin\nend\n".repeat(3));
    }
}
