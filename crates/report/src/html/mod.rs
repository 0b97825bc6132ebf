//! A run as a page for a browser: one file that needs nothing else.
//!
//! Tables and figures are plain HTML, made here, so that they are there without scripts, for screen readers and on paper. The timeline
//! is drawn by the page's script from the run in JSON (the form of [`crate::summary`]), which lies in the page.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::event::{Outcome, StepId, StepKind};
use crate::figures::Figures;
use crate::run::{Run, Step, StepState};
use crate::summary::summary;
use crate::text::{by_duration, outcome, percent};
use crate::words;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page for `run`, which is recorded as `name`.
#[must_use]
pub fn html(run: &Run, name: &str) -> String {
    let figures = Figures::of(run);
    let command = escape(&run.command.join(" "));
    let title = escape(name);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>xbuild run {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    let _ = write!(
        page,
        "<header>\n<div>\n<h1>Run <span class=\"name\">{title}</span> <span class=\"badge {}\">{}</span></h1>\n\
         <p class=\"command\"><code>{command}</code></p>\n\
         <p class=\"when\">{} UTC · xbuild {} · {} at a time, {} each</p>\n</div>\n\
         <button type=\"button\" id=\"theme\" hidden>Dark</button>\n</header>\n<main>\n",
        badge(run),
        outcome(run),
        words::moment(run.unix_ms),
        escape(&run.version),
        words::count(run.jobs as usize, "build", "builds"),
        words::count(run.cores as usize, "processor", "processors"),
    );
    tiles(run, &figures, &mut page);
    failures(run, &mut page);
    page.push_str(TIMELINE);
    critical(run, &figures, &mut page);
    steps(run, &figures, &mut page);
    slots(&figures, &mut page);
    present(run, &mut page);
    page.push_str("</main>\n<script type=\"application/json\" id=\"run\">");
    // No text in it can end the element.
    page.push_str(&data(run).replace('<', "\\u003c"));
    let _ = write!(
        page,
        "</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    );
    page
}

/// Failures that are shown at once.
const FAILURES: usize = 5;

/// The part of the page that the script fills.
const TIMELINE: &str = "<section aria-labelledby=\"timeline-title\">\n<h2 id=\"timeline-title\">Timeline</h2>\n\
<div id=\"timeline\" hidden>\n<div class=\"bar\">\n<div class=\"group\" role=\"group\" aria-label=\"Zoom\">\
<button type=\"button\" id=\"zoom-in\" title=\"Zoom in (+)\">+</button>\
<button type=\"button\" id=\"zoom-out\" title=\"Zoom out (−)\">−</button>\
<button type=\"button\" id=\"zoom-all\" title=\"Show all (0)\">All</button></div>\n\
<label>Find <input type=\"search\" id=\"find\" placeholder=\"part of a name\" autocomplete=\"off\"></label>\n\
<span id=\"found\" role=\"status\"></span>\n\
<ul class=\"legend\" aria-label=\"Colours\"><li class=\"build\">build</li><li class=\"fetch\">download</li>\
<li class=\"rebuild\">built again</li><li class=\"failed\">failed, stopped or tried again</li><li class=\"registering\">checking, registering</li>\
<li class=\"critical\">critical path</li></ul>\n</div>\n\
<div id=\"chart\" tabindex=\"0\" role=\"application\" aria-label=\"Timeline of steps by slot. Arrow keys go from step to step, plus and minus zoom, 0 shows all.\">\
<canvas id=\"canvas\"></canvas><div id=\"tip\" role=\"status\" hidden></div></div>\n\
<p class=\"hint\">Drag to move, scroll with Ctrl to zoom, drag with Shift to zoom into a part, click a step to keep it chosen; \
with the keyboard: arrows, + and −, 0.</p>\n\
<div id=\"chosen\" aria-live=\"polite\"></div>\n</div>\n\
<noscript><p>The timeline needs JavaScript; the tables below have the same figures.</p></noscript>\n</section>\n";

fn badge(run: &Run) -> &'static str {
    match run.outcome {
        Some(Outcome::Success) => "good",
        Some(Outcome::Failure) => "bad",
        Some(Outcome::Interrupted) | None => "open",
    }
}

/// What the script needs.
fn data(run: &Run) -> String {
    let mut data = summary(run);
    let load: Vec<_> = crate::timeline::load(run)
        .into_iter()
        .map(|(at, running, memory)| {
            json!([
                u64::try_from(at.as_micros()).unwrap_or(u64::MAX),
                running,
                memory
            ])
        })
        .collect();
    data["load"] = json!(load);
    let (begin, end) = run.span();
    let micros = |at: Duration| u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
    data["span"] = json!([micros(begin), micros(end)]);
    // Only their number and names matter here, and those are in the page.
    data["present"] = json!(run.present.len());
    data.to_string()
}

fn tiles(run: &Run, figures: &Figures, page: &mut String) {
    page.push_str("<dl class=\"tiles\">\n");
    let mut tile = |label: &str, value: &str, note: &str| {
        let note = if note.is_empty() {
            String::new()
        } else {
            format!("<span class=\"note\">{}</span>", escape(note))
        };
        let _ = writeln!(
            page,
            "<div><dt>{label}</dt><dd>{}{note}</dd></div>",
            escape(value)
        );
    };
    tile(
        "Time",
        &words::duration(figures.wall),
        &match figures.before {
            Duration::ZERO => String::new(),
            before => format!("after {} of evaluation", words::duration(before)),
        },
    );
    let mut not_well = Vec::new();
    if figures.failed > 0 {
        not_well.push(format!("{} failed", figures.failed));
    }
    if figures.not_run > 0 {
        not_well.push(format!("{} not run", figures.not_run));
    }
    tile("Built", &figures.built.to_string(), &not_well.join(", "));
    let fetched = match figures.downloaded {
        0 => String::new(),
        bytes => words::size(bytes),
    };
    tile("Downloaded", &figures.fetched.to_string(), &fetched);
    let elsewhere = match figures.made_elsewhere {
        0 => String::new(),
        n => format!("{n} built meanwhile, or before for another derivation"),
    };
    tile(
        "Already there",
        &(run.present.len() + figures.made_elsewhere).to_string(),
        &elsewhere,
    );
    tile(
        "Critical path",
        &words::duration(figures.critical_length),
        &format!(
            "{} of the time",
            percent(figures.critical_length, figures.wall)
        ),
    );
    tile(
        "Parallelism",
        &format!("{:.2}", figures.parallelism),
        &format!(
            "of {}",
            words::count(run.jobs.max(1) as usize, "build slot", "build slots")
        ),
    );
    if !figures.cpu.is_zero() {
        tile(
            "Processor time",
            &words::duration(figures.cpu),
            "of all builders",
        );
    }
    if let Some(memory) = figures.peak_memory {
        tile("Largest build", &words::size(memory), "of memory");
    }
    page.push_str("</dl>\n");
}

fn failures(run: &Run, page: &mut String) {
    let failed: Vec<&Step> = run
        .steps
        .iter()
        .filter(|step| step.state == StepState::Failed)
        .collect();
    if failed.is_empty() {
        return;
    }
    page.push_str("<section class=\"failures\" aria-labelledby=\"failed-title\">\n<h2 id=\"failed-title\">Failed</h2>\n<ul>\n");
    for (index, step) in failed.iter().enumerate() {
        if index == FAILURES {
            let rest = failed.len() - FAILURES;
            let _ = write!(
                page,
                "</ul>\n<details><summary>{rest} more</summary>\n<ul>\n"
            );
        }
        let skipped = run.steps.iter();
        let skipped = skipped
            .filter(|other| other.because == Some(step.id))
            .count();
        let note = match skipped {
            0 => String::new(),
            n => format!(" <span class=\"note\">({n} not built because of it)</span>"),
        };
        let _ = writeln!(
            page,
            "<li><strong>{}</strong>: {}{note}<br><code>xbuild log {}</code></li>",
            escape(step.name()),
            escape(step.reason.as_deref().unwrap_or("no reason is recorded")),
            escape(&step.drv.to_string())
        );
    }
    page.push_str(if failed.len() > FAILURES {
        "</ul>\n</details>\n</section>\n"
    } else {
        "</ul>\n</section>\n"
    });
}

fn critical(run: &Run, figures: &Figures, page: &mut String) {
    if figures.critical.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<section aria-labelledby=\"critical-title\">\n<h2 id=\"critical-title\">Critical path</h2>\n\
         <p>The longest chain of steps, each of which needs the one before: {}, {} of the time. With more slots the run would not have \
         been shorter than that.</p>\n<ol class=\"chain\">\n",
        words::duration(figures.critical_length),
        percent(figures.critical_length, figures.wall)
    );
    for id in &figures.critical {
        let Some(step) = run.step(*id) else { continue };
        let took = step.occupied(run.last);
        let _ = writeln!(
            page,
            "<li data-step=\"{}\"><span class=\"meter\"><i style=\"width:{:.1}%\"></i></span> \
             <span class=\"number\">{}</span> {}</li>",
            id.0,
            share(took, figures.critical_length),
            words::duration(took),
            escape(step.name())
        );
    }
    page.push_str("</ol>\n</section>\n");
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() {
        return 0.0;
    }
    part.as_secs_f64() / whole.as_secs_f64() * 100.0
}

/// The table of all steps, the slowest first. The script sorts it otherwise and shows only the first ones at the beginning.
fn steps(run: &Run, figures: &Figures, page: &mut String) {
    let critical: HashSet<StepId> = figures.critical.iter().copied().collect();
    let ran = by_duration(run);
    let (begin, _) = run.span();
    let others = run.steps.iter().filter(|step| step.started.is_none());
    let all: Vec<(&Step, Option<Duration>)> = ran
        .into_iter()
        .map(|(step, took)| (step, Some(took)))
        .chain(others.map(|step| (step, None)))
        .collect();
    let _ = write!(
        page,
        "<section aria-labelledby=\"steps-title\">\n<h2 id=\"steps-title\">Steps, the slowest first</h2>\n\
         <div class=\"scroll\"><table id=\"steps\"><caption class=\"hidden\">All {} steps of the run</caption>\n<thead><tr>",
        all.len()
    );
    for (label, class) in [
        ("Step", ""),
        ("State", ""),
        ("Time", "number"),
        ("Earlier", "number"),
        ("Began", "number"),
        ("Processor", "number"),
        ("Memory", "number"),
        ("Bytes", "number"),
        ("Kind", ""),
    ] {
        let _ = write!(page, "<th scope=\"col\" class=\"{class}\">{label}</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for (step, took) in all {
        row(step, took, begin, critical.contains(&step.id), page);
    }
    page.push_str("</tbody></table></div>\n<p><button type=\"button\" id=\"more\" hidden></button></p>\n</section>\n");
}

fn row(step: &Step, took: Option<Duration>, begin: Duration, critical: bool, page: &mut String) {
    let mark = if critical {
        " <span class=\"mark\" title=\"on the critical path\">critical</span>"
    } else {
        ""
    };
    let class = match step.state {
        StepState::Failed | StepState::Stopped => "failed",
        StepState::Skipped | StepState::Waiting => "open",
        _ => "",
    };
    let again = if step.attempts.is_empty() {
        ""
    } else {
        ", tried again"
    };
    let _ = write!(
        page,
        "<tr data-step=\"{}\"><th scope=\"row\" title=\"{}\">{}{mark}</th><td class=\"{class}\">{}{again}</td>",
        step.id.0,
        escape(&step.drv.to_string()),
        escape(step.name()),
        step.state.name()
    );
    // The value by which a column is sorted stands beside what is shown.
    let mut number = |value: Option<u64>, shown: String| match value {
        Some(value) => {
            let _ = write!(
                page,
                "<td class=\"number\" data-value=\"{value}\">{}</td>",
                escape(&shown)
            );
        }
        None => page.push_str("<td class=\"number\"></td>"),
    };
    let time = |at: Option<Duration>| {
        (
            at.map(|at| u64::try_from(at.as_micros()).unwrap_or(u64::MAX)),
            at.map(words::duration).unwrap_or_default(),
        )
    };
    let cells = [
        time(took),
        time(step.expected),
        time(step.started.map(|at| at.saturating_sub(begin))),
        time(step.usage.map(|usage| usage.user + usage.system)),
    ];
    for (value, shown) in cells {
        number(value, shown);
    }
    let memory = step.usage.and_then(|usage| usage.peak_memory);
    let bytes = step.download.as_ref().map(|download| download.bytes);
    for value in [memory, bytes] {
        number(value, value.map(words::size).unwrap_or_default());
    }
    let _ = writeln!(page, "<td>{}</td></tr>", kind(step.kind));
}

fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Build => "build",
        StepKind::Fetch => "download",
        StepKind::Rebuild => "build again",
    }
}

fn slots(figures: &Figures, page: &mut String) {
    if figures.slots.is_empty() {
        return;
    }
    page.push_str(
        "<section aria-labelledby=\"slots-title\">\n<h2 id=\"slots-title\">Slots</h2>\n<div class=\"scroll\"><table><thead><tr>\
         <th scope=\"col\">Slot</th><th scope=\"col\" class=\"number\">Steps</th><th scope=\"col\" class=\"number\">Busy</th>\
         <th scope=\"col\" class=\"number\">Idle</th><th scope=\"col\">Share</th></tr></thead>\n<tbody>\n",
    );
    for used in &figures.slots {
        let idle = figures.wall.saturating_sub(used.busy);
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{} {}</th><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td><span class=\"meter\"><i style=\"width:{:.1}%\"></i></span> {}</td></tr>",
            used.slot.pool.name(),
            used.slot.index + 1,
            used.steps,
            words::duration(used.busy),
            words::duration(idle),
            share(used.busy, figures.wall),
            percent(used.busy, figures.wall)
        );
    }
    page.push_str("</tbody></table></div>\n");
    if figures.unused > 0 {
        let slots = words::count(figures.unused, "build slot was", "build slots were");
        let _ = writeln!(page, "<p class=\"note\">{slots} never used.</p>");
    }
    page.push_str("</section>\n");
}

fn present(run: &Run, page: &mut String) {
    if run.present.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<section aria-labelledby=\"present-title\">\n<h2 id=\"present-title\">Already there</h2>\n<details><summary>{}, so nothing \
         below was looked at</summary>\n<ul class=\"paths\">\n",
        words::count(
            run.present.len(),
            "derivation had valid outputs",
            "derivations had valid outputs"
        )
    );
    let mut present: Vec<_> = run.present.iter().collect();
    present.sort_unstable_by(|a, b| a.name().cmp(b.name()).then_with(|| a.cmp(b)));
    for drv in present {
        let _ = writeln!(page, "<li><code>{}</code></li>", escape(&drv.to_string()));
    }
    page.push_str("</ul></details>\n</section>\n");
}

/// Text as HTML, in elements and in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::script;

    /// The page without style and script, which have nothing of the run.
    fn body(page: &str) -> String {
        page.replace(STYLE, "…\n").replace(SCRIPT, "…\n")
    }

    #[test]
    fn a_page() {
        insta::assert_snapshot!(body(&html(&script::recorded(), "20261127-224510-7")));
    }

    #[test]
    fn nothing() {
        let page = html(&Run::default(), "x");
        assert!(page.contains("not ended"));
    }

    #[test]
    fn texts_of_builds_are_no_markup() {
        let mut run = script::recorded();
        run.command.push("</script><b>'\"&".to_owned());
        run.apply(
            Duration::ZERO,
            &Event::Begun {
                format: 1,
                version: "<i>".to_owned(),
                unix_ms: 0,
                command: run.command.clone(),
                jobs: 1,
                cores: 1,
            },
        );
        let page = body(&html(&run, "<u>"));
        assert!(!page.contains("<b>") && !page.contains("<i>") && !page.contains("<u>"));
        assert_eq!(page.matches("</script>").count(), 2);
    }

    #[test]
    fn it_needs_nothing_else() {
        let page = html(&script::recorded(), "x");
        for word in [
            "src=",
            "href=",
            "@import",
            "url(",
            "fetch(",
            "XMLHttpRequest",
        ] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
