//! Several builds at once, several `xbuild` at once, and `xbuild` stopped in the middle.
//!
//! Builds wait for files and fifos that they share with the test, so every order of events that is asserted is enforced.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;

use rustix::process::Signal;

use crate::support::web::web_server;
use crate::support::world::World;
use crate::support::world::{Started, eventually, process_with_argument};
use crate::{for_each_user, shared};

fn start(world: &World, fixed: &[&str], options: &[String]) -> Started {
    let mut args: Vec<&str> = fixed.to_vec();
    args.extend(options.iter().map(String::as_str));
    world.start(&args)
}

/// A word that only processes of this test have among their arguments.
fn marker(world: &World, what: &str) -> String {
    format!("{what}-{}-{}", std::process::id(), world.root().display())
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

for_each_user! {
    /// With `-j 2` two builds run together: each waits for the other. With `-j 1` they run one after the other.
    fn jobs(world) {
        let (directory, options) = shared(world);
        for fifo in ["a", "b"] {
            let path = directory.join(fifo);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o666), 0).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in {
                 together = [
                   (run "first" "echo from first >/shared/a; cat /shared/b >$out" { })
                   (run "second" "cat /shared/a >$out; echo from second >/shared/b" { })
                 ];
                 apart = map (n: run "apart-${toString n}" "echo begin; for i in $(seq 200); do echo $i; done; echo end; echo >$out" { }) [ 1 2 3 ];
               }"#,
        );
        let built = start(world, &["realise", "--no-out-link", "-j", "2", ".#together"], &options).end().succeeds();
        assert_eq!(built.lines().into_iter().map(|path| world.read(path)).collect::<Vec<_>>(), ["from second\n", "from first\n"]);
        let built = world.xbuild(&["realise", "-L", "--no-out-link", "-j", "1", ".#apart"]).succeeds();
        let mut order = Vec::new();
        for line in built.stderr.lines().filter_map(|line| line.split_once("> ")) {
            if matches!(line.1, "begin" | "end") {
                order.push(line);
            }
        }
        assert_eq!(order.len(), 6, "{}", built.report());
        for pair in order.chunks(2) {
            assert!(pair[0].0 == pair[1].0 && pair[0].1 == "begin" && pair[1].1 == "end", "{order:?}");
        }
        world.write("more.nix", r#"import ./run.nix "more" "echo >$out" { }"#);
        world.xbuild(&["realise", "-j", "0", "./more.nix"]).fails(1).says(&["max-jobs is 0"]);
    }

    /// Ctrl-C: exit code 130, no process is left, nothing is registered.
    fn interrupted(world) {
        let marker = marker(world, "interrupted");
        world.write(
            "default.nix",
            format!(
                r#"import ./run.nix "endless" "echo partial >$out; trap ''' INT TERM; sh -c 'echo started; while :; do sleep 1; done' {marker} & sh -c 'while :; do sleep 1; done' {marker}" {{ }}"#
            )
            .replace("trap ''' INT", "trap '' INT"),
        );
        for signal in [Signal::INT, Signal::TERM] {
            let mut running = world.start(&["realise", "-L", "."]);
            running.wait_for("endless> started");
            assert!(process_with_argument(&marker));
            running.signal(signal);
            let ended = running.end().fails(130).says(&["interrupted"]);
            assert_eq!(ended.stdout, "");
            eventually("the build's processes to end", || !process_with_argument(&marker));
            assert!(!world.is_valid("."));
        }
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
        assert!(leftovers(world).is_empty(), "{:?}", leftovers(world));
    }

    /// Under `nohup`, the end of the terminal is not the end of a build.
    fn a_hangup_that_is_ignored(world) {
        let (directory, options) = shared(world);
        let go = directory.join("go");
        world.write("default.nix", r#"import ./run.nix "goes-on" "echo started; while ! [ -e /shared/go ]; do sleep 0.1; done; echo >$out" { }"#);
        let script = format!(
            "trap '' HUP; $xbuild realise --no-out-link -L {} . 2>said & until grep -q started said; do sleep 0.05; done; kill -HUP $!; sleep 0.3; touch {}; wait $!",
            options.join(" "),
            go.display()
        );
        assert!(world.shell(&script).succeeds().line().ends_with("-goes-on"));
    }

    fn interrupted_download(world) {
        let (port, connections) = web_server();
        world.write(
            "default.nix",
            format!(
                r#"import <nix/fetchurl.nix> {{ url = "http://127.0.0.1:{port}/stalled"; hash = "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="; }}"#
            ),
        );
        let running = world.start(&["realise", "."]);
        eventually("the download to begin", || connections.load(Ordering::SeqCst) > 0);
        running.signal(Signal::INT);
        running.end().fails(130).says(&["interrupted"]);
        assert!(!world.is_valid("."));
        assert!(leftovers(world).is_empty(), "{:?}", leftovers(world));
    }

    /// `kill -9`, then again.
    fn killed_and_run_again(world) {
        let (directory, options) = shared(world);
        let marker = marker(world, "killed");
        world.write(
            "default.nix",
            format!(
                r#"let run = import ./run.nix; done = run "done" "echo done >$out" {{ }}; in
                   run "interrupted" "cat ${{done}} >$out; sh -c 'echo started; while ! [ -e /shared/go ]; do sleep 0.1; done' {marker}; echo finished >>$out" {{ }}"#
            ),
        );
        let mut running = start(world, &["realise", "-L", "."], &options);
        running.wait_for("interrupted> started");
        running.signal(Signal::KILL);
        running.end().fails(137);
        eventually("the build's processes to end", || !process_with_argument(&marker));
        assert!(!world.is_valid("."));
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
        fs::write(directory.join("go"), "").unwrap();
        // What was finished stays so.
        let built = start(world, &["realise", "-L", "."], &options).end().succeeds().does_not_say(&["-done.drv"]);
        assert_eq!(world.read(built.line()), "done\nfinished\n");
        // What the killed process left behind goes with the next collection, and what is used stays.
        world.xbuild(&["store", "gc"]).succeeds();
        assert!(leftovers(world).is_empty(), "{:?}", leftovers(world));
        assert!(world.is_valid(built.line()));
    }

    /// Two of them want the same: one builds, the other waits.
    fn two_at_once(world) {
        let (directory, options) = shared(world);
        world.write(
            "default.nix",
            r#"import ./run.nix "once" "while ! [ -e /shared/go ]; do sleep 0.05; done; cat /proc/sys/kernel/random/uuid >$out" { }"#,
        );
        let mut running: Vec<Started> =
            ["one", "two"].iter().map(|link| start(world, &["realise", "-o", link, "."], &options)).collect();
        let both = |running: &[Started]| running.iter().map(Started::stderr).collect::<String>();
        eventually("one to build and the other to wait", || {
            let said = both(&running);
            said.contains("building ") && said.contains("waiting for another process to build ")
        });
        assert!(!world.is_valid("."));
        fs::write(directory.join("go"), "").unwrap();
        let said = {
            let (second, first) = (running.pop().unwrap().end().succeeds(), running.pop().unwrap().end().succeeds());
            assert_eq!(first.stdout, second.stdout);
            first.stderr + &second.stderr
        };
        assert_eq!(said.matches("building /nix/store/").count(), 1, "{said}");
        assert_eq!(fs::read_link(world.path("one")).unwrap(), fs::read_link(world.path("two")).unwrap());
    }

    /// Many at once start with a store that does not exist.
    fn a_new_store_for_all(world) {
        world.write(
            "default.nix",
            r#"let run = import ./run.nix; in builtins.genList (n: run "n${toString n}" "echo ${toString n} >$out" { }) 5"#,
        );
        let running: Vec<Started> = (0..4).map(|_| world.start(&["realise", "--no-out-link", "."])).collect();
        let ended: Vec<_> = running.into_iter().map(|running| running.end().succeeds()).collect();
        assert!(ended.iter().all(|ran| ran.stdout == ended[0].stdout && ran.lines().len() == 5));
        let builds: usize = ended.iter().map(|ran| ran.stderr.matches("building /nix/store/").count()).sum();
        assert_eq!(builds, 5, "each once");
        world.xbuild(&["store", "verify", "--check-contents"]).succeeds();
    }
}

/// What lies in the store directory and is not registered, and what is left of builds.
fn leftovers(world: &World) -> Vec<String> {
    let valid = world.valid_paths();
    let mut left = Vec::new();
    for entry in fs::read_dir(world.physical("/nix/store/")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != ".links" && !valid.iter().any(|path| path.ends_with(&name)) {
            left.push(name);
        }
    }
    left
}
