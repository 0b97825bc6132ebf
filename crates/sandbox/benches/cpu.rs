//! The processor time of setting a sandbox up and tearing it down, in microseconds: the median of many builds of `busybox true` with five
//! inputs, less the same program without a sandbox.
//!
//! `cargo bench -p xbuild-sandbox --bench cpu`, as root or as an ordinary user. Counted is what this process, the spawner and the build's
//! processes use, by the scheduler's clock. What kernel threads do afterwards (a network namespace is dismantled by them) is in no
//! process's account; the last column has it, by the idle time of the whole machine, and means something on a quiet one only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use xbuild_sandbox::{Bind, CancelToken, Sandbox, ScratchPool, Spec};

const ROUNDS: usize = 500;

fn main() {
    let sandbox = Sandbox::start().expect("sandboxes work here");
    let spawner = child();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let busybox = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-tools/busybox");
    for number in 0..5 {
        let input = dir.path().join(number.to_string());
        fs::create_dir(&input).expect("writable");
        fs::copy(&busybox, input.join("true")).expect("run tests/setup first");
        fs::set_permissions(input.join("true"), fs::Permissions::from_mode(0o555))
            .expect("own file");
    }
    let pool = ScratchPool::new(dir.path().join("scratch")).expect("writable");
    let step = |network: bool| {
        let work = pool.take();
        let target = |number: u32| format!("/nix/store/{number:032}-input");
        let mut spec = Spec::new(format!("{}/true", target(0)), &work);
        spec.network = network;
        spec.inputs = (0..5)
            .map(|number| Bind {
                source: dir.path().join(number.to_string()),
                target: target(number).into(),
            })
            .collect();
        let cancel = CancelToken::new().expect("a descriptor");
        let report = sandbox.run(&spec, &cancel, &mut |_| {}).expect("runs");
        assert!(report.status.is_success());
        pool.give_back(work).expect("own files");
        (report.user + report.sys).as_nanos() as u64
    };
    let bare = || {
        let program = dir.path().join("0/true");
        let before = ran_children();
        assert!(Command::new(&program).status().expect("runs").success());
        ran_children() - before
    };
    println!("| | median | fastest tenth | wall | machine |\n|---|---|---|---|---|");
    let spawner = spawner.as_str();
    let floor = measure("bare process", 0, spawner, &bare);
    measure(
        "sandbox, with the machine's network",
        floor,
        spawner,
        &|| step(true),
    );
    measure("sandbox", floor, spawner, &|| step(false));
}

/// Prints what one round of `work` costs beyond `floor`, in µs; `work` returns the nanoseconds of processes that are gone. Returns the
/// median.
fn measure(name: &str, floor: u64, spawner: &str, work: &dyn Fn() -> u64) -> u64 {
    for _ in 0..20 {
        work();
    }
    let mut rounds = Vec::with_capacity(ROUNDS);
    let (begun, idle) = (Instant::now(), idle());
    for _ in 0..ROUNDS {
        let before = ran("self") + ran(spawner);
        let gone = work();
        rounds.push((ran("self") + ran(spawner) - before + gone) / 1000);
    }
    let wall = begun.elapsed();
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let busy = wall.as_secs_f64() * processors - (self::idle() - idle);
    rounds.sort_unstable();
    let of = |at: usize| rounds[at].saturating_sub(floor);
    println!(
        "| {name} | {} | {} | {} | {:.0} |",
        of(ROUNDS / 2),
        of(ROUNDS / 10),
        wall.as_micros() / ROUNDS as u128,
        busy * 1e6 / ROUNDS as f64,
    );
    rounds[ROUNDS / 2]
}

/// Nanoseconds that a process has run (`/proc/PID/schedstat`).
fn ran(process: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|field| field.parse().ok())
        .unwrap_or(0)
}

/// Nanoseconds that this process's ended children have run.
fn ran_children() -> u64 {
    let usage = children_usage();
    usage.0 * 1_000_000_000 + usage.1 * 1000
}

#[allow(unsafe_code)]
fn children_usage() -> (u64, u64) {
    // SAFETY: all-zero is a valid rusage, and the pointer is valid for writes.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let (user, system) = (usage.ru_utime, usage.ru_stime);
    (
        (user.tv_sec + system.tv_sec) as u64,
        (user.tv_usec + system.tv_usec) as u64,
    )
}

/// The one child of this process: the spawner.
fn child() -> String {
    let own = std::process::id();
    let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
    children.unwrap_or_default().trim().to_owned()
}

/// Seconds that the machine's processors were idle.
fn idle() -> f64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    uptime
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0.0)
}
