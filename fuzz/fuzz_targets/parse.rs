//! Lexer and parser: any bytes give a tree that prints, or an error that renders.
#![no_main]

use std::path::Path;

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use xbuild_syntax::symbol::Symbols;
use xbuild_syntax::{Features, Sources, parse, print};

fuzz_target!(|data: &[u8]| {
    let (mut symbols, mut sources) = (Symbols::new(), Sources::new());
    let features = Features {
        pipe_operators: data.len() % 2 == 0,
        home: Some(Path::new("/home/someone")),
        ..Features::default()
    };
    let arena = Bump::new();
    let id = sources.add("input.nix", data);
    match parse(&arena, &mut symbols, data, id, Path::new("/base"), features) {
        Ok(expr) => drop(print::show(expr, &symbols)),
        Err(error) => assert!(error.render(&sources).starts_with("error: ")),
    }
});
