//! Evaluation speed: `cargo bench -p xbuild-eval`.

use xbuild_eval::local_host::LocalHost;
use xbuild_eval::{Evaluator, Settings, stack};

fn main() {
    divan::main();
}

/// Programs that lean on one part of the evaluator each.
const PROGRAMS: [(&str, &str); 5] = [
    (
        "calls",
        "let fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2); in fib 20",
    ),
    (
        "updates",
        "builtins.length (builtins.attrNames (builtins.foldl' (a: x: a // { \"k${toString x}\" = x; }) { } (builtins.genList (x: x) 500)))",
    ),
    (
        "lists",
        "builtins.foldl' (a: x: a + x) 0 (builtins.filter (x: x > 5) (map (x: x + 1) (builtins.genList (x: x) 20000)))",
    ),
    (
        "strings",
        "builtins.stringLength (builtins.foldl' (a: x: a + \"${toString x},\") \"\" (builtins.genList (x: x) 2000))",
    ),
    (
        "derivations",
        "let mk = n: derivation { name = \"d${toString n}\"; system = \"s\"; builder = \"/bin/sh\"; deps = if n == 0 then [ ] else [ (builtins.elemAt list (n - 1)) ]; }; list = builtins.genList mk 1000; in (builtins.elemAt list 999).drvPath",
    ),
];

#[divan::bench(args = PROGRAMS.map(|(name, _)| name))]
fn evaluate(bencher: divan::Bencher<'_, '_>, name: &str) {
    let text = PROGRAMS
        .iter()
        .find(|(program, _)| *program == name)
        .map_or("", |(_, text)| text);
    bencher.bench_local(|| {
        stack::with_big_stack(|| {
            let mut ev = Evaluator::new(Box::new(LocalHost::new()), Settings::default());
            let value = ev
                .eval_expr(text, std::path::Path::new("/"))
                .expect("it evaluates");
            ev.print(value, true).expect("it prints")
        })
        .expect("a stack")
    });
}
