//! The cost of one sandboxed step with a closed set of five inputs: preparing, building `busybox true`, cleaning up.
//!
//! `cargo bench -p xbuild-sandbox`, as root or as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::OnceLock;

use xbuild_sandbox::{Bind, CancelToken, Sandbox, ScratchPool, Spec};

fn main() {
    sandbox();
    divan::main();
}

fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::start().expect("sandboxes work here"))
}

struct Store(ScratchPool, tempfile::TempDir);

impl Store {
    fn new() -> Store {
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
        Store(pool, dir)
    }

    fn step(&self) {
        let work = self.0.take();
        let target = |number: u32| format!("/nix/store/{number:032}-input");
        let mut spec = Spec::new(format!("{}/true", target(0)), &work);
        spec.inputs = (0..5)
            .map(|number| Bind {
                source: self.1.path().join(number.to_string()),
                target: target(number).into(),
            })
            .collect();
        spec.env = vec![
            ("PATH".into(), "/path-not-set".into()),
            ("out".into(), "/nix/store/out".into()),
        ];
        let cancel = CancelToken::new().expect("a descriptor");
        let report = sandbox().run(&spec, &cancel, &mut |_| {}).expect("runs");
        assert!(report.status.is_success());
        self.0.give_back(work).expect("own files");
    }
}

/// With 1 thread the latency of a step, with 2 the throughput of two processors (a step then costs half of what is shown).
#[divan::bench(threads = [1, 2], sample_count = 300, sample_size = 1)]
fn step(bencher: divan::Bencher<'_, '_>) {
    let store = Store::new();
    bencher.bench(|| store.step());
}

/// Without a sandbox: fork, exec and wait, as the floor.
#[divan::bench(threads = [1, 2], sample_count = 300, sample_size = 1)]
fn bare_process(bencher: divan::Bencher<'_, '_>) {
    let store = Store::new();
    let program = store.1.path().join("0/true");
    bencher.bench(|| {
        std::process::Command::new(&program)
            .status()
            .expect("runs")
            .success()
    });
}
