//! Readers of formats: `.drv` files, archives, JSON, TOML, hashes, store paths. The first byte says which.
#![no_main]

use std::io::{self, Read};
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use xbuild_derivation::Derivation;
use xbuild_eval::local_host::LocalHost;
use xbuild_eval::{Evaluator, Settings, stack};
use xbuild_store_model::nar::{self, Limits, NarSink};
use xbuild_store_model::{Hash, StorePath};

/// Takes everything and keeps nothing.
struct Nowhere;

impl NarSink for Nowhere {
    fn regular(&mut self, _: &[u8], _: bool, _: u64, contents: &mut dyn Read) -> io::Result<()> {
        io::copy(contents, &mut io::sink()).map(drop)
    }

    fn symlink(&mut self, _: &[u8], _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn begin_directory(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end_directory(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(data);
    match which % 6 {
        0 => {
            if let Ok(derivation) = Derivation::parse("name", data) {
                // What is read is written with the same bytes.
                assert_eq!(derivation.to_aterm(), data);
            }
        }
        1 => drop(nar::read(data, &mut Nowhere, &Limits::default())),
        2 => evaluate("builtins.fromJSON", &text),
        3 => evaluate("fromTOML", &text),
        4 => {
            if let Ok(hash) = Hash::parse_any(&text, None) {
                assert_eq!(Hash::parse_any(&hash.to_sri(), None), Ok(hash));
            }
        }
        _ => {
            if let Ok(path) = StorePath::parse(&text) {
                assert_eq!(path.to_string(), text);
            }
        }
    }
});

/// Calls a builtin with the text, as a string of the language.
fn evaluate(builtin: &str, text: &str) {
    let mut literal = Vec::new();
    xbuild_eval::print::print_string(text.as_bytes(), &mut literal);
    let expression = format!("{builtin} {}", String::from_utf8_lossy(&literal));
    stack::with_big_stack(|| {
        let mut ev = Evaluator::new(Box::new(LocalHost::new()), Settings::default());
        let result = ev
            .eval_expr(&expression, Path::new("/"))
            .and_then(|value| ev.print(value, true));
        if let Err(error) = result {
            assert!(ev.render(&error, true).starts_with("error:"));
        }
    })
    .expect("a stack");
}
