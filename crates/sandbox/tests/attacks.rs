//! Builds that attack: the builder is this very program, which tries from inside what its environment names, and prints how each
//! attempt ended. All must fail, each in the way that stands here.

#![allow(clippy::unwrap_used, unsafe_code)]

mod common;

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::{BUSYBOX, OUT, Place, run};
use xbuild_sandbox::{Spec, Status};

/// What names the attack, inside.
const ATTACK: &str = "ATTACK";

/// The whole of the inside: the attack that the environment names.
#[test]
fn inside() {
    let Ok(attack) = std::env::var(ATTACK) else {
        return; // Among the other tests there is nothing to do.
    };
    match attack.as_str() {
        "files" => read_host_files(),
        "calls" => call_the_kernel(),
        "modes" => make_set_id_files(),
        "supervisor" => reach_the_supervisor(),
        "links" => link_into_the_store(),
        "sockets" => connect(),
        "listen" => listen(),
        "memory" => share_memory(),
        "late" => write_late(),
        "environment" => look_around(),
        other => panic!("there is no attack {other}"),
    }
}

/// Prints one attempt, in a line that the outside finds among the test harness's own.
fn tell(what: &str, result: io::Result<impl std::fmt::Debug>) {
    let ended = match result {
        Ok(value) => format!("SUCCEEDED {value:?}"),
        Err(error) => match error.raw_os_error() {
            Some(code) => errno_name(code).to_owned(),
            None => error.to_string(),
        },
    };
    println!("\n=> {what}: {ended}");
}

fn errno_name(code: i32) -> &'static str {
    match code {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EACCES => "EACCES",
        libc::EXDEV => "EXDEV",
        libc::EROFS => "EROFS",
        libc::ENOSYS => "ENOSYS",
        libc::ENOTSUP => "ENOTSUP",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::ESRCH => "ESRCH",
        _ => "another error",
    }
}

/// A system call by its number.
fn call(number: libc::c_long, arguments: [usize; 4]) -> io::Result<libc::c_long> {
    let [a, b, c, d] = arguments;
    // SAFETY: the arguments are numbers, null, or point to strings and structures of the caller that are long enough.
    let result = unsafe { libc::syscall(number, a, b, c, d, 0, 0) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A build that runs `attack` in this program.
fn attacking(place: &Place, attack: &str) -> Spec {
    let program = place.path("store/busybox/bin/attack");
    if !program.exists() {
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o555)).unwrap();
    }
    let mut spec = place.script("");
    spec.builder = format!("{BUSYBOX}/bin/attack").into();
    spec.args = ["--exact", "inside", "--nocapture", "--test-threads=1"]
        .map(Into::into)
        .into();
    spec.env = vec![
        (ATTACK.into(), attack.into()),
        ("HOST".into(), place.dir.path().into()),
        ("out".into(), OUT.into()),
    ];
    spec.timeout = Some(Duration::from_secs(60));
    spec
}

/// The attempts of an attack, as they ended.
fn attempts(spec: &Spec) -> String {
    let (report, log) = run(spec);
    assert_eq!(report.status, Status::Exited(0), "{log}");
    log.lines()
        .filter_map(|line| line.strip_prefix("=> "))
        .fold(String::new(), |mut lines, line| {
            let _ = writeln!(lines, "{line}");
            lines
        })
}

fn read_host_files() {
    let host = std::env::var("HOST").unwrap();
    for path in [
        "/etc/shadow",
        "/root",
        "/home",
        "/usr",
        "/sys",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/kvm",
        "/proc/1/root/etc",
        "/proc/1/cwd",
        "/proc/1/fd/3",
        "/proc/self/root/../etc/shadow",
        "/../../etc/shadow",
        "/proc/kmsg",
    ] {
        tell(path, File::open(path));
    }
    tell("the machine's store", File::open(format!("{host}/secret")));
    tell(
        "the other input",
        File::open("/nix/store/22222222222222222222222222222222-other"),
    );
    let here = File::open("/").unwrap();
    let handle = [8u32, 1, 2, 0, 0, 0];
    let arguments = [here.as_raw_fd() as usize, handle.as_ptr() as usize, 0, 0];
    tell("a handle", call(libc::SYS_open_by_handle_at, arguments));
}

#[test]
fn files_of_the_machine_are_out_of_reach() {
    let place = Place::new();
    fs::write(place.path("secret"), "secret").unwrap();
    fs::write(place.path("store/other"), "not an input").unwrap();
    assert_eq!(
        attempts(&attacking(&place, "files")),
        "/etc/shadow: ENOENT\n/root: ENOENT\n/home: ENOENT\n/usr: ENOENT\n/sys: ENOENT\n/dev/mem: ENOENT\n/dev/kmsg: ENOENT\n\
         /dev/kvm: ENOENT\n/proc/1/root/etc: EACCES\n/proc/1/cwd: EACCES\n/proc/1/fd/3: EACCES\n/proc/self/root/../etc/shadow: ENOENT\n\
         /../../etc/shadow: ENOENT\n/proc/kmsg: EACCES\nthe machine's store: ENOENT\nthe other input: ENOENT\n\
         a handle: EPERM\n"
    );
}

fn call_the_kernel() {
    let text = |text: &str| CString::new(text).unwrap();
    let (tmpfs, tmp, name) = (text("tmpfs"), text("/tmp"), text("user.x"));
    let at = |text: &CString| text.as_ptr() as usize;
    let user = libc::CLONE_NEWUSER as usize;
    let child = user | libc::SIGCHLD as usize;
    let mount = [at(&tmpfs), at(&tmp), at(&tmpfs), 0];
    for (what, number, arguments) in [
        ("mount", libc::SYS_mount, mount),
        ("umount", libc::SYS_umount2, [at(&tmp), 0, 0, 0]),
        ("fsopen", libc::SYS_fsopen, [at(&tmpfs), 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [0, at(&tmp), 1, 0]),
        ("unshare", libc::SYS_unshare, [user, 0, 0, 0]),
        ("clone", libc::SYS_clone, [child, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [0, 0, 0, 0]),
        ("setns", libc::SYS_setns, [0, 0, 0, 0]),
        ("add_key", libc::SYS_add_key, [0, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, 0, 0, 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0, 0, 0, 0]),
        ("perf_event_open", libc::SYS_perf_event_open, [0, 0, 0, 0]),
        ("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0, 0]),
        ("finit_module", libc::SYS_finit_module, [0, 0, 0, 0]),
        ("reboot", libc::SYS_reboot, [0, 0, 0, 0]),
        ("syslog", libc::SYS_syslog, [3, 0, 0, 0]),
        ("setxattr", libc::SYS_setxattr, [at(&tmp), at(&name), 0, 0]),
        ("listxattr", libc::SYS_listxattr, [at(&tmp), 0, 0, 0]),
        ("AF_VSOCK", libc::SYS_socket, [40, 1, 0, 0]),
        ("AF_ALG", libc::SYS_socket, [38, 5, 0, 0]),
        ("AF_PACKET", libc::SYS_socket, [17, 3, 0, 0]),
        ("NETLINK_AUDIT", libc::SYS_socket, [16, 3, 9, 0]),
        ("chroot", libc::SYS_chroot, [at(&tmp), 0, 0, 0]),
    ] {
        tell(what, call(number, arguments));
    }
}

#[test]
fn kernel_interfaces_that_no_build_needs_are_shut() {
    let place = Place::new();
    assert_eq!(
        attempts(&attacking(&place, "calls")),
        "mount: EPERM\numount: EPERM\nfsopen: EPERM\nopen_tree: EPERM\nunshare: EPERM\nclone: EPERM\nclone3: ENOSYS\nsetns: EPERM\n\
         add_key: ENOSYS\nkeyctl: ENOSYS\nio_uring_setup: ENOSYS\nbpf: ENOSYS\nperf_event_open: ENOSYS\nuserfaultfd: ENOSYS\n\
         finit_module: EPERM\nreboot: EPERM\nsyslog: EPERM\nsetxattr: ENOTSUP\nlistxattr: ENOTSUP\nAF_VSOCK: EAFNOSUPPORT\n\
         AF_ALG: EAFNOSUPPORT\nAF_PACKET: EAFNOSUPPORT\nNETLINK_AUDIT: EPROTONOSUPPORT\nchroot: EPERM\n"
    );
}

fn make_set_id_files() {
    let path = CString::new("/build/f").unwrap();
    let new = CString::new("/build/new").unwrap();
    let (at, new) = (path.as_ptr() as usize, new.as_ptr() as usize);
    let file = File::create("/build/f").unwrap();
    let here = libc::AT_FDCWD as usize;
    let fd = file.as_raw_fd() as usize;
    let device = libc::S_IFCHR as usize | 0o666;
    let creates = (libc::O_CREAT | libc::O_WRONLY) as usize;
    for (what, number, arguments) in [
        ("chmod", libc::SYS_chmod, [at, 0o4755, 0, 0]),
        ("fchmod", libc::SYS_fchmod, [fd, 0o2755, 0, 0]),
        ("fchmodat", libc::SYS_fchmodat, [here, at, 0o6755, 0]),
        ("fchmodat2", 452, [here, at, 0o4755, 0]),
        ("creat", libc::SYS_creat, [new, 0o4755, 0, 0]),
        ("open", libc::SYS_open, [new, creates, 0o4755, 0]),
        ("openat", libc::SYS_openat, [here, new, creates, 0o4755]),
        ("openat2", libc::SYS_openat2, [here, new, 0, 0]),
        ("mknod", libc::SYS_mknod, [new, 0o104_755, 0, 0]),
        ("a device", libc::SYS_mknod, [new, device, 0x103, 0]),
        (
            "a block device",
            libc::SYS_mknod,
            [new, 0o060_666, 0x800, 0],
        ),
    ] {
        tell(what, call(number, arguments));
    }
    tell(
        "the mode",
        Err::<(), _>(io::Error::other(format!(
            "{:o}",
            file.metadata().unwrap().mode() & 0o7000
        ))),
    );
}

#[test]
fn set_id_files_and_devices_cannot_be_made() {
    let place = Place::new();
    assert_eq!(
        attempts(&attacking(&place, "modes")),
        "chmod: EPERM\nfchmod: EPERM\nfchmodat: EPERM\nfchmodat2: EPERM\ncreat: EPERM\nopen: EPERM\nopenat: EPERM\nopenat2: ENOSYS\n\
         mknod: EPERM\na device: EPERM\na block device: EPERM\nthe mode: 0\n"
    );
}

fn reach_the_supervisor() {
    let attach = [libc::PTRACE_ATTACH as usize, 1, 0, 0];
    tell("ptrace", call(libc::SYS_ptrace, attach));
    tell("memory", File::options().write(true).open("/proc/1/mem"));
    tell("environment", File::open("/proc/1/environ"));
    tell("descriptors", fs::read_dir("/proc/1/fd"));
    let mut byte = 0u8;
    let vector = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // SAFETY: the vector names one writable byte; the address to read is the other process's.
    let read = unsafe { libc::process_vm_readv(1, &raw const vector, 1, &raw const vector, 1, 0) };
    tell(
        "process_vm_readv",
        if read < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(read)
        },
    );
    let pidfd = call(libc::SYS_pidfd_open, [1, 0, 0, 0]).unwrap() as usize;
    tell("pidfd_getfd", call(libc::SYS_pidfd_getfd, [pidfd, 3, 0, 0]));
    // PID 1 ignores signals of its own namespace, and so lives on.
    let _ = call(libc::SYS_kill, [1, libc::SIGKILL as usize, 0, 0]);
    tell("after a kill", fs::read_to_string("/proc/1/comm"));
    // Its parent is no process here.
    tell("its parent", call(libc::SYS_kill, [2_000_000, 0, 0, 0]));
}

#[test]
fn the_supervisor_cannot_be_traced() {
    let place = Place::new();
    assert_eq!(
        attempts(&attacking(&place, "supervisor")),
        "ptrace: EPERM\nmemory: EACCES\nenvironment: EACCES\ndescriptors: EACCES\nprocess_vm_readv: EPERM\npidfd_getfd: EPERM\n\
         after a kill: SUCCEEDED \"xbuild-spawner\\n\"\nits parent: ESRCH\n"
    );
}

fn link_into_the_store() {
    let input = format!("{BUSYBOX}/bin/busybox");
    fs::create_dir(OUT).unwrap();
    tell("hard link", fs::hard_link(&input, format!("{OUT}/link")));
    let file = File::open(&input).unwrap();
    let name = CString::new(format!("{OUT}/by-descriptor")).unwrap();
    let open = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    // SAFETY: both paths end with NUL.
    let linked = unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            open.as_ptr(),
            libc::AT_FDCWD,
            name.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    let linked = if linked == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    };
    tell("link of a descriptor", linked);
    tell("rename", fs::rename(&input, format!("{OUT}/moved")));
    tell("write", File::options().write(true).open(&input));
    let again = format!("/proc/self/fd/{}", file.as_raw_fd());
    tell("open again", File::options().write(true).open(again));
    tell(
        "truncate",
        File::options().write(true).truncate(true).open(&input),
    );
    let readable = fs::Permissions::from_mode(0o777);
    tell("chmod", fs::set_permissions(&input, readable));
    tell("remove", fs::remove_file(&input));
    tell("new file", File::create(format!("{BUSYBOX}/new")));
    fs::write("/nix/store/33333333333333333333333333333333-stray", "stray").unwrap();
    symlink("/etc/passwd", format!("{OUT}/passwd")).unwrap();
    symlink(
        std::env::var("HOST").unwrap() + "/secret",
        format!("{OUT}/secret"),
    )
    .unwrap();
}

#[test]
fn the_store_is_read_only_and_links_do_not_lead_out() {
    let place = Place::new();
    let secret = place.path("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let before = secret.metadata().unwrap();
    let passwd = fs::metadata("/etc/passwd").unwrap();
    let spec = attacking(&place, "links");
    assert_eq!(
        attempts(&spec),
        "hard link: EXDEV\nlink of a descriptor: EXDEV\nrename: EXDEV\nwrite: EACCES\nopen again: EACCES\ntruncate: EROFS\nchmod: EROFS\n\
         remove: EROFS\nnew file: EROFS\n"
    );
    // What was handed back is the links, not what they lead to.
    let out = spec.physical(OUT.as_ref());
    assert!(out.join("secret").is_symlink());
    let after = secret.metadata().unwrap();
    assert_eq!(
        (before.uid(), before.mode(), before.ctime_nsec()),
        (after.uid(), after.mode(), after.ctime_nsec())
    );
    assert_eq!(passwd.uid(), fs::metadata("/etc/passwd").unwrap().uid());
    xbuild_sandbox::remove_tree(&out).unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    assert!(place.path("store/busybox/bin/busybox").is_file());
}

fn abstract_address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).unwrap()
}

fn connect() {
    let name = std::env::var("NAME").unwrap();
    let stream = UnixStream::connect_addr(&abstract_address(&name));
    tell("the machine's abstract socket", stream.map(|_| ()));
    // Until the other build has had time to listen.
    let until = Instant::now() + Duration::from_millis(400);
    loop {
        let stream = UnixStream::connect_addr(&abstract_address(&format!("{name}-build")));
        let connected = stream.is_ok();
        if connected || Instant::now() > until {
            tell("another build's abstract socket", stream.map(|_| ()));
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    // A socket of its own, where the kernel can tell the two apart, works.
    let own = UnixListener::bind_addr(&abstract_address(&format!("{name}-own"))).and_then(|_own| {
        UnixStream::connect_addr(&abstract_address(&format!("{name}-own"))).map(|_| ())
    });
    tell("its own abstract socket", own);
    tell("a pair", UnixStream::pair().map(|_| ()));
}

fn listen() {
    let name = std::env::var("NAME").unwrap();
    // Where the kernel cannot confine abstract sockets, a build on the machine's network has none.
    let Ok(listener) = UnixListener::bind_addr(&abstract_address(&format!("{name}-build"))) else {
        return;
    };
    listener.set_nonblocking(true).unwrap();
    println!("\n=> up");
    let until = Instant::now() + Duration::from_millis(600);
    while Instant::now() < until {
        if listener.accept().is_ok() {
            println!("\n=> somebody came");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// CVE-2024-27297: two fixed-output builds, both on the machine's network, meet at an abstract unix socket.
#[test]
fn builds_on_the_machines_network_have_no_abstract_sockets_in_common() {
    let name = format!("xbuild-attack-{}-{:?}", std::process::id(), Instant::now());
    let listener = UnixListener::bind_addr(&abstract_address(&name)).unwrap();
    for network in [true, false] {
        let heard = thread::spawn({
            let name = name.clone();
            move || {
                let place = Place::new();
                let mut spec = attacking(&place, "listen");
                spec.network = network;
                spec.env.push(("NAME".into(), name.into()));
                attempts(&spec)
            }
        });
        let place = Place::new();
        let mut spec = attacking(&place, "sockets");
        spec.network = network;
        spec.env.push(("NAME".into(), name.clone().into()));
        let ended = attempts(&spec);
        let expected = if !network {
            ["ECONNREFUSED", "ECONNREFUSED", "SUCCEEDED ()"]
        } else if ended.contains("EAFNOSUPPORT") {
            ["EAFNOSUPPORT"; 3]
        } else {
            ["EPERM", "EPERM", "SUCCEEDED ()"]
        };
        let [machine, other, own] = expected;
        assert_eq!(
            ended,
            format!(
                "the machine's abstract socket: {machine}\nanother build's abstract socket: {other}\nits own abstract socket: {own}\n\
                 a pair: SUCCEEDED ()\n"
            )
        );
        assert!(!heard.join().unwrap().contains("somebody came"));
    }
    listener.set_nonblocking(true).unwrap();
    assert!(
        listener.accept().is_err(),
        "nobody reached the machine's socket"
    );
}

fn share_memory() {
    // SAFETY: no pointers.
    let made = unsafe { libc::shmget(0x7862_6c64, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
    tell(
        "System V shared memory is new",
        if made < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        },
    );
    let mut found: Vec<_> = fs::read_dir("/dev/shm")
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    found.extend(
        fs::read_dir("/tmp")
            .unwrap()
            .map(|entry| entry.unwrap().file_name()),
    );
    tell("what lies in /dev/shm and /tmp", Ok(found));
    fs::write("/dev/shm/message", "to the next build").unwrap();
    fs::write("/tmp/message", "to the next build").unwrap();
    let mut processes: Vec<u32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect();
    processes.sort_unstable();
    tell("processes", Ok(processes));
}

/// Builds that run at once, and one after the other in the same directory.
#[test]
fn builds_do_not_see_each_other() {
    let expected = "System V shared memory is new: SUCCEEDED ()\nwhat lies in /dev/shm and /tmp: SUCCEEDED []\nprocesses: SUCCEEDED [1, 2]\n";
    let beside: Vec<_> = (0..2)
        .map(|_| thread::spawn(|| attempts(&attacking(&Place::new(), "memory"))))
        .collect();
    for build in beside {
        assert_eq!(build.join().unwrap(), expected);
    }
    let place = Place::new();
    let pool = xbuild_sandbox::ScratchPool::new(place.path("scratch")).unwrap();
    for _ in 0..2 {
        let mut spec = attacking(&place, "memory");
        spec.work_dir = pool.take();
        assert_eq!(attempts(&spec), expected);
        pool.give_back(spec.work_dir).unwrap();
    }
}

fn write_late() {
    let out = File::create(OUT).unwrap();
    // SAFETY: the child only sleeps and writes.
    if unsafe { libc::fork() } == 0 {
        // SAFETY: no pointers.
        unsafe { libc::setsid() };
        for signal in 1..32 {
            // SAFETY: to ignore a signal installs no handler.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        loop {
            let _ = (&out).write_all(b"late");
        }
    }
    // Some of it is there before the builder ends.
    while out.metadata().unwrap().len() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A process that goes on writing after the builder has ended would change an output that is being hashed.
#[test]
fn nothing_writes_to_an_output_after_its_build() {
    let place = Place::new();
    let spec = attacking(&place, "late");
    let (report, log) = run(&spec);
    assert_eq!(report.status, Status::Exited(0), "{log}");
    let read = || {
        let mut content = Vec::new();
        let file = File::open(spec.physical(OUT.as_ref())).unwrap();
        (&file).read_to_end(&mut content).unwrap();
        (content, file.metadata().unwrap().mtime_nsec())
    };
    let first = read();
    assert!(first.0.starts_with(b"late"));
    thread::sleep(Duration::from_millis(30));
    assert_eq!(first, read());
}

fn look_around() {
    let mut open: Vec<i32> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect();
    open.sort_unstable();
    // The last is the directory that is being read.
    tell("descriptors", Ok(open));
    let limit = |path: &Path| {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: all-zero is a valid statvfs, and both pointers are valid.
        let stat = unsafe {
            let mut stat: libc::statvfs = std::mem::zeroed();
            libc::statvfs(path.as_ptr(), &raw mut stat);
            stat
        };
        stat.f_blocks * stat.f_frsize
    };
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let memory: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    let shared = limit(Path::new("/dev/shm"));
    tell(
        "/dev/shm is bounded",
        Ok(shared > 0 && shared <= memory * 1024 / 2 + 4096),
    );
    tell("/ is full", File::create("/file"));
    tell("/etc is closed", File::create("/etc/file"));
    tell(
        "init's arguments",
        fs::read_to_string("/proc/1/cmdline").map(|text| text.replace('\0', "")),
    );
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let paths: Vec<&str> = groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .collect();
    tell(
        "control groups are the root",
        Ok(paths.iter().all(|path| *path == "/")),
    );
    tell(
        "oom_score_adj",
        fs::read_to_string("/proc/self/oom_score_adj").map(|score| score.trim().to_owned()),
    );
}

#[test]
fn a_build_inherits_nothing_and_cannot_fill_the_memory_through_files() {
    let place = Place::new();
    assert_eq!(
        attempts(&attacking(&place, "environment")),
        "descriptors: SUCCEEDED [0, 1, 2, 3]\n/dev/shm is bounded: SUCCEEDED true\n/ is full: EROFS\n/etc is closed: EROFS\n\
         init's arguments: SUCCEEDED \"xbuild-spawner\"\ncontrol groups are the root: SUCCEEDED true\noom_score_adj: SUCCEEDED \"500\"\n"
    );
}
