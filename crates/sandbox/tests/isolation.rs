//! What a builder sees and what it cannot do, as root and as an ordinary user.

#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use common::{BUSYBOX, OUT, Place, output, run};
use xbuild_sandbox::{Bind, ExtraBind, Status};

#[test]
fn everything_here_holds_for_an_ordinary_user_too() {
    if !rustix::process::geteuid().is_root() {
        return; // This is that run.
    }
    for binary in ["isolation", "lifecycle", "emulation", "attacks"] {
        let tests = common_binary(binary);
        let output = Command::new(&tests)
            .env("TMPDIR", "/tmp")
            .current_dir("/")
            .uid(12345)
            .gid(12345)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{binary}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            text.contains("test result: ok") && !text.contains(" 0 passed"),
            "{text}"
        );
    }
}

/// The newest test binary of that name beside this one.
fn common_binary(name: &str) -> std::path::PathBuf {
    let own = std::env::current_exe().unwrap();
    let newest = fs::read_dir(own.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_none()
                && path
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .rsplit_once('-')
                    .is_some_and(|(stem, _)| stem == name)
        })
        .max_by_key(|path| path.metadata().unwrap().mtime());
    newest.unwrap_or_else(|| panic!("no test binary {name}: run all tests of the crate"))
}

#[test]
fn the_root_directory_holds_nothing_of_the_machine() {
    let place = Place::new();
    let (report, log) = run(&place.script("ls -a / /nix /nix/store /etc /dev"));
    assert_eq!(report.status, Status::Exited(0));
    assert_eq!(
        log,
        "/:\n.\n..\nbuild\ndev\netc\nnix\nproc\ntmp\n\n\
         /dev:\n.\n..\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n\n\
         /etc:\n.\n..\ngroup\nhosts\npasswd\n\n\
         /nix:\n.\n..\nstore\n\n\
         /nix/store:\n.\n..\n00000000000000000000000000000000-busybox\n"
    );
    // The old root is really gone: no mount of the machine is left in the namespace.
    let mounts = output("cut -d' ' -f5 /proc/self/mountinfo | sort");
    let expected = [
        "/",
        "/build",
        "/dev",
        "/dev/full",
        "/dev/null",
        "/dev/pts",
        "/dev/random",
        "/dev/tty",
        "/dev/urandom",
        "/dev/zero",
        "/nix/store",
        BUSYBOX,
        "/proc",
        "/tmp",
    ];
    assert_eq!(mounts.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_builder_is_nixbld_without_rights() {
    let log = output(
        "id; cat /etc/passwd /etc/group; pwd; hostname; umask; cat /proc/sys/kernel/domainname; \
         grep -E '^(Cap(Prm|Eff|Amb)|NoNewPrivs|Seccomp|SigBlk|SigIgn)' /proc/self/status; ulimit -c",
    );
    assert_eq!(
        log.split_once('\n').unwrap().1,
        "root:x:0:0:Nix build user:/build:/noshell\n\
             nixbld:x:1000:100:Nix build user:/build:/noshell\n\
             nobody:x:65534:65534:Nobody:/:/noshell\n\
             root:x:0:\nnixbld:!:100:\nnogroup:x:65534:\n\
             /build\nlocalhost\n0022\n(none)\n\
             SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n\
             CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n\
             NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t2\n0\n"
    );
    assert!(log.starts_with("uid=1000(nixbld) gid=100(nixbld)"), "{log}");
}

#[test]
fn the_environment_and_arguments_are_exactly_those_given() {
    let place = Place::new();
    let mut spec = place.script("");
    spec.builder = format!("{BUSYBOX}/bin/busybox").into();
    spec.args = vec!["env".into()];
    spec.env = vec![
        ("B".into(), "x y\n=z".into()),
        ("A".into(), OsString::new()),
    ];
    assert_eq!(run(&spec).1, "B=x y\n=z\nA=\n");
    let place = Place::new();
    let mut spec = place.script("tr '\\0' '|' < /proc/$$/cmdline; true");
    spec.args.push("".into());
    spec.args.push("last".into());
    assert_eq!(
        run(&spec).1,
        "sh|-c|tr '\\0' '|' < /proc/$$/cmdline; true||last|"
    );
}

#[test]
fn no_process_of_the_machine_is_visible() {
    let log =
        output("cd /proc; echo [0-9]*; cat 1/comm; kill -9 1; echo $?; cat /proc/1/environ; true");
    // init, the shell; the signal to PID 1 is ignored.
    assert!(
        log.starts_with("1 2\nxbuild-spawner\n0\n") || log.starts_with("1 2\nxbuild-spawner\n1\n"),
        "{log}"
    );
    assert!(log.contains("Permission denied"), "{log}");
}

#[test]
fn there_is_no_network_but_loopback() {
    let log = output(
        "ls /sys 2>&1; tail -n +3 /proc/net/dev | cut -d: -f1; (echo hello | nc -l -p 1234 127.0.0.1 &); sleep 0.2; \
         nc 127.0.0.1 1234 < /dev/null; nc -w 1 192.0.2.1 53 < /dev/null 2>&1; true",
    );
    assert_eq!(
        log,
        "ls: /sys: No such file or directory\n    lo\nhello\nnc: can't connect to remote host (192.0.2.1): Network is unreachable\n"
    );
}

#[test]
fn inputs_cannot_be_written() {
    let place = Place::new();
    let script = format!(
        "cd {BUSYBOX}; touch x 2>&1; echo > bin/busybox; rm bin/sh 2>&1; chmod 777 bin 2>&1; mv {BUSYBOX} /nix/store/x 2>&1; \
         busybox mount -o remount,rw,bind {BUSYBOX} 2>&1; mkdir /x 2>&1; true"
    );
    let (report, log) = run(&place.script(&script));
    assert_eq!(report.status, Status::Exited(0));
    assert_eq!(log.matches("Read-only file system").count(), 5, "{log}");
    assert_eq!(log.lines().count(), 7, "{log}");
    assert!(place.path("store/busybox/bin/sh").is_symlink());
    assert!(!place.path("store/busybox/x").exists());
}

#[test]
fn outputs_land_on_the_stores_filesystem_and_belong_to_the_caller() {
    let place = Place::new();
    let spec = place.script(&format!(
        "mkdir -p {OUT}/bin; echo hi > {OUT}/bin/f; ln -s f {OUT}/bin/l; id -u > /build/note"
    ));
    let (report, log) = run(&spec);
    assert_eq!(report.status, Status::Exited(0), "{log}");
    let out = spec.physical(OUT.as_ref());
    let caller = rustix::process::geteuid().as_raw();
    for path in [
        out.clone(),
        out.join("bin/f"),
        out.join("bin/l"),
        spec.build_dir().join("note"),
    ] {
        assert_eq!(path.symlink_metadata().unwrap().uid(), caller, "{path:?}");
    }
    let target = place.path("store/out");
    fs::rename(&out, &target).unwrap();
    assert_eq!(fs::read_to_string(target.join("bin/f")).unwrap(), "hi\n");
}

#[test]
fn inputs_may_be_directories_files_and_symlinks() {
    let place = Place::new();
    fs::write(place.path("store/file"), "content").unwrap();
    symlink("/nix/store/somewhere", place.path("store/link")).unwrap();
    let mut spec = place.script("cat /nix/store/f; readlink /nix/store/l; echo x > /nix/store/f");
    for (source, target) in [
        ("store/file", "/nix/store/f"),
        ("store/link", "/nix/store/l"),
    ] {
        spec.inputs.push(Bind {
            source: place.path(source),
            target: target.into(),
        });
    }
    let (_, log) = run(&spec);
    assert!(log.starts_with("content/nix/store/somewhere\n"), "{log}");
    assert!(log.contains("Read-only file system"), "{log}");
}

#[test]
fn setuid_files_and_extended_attributes_are_refused() {
    let place = Place::new();
    let (_, log) = run(&place
        .script("touch f; chmod 4755 f; chmod 2755 f; chmod 1755 f; chmod 755 f; stat -c %a f"));
    assert_eq!(log.matches("Operation not permitted").count(), 2, "{log}");
    assert!(log.ends_with("755\n"), "{log}");
}

#[test]
fn namespaces_of_its_own_are_a_choice() {
    let place = Place::new();
    let mut spec = place.script(
        "busybox unshare -U -r -m -p -f sh -c 'mkdir /tmp/m && mount -t tmpfs none /tmp/m && touch /tmp/m/x && ls /tmp/m && id -u; \
         mkdir /tmp/p && mount -t proc proc /tmp/p && ls /tmp/p/1/comm' 2>&1",
    );
    let (report, log) = run(&spec);
    assert_ne!(report.status, Status::Exited(0));
    assert!(
        log.contains("unshare") && log.contains("Operation not permitted"),
        "{log}"
    );
    spec.user_namespaces = true;
    assert_eq!(run(&spec).1, "x\n0\n/tmp/p/1/comm\n");
}

#[test]
fn the_machines_settings_cannot_be_changed() {
    let log = output(
        "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger; do \
         (echo x > $f) 2>&1; done; true",
    );
    assert_eq!(log.lines().count(), 3, "{log}");
    assert!(!log.contains("write error"), "opened, at least: {log}");
}

#[test]
fn devices_work() {
    let log = output(
        "head -c 3 /dev/zero | od -An -tx1; echo x > /dev/null; head -c 4 /dev/urandom | wc -c; echo x > /dev/shm/f && cat /dev/shm/f; \
         (echo x > /dev/full) 2>&1; echo to-stdout > /dev/stdout; ls -l /dev/ptmx | sed 's/.*-> //'; \
         exec 3<>/dev/ptmx; ls /dev/pts; (: < /dev/tty) 2>&1; true",
    );
    assert!(log.starts_with(" 00 00 00\n4\nx\n"), "{log}");
    assert!(log.contains("No space left"), "{log}");
    assert!(log.contains("to-stdout\n/dev/pts/ptmx\n0\nptmx\n"), "{log}");
    assert!(log.contains("No such device or address"), "{log}");
}

#[test]
fn an_fhs_root_supplies_usr_and_its_links() {
    let place = Place::new();
    let fhs = place.path("store/fhs");
    fs::create_dir_all(fhs.join("usr/bin")).unwrap();
    fs::create_dir_all(fhs.join("etc/ssl")).unwrap();
    fs::write(fhs.join("etc/passwd"), "wrong").unwrap();
    fs::write(fhs.join("etc/ssl/conf"), "ssl").unwrap();
    fs::copy(common::busybox(), fhs.join("usr/bin/sh")).unwrap();
    symlink("usr/bin", fhs.join("bin")).unwrap();
    symlink("usr/lib", fhs.join("lib")).unwrap();
    let mut spec = place.script("cat /etc/ssl/conf; head -1 /etc/passwd; readlink /bin; readlink /lib; echo > /usr/x; echo > /etc/ssl/x; ls /usr");
    spec.builder = "/bin/sh".into();
    spec.fhs_root = Some(fhs);
    // A sandbox path may lie in the read-only tree when there is something to mount on.
    fs::write(place.path("other"), "other").unwrap();
    spec.extra_binds = vec![ExtraBind {
        source: place.path("other"),
        target: "/bin/sh2".into(),
        optional: false,
    }];
    fs::write(place.path("store/fhs/usr/bin/sh2"), "").unwrap();
    spec.args[1].push("; cat /bin/sh2");
    let (_, log) = run(&spec);
    assert!(log.starts_with("sslroot:x:0:0:"), "{log}");
    assert!(log.contains("usr/bin\nusr/lib\n"), "{log}");
    assert_eq!(log.matches("Read-only file system").count(), 2, "{log}");
    assert!(log.ends_with("bin\nother"), "{log}");
}

#[test]
fn sandbox_paths_are_shown() {
    let place = Place::new();
    fs::create_dir(place.path("shared")).unwrap();
    fs::write(place.path("shared/f"), "seen").unwrap();
    let mut spec = place.script("/bin/sh -c 'cat /opt/shared/f; ls /dev/kvm2 /missing 2>&1'");
    let mut bind = |text: String| spec.extra_binds.push(ExtraBind::parse(&text).unwrap());
    bind(format!(
        "/bin/sh={}",
        common::busybox().canonicalize().unwrap().display()
    ));
    bind(format!("/opt/shared={}", place.path("shared").display()));
    bind("/missing?".to_owned());
    let (_, log) = run(&spec);
    assert!(log.starts_with("seen"), "{log}");
    assert!(log.contains("/missing: No such file"), "{log}");
}

#[test]
fn a_build_with_network_sees_the_machines_interfaces() {
    let place = Place::new();
    let mut spec = place.script("wc -l < /proc/net/dev; cat /etc/hosts /etc/nsswitch.conf");
    spec.network = true;
    let (report, log) = run(&spec);
    assert_eq!(report.status, Status::Exited(0), "{log}");
    let lines = fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    assert!(log.starts_with(&format!("{lines}\n")), "{log}");
    assert!(
        log.contains(&fs::read_to_string("/etc/hosts").unwrap_or_default()),
        "{log}"
    );
    assert!(
        log.ends_with("hosts: files dns\nservices: files\n"),
        "{log}"
    );
}

/// Network namespaces are used again, but never one in which something happened: a port of an earlier build would be taken.
#[test]
fn no_build_finds_the_network_of_another_used() {
    let place = Place::new();
    let script = "cat /proc/net/dev /proc/net/snmp /proc/net/netstat /proc/net/sockstat /proc/net/unix | cksum; \
                  (echo hello | nc -l -p 1234 127.0.0.1 &); sleep 0.1; nc 127.0.0.1 1234 < /dev/null";
    let quiet = run(&place.script("readlink /proc/self/ns/net")).1;
    assert!(quiet.starts_with("net:["), "{quiet}");
    let first = run(&place.script(script)).1;
    assert!(first.ends_with("hello\n"), "{first}");
    for _ in 0..3 {
        assert_eq!(run(&place.script(script)).1, first);
    }
}
