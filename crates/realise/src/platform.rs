//! Which derivations this machine can run, by their `system`: those of its own, and those of AArch64 through an emulator.
//!
//! In this order: what `extra-platforms` names runs as it is (the machine's kernel knows how: a registration in `binfmt_misc`, made by
//! root). AArch64 on x86_64 runs in an emulator that xbuild registers for the build alone, where the kernel allows it: the
//! program that the setting `emulators` names, else the one of the [`emulator`](crate::emulator) module, which becomes a step of the plan. On older
//! kernels, a registration of the machine is used where there is one.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};

use xbuild_derivation::Derivation;
use xbuild_sandbox::{Emulator, Machine, registered_emulator, registers_own_emulators};
use xbuild_store::Store;
use xbuild_store_model::StorePath;

use crate::builtin;
use crate::emulator::{EmulatorDerivations, PROGRAM};
use crate::error::{FailureReason, Result};
use crate::options::attribute;
use crate::output_paths::OutputPaths;
use crate::plan::{self, Plan, Wanted};
use crate::settings::Settings;

/// How the programs of a derivation run here.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// By themselves, as far as xbuild is concerned.
    Plain,
    /// Through the program that a setting names.
    Given(PathBuf),
    /// Through the emulator that comes with xbuild.
    Own,
    /// Not at all.
    None,
}

fn way(settings: &Settings, drv: &Derivation) -> Way {
    let system = String::from_utf8_lossy(&drv.system);
    let aarch64 = system == "aarch64-linux" && ARCH == "x86_64";
    let named = |system: &str| settings.extra_platforms.iter().any(|named| named == system);
    if drv.builder.starts_with(builtin::PREFIX) || named(&system) {
        return Way::Plain;
    }
    if aarch64 && registers_own_emulators() {
        let given = settings.emulators.iter().rev().find_map(|entry| {
            let (of, program) = entry.split_once('=')?;
            (of == system).then(|| PathBuf::from(program))
        });
        return given.map_or(Way::Own, Way::Given);
    }
    let own = system == settings.system && !aarch64;
    let i686 = system == "i686-linux" && settings.system == "x86_64-linux";
    let registered = aarch64 && registered_emulator(Machine::Aarch64).is_some();
    if own || i686 || registered {
        Way::Plain
    } else {
        Way::None
    }
}

/// Refuses what this machine cannot run.
pub(crate) fn check(
    settings: &Settings,
    drv: &Derivation,
) -> std::result::Result<(), FailureReason> {
    check_features(settings, drv)?;
    if way(settings, drv) != Way::None {
        return Ok(());
    }
    let system = String::from_utf8_lossy(&drv.system);
    let mut message = format!(
        "it is to be built on `{system}`, but this machine builds for `{}`",
        settings.system
    );
    if system == "aarch64-linux" {
        message += "\nhint: an emulator can run it. With Linux 6.7 or newer xbuild registers one by itself; with an older kernel, register QEMU \
                    for the whole machine, as root (`apt-get install qemu-user-static` does it, with the flag F), or name `aarch64-linux` in \
                    `extra-platforms` if something else runs such programs";
        if let Some(cross) = attribute(drv, "crossTarget") {
            message += &format!("\nhint: the same, built on x86_64, is the target {cross}");
        }
    } else {
        message += "\nhint: if this machine can run its programs (binfmt_misc), name it in `extra-platforms`";
    }
    Err(FailureReason::Unsupported(message))
}

/// Refuses what asks for a feature that this machine does not have (`requiredSystemFeatures`).
fn check_features(settings: &Settings, drv: &Derivation) -> std::result::Result<(), FailureReason> {
    let required = attribute(drv, "requiredSystemFeatures").unwrap_or_default();
    let has = |feature: &str| {
        let mut known = settings.system_features.iter();
        known.any(|known| known == feature)
    };
    let lacks: Vec<&str> = required
        .split_ascii_whitespace()
        .filter(|feature| !has(feature))
        .collect();
    if lacks.is_empty() {
        return Ok(());
    }
    Err(FailureReason::Unsupported(format!(
        "it asks for a machine with {} (`requiredSystemFeatures`), and this one has {}\n\
         hint: if it can be built here all the same, add {} with `--extra-system-features`",
        quoted(&lacks),
        if settings.system_features.is_empty() {
            "no features".to_owned()
        } else {
            quoted(&settings.system_features)
        },
        if lacks.len() == 1 { "it" } else { "them" },
    )))
}

fn quoted<T: AsRef<str>>(words: &[T]) -> String {
    let quoted = words.iter().map(|word| format!("`{}`", word.as_ref()));
    quoted.collect::<Vec<_>>().join(", ")
}

/// The emulator that the sandbox of `drv` registers, if it needs one.
pub(crate) fn emulator(
    store: &Store,
    settings: &Settings,
    drv: &Derivation,
) -> Result<Option<Emulator>> {
    let program = match way(settings, drv) {
        Way::Plain | Way::None => return Ok(None),
        Way::Given(program) => in_store(store, &program),
        Way::Own => store
            .physical(EmulatorDerivations::new()?.output()?)
            .join(PROGRAM),
    };
    Ok(Some(Emulator {
        program,
        machine: Machine::Aarch64,
    }))
}

/// Where a program is that may be named by its logical path in the store.
fn in_store(store: &Store, program: &Path) -> PathBuf {
    let below = |path: &Path| {
        let mut parts = path
            .strip_prefix(xbuild_store_model::STORE_DIR)
            .ok()?
            .iter();
        let base = StorePath::from_base_name(parts.next()?.to_str()?).ok()?;
        Some(store.physical(&base).join(parts.as_path()))
    };
    below(program).unwrap_or_else(|| program.to_owned())
}

/// Makes the plan for `wanted`, with the emulator first where it is needed and not built yet.
///
/// # Errors
/// As [`plan::plan`].
pub fn plan_for(paths: &OutputPaths<'_>, settings: &Settings, wanted: &[Wanted]) -> Result<Plan> {
    let mut plan = plan::plan(paths, wanted)?;
    let emulated: Vec<usize> = (0..plan.steps.len())
        .filter(|at| way(settings, &plan.steps[*at].drv) == Way::Own)
        .collect();
    if emulated.is_empty() {
        return Ok(plan);
    }
    let drv = EmulatorDerivations::new()?.add_to(paths.store())?;
    let more = plan::plan(paths, &[Wanted::Outputs(drv.clone(), None)])?;
    // A derivation may be in both plans.
    let mut places = Vec::with_capacity(more.steps.len());
    for step in &more.steps {
        let known = plan
            .steps
            .iter()
            .position(|it| it.drv_path == step.drv_path);
        places.push(known.unwrap_or_else(|| {
            plan.steps.push(step.clone());
            plan.steps.len() - 1
        }));
    }
    for (step, place) in more.steps.iter().zip(&places) {
        plan.steps[*place]
            .wanted
            .extend(step.wanted.iter().cloned());
        plan.steps[*place].after = step.after.iter().map(|at| places[*at]).collect();
        if step.drv_path == drv {
            for at in &emulated {
                plan.steps[*at].after.push(*place);
            }
        }
    }
    Ok(plan)
}

/// Whether `entry` is an element of the setting `emulators`.
pub(crate) fn is_emulator_entry(entry: &str) -> bool {
    let parts = entry.split_once('=');
    parts.is_some_and(|(system, program)| system == "aarch64-linux" && program.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::derivation;

    fn of(system: &str) -> Derivation {
        Derivation {
            system: system.into(),
            ..derivation()
        }
    }

    #[test]
    fn settings_decide_how_a_system_runs() {
        let mut settings = Settings::default();
        assert_eq!(way(&settings, &of("x86_64-linux")), Way::Plain);
        assert_eq!(way(&settings, &of("i686-linux")), Way::Plain);
        assert_eq!(way(&settings, &of("riscv64-linux")), Way::None);
        if registers_own_emulators() {
            assert_eq!(way(&settings, &of("aarch64-linux")), Way::Own);
            settings.set("emulators", "aarch64-linux=/q").unwrap();
            assert_eq!(
                way(&settings, &of("aarch64-linux")),
                Way::Given("/q".into())
            );
        }
        settings
            .set("extra-platforms", "aarch64-linux riscv64-linux")
            .unwrap();
        assert_eq!(way(&settings, &of("aarch64-linux")), Way::Plain);
        assert_eq!(way(&settings, &of("riscv64-linux")), Way::Plain);
        let error = settings
            .set("emulators", "mips-linux=/q")
            .unwrap_err()
            .to_string();
        assert!(error.contains("aarch64-linux=/PROGRAM"), "{error}");
    }
}
