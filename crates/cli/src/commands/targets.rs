//! `xbuild targets`

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xbuild_eval::Pos;
use xbuild_eval::json::JsonForm;
use xbuild_eval::string::ContextSet;
use xbuild_realise::Wanted;
use xbuild_realise::plan::plan;
use xbuild_store_model::StorePath;

use crate::args::{Common, Inputs, Targets};
use crate::commands::eval::{evaluate, with_evaluator};
use crate::failure::Failure;
use crate::installable::Expression;
use crate::output;
use crate::session::Session;
use xbuild_report::words::{count, size};

/// The attribute that lists the targets.
const ATTRIBUTE: &str = "targets";

/// What the expression says of a target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    name: String,
    board: String,
    description: String,
    cpu: String,
    soc: String,
    variant: String,
    demo_apps: bool,
    boot_chain: String,
    system: String,
    /// The name of the cross-built image, of one that is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cross_target: Option<String>,
    flash_script: String,
    image: Paths,
    kernel: Paths,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Paths {
    drv_path: String,
    output_path: String,
}

/// What the store has of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    image_built: bool,
    kernel_built: bool,
    /// Builds that must run for the image; unknown when the store cannot be written.
    missing_builds: Option<usize>,
    /// Downloads, likewise.
    missing_fetches: Option<usize>,
    /// Bytes of the disk, once built.
    image_size: Option<u64>,
    /// Bytes of the packed image.
    compressed_size: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    target: Target,
    #[serde(flatten)]
    state: State,
}

/// What is read of an image's `layout.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    size: u64,
    compressed_size: u64,
}

pub(crate) fn run(common: &Common, args: &Targets) -> Result<(), Failure> {
    let session = Arc::new(Session::open(common, &[], false)?);
    let expression = Expression::File(args.directory.clone());
    let inputs = Inputs::default();
    let json = with_evaluator(&session, &inputs, |evaluator| {
        let value = evaluate(evaluator, &expression, ATTRIBUTE, &inputs)?;
        let json =
            evaluator.to_json(value, Pos::NONE, &mut ContextSet::new(), JsonForm::BUILTIN)?;
        // So that it can be told what is missing. A store that cannot be written has no answer to that.
        let _ = evaluator.flush();
        Ok(json)
    })?;
    let targets: BTreeMap<String, Target> = serde_json::from_slice(&json).map_err(|error| {
        Failure::text(format!(
            "the attribute `{ATTRIBUTE}` of {} is no list of targets: {error}",
            args.directory.display()
        ))
    })?;
    let mut rows = Vec::new();
    for target in targets.into_values() {
        let state = state(&session, &target)?;
        rows.push(Row { target, state });
    }
    if args.json {
        let text =
            serde_json::to_string(&rows).map_err(|error| Failure::text(error.to_string()))?;
        return output::line(text);
    }
    output::bytes(
        if std::io::stdout().is_terminal() {
            for_people(&rows)
        } else {
            for_programs(&rows)
        }
        .as_bytes(),
    )
}

fn state(session: &Session, target: &Target) -> Result<State, Failure> {
    let path = |text: &str| {
        StorePath::parse(text)
            .map_err(|error| Failure::text(format!("the target {}: {error}", target.name)))
    };
    let image = path(&target.image.output_path)?;
    let mut state = State {
        image_built: session.store.is_valid(&image)?,
        kernel_built: session.store.is_valid(&path(&target.kernel.output_path)?)?,
        ..State::default()
    };
    if state.image_built {
        (state.missing_builds, state.missing_fetches) = (Some(0), Some(0));
        let layout = session.store.physical(&image).join("layout.json");
        // An image of the user's own making may have none.
        let layout = std::fs::read(layout).ok();
        let layout = layout.and_then(|text| serde_json::from_slice::<Layout>(&text).ok());
        state.image_size = layout.as_ref().map(|layout| layout.size);
        state.compressed_size = layout.map(|layout| layout.compressed_size);
        return Ok(state);
    }
    let drv = path(&target.image.drv_path)?;
    if session.store.is_valid(&drv)? {
        let outputs = Some(BTreeSet::from(["out".to_owned()]));
        let plan = plan(&session.output_paths(), &[Wanted::Outputs(drv, outputs)])?;
        let (builds, fetches) = plan.counts();
        (state.missing_builds, state.missing_fetches) = (Some(builds), Some(fetches));
    }
    Ok(state)
}

impl Row {
    /// What is there, in words.
    fn words(&self) -> String {
        let state = &self.state;
        if state.image_built {
            return "built".to_owned();
        }
        if let Some(cross) = &self.target.cross_target {
            return format!("needs a builder for {}; else {cross}", self.target.system);
        }
        let kernel = if state.kernel_built {
            "kernel built, "
        } else {
            ""
        };
        let missing =
            |n: Option<usize>, one, many| n.filter(|n| *n > 0).map(|n| count(n, one, many));
        let parts: Vec<String> = [
            missing(state.missing_builds, "build", "builds"),
            missing(state.missing_fetches, "download", "downloads"),
        ]
        .into_iter()
        .flatten()
        .collect();
        match parts.join(" and ") {
            missing if missing.is_empty() => format!("{kernel}image missing"),
            missing => format!("{kernel}{missing} missing"),
        }
    }

    fn sizes(&self) -> String {
        match (self.state.image_size, self.state.compressed_size) {
            (Some(image), Some(compressed)) => {
                format!("{} ({} packed)", size(image), size(compressed))
            }
            _ => String::new(),
        }
    }
}

/// A table, by boards.
fn for_people(rows: &[Row]) -> String {
    let mut text = String::new();
    let names = rows
        .iter()
        .map(|row| row.target.name.len())
        .max()
        .unwrap_or(0);
    let sizes = rows.iter().map(|row| row.sizes().len()).max().unwrap_or(0);
    let mut board = "";
    for row in rows {
        let target = &row.target;
        if target.board != board {
            let space = if board.is_empty() { "" } else { "\n" };
            board = &target.board;
            text += &format!(
                "{space}{board}: {}; {} ({}), {}\n",
                target.description, target.soc, target.cpu, target.boot_chain
            );
        }
        let line = format!(
            "  {:names$}  {:sizes$}  {}",
            target.name,
            row.sizes(),
            row.words()
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A line a target, with tabs between the columns.
fn for_programs(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { target, state } in rows {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
        let count = |count: Option<usize>| number(count.map(|count| count as u64));
        let built = |built| if built { "built" } else { "missing" };
        text += &[
            target.name.clone(),
            target.board.clone(),
            target.cpu.clone(),
            target.boot_chain.clone(),
            target.system.clone(),
            built(state.image_built).to_owned(),
            built(state.kernel_built).to_owned(),
            count(state.missing_builds),
            count(state.missing_fetches),
            number(state.image_size),
            number(state.compressed_size),
        ]
        .join("\t");
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, board: &str, state: State) -> Row {
        let paths = Paths {
            drv_path: String::new(),
            output_path: String::new(),
        };
        Row {
            target: Target {
                name: name.to_owned(),
                board: board.to_owned(),
                description: "A Board".to_owned(),
                cpu: "Cortex-A53".to_owned(),
                soc: "soc".to_owned(),
                variant: "debug".to_owned(),
                demo_apps: true,
                boot_chain: "extlinux".to_owned(),
                system: "x86_64-linux".to_owned(),
                cross_target: None,
                flash_script: String::new(),
                image: paths.clone(),
                kernel: paths,
            },
            state,
        }
    }

    fn rows() -> Vec<Row> {
        let built = State {
            image_built: true,
            kernel_built: true,
            missing_builds: Some(0),
            missing_fetches: Some(0),
            image_size: Some(400 << 20),
            compressed_size: Some(60 << 20),
        };
        let missing = State {
            kernel_built: true,
            missing_builds: Some(12),
            missing_fetches: Some(1),
            ..State::default()
        };
        let mut native = row("b-debug", "b", State::default());
        native.target.cross_target = Some("b-debug-from-x86_64".to_owned());
        native.target.system = "aarch64-linux".to_owned();
        vec![
            row("a-debug", "a", built),
            row("a-release", "a", missing),
            native,
        ]
    }

    #[test]
    fn tables() {
        assert_eq!(
            for_people(&rows()),
            "\
a: A Board; soc (Cortex-A53), extlinux
  a-debug    400.0 MiB (60.0 MiB packed)  built
  a-release                               kernel built, 12 builds and 1 download missing

b: A Board; soc (Cortex-A53), extlinux
  b-debug                                 needs a builder for aarch64-linux; else b-debug-from-x86_64
"
        );
        assert_eq!(
            for_programs(&rows()),
            "\
a-debug\ta\tCortex-A53\textlinux\tx86_64-linux\tbuilt\tbuilt\t0\t0\t419430400\t62914560
a-release\ta\tCortex-A53\textlinux\tx86_64-linux\tmissing\tbuilt\t12\t1\t-\t-
b-debug\tb\tCortex-A53\textlinux\taarch64-linux\tmissing\tmissing\t-\t-\t-\t-
"
        );
        assert_eq!(for_people(&[]) + &for_programs(&[]), "");
    }
}
