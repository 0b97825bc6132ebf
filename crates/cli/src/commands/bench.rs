//! `xbuild bench`

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use xbuild_realise::Mode;
use xbuild_scheduler::{Forecast, Graph, Outcome, Policy, Scheduler, StepId, StepSpec};

use crate::args::{BenchScheduler, Common, Executor, Source};
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;
use xbuild_report::words::size;

/// The steps of a graph: for each, its expected milliseconds, whether it is a download, and the steps before it.
struct Steps(Vec<(u32, bool, Vec<u32>)>);

/// What one run showed.
struct Measured {
    wall: Duration,
    /// Of no-op steps: what would happen if they took as long as expected.
    forecast: Option<Forecast>,
}

pub(crate) fn scheduler(common: &Common, args: &BenchScheduler) -> Result<(), Failure> {
    let steps = Steps::of(args)?;
    let measured = match args.executor {
        Executor::Null => no_ops(&steps, args.jobs)?,
        Executor::Sandbox => sandboxed(common, &steps, args)?,
    };
    let nodes = steps.0.len();
    let edges: usize = steps.0.iter().map(|(_, _, before)| before.len()).sum();
    let micros = measured.wall.as_secs_f64() * 1e6;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = micros / nodes.max(1) as f64;
    let peak = peak_memory();
    if args.json {
        let mut result = json!({
            "shape": args.shape,
            "nodes": nodes,
            "edges": edges,
            "executor": args.executor.name(),
            "jobs": args.jobs,
            "seconds": measured.wall.as_secs_f64(),
            "microsecondsPerNode": each,
            "peakMemory": peak,
        });
        if let (Some(forecast), Value::Object(members)) = (&measured.forecast, &mut result) {
            members.insert("makespanMs".to_owned(), forecast.makespan.into());
            let bound = forecast.lower_bound(args.jobs.get());
            members.insert("lowerBoundMs".to_owned(), bound.into());
        }
        return output::line(result.to_string());
    }
    let mut text = format!(
        "{nodes} steps, {edges} edges, {} -j{}: {:.3} s, {each:.2} µs each; peak memory {}",
        args.executor.name(),
        args.jobs,
        measured.wall.as_secs_f64(),
        size(peak.unwrap_or(0)),
    );
    if let Some(forecast) = &measured.forecast {
        let bound = forecast.lower_bound(args.jobs.get());
        text += &format!(
            "\nif they took as long as expected: {} ms, of at least {bound} ms",
            forecast.makespan
        );
    }
    output::line(text)
}

impl Executor {
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Sandbox => "sandbox",
        }
    }
}

impl Steps {
    fn of(args: &BenchScheduler) -> Result<Self, Failure> {
        // Numbers that only look random: the same for everybody.
        let mut state = args.seed;
        let mut random = move |bound: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % u64::from(bound.max(1))) as u32
        };
        let nodes = args.nodes;
        let width = nodes.isqrt().max(1);
        let mut before = |node: u32| -> Option<Vec<u32>> {
            Some(match args.shape.as_str() {
                "fan" => Vec::new(),
                "chain" => node.checked_sub(1).into_iter().collect(),
                "layered" if node < width => Vec::new(),
                "layered" => {
                    let first = (node / width - 1) * width;
                    distinct((0..4).map(|_| first + random(width)))
                }
                "random" => distinct((0..4.min(node)).map(|_| random(node))),
                _ => return None,
            })
        };
        if before(0).is_none() {
            return Self::read(Path::new(&args.shape));
        }
        let steps = (0..nodes)
            .map(|node| (1 + node % 977, false, before(node).unwrap_or_default()))
            .collect();
        Ok(Self(steps))
    }

    /// Reads what `realise --dry-run --json` printed.
    fn read(file: &Path) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::text(format!("{}: {what}", file.display()));
        let text = fs::read(file).map_err(|error| {
            wrong(&format!(
                "{error}; a shape is fan, chain, layered, random, or a file that `xbuild realise --dry-run --json` has printed"
            ))
        })?;
        let steps: Vec<Value> = serde_json::from_slice(&text).map_err(|error| {
            wrong(&format!(
                "not what `realise --dry-run --json` prints: {error}"
            ))
        })?;
        let mut numbers = FxHashMap::default();
        for (number, step) in steps.iter().enumerate() {
            let path = step["drvPath"]
                .as_str()
                .ok_or_else(|| wrong(&format!("step {number} has no `drvPath`")))?;
            numbers.insert(path, u32::try_from(number).unwrap_or(u32::MAX));
        }
        let read = |step: &Value| {
            let path = &step["drvPath"];
            let before = step["after"].as_array().into_iter().flatten();
            let before = before
                .map(|path| path.as_str().and_then(|path| numbers.get(path)).copied())
                .collect::<Option<Vec<u32>>>()
                .ok_or_else(|| wrong(&format!("`after` of {path} names what is no step")))?;
            let expected = step["expectedMs"]
                .as_u64()
                .and_then(|ms| u32::try_from(ms).ok())
                .ok_or_else(|| wrong(&format!("{path} has no `expectedMs`")))?;
            Ok((expected, step["kind"] == "fetch", before))
        };
        Ok(Self(
            steps.iter().map(read).collect::<Result<_, Failure>>()?,
        ))
    }

    fn graph(&self) -> Graph {
        let edges = self.0.iter().map(|(_, _, before)| before.len()).sum();
        let mut graph = Graph::with_capacity(self.0.len(), edges);
        for (expected, is_download, _) in &self.0 {
            graph.add_step(if *is_download {
                StepSpec::download(*expected)
            } else {
                StepSpec::build(*expected)
            });
        }
        for (after, (_, _, before)) in self.0.iter().enumerate() {
            let after = StepId(u32::try_from(after).unwrap_or(u32::MAX));
            for before in before {
                graph.add_edge(StepId(*before), after);
            }
        }
        graph
    }
}

fn distinct(steps: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut steps: Vec<u32> = steps.collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// Making the graph, its priorities, and running it with steps that take no time.
fn no_ops(steps: &Steps, jobs: NonZeroU32) -> Result<Measured, Failure> {
    let wrong = |error: xbuild_scheduler::Error| Failure::text(error.to_string());
    let begun = Instant::now();
    let mut scheduler = Scheduler::new(steps.graph(), Policy::new(jobs)).map_err(wrong)?;
    let mut running = std::collections::VecDeque::new();
    loop {
        while let Some(step) = scheduler.next() {
            running.push_back(step);
        }
        let Some(step) = running.pop_front() else {
            break;
        };
        scheduler.finished(step, Outcome::Done).map_err(wrong)?;
    }
    let wall = begun.elapsed();
    drop(scheduler);
    let forecast = Forecast::of(steps.graph(), Policy::new(jobs)).map_err(wrong)?;
    Ok(Measured {
        wall,
        forecast: Some(forecast),
    })
}

/// The first `busybox` in `PATH`.
fn busybox() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join("busybox"))
        .find(|file| file.is_file())
}

/// Evaluating and building derivations that only write a line, in a store that is new and thrown away.
fn sandboxed(common: &Common, steps: &Steps, args: &BenchScheduler) -> Result<Measured, Failure> {
    let Some(builder) = args.builder.clone().or_else(busybox) else {
        return Err(Failure::text(
            "--executor sandbox needs a program that builds, and there is no busybox in PATH\n\
             hint: install it (Debian: busybox-static), or name a static shell with --builder FILE",
        ));
    };
    let failed = |what: &str, error: std::io::Error| Failure::text(format!("{what}: {error}"));
    let directory = std::env::temp_dir().join(format!("xbuild-bench-{}", std::process::id()));
    let work = Scratch(directory);
    let expression = work.0.join("default.nix");
    fs::create_dir_all(work.0.join("tools"))
        .map_err(|error| failed(&work.0.display().to_string(), error))?;
    fs::copy(&builder, work.0.join("tools/busybox"))
        .map_err(|error| failed(&builder.display().to_string(), error))?;
    fs::write(&expression, steps.expression())
        .map_err(|error| failed(&expression.display().to_string(), error))?;
    let common = Common {
        store: Some(work.0.join("store")),
        ..common.clone()
    };
    let jobs = ("max-jobs", args.jobs.to_string());
    let session = Arc::new(Session::open(&common, &[jobs], true)?);
    let source = Source {
        file: Some(expression),
        ..Source::default()
    };
    let begun = Instant::now();
    let wanted = installable::resolve(&session, &[], &source)?;
    let built = session.in_silence(|realiser| realiser.realise(&wanted, Mode::Build));
    // In silence, nobody has told of the failures.
    if let Err(xbuild_realise::Error::Failed(failures)) = &built {
        for failure in &failures.failed {
            output::note(format!("error: {failure}"));
        }
    }
    built?;
    Ok(Measured {
        wall: begun.elapsed(),
        forecast: None,
    })
}

impl Steps {
    /// An expression that is a list of all steps.
    fn expression(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::from("let\n");
        for (number, (_, _, before)) in self.0.iter().enumerate() {
            let before: String = before.iter().map(|step| format!("d{step} ")).collect();
            let _ = writeln!(
                text,
                "d{number} = derivation {{ name = \"step-{number}\"; system = \"x86_64-linux\"; builder = \"${{./tools}}/busybox\"; \
                 args = [ \"sh\" \"-c\" \"echo {number} > $out\" ]; before = [ {before}]; }};"
            );
        }
        let all: String = (0..self.0.len()).map(|step| format!("d{step} ")).collect();
        let _ = writeln!(text, "in [ {all}]");
        text
    }
}

/// A directory that goes when the benchmark ends, however it ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be deleted lies in the directory for temporary files.
        let _ = xbuild_store::remove_tree(&self.0);
    }
}

/// The greatest memory of this process so far, in bytes (`VmHWM`).
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
