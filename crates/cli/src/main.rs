//! The `xbuild` command: arguments, output, wiring. What the words mean is in the other crates.
//!
//! Store paths and values go to stdout, everything else to stderr. See `docs/commands.md`.

mod args;
mod commands;
mod failure;
mod flake_installable;
mod installable;
mod machine;
mod main_stack;
mod output;
mod progress;
mod screen;
mod search_path;
mod session;
mod setting_flags;
mod signals;
mod value_output;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use mimalloc::MiMalloc;
use xbuild_eval::allocator::EndingAllocator;

use crate::args::{Bench, Cli, Command};

/// An evaluation can need more memory than there is, and that is an error like others.
#[global_allocator]
static ALLOCATOR: EndingAllocator<MiMalloc> = EndingAllocator(MiMalloc);

/// What was asked for; ends the program where that is not understood.
fn arguments() -> Cli {
    // To describe them all takes much of the time of a short command, so they are described once.
    let mut cli = Cli::command();
    let given = setting_flags::expand(&cli, std::env::args_os());
    let found = cli.try_get_matches_from_mut(given).and_then(|mut matches| {
        Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut cli))
    });
    // So does it to take the descriptions apart again.
    std::mem::forget(cli);
    found.unwrap_or_else(|error| error.exit())
}

fn main() -> ExitCode {
    main_stack::with_enough(run)
}

fn run() -> ExitCode {
    let Cli { common, command } = arguments();
    progress::Manner::choose(&common.talk);
    let result = match &command {
        Command::Realise(args) => commands::realise::run(&common, args),
        Command::Instantiate(args) => commands::instantiate::run(&common, args),
        Command::Eval(args) => commands::eval::run(&common, args),
        Command::EvalJobs(args) => commands::eval_jobs::run(&common, args),
        Command::Repl(args) => commands::repl::run(&common, args),
        Command::Derivation(args) => commands::derivation::run(&common, args),
        Command::Flake(args) => commands::flake::run(&common, args),
        Command::Log(args) => commands::log::run(&common, args),
        Command::Report(args) => commands::report::run(&common, args),
        Command::Store(args) => commands::store::run(&common, args),
        Command::PathInfo(args) => commands::path_info::run(&common, args),
        Command::Check(args) => commands::check::run(&common, args),
        Command::Targets(args) => commands::targets::run(&common, args),
        Command::Boot(args) => commands::boot::run(&common, args),
        Command::Doctor(args) => commands::doctor::run(&common, args),
        Command::Test(args) => commands::test::run(&common, args),
        Command::Bench(Bench::Scheduler(args)) => commands::bench::scheduler(&common, args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                // An evaluation's error begins with its trace, in lines of its own.
                let space = if failure.message.starts_with('\n') {
                    ""
                } else {
                    " "
                };
                output::note(format!("error:{space}{}", failure.message));
            }
            ExitCode::from(failure.code)
        }
    }
}
