//! How builds end: by themselves, by signals, limits and cancellation; and that nothing of them is left.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{BUSYBOX, OUT, Place, run, sandbox, try_run};
use xbuild_sandbox::{BuilderProblem, CancelToken, SandboxError, Status};

#[test]
fn exit_codes_and_signals_are_reported() {
    let place = Place::new();
    for (script, status) in [
        ("exit 0", Status::Exited(0)),
        ("exit 3", Status::Exited(3)),
        ("exit 255", Status::Exited(255)),
        // The builder is not PID 1, so its own signals work.
        ("kill -TERM $$", Status::Signalled(15)),
        ("kill -SEGV $$", Status::Signalled(11)),
        ("kill -KILL $$", Status::Signalled(9)),
        ("kill -PIPE $$", Status::Signalled(13)),
    ] {
        let (report, log) = run(&place.script(script));
        assert_eq!(report.status, status, "{script}");
        assert_eq!(log, "");
    }
}

#[test]
fn the_log_is_both_streams_in_order_as_it_comes() {
    let place = Place::new();
    let spec =
        place.script("echo one; echo two >&2; read x < /build/fifo; printf '\\377\\000three'");
    fs::create_dir_all(spec.build_dir()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        spec.build_dir().join("fifo"),
        rustix::fs::FileType::Fifo,
        0o666.into(),
        0,
    )
    .unwrap();
    fs::set_permissions(
        spec.build_dir().join("fifo"),
        std::os::unix::fs::PermissionsExt::from_mode(0o666),
    )
    .unwrap();
    let fifo = spec.build_dir().join("fifo");
    let mut log = Vec::new();
    let mut answered = false;
    // The builder waits for an answer to its first lines, so they must come before its end.
    let report = sandbox()
        .run(&spec, &CancelToken::new().unwrap(), &mut |bytes| {
            log.extend_from_slice(bytes);
            if !answered && log == b"one\ntwo\n" {
                answered = true;
                fs::write(&fifo, "go\n").unwrap();
            }
        })
        .unwrap();
    assert_eq!(report.status, Status::Exited(0));
    assert_eq!(log, b"one\ntwo\n\xff\0three");
    assert_eq!(report.log_bytes, log.len() as u64);
}

#[test]
fn a_large_log_arrives_complete() {
    let place = Place::new();
    let (report, log) = run(&place.script("yes | head -c 5000000"));
    assert_eq!(report.status, Status::Exited(0));
    assert_eq!(log.len(), 5_000_000);
}

#[test]
fn limits_kill_and_say_which() {
    let place = Place::new();
    let mut spec = place.script("echo start; sleep 1000");
    spec.timeout = Some(Duration::from_millis(200));
    let (report, log) = run(&spec);
    assert_eq!((report.status, log.as_str()), (Status::TimedOut, "start\n"));

    let mut spec = place.script("echo a; sleep 0.1; echo b; sleep 1000");
    spec.max_silent = Some(Duration::from_millis(400));
    let (report, log) = run(&spec);
    assert_eq!((report.status, log.as_str()), (Status::Silent, "a\nb\n"));

    let mut spec = place.script("yes");
    spec.max_log = Some(100_001);
    let (report, log) = run(&spec);
    assert_eq!((report.status, log.len()), (Status::LogLimit, 100_001));
}

#[test]
fn cancelling_ends_all_builds_at_once_and_further_ones_do_not_start() {
    let cancel = CancelToken::new().unwrap();
    let builds: Vec<_> = (0..3)
        .map(|_| {
            let cancel = cancel.clone();
            thread::spawn(move || {
                let place = Place::new();
                let spec = place.script("trap '' TERM INT; echo up; while :; do sleep 1000; done");
                let stop = cancel.clone();
                let report = sandbox()
                    .run(&spec, &cancel, &mut |_| stop.cancel())
                    .unwrap();
                report.status
            })
        })
        .collect();
    for build in builds {
        assert_eq!(build.join().unwrap(), Status::Cancelled);
    }
    let place = Place::new();
    let spec = place.script("echo no");
    let report = sandbox()
        .run(&spec, &cancel, &mut |_| panic!("ran"))
        .unwrap();
    assert_eq!(report.status, Status::Cancelled);
}

/// Whether a process of the machine has this text in its command line.
fn running(text: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
    })
}

#[test]
fn orphans_die_with_the_builder() {
    let place = Place::new();
    // In a session of its own, holding the log open, ignoring signals.
    let mark = format!("86400.{}", std::process::id());
    let script = format!(
        "(setsid sh -c 'trap \"\" TERM HUP; echo up > /build/up; sleep {mark}' &) ; while ! [ -e up ]; do sleep 0.01; done"
    );
    let (report, _) = run(&place.script(&script));
    assert_eq!(report.status, Status::Exited(0));
    assert!(!running(&mark));
}

#[test]
fn orphans_are_reaped_while_the_builder_runs() {
    let place = Place::new();
    let script = "for i in 1 2 3 4 5; do (sh -c 'sh -c \"exit 0\" & exit 0'); done; sleep 0.1; \
                  grep -l '^State:.Z' /proc/[0-9]*/status; echo done";
    assert_eq!(run(&place.script(script)).1, "done\n");
}

#[test]
fn a_limit_of_processes_stops_a_fork_bomb() {
    let place = Place::new();
    let mut spec = place.script("f() { f | f & }; f; sleep 0.3; echo survived");
    spec.max_processes = Some(200);
    spec.max_processes_together = Some(200);
    spec.timeout = Some(Duration::from_secs(20));
    let (report, log) = run(&spec);
    assert!(
        report.status == Status::Exited(0) || report.status == Status::Exited(2),
        "{report:?} {log}"
    );
    assert!(
        log.contains("fork") || log.contains("Resource temporarily"),
        "{log}"
    );
}

#[test]
fn builds_run_at_once_from_many_threads() {
    let failures = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let failures = Arc::clone(&failures);
            thread::spawn(move || {
                for round in 0..10 {
                    let place = Place::new();
                    let spec = place.script(&format!("echo {number}.{round} > {OUT}; cat {OUT}"));
                    let (report, log) = run(&spec);
                    if report.status != Status::Exited(0) || log != format!("{number}.{round}\n") {
                        failures.lock().unwrap().push((report, log));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(failures.lock().unwrap().is_empty(), "{failures:?}");
}

#[test]
fn usage_is_measured() {
    let place = Place::new();
    let script = "head -c 30000000 /dev/zero | tail -c 25000000 | wc -c";
    let (report, _) = run(&place.script(script));
    assert!(
        report.user + report.sys > Duration::from_millis(1),
        "{report:?}"
    );
    assert!(report.wall >= (report.user + report.sys) / 16, "{report:?}");
    assert!(report.max_rss > 20_000_000, "{report:?}");
    assert!(report.peak_memory > Some(20_000_000), "{report:?}");
}

fn problem(spec: &xbuild_sandbox::Spec) -> (BuilderProblem, String) {
    match try_run(spec) {
        Err(error @ SandboxError::Builder { .. }) => {
            let text = error.to_string();
            let SandboxError::Builder { problem, .. } = error else {
                unreachable!()
            };
            (problem, text)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_builder_that_cannot_be_executed_is_explained() {
    let place = Place::new();
    let mut spec = place.script("");
    spec.builder = "/bin/sh".into();
    assert_eq!(
        problem(&spec).1,
        "the builder /bin/sh does not exist in the sandbox: builds see only their inputs; make it an input, set `sandboxRoot`, or use `--option sandbox-paths`"
    );
    spec.builder = BUSYBOX.into();
    assert_eq!(problem(&spec).0, BuilderProblem::NotExecutable);

    let bin = place.path("store/busybox/bin");
    let script = |name: &str, content: &[u8], mode: u32| {
        fs::write(bin.join(name), content).unwrap();
        fs::set_permissions(
            bin.join(name),
            std::os::unix::fs::PermissionsExt::from_mode(mode),
        )
        .unwrap();
    };
    let mut with = |name: &str| {
        spec.builder = format!("{BUSYBOX}/bin/{name}").into();
        problem(&spec)
    };
    script("plain", b"echo hi\n", 0o644);
    assert_eq!(with("plain").0, BuilderProblem::NotExecutable);
    script("no-format", b"echo hi\n", 0o755);
    assert_eq!(with("no-format").0, BuilderProblem::WrongFormat);
    script("script", b"#! /usr/bin/perl -w\n", 0o755);
    let (found, text) = with("script");
    assert_eq!(
        found,
        BuilderProblem::ScriptInterpreterMissing("/usr/bin/perl".into())
    );
    assert!(
        text.contains("a script for /usr/bin/perl, which does not exist in the sandbox"),
        "{text}"
    );
    fs::copy("/bin/true", bin.join("dynamic")).unwrap();
    assert_eq!(
        with("dynamic").0,
        BuilderProblem::DynamicLinkerMissing("/lib64/ld-linux-x86-64.so.2".into())
    );

    let mut spec = place.script("");
    spec.env = vec![("BIG".into(), "x".repeat(200_000).into())];
    assert_eq!(problem(&spec).0, BuilderProblem::TooLong);
}

#[test]
fn a_wrong_spec_is_refused_with_its_reason() {
    let place = Place::new();
    let text = |change: &dyn Fn(&mut xbuild_sandbox::Spec)| {
        let mut spec = place.script("true");
        change(&mut spec);
        try_run(&spec).expect_err("refused").to_string()
    };
    assert!(text(&|spec| spec.builder = "sh".into()).contains("'sh' is not an absolute path"));
    assert!(text(&|spec| spec.args.push("a\0b".into())).contains("NUL"));
    assert!(text(&|spec| spec.env.push(("A=B".into(), "".into()))).contains("'A=B'"));
    assert!(
        text(&|spec| spec.inputs[0].target = "/nix/store/../../etc".into())
            .contains("/nix/store/../../etc")
    );
    assert!(
        text(&|spec| spec.inputs[0].source = "/does/not/exist".into()).contains("/does/not/exist")
    );
    assert!(
        text(&|spec| spec.fhs_root = Some(place.path("store"))).contains("has no directory `usr`")
    );
    assert!(text(&|spec| spec.outputs.push(BUSYBOX.into())).contains("is an output and an input"));
    let bind = xbuild_sandbox::ExtraBind::parse("/x=/does/not/exist").unwrap();
    assert!(
        text(&|spec| spec.extra_binds.push(bind.clone()))
            .contains("/does/not/exist does not exist")
    );
}

#[test]
fn the_scratch_directory_can_be_used_again_and_removed() {
    let place = Place::new();
    let spec = place.script("mkdir -p d/e; touch d/e/f; chmod 0 d/e d");
    assert_eq!(run(&spec).0.status, Status::Exited(0));
    xbuild_sandbox::remove_tree(&spec.build_dir()).unwrap();
    let spec = place.script(&format!("mkdir -p {OUT}/x /nix/store/stale"));
    assert_eq!(run(&spec).0.status, Status::Exited(0));
    // What the last build left in the scratch store is not there for the next.
    let spec = place.script("ls /nix/store");
    assert_eq!(run(&spec).1, "00000000000000000000000000000000-busybox\n");
    xbuild_sandbox::remove_tree(&spec.work_dir).unwrap();
    assert!(!spec.work_dir.exists());
}

/// Where a test that must die runs builds: started by the tests below in a process of its own.
#[test]
fn builds_die_with_xbuild() {
    if let Some(work) = std::env::var_os("XBUILD_TEST_DIE_IN") {
        let place = Place::new();
        let mut spec = place.script(&format!(
            "echo up; exec sleep 86401.{}",
            std::env::var("XBUILD_TEST_MARK").unwrap()
        ));
        spec.work_dir = Path::new(&work).join("work");
        let up = || fs::write(Path::new(&work).join("up"), "").unwrap();
        let _ = sandbox().run(&spec, &CancelToken::new().unwrap(), &mut |_| up());
        return;
    }
    let place = Place::new();
    let mark = std::process::id().to_string();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "builds_die_with_xbuild"])
        .env("XBUILD_TEST_DIE_IN", place.dir.path())
        .env("XBUILD_TEST_MARK", &mark)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    };
    wait("the build starts", &|| place.path("up").exists());
    let mark = format!("86401.{mark}");
    assert!(running(&mark));
    child.kill().unwrap();
    child.wait().unwrap();
    wait("the build dies", &|| !running(&mark));
}
