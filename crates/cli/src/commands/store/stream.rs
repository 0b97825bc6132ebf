//! `xbuild store export` and `import`

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use crate::failure::Failure;
use crate::installable;
use crate::output;
use crate::session::Session;

pub(super) fn export(
    session: &Arc<Session>,
    names: &[String],
    recursive: bool,
) -> Result<(), Failure> {
    let mut paths = installable::valid_paths(session, names)?;
    if recursive {
        paths = session.store.closure(&paths)?;
    }
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        return Err(Failure::text(
            "an export is not text: redirect it to a file or a program (`xbuild store export … >FILE`)",
        ));
    }
    let mut writer = io::BufWriter::with_capacity(128 << 10, &mut stdout);
    session.store.export(&paths, &mut writer)?;
    writer
        .flush()
        .map_err(|error| Failure::text(format!("cannot write to stdout: {error}")))
}

pub(super) fn import(session: &Session) -> Result<(), Failure> {
    let stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Failure::text(
            "what is imported is read from standard input: `xbuild store import <FILE`",
        ));
    }
    for path in session.store.import(stdin)? {
        output::line(path.to_string())?;
    }
    Ok(())
}
