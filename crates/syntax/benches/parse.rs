//! How fast a large file is read. The text resembles the list of all packages of nixpkgs, which is what evaluations
//! of it spend most of their parsing time on. Run with `cargo bench -p xbuild-syntax`.
#![allow(missing_docs)]

use std::fmt::Write as _;
use std::path::Path;

use bumpalo::Bump;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use xbuild_syntax::span::SourceId;
use xbuild_syntax::symbol::Symbols;
use xbuild_syntax::{Features, parse, print};

fn main() {
    divan::main();
}

/// A text like `all-packages.nix`, with `packages` attributes.
fn all_packages(packages: usize) -> String {
    let mut text = String::from(
        "/* The top-level package collection.\n * It is sorted by categories corresponding to the folder names.\n */\n\
         { lib, noSysDirs, config, overlays }:\nres: pkgs: super:\n\nwith pkgs;\n\n{\n\
         \x20 inherit (lib) lowPrio hiPrio appendToName makeOverridable;\n\n",
    );
    for i in 0..packages {
        // Writing to a string cannot fail.
        let _ = match i % 10 {
            0..=4 => write!(
                text,
                "  package-{i} = callPackage ../tools/misc/package-{i} {{ }};\n\n"
            ),
            5 | 6 => write!(
                text,
                "  package_{i} = callPackage ../development/libraries/package_{i} {{\n    inherit (darwin.apple_sdk.frameworks) Cocoa CoreServices;\n    python = python3;\n    enableFeature{i} = !stdenv.isDarwin && stdenv.isLinux;\n  }};\n\n"
            ),
            7 => write!(
                text,
                "  # An alias, kept for those who use the old name.\n  inherit (callPackages ../servers/package{i} {{ openssl = openssl_1_1; }})\n    package{i}_a\n    package{i}_b;\n\n"
            ),
            8 => write!(
                text,
                "  package{i}Packages = recurseIntoAttrs (package{i}.overrideScope (final: prev: {{\n    version = \"1.2.{i}\";\n    patches = prev.patches or [ ] ++ [ ./fix-{i}.patch ];\n  }}));\n\n"
            ),
            _ => write!(
                text,
                "  package{i} = (callPackage ../applications/package{i} {{ }}).overrideAttrs (old: {{\n    postInstall = ''\n      mkdir -p $out/share\n      cp -r ${{package{i}_data}}/* $out/share/\n    '';\n  }});\n\n"
            ),
        };
    }
    text.push_str("}\n");
    text
}

#[divan::bench(args = [100, 20_000])]
fn parse_all_packages(bencher: Bencher<'_, '_>, packages: usize) {
    let text = all_packages(packages);
    bencher
        .counter(BytesCount::new(text.len()))
        .with_inputs(|| (Bump::new(), Symbols::new()))
        .bench_refs(|(arena, symbols)| {
            let base = Path::new("/nixpkgs/pkgs/top-level");
            let expr = parse(
                arena,
                symbols,
                text.as_bytes(),
                SourceId(0),
                base,
                Features::default(),
            );
            black_box(expr.is_ok())
        });
}

#[divan::bench]
fn print_all_packages(bencher: Bencher<'_, '_>) {
    let text = all_packages(20_000);
    let arena = Bump::new();
    let mut symbols = Symbols::new();
    let base = Path::new("/nixpkgs/pkgs/top-level");
    let expr = parse(
        &arena,
        &mut symbols,
        text.as_bytes(),
        SourceId(0),
        base,
        Features::default(),
    )
    .expect("the text is an expression");
    bencher.bench(|| print::show(black_box(expr), &symbols));
}
