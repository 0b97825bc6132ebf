//! `xbuild flake init` and `xbuild flake new`

use std::path::Path;
use std::sync::Arc;

use xbuild_flake::outputs::{of_flake, select};
use xbuild_flake::template::{attr_paths, copy, read};

use crate::args::{Inputs, LockArgs};
use crate::commands::eval::{current_dir, with_evaluator_for};
use crate::failure::Failure;
use crate::flake_installable as flakes;
use crate::output;
use crate::session::Session;

/// Copies a template to `directory`.
pub(crate) fn run(
    session: &Arc<Session>,
    template: &str,
    directory: &Path,
    lock: &LockArgs,
) -> Result<(), Failure> {
    let (reference, name) = flakes::parse(template)?;
    let flags = flakes::lock_flags(lock)?;
    let directory = current_dir()?.join(directory);
    let conflicts = with_evaluator_for(session, &Inputs::default(), true, |ev, all| {
        let locked = flakes::lock(session, ev, all, &reference, &flags)?;
        let value = all.call(ev, &locked)?;
        let outputs = of_flake(ev, value)?;
        let (value, path) = select(ev, outputs, &reference.show(), &attr_paths(&name))?;
        let template = read(ev, value, &path)?;
        let copied = copy(ev, &template, &directory, &mut |line| output::note(line))?;
        all.track(&directory, &copied.written)?;
        if let Some(text) = &template.welcome {
            output::note(format!("\n\n{}\n", text.trim_end()));
        }
        Ok(copied.conflicts)
    })?;
    if conflicts > 0 {
        return Err(Failure::text(format!(
            "encountered {conflicts} conflicts - see above"
        )));
    }
    Ok(())
}
