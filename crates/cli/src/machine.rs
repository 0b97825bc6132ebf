//! The machine of an image: built, described, with a disk, ready to be started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xbuild_realise::{Mode, Wanted};
use xbuild_store_model::StorePath;
use xbuild_vm::Machine;
use xbuild_vm::disk::{self, Made};

use crate::args::{Guest, Source};
use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;
use xbuild_report::words::{count, size};

/// The attribute of an image that describes its machine.
const ATTRIBUTE: &str = "vm";
/// The file of a machine's output.
const FILE: &str = "vm.json";

/// Builds what is missing, and reads the description; its paths are those of the disk.
pub(crate) fn prepare(session: &Arc<Session>, guest: &Guest) -> Result<Machine, Failure> {
    let name = &guest.installable;
    let wanted = installable::resolve(session, &[described(session, name)?], &Source::default())
        .map_err(|failure| without_machine(name, failure))?;
    let [wanted] = wanted.as_slice() else {
        return Err(Failure::text(format!(
            "`{name}` is not one image: its attribute `{ATTRIBUTE}` is {}",
            count(wanted.len(), "derivation", "derivations")
        )));
    };
    let directory = realise(session, wanted)?;
    let place = |path: &Path| physical(session, path);
    let file = directory.join(FILE);
    if !file.is_file() {
        return Err(Failure::text(format!(
            "`{name}` is no machine: there is no {FILE} in {}\nhint: name the image as `xbuild targets` does: `.#NAME`",
            directory.display()
        )));
    }
    let mut machine = Machine::read(&file)?;
    machine.map_paths(place)?;
    machine.memory = guest.memory.unwrap_or(machine.memory);
    // An emulated CPU that waits for a processor makes the others wait, too.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let processors = u32::try_from(processors).unwrap_or(u32::MAX);
    machine.cpus = guest.cpus.unwrap_or(machine.cpus.min(processors));
    Ok(machine)
}

/// What is wrong with `name`, if it has no machine.
fn without_machine(name: &str, failure: Failure) -> Failure {
    if !failure
        .message
        .contains(&format!("attribute '{ATTRIBUTE}'"))
    {
        return failure;
    }
    Failure::text(format!(
        "`{name}` is no image: it has no attribute `{ATTRIBUTE}`, the machine that stands in for a board\nhint: `xbuild targets` lists the images"
    ))
}

/// The installable of the machine of the image that `name` is.
fn described(session: &Session, name: &str) -> Result<String, Failure> {
    if name.contains('^') {
        return Err(Failure::text(format!(
            "`{name}`: an image is booted as a whole; leave out `^…`"
        )));
    }
    if !name.contains('#') && installable::store_path(session, Path::new(name)).is_some() {
        return Ok(name.to_owned());
    }
    Ok(match name.split_once('#') {
        Some((directory, attribute)) if !attribute.is_empty() => {
            format!("{directory}#{attribute}.{ATTRIBUTE}")
        }
        Some((directory, _)) => format!("{directory}#{ATTRIBUTE}"),
        None => format!("{name}#{ATTRIBUTE}"),
    })
}

/// Makes the machine valid, and says where it lies.
fn realise(session: &Session, wanted: &Wanted) -> Result<PathBuf, Failure> {
    let wanted = std::slice::from_ref(wanted);
    let realised = session.with_realiser(|realiser| realiser.realise(wanted, Mode::Build))?;
    let output = realised.first().and_then(|one| one.outputs.values().next());
    output
        .map(|path| session.store.physical(path))
        .ok_or_else(|| Failure::text("the machine has no output"))
}

/// Where a file of the store lies.
fn physical(session: &Session, path: &Path) -> Result<PathBuf, Failure> {
    let text = path.to_str().unwrap_or_default();
    let (store_path, rest) = StorePath::parse_prefix(text).map_err(|error| {
        Failure::text(format!(
            "{FILE} names {}, which is not in the store: {error}",
            path.display()
        ))
    })?;
    let physical = session.store.physical(&store_path);
    Ok(match rest.trim_start_matches('/') {
        "" => physical,
        rest => physical.join(rest),
    })
}

/// Makes the machine's disk: thrown away with the process, or kept in a file.
pub(crate) fn disk(
    session: &Session,
    machine: &Machine,
    keep: Option<&Path>,
) -> Result<Made, Failure> {
    let cancelled = || session.cancel.is_cancelled();
    let made = match keep {
        Some(path) => disk::kept(&machine.image, &machine.disk, path, &cancelled)?,
        None => {
            let directory = std::env::temp_dir();
            disk::temporary(&machine.image, &machine.disk, &directory, &cancelled)?
        }
    };
    output::note(format!(
        "{}: {} with {}, {}, a disk of {}",
        machine.name,
        machine.machine,
        count(machine.cpus as usize, "CPU", "CPUs"),
        size(u64::from(machine.memory) << 20),
        size(made.size)
    ));
    Ok(made)
}
