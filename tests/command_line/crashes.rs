//! `kill -9` at random moments of a large build, disks that get full on the way, and many at once with a collector beside them. After
//! each, stock Nix finds nothing wrong, nothing that was built is lost, and nothing else stays.
//!
//! `XBUILD_CRASH_ROUNDS=500` for a long run; `XBUILD_SEED` to repeat one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use xbuild_store::{Store, StoreOptions};
use xbuild_store_model::StorePath;

use crate::support::oracle::nix;
use crate::support::world::{Started, Who, World, eventually};
use crate::{prepare, shared};

/// Three hundred derivations: each needs one before it, all have some files in common, and the last needs all.
const GRAPH: &str = r#"
  let
    run = import ./run.nix;
    all = builtins.genList (n: run "n${toString n}" ''
      mkdir -p $out/sub
      echo ${if n < 3 then "nothing" else builtins.elemAt all (n / 3 - 1)} >$out/needs
      seq 300 >$out/same; cp $out/same $out/sub/again; chmod +x $out/sub/again
      echo ${toString n} >$out/own; ln $out/own $out/sub/own; ln -s own $out/link; : >$out/empty
    '' { }) 300;
  in run "top" "echo ${toString all} >$out" { }
"#;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}"))
    })
}

/// Random numbers (Marsaglia, "Xorshift RNGs").
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

fn valid(store: &Path) -> BTreeSet<StorePath> {
    Store::open(store, StoreOptions::default())
        .unwrap()
        .all_valid()
        .unwrap()
}

/// Stock Nix says nothing but what it does.
fn assert_sound(world: &World, when: &str) {
    let ran = nix(
        "nix-store",
        world.store(),
        &["--verify", "--check-contents"],
    )
    .succeeds();
    for line in ran.stderr.lines() {
        assert!(
            line.ends_with("...") && !line.contains('\''),
            "{when}: {}",
            ran.report()
        );
    }
}

/// After a collection: only what is valid, and no file of a process that is gone.
fn assert_no_debris(world: &World, when: &str) {
    world.xbuild(&["store", "gc"]).succeeds();
    let valid: BTreeSet<String> = valid(world.store())
        .iter()
        .map(|path| path.base_name().to_owned())
        .collect();
    let names = |dir: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(world.store().join(dir)).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let mut expected = valid;
    expected.insert(".links".to_owned());
    assert_eq!(names("nix/store"), expected, "{when}");
    for dir in ["nix/var/xbuild/work", "nix/var/nix/temproots"] {
        assert_eq!(names(dir), BTreeSet::new(), "{when}: {dir}");
    }
    let unused = fs::read_dir(world.store().join("nix/store/.links"))
        .unwrap()
        .filter(|entry| {
            use std::os::unix::fs::MetadataExt as _;
            entry.as_ref().unwrap().metadata().unwrap().nlink() == 1
        });
    assert_eq!(unused.count(), 0, "{when}");
}

#[test]
fn killed_at_random_moments() {
    let world = World::new("command-line/killed-at-random", Who::Caller);
    prepare(&world);
    world.write("default.nix", GRAPH);
    let rounds = number("XBUILD_CRASH_ROUNDS", 4);
    let mut random = Random(number("XBUILD_SEED", 0x9e37_79b9_7f4a_7c15));
    let begun = Instant::now();
    let mut built = world.xbuild(&["realise", "--no-out-link", "."]).succeeds();
    let whole = begun.elapsed();
    assert_no_debris(&world, "before");
    // Most runs go on where the one before was killed, so the later parts come as well.
    let micros = u64::try_from(whole.as_micros()).unwrap().min(2_500_000);
    let (mut finished, mut resumed) = (0, 0);
    for round in 0..rounds {
        let when = format!("round {round}");
        let mut child = world
            .command(&["realise", "--no-out-link", "-j", "2", "."])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.below(micros)));
        let before = valid(world.store());
        child.kill().unwrap();
        child.wait().unwrap();

        let after = valid(world.store());
        let lost: Vec<_> = before.difference(&after).collect();
        assert!(lost.is_empty(), "{when}: {lost:?}");
        assert_sound(&world, &when);
        resumed = resumed.max(after.len());
        // Sometimes the next run goes on, sometimes a collection comes between them, which may die as well.
        match random.below(4) {
            0 => {
                let mut collector = world
                    .command(&["store", "gc"])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                std::thread::sleep(Duration::from_micros(random.below(micros / 4)));
                collector.kill().unwrap();
                collector.wait().unwrap();
                assert_sound(&world, &format!("{when}, the collector killed"));
            }
            1 => {
                assert_no_debris(&world, &when);
                assert_sound(&world, &format!("{when}, collected"));
            }
            2 => {
                let mut optimiser = world
                    .command(&["store", "optimise"])
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                std::thread::sleep(Duration::from_micros(random.below(100_000)));
                optimiser.kill().unwrap();
                optimiser.wait().unwrap();
                assert_sound(&world, &format!("{when}, the optimiser killed"));
            }
            _ => {}
        }
        if round % 25 == 24 {
            eprintln!("{} rounds in {:?}", round + 1, begun.elapsed());
            built = world.xbuild(&["realise", "--no-out-link", "."]).succeeds();
            finished += 1;
        }
    }
    let last = world.xbuild(&["realise", "-o", "last", "."]).succeeds();
    assert_eq!(last.stdout, built.stdout);
    assert_no_debris(&world, "after");
    assert_eq!(
        world
            .xbuild(&["path-info", "-r", last.line()])
            .succeeds()
            .lines()
            .len(),
        301
    );
    eprintln!(
        "{rounds} rounds in {:?}, {finished} finished between, at most {resumed} paths there",
        begun.elapsed()
    );
}

/// A disk in memory, of several sizes, is full at some moment of the build; or the build is killed before. Then there is nothing
/// wrong, and with more space the build goes on.
#[test]
fn full_at_any_moment() {
    let world = World::new("command-line/full-at-any-moment", Who::Caller);
    prepare(&world);
    world.write("default.nix", GRAPH);
    let rounds = number("XBUILD_CRASH_ROUNDS", 3).div_ceil(10).max(3);
    let mut random = Random(number("XBUILD_SEED", 0x9e37_79b9_7f4a_7c15));
    for round in 0..rounds {
        // Eight MiB are set aside by the store, and the whole build needs about 14 more.
        let kib = 9_500 + random.below(12_000);
        let millis = 200 + random.below(3_000);
        let kill = if round % 3 == 2 {
            format!("timeout -s KILL 0.{millis:04}")
        } else {
            String::new()
        };
        let disk = world.with_store(&world.path("disk/store"));
        let verify = nix_command(&disk);
        let script = format!(
            r#"mkdir -p disk
exec unshare --map-root-user --mount sh -uc '
mount -t tmpfs -o size={kib}k none disk
export XBUILD_STORE=$PWD/disk/store
{kill} $xbuild realise --no-out-link . >out 2>err; echo "== build $?"
{verify} >verified 2>&1; echo "== verify $?"; cat verified
$xbuild store gc >/dev/null; echo "== gc $?"
ls -A disk/store/nix/store; echo "== left"
{verify} >verified 2>&1; echo "== verify $?"; cat verified
mount -o remount,size=64M disk
$xbuild realise --no-out-link . >/dev/null 2>err2; echo "== again $?"
{verify} >verified 2>&1; echo "== verify $?"; cat verified
'"#
        );
        let ran = world.shell(&script).succeeds();
        let said = format!(
            "round {round}, {kib} KiB: {}\n{}",
            ran.report(),
            fs::read_to_string(world.path("err")).unwrap()
        );
        assert_eq!(ran.stdout.matches("== verify 0").count(), 3, "{said}");
        assert!(
            ran.stdout.contains("== gc 0\n.links\n== left") && ran.stdout.contains("== again 0"),
            "{said}"
        );
        for line in ran
            .stdout
            .lines()
            .filter(|line| !line.starts_with("== ") && *line != ".links")
        {
            assert!(
                line.ends_with("...") && !line.contains('\''),
                "{line}\n{said}"
            );
        }
        let error = fs::read_to_string(world.path("err")).unwrap();
        if !ran.stdout.contains("== build 0") && !ran.stdout.contains("== build 137") {
            // A builder may be the first to meet the end of the disk, and say nothing.
            let reasons = [
                "No space left",
                "disk is full",
                "disk I/O error",
                "builder failed",
            ];
            assert!(
                reasons.iter().any(|reason| error.contains(reason)),
                "{said}"
            );
            assert!(!error.contains("panicked"), "{said}");
        }
    }
}

/// `nix-store --verify` as a word of a script.
fn nix_command(world: &World) -> String {
    let conf = crate::support::repository().join("target/oracle");
    let oracle = std::env::var_os("XBUILD_ORACLE").map_or(conf, Into::into);
    format!(
        "env NIX_CONF_DIR={0}/conf NIX_REMOTE=\"local?root={1}\" HOME=\"{1}/home\" {0}/bin/nix-store --verify --check-contents",
        oracle.display(),
        world.store().display()
    )
}

/// Eight of them build graphs that have much in common, and collectors run all the time: each output is built once, and nothing is
/// missing.
#[test]
fn eight_at_once_with_a_collector() {
    let world = World::new("command-line/eight-at-once", Who::Caller);
    prepare(&world);
    let (directory, options) = shared(&world);
    world.write(
        "default.nix",
        r#"let
             run = import ./run.nix;
             first = run "first" "while ! [ -e /shared/go ]; do sleep 0.05; done; echo first >>/shared/log; echo >$out" { };
             all = builtins.genList (n: run "n${toString n}" ''
               echo n${toString n} >>/shared/log
               echo ${if n < 4 then first else builtins.elemAt all (n / 2 - 2)} ${toString n} >$out
             '' { }) 48;
             top = k: run "top${toString k}" "echo top${toString k} >>/shared/log; echo ${toString (builtins.filter (x: x != null) (builtins.genList (n: if (n + k) / 3 * 3 != n + k then builtins.elemAt all n else null) 48))} >$out" { };
           in builtins.listToAttrs (map (k: { name = "top${toString k}"; value = top k; }) [ 0 1 2 3 4 5 6 7 ])"#,
    );
    let running: Vec<Started> = (0..8)
        .map(|k| {
            let (link, name) = (format!("result-{k}"), format!(".#top{k}"));
            let mut args = vec!["realise", "-j", "2", "-o", &link, &name];
            args.extend(options.iter().map(String::as_str));
            world.start(&args)
        })
        .collect();
    eventually("all to have their plans", || {
        running.iter().all(|running| {
            let said = running.stderr();
            said.contains("building ") || said.contains("waiting for another process")
        })
    });
    let done = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    world.xbuild(&["store", "gc"]).succeeds();
                }
            });
        }
        fs::write(directory.join("go"), "").unwrap();
        let ended: Vec<_> = running.into_iter().map(Started::end).collect();
        done.store(true, Ordering::SeqCst);
        ended
    });
    let tops: Vec<String> = ended
        .into_iter()
        .map(|ran| ran.succeeds().line().to_owned())
        .collect();
    let log = fs::read_to_string(directory.join("log")).unwrap();
    let mut names: Vec<&str> = log.lines().collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "built twice: {log}");
    assert_eq!(count, 1 + 48 + 8);
    assert_sound(&world, "at the end");
    for (k, top) in tops.iter().enumerate() {
        world.xbuild(&["path-info", "-r", top]).succeeds();
        let again = world
            .xbuild(&["realise", "--no-out-link", &format!(".#top{k}")])
            .succeeds();
        assert!(!again.stderr.contains("building"), "{}", again.report());
    }
    assert_no_debris(&world, "at the end");
}
