//! Lexer and parser: any bytes give a tree or an error that can be shown; a tree prints as a text that parses again.
#![no_main]

use std::path::Path;

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use xbuild_syntax::symbol::Symbols;
use xbuild_syntax::{Features, Sources, parse, print};

fuzz_target!(|data: &[u8]| {
    let (mut symbols, mut sources) = (Symbols::new(), Sources::new());
    let features = || Features {
        pipe_operators: data.len() % 2 == 0,
        home: Some(Path::new("/home/someone")),
        lints: None,
    };
    let arena = Bump::new();
    let id = sources.add("input.nix", data);
    let printed = match parse(&arena, &mut symbols, data, id, Path::new("/base"), features()) {
        Ok(expr) => print::show(expr, &symbols),
        Err(error) => {
            assert!(error.render(&sources).starts_with("error: "));
            return;
        }
    };
    let id = sources.add("printed.nix", printed.as_slice());
    match parse(&arena, &mut symbols, &printed, id, Path::new("/base"), features()) {
        Ok(again) => assert_eq!(print::show(again, &symbols), printed),
        // The printed text has more parentheses, and so a depth that may be too much.
        Err(error) => assert!(
            error.render(&sources).contains("nested"),
            "{}\n{}",
            String::from_utf8_lossy(&printed),
            error.render(&sources)
        ),
    }
});
