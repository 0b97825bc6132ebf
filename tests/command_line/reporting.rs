//! What is told of a run: the forms of `--log-format`, recordings, and the reports that are made of them.

use std::fs;

use serde_json::Value;
use xbuild_report::{Event, Run, Stamped, StepState};

use crate::for_each_user;
use crate::support::nix_log::{self, Line};
use crate::support::oracle;
use crate::support::ran::Ran;
use crate::support::world::{Who, World};

/// `top`, which needs `dep`, which tells its phase; and `bad`, which fails, with `after`, which needs it.
fn write_expressions(world: &World) {
    world.write(
        "default.nix",
        r#"let
          run = import ./run.nix;
          dep = run "dep-1.0" ''
            echo hello from dep
            echo '@nix { "action": "setPhase", "phase": "buildPhase" }' >&2
            printf '\033[32mgreen\033[0m <b>&\n'
            echo >$out
          '' { };
          bad = run "bad" "echo goes wrong; exit 3" { };
        in {
          top = run "top-2.0" "echo from top; cat ${dep} >$out" { };
          after = run "after" "cat ${bad} >$out" { };
        }"#,
    );
}

fn realise(world: &World, args: &[&str]) -> Ran {
    world.xbuild(&[&["realise", "--no-out-link", "-j", "1"], args].concat())
}

/// The events of `--log-format json`; nothing else may be on stderr.
fn events(ran: &Ran) -> Vec<Stamped<'static>> {
    let event = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    ran.stderr.lines().map(event).collect()
}

for_each_user! {
    fn lines(world) {
        write_expressions(world);
        let first = realise(world, &["--log-format", "raw", ".#top"]).succeeds();
        let told: Vec<&str> = first.stderr.lines().map(|line| &line[..19]).collect();
        assert_eq!(told, ["building /nix/store"; 2], "{}", first.report());
        // Where there is no terminal, these are the same.
        let text = fs::read_to_string(world.path("default.nix")).unwrap();
        for (format, again) in [("bar", "1"), ("bar-with-logs", "2"), ("raw-with-logs", "3")] {
            let name = format!("top-{again}");
            world.write("default.nix", text.replace("top-2.0", &name));
            let ran = realise(world, &["--log-format", format, ".#top"]).succeeds().says(&["building /nix/store/"]);
            assert_eq!(ran.stderr.contains(&format!("{name}> from top\n")), format.ends_with("logs"), "{}", ran.report());
            assert!(!ran.stderr.contains('\x1b'), "{}", ran.report());
        }
        realise(world, &["--log-format", "fancy", ".#top"]).fails(2).says(&["raw-with-logs", "internal-json"]);
    }

    fn more_and_less(world) {
        write_expressions(world);
        realise(world, &["-v", "-L", ".#top"]).succeeds().says(&[
            "these 2 derivations will be built:\n",
            "dep-1.0> hello from dep\n",
            "dep-1.0> phase: buildPhase\n",
            "dep-1.0> green <b>&\n",
            "built top-2.0 in ",
        ]);
        assert_eq!(realise(world, &["--rebuild", "-q", ".#top"]).succeeds().stderr, "");
        let quiet = realise(world, &["-qq", ".#after"]).fails(100);
        assert!(quiet.stderr.starts_with("error: build of /nix/store/"), "{}", quiet.report());
    }

    fn events_as_json(world) {
        write_expressions(world);
        let ran = realise(world, &["--log-format", "json", "-k", ".#top", ".#after"]).fails(100);
        let events = events(&ran);
        assert!(matches!(&events[0].event, Event::Begun { format: 1, jobs: 1, command, .. } if command[1] == "realise"));
        let mut run = Run::default();
        let mut lines = Vec::new();
        for stamped in &events {
            run.apply(stamped.at, &stamped.event);
            if let Event::LogLine { step, line } = &stamped.event {
                lines.push((run.name(*step).to_owned(), String::from_utf8_lossy(line).into_owned()));
            }
        }
        let mut states: Vec<_> = run.steps.iter().map(|step| (step.name().to_owned(), step.state)).collect();
        states.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [("after", StepState::Skipped), ("bad", StepState::Failed), ("dep-1.0", StepState::Made), ("top-2.0", StepState::Made)];
        assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state)));
        lines.sort();
        let line = |name: &str, line: &str| (name.to_owned(), line.to_owned());
        assert_eq!(
            lines,
            [line("bad", "goes wrong"), line("dep-1.0", "\x1b[32mgreen\x1b[0m <b>&"), line("dep-1.0", "hello from dep"), line("top-2.0", "from top")]
        );
        let dep = run.steps.iter().find(|step| step.name() == "dep-1.0").unwrap();
        assert_eq!(dep.phases[0].1, "buildPhase");
        assert!(dep.usage.unwrap().peak_memory.unwrap() > 0);
        assert!(dep.started < dep.built && dep.built < dep.ended);
        // The summary comes in the same form.
        assert!(matches!(&events.last().unwrap().event, Event::Message { text, .. } if text.starts_with("error:")), "{}", ran.report());
    }

    /// All that nix-output-monitor demands, and the failure in the words that it looks for.
    fn lines_for_programs(world) {
        write_expressions(world);
        let ran = realise(world, &["--log-format", "internal-json", "-k", ".#top", ".#after"]).fails(100);
        let lines = nix_log::lines(&ran.stderr, true);
        let failures: Vec<_> = lines
            .iter()
            .filter_map(|line| match line {
                Line::Message { level: 0, text } => nix_log::failure(text),
                _ => None,
            })
            .collect();
        let [(drv, 3)] = failures[..] else { panic!("{failures:?}\n{}", ran.report()) };
        assert!(drv.ends_with("-bad.drv"));
        let last = lines.iter().rev().find_map(|line| match line {
            Line::Result { kind: 105, fields, .. } if fields[1] != 0 => Some(fields.clone()),
            _ => None,
        });
        assert_eq!(last.unwrap(), [2, 4, 0, 1].map(Value::from), "done, expected, running, failed");
        use nix_log::State::{Building, Built, Failed, Planned};
        let states = nix_log::states(&lines);
        for (name, expected) in [
            ("-dep-1.0.drv", &[Planned, Building, Built][..]),
            ("-top-2.0.drv", &[Planned, Building, Built]),
            ("-bad.drv", &[Planned, Building, Failed]),
            ("-after.drv", &[Planned]),
        ] {
            let (_, states) = states.iter().find(|(drv, _)| drv.ends_with(name)).unwrap();
            assert_eq!(states, expected, "{name}\n{}", ran.report());
        }
    }

    fn reports(world) {
        write_expressions(world);
        world.xbuild(&["report"]).fails(1).says(&["no run is recorded in ", "runs"]);
        let trace = world.path("trace.json");
        realise(world, &["--timeline", trace.to_str().unwrap(), ".#top"]).succeeds();
        // What has nothing to do leaves no recording.
        realise(world, &[".#top"]).succeeds();
        let listed = world.xbuild(&["report", "--list"]).succeeds();
        let [line] = listed.lines()[..] else { panic!("{}", listed.report()) };
        let name = line.split(' ').next().unwrap();
        assert!(line.contains(" succeeded ") && line.contains(" 2 built "), "{line}");
        realise(world, &["-k", ".#after"]).fails(100);
        let all = world.xbuild(&["report", "--list", "--json"]).succeeds().json();
        assert_eq!((&all[0]["outcome"], &all[1]["outcome"], &all[1]["run"]), (&"failure".into(), &"success".into(), &name.into()));

        let text = world.xbuild(&["report", name]).succeeds().stdout;
        for part in ["realise", "succeeded in ", "steps          2 builds", "critical path ", "  top-2.0", "build 1         2 steps", "idle for"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let last = world.xbuild(&["report"]).succeeds().stdout;
        assert!(last.contains("failed\n  bad: builder failed with exit code 3\n"), "{last}");

        // What is built again was there; what it needs was, too, and is counted once.
        realise(world, &["--rebuild", ".#top"]).succeeds();
        let again = world.xbuild(&["report", "--json"]).succeeds().json();
        let totals = &again["totals"];
        assert_eq!((&totals["built"], &totals["present"]), (&1.into(), &1.into()), "{again}");

        let report = world.xbuild(&["report", name, "--json"]).succeeds().json();
        assert_eq!(report["totals"]["built"], 2);
        assert_eq!(report["criticalPath"].as_array().unwrap().len(), 2);
        let steps = report["steps"].as_array().unwrap();
        let sum: u64 = steps.iter().map(|step| step["duration"].as_u64().unwrap()).sum();
        assert_eq!(report["totals"]["work"], sum);

        let page = world.path("report.html");
        world.xbuild(&["report", name, "--html", page.to_str().unwrap()]).succeeds();
        let page = fs::read_to_string(page).unwrap();
        assert!(page.starts_with("<!doctype html>") && page.contains(">top-2.0") && page.ends_with("</html>\n"));
        // The trace that was written at once, and the one from the recording.
        let trace = fs::read_to_string(trace).unwrap();
        assert_eq!(world.xbuild(&["report", name, "--timeline", "-"]).succeeds().stdout, trace);
        let trace: Value = serde_json::from_str(&trace).unwrap();
        let complete = trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["cat"] == "build");
        assert_eq!(complete.count(), 2);
        // A recording from elsewhere; and names that mean nothing.
        let file = world.store().join(format!("nix/var/xbuild/runs/{name}.jsonl.zst"));
        let copy = world.path("a run.jsonl.zst");
        fs::copy(file, &copy).unwrap();
        assert_eq!(world.xbuild(&["report", copy.to_str().unwrap()]).succeeds().stdout, text.replace(&format!("run {name}:"), "run a run:"));
        world.xbuild(&["report", "yesterday"]).fails(1).says(&["no recording called `yesterday`", "--list"]);
        fs::write(&copy, "text").unwrap();
        world.xbuild(&["report", copy.to_str().unwrap()]).fails(1).says(&["a run.jsonl.zst is no recording of a run: line 1"]);
        world.xbuild(&["report", "--html", "/nowhere/x.html"]).fails(1).says(&["cannot write /nowhere/x.html"]);
        realise(world, &["--timeline", "/nowhere/x.json", ".#top"]).fails(1).says(&["cannot write /nowhere/x.json"]);
    }
}

/// Line by line what stock Nix tells of the same build, but for what it looks up and for its counts of what is to be done.
#[test]
fn nix_tells_the_same() {
    let world = World::new("command-line/nix_tells_the_same", Who::Caller);
    crate::prepare(&world);
    write_expressions(&world);
    let told = |stderr: &str| -> Vec<Line> {
        let lines = nix_log::lines(stderr, true);
        let mut looked_up = Vec::new();
        let mut numbers = Vec::new();
        lines
            .into_iter()
            .filter(|line| match line {
                Line::Start { id, kind: 0, .. } => {
                    looked_up.push(*id);
                    false
                }
                Line::Start { id, .. } => {
                    numbers.push(*id);
                    true
                }
                Line::Stop { id } => !looked_up.contains(id),
                Line::Result { kind, .. } => !matches!(kind, 105 | 106),
                Line::Message { .. } => true,
            })
            .collect::<Vec<_>>()
            .into_iter()
            .map(|mut line| {
                // Numbered as if nothing had been looked up.
                if let Line::Start { id, .. } | Line::Stop { id } | Line::Result { id, .. } =
                    &mut line
                {
                    *id = numbers.iter().position(|known| known == id).unwrap();
                }
                line
            })
            .collect()
    };
    let stock = world.root().join("stock");
    for _ in 0..2 {
        let arguments = "default.nix -A top --no-out-link -j 1 --log-format internal-json";
        let theirs = oracle::shell("nix-build", &stock, &world.path(""), arguments).succeeds();
        let ours = realise(&world, &["--log-format", "internal-json", ".#top"]).succeeds();
        assert_eq!(theirs.stdout, ours.stdout);
        let (theirs, ours) = (told(&theirs.stderr), told(&ours.stderr));
        if ours.is_empty() {
            // Nix opens and closes its activities also where there is nothing to do.
            assert!(
                theirs
                    .iter()
                    .all(|line| matches!(line, Line::Start { .. } | Line::Stop { .. }))
            );
        } else {
            assert_eq!(ours, theirs);
        }
    }
}
