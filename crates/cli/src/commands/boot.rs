//! `xbuild boot`

use std::sync::Arc;

use xbuild_vm::interactive::{self, End};
use xbuild_vm::qemu::{Choices, Qemu};

use crate::args::{Boot, Common};
use crate::failure::Failure;
use crate::machine;
use crate::output;
use crate::session::Session;

pub(crate) fn run(common: &Common, args: &Boot) -> Result<(), Failure> {
    let session = Arc::new(Session::open(common, &[], true)?);
    let machine = machine::prepare(&session, &args.guest)?;
    if args.ssh_port.is_some() && machine.network.is_none() {
        return Err(Failure::text(format!(
            "--ssh-port: the machine of {} has no network",
            machine.name
        )));
    }
    let _run = session.ends_in_order();
    let disk = machine::disk(&session, &machine, args.keep_disk.as_deref())?;
    let choices = Choices {
        ssh_port: args.ssh_port,
        isolated: false,
        durable: args.keep_disk.is_some(),
    };
    if let Some(port) = args.ssh_port {
        output::note(format!("ssh: port {port} of 127.0.0.1"));
    }
    output::note("Ctrl-A X ends the machine, Ctrl-A H shows the other keys");
    let qemu = Qemu::start(&machine, &choices, &disk.file)?;
    let end = interactive::run(qemu, machine.console.boot_menu.as_ref(), &|| {
        session.cancel.is_cancelled()
    })?;
    output::note(match end {
        End::Off => "xbuild: the machine is off",
        End::Quit => "\nxbuild: the machine was ended",
    });
    Ok(())
}
