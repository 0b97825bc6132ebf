//! A run for tests: downloads, builds with phases and logs, one that is tried twice, one that another process makes, and one that fails.

use std::borrow::Cow;
use std::time::Duration;

use xbuild_store_model::StorePath;

use crate::event::{
    Cause, Event, FORMAT, How, Level, Outcome, Planned, Pool, Slot, StepId, StepKind, Usage,
};

/// A derivation's path; the hash is made of the name.
pub(crate) fn drv(name: &str) -> StorePath {
    let seed = name
        .bytes()
        .fold(7u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
    let hash = format!("{seed:032}");
    StorePath::from_base_name(&format!("{}-{name}.drv", &hash[hash.len() - 32..])).unwrap()
}

/// What happens, and when.
pub(crate) fn run() -> Vec<(Duration, Event<'static>)> {
    let planned = |step, name: &str, kind, after: &[u32], expected: Option<u64>| Planned {
        step: StepId(step),
        drv: drv(name),
        kind,
        after: after.iter().copied().map(StepId).collect(),
        expected: expected.map(Duration::from_millis),
    };
    let build = |index| Slot {
        pool: Pool::Build,
        index,
    };
    let fetch = |index| Slot {
        pool: Pool::Fetch,
        index,
    };
    let log = |step, line: &'static str| Event::LogLine {
        step: StepId(step),
        line: Cow::Borrowed(line.as_bytes()),
    };
    let phase = |step, phase: &str| Event::Phase {
        step: StepId(step),
        phase: phase.to_owned(),
    };
    let started = |step, slot| Event::Started {
        step: StepId(step),
        slot,
    };
    let built = |step, user, system, memory: u64| Event::Built {
        step: StepId(step),
        usage: Usage {
            user: Duration::from_millis(user),
            system: Duration::from_millis(system),
            peak_memory: (memory > 0).then_some(memory << 20),
        },
    };
    let done = |step| Event::Done {
        step: StepId(step),
        how: How::Made,
    };
    let downloaded = |step, bytes, total| Event::Downloaded {
        step: StepId(step),
        url: Cow::Borrowed("https://example.org/linux-6.12.tar.xz"),
        bytes,
        total,
    };
    let events = vec![
        (
            0,
            Event::Begun {
                format: FORMAT,
                version: "0.1.0".to_owned(),
                unix_ms: 1_795_819_510_000,
                command: ["xbuild", "realise", ".#image", "-k"]
                    .map(str::to_owned)
                    .to_vec(),
                jobs: 2,
                cores: 2,
            },
        ),
        (
            640,
            Event::Message {
                level: Level::Warning,
                text: "Git tree '/src' is dirty".to_owned(),
            },
        ),
        (
            800,
            Event::Planned {
                steps: vec![
                    planned(0, "image-1.0", StepKind::Build, &[1, 2, 5], None),
                    planned(1, "linux-6.12", StepKind::Build, &[3], Some(60_000)),
                    planned(2, "busybox-1.36.1", StepKind::Build, &[4], Some(8_000)),
                    planned(3, "linux-6.12.tar.xz", StepKind::Fetch, &[], None),
                    planned(4, "zlib-1.3", StepKind::Build, &[], Some(2_000)),
                    planned(5, "tests", StepKind::Build, &[4], Some(1_000)),
                    planned(6, "elsewhere-1", StepKind::Build, &[], Some(1_000)),
                ],
                present: vec![drv("gcc-12.2.0"), drv("glibc-2.36")],
            },
        ),
        (850, started(3, fetch(0))),
        (860, started(4, build(0))),
        (870, Event::Waiting { step: StepId(6) }),
        (900, phase(4, "configurePhase")),
        (1_000, log(4, "checking for gcc... yes")),
        (1_500, downloaded(3, 40_000_000, Some(150_000_000))),
        (2_000, phase(4, "buildPhase")),
        (2_400, log(4, "\x1b[32mCC\x1b[0m inflate.o \u{7}")),
        (2_450, downloaded(3, 100_000_000, Some(150_000_000))),
        (3_000, built(4, 1_900, 150, 90)),
        (3_200, done(4)),
        (3_210, started(2, build(0))),
        (
            3_260,
            Event::Retried {
                step: StepId(2),
                message: format!(
                    "build of {} failed: out of memory; it is tried once more, with nothing built beside it",
                    drv("busybox-1.36.1")
                ),
            },
        ),
        (3_270, started(2, build(0))),
        (
            3_300,
            Event::Done {
                step: StepId(6),
                how: How::Present,
            },
        ),
        (3_310, started(5, build(1))),
        (4_000, log(5, "test 17 failed: expected a, got b")),
        (
            4_200,
            Event::Failed {
                step: StepId(5),
                reason: "builder failed with exit code 3".to_owned(),
                cause: Cause::Exit(3),
                message: format!(
                    "build of {} failed: builder failed with exit code 3\nlast 1 log line:\n> test 17 failed: expected a, got b\nfull log: `xbuild log {}`",
                    drv("tests"),
                    drv("tests")
                ),
            },
        ),
        (5_000, downloaded(3, 150_000_000, Some(150_000_000))),
        (5_400, done(3)),
        (5_410, started(1, build(1))),
        (
            6_000,
            log(2, "  CC      archival/libarchive/decompress_gunzip.o"),
        ),
        (6_100, phase(1, "buildPhase")),
        (
            8_000,
            log(1, "  CC      drivers/net/ethernet/freescale/fec_main.o"),
        ),
        (11_000, built(2, 12_000, 3_000, 210)),
        (11_500, done(2)),
        (74_000, built(1, 61_000, 6_000, 1_400)),
        (75_400, done(1)),
        (
            75_410,
            Event::Skipped {
                step: StepId(0),
                because: Some(StepId(5)),
            },
        ),
        (
            75_420,
            Event::Ended {
                outcome: Outcome::Failure,
            },
        ),
    ];
    events
        .into_iter()
        .map(|(at, event)| (Duration::from_millis(at), event))
        .collect()
}

/// The same, as a report sees it.
pub(crate) fn recorded() -> crate::Run {
    let mut told = crate::Run::default();
    for (at, event) in run() {
        told.apply(at, &event);
    }
    told
}
