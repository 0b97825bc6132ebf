//! Evaluates a file or an expression, as `nix-instantiate --eval` does: for measurements and comparisons.
//!
//! `evaluate [--strict] [--json] [--drv] [-A PATH] [-I PATH] (FILE | -E EXPR)`

use std::path::PathBuf;
use std::process::ExitCode;

use xbuild_eval::json::JsonForm;
use xbuild_eval::local_host::LocalHost;
use xbuild_eval::settings::SearchPathEntry;
use xbuild_eval::string::ContextSet;
use xbuild_eval::{Evaluator, Pos, Result, Settings, Value, stack};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match stack::with_big_stack(|| run(&args)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> ExitCode {
    let mut settings = Settings::default();
    let (mut strict, mut json, mut memory) = (false, false, false);
    let mut path = String::new();
    let mut expr = None;
    let mut file = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--strict" => strict = true,
            "--json" => json = true,
            "--memory" => memory = true,
            "-A" => path = args.next().cloned().unwrap_or_default(),
            "-I" => settings
                .search_path
                .extend(args.next().map(|entry| SearchPathEntry::parse(entry))),
            "-E" => expr = args.next(),
            _ => file = Some(PathBuf::from(arg)),
        }
    }
    let mut ev = Evaluator::new(Box::new(LocalHost::new()), settings);
    let base = std::env::current_dir().unwrap_or_default();
    let result = evaluate(
        &mut ev,
        expr,
        file.map(|file| base.join(file)),
        &base,
        &path,
    )
    .and_then(|value| show(&mut ev, value, strict, json));
    if memory {
        eprintln!("heap: {} KiB", ev.heap.allocated_bytes() / 1024);
    }
    match result {
        Ok(text) => {
            println!("{}", String::from_utf8_lossy(&text));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("{}", ev.render(&error, false));
            ExitCode::FAILURE
        }
    }
}

fn evaluate(
    ev: &mut Evaluator,
    expr: Option<&String>,
    file: Option<PathBuf>,
    base: &std::path::Path,
    path: &str,
) -> Result<Value> {
    let value = match (expr, file) {
        (Some(expr), _) => ev.eval_expr(expr, base)?,
        (None, Some(file)) => ev.eval_file(&file)?,
        (None, None) => ev.eval_file(&base.join("default.nix"))?,
    };
    if path.is_empty() {
        Ok(value)
    } else {
        ev.select_path(value, path)
    }
}

fn show(ev: &mut Evaluator, value: Value, strict: bool, json: bool) -> Result<Vec<u8>> {
    let value = ev.auto_call(value, &[])?;
    if json {
        return ev.to_json(value, Pos::NONE, &mut ContextSet::new(), JsonForm::BUILTIN);
    }
    ev.print(value, strict)
}
