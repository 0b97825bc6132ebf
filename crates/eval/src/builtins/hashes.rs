//! `builtins.hashString`, `builtins.hashFile`, `builtins.convertHash`.

use xbuild_store_model::hash::{Hash, HashAlgo};

use crate::Evaluator;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__convertHash",
        arity: 1,
        run: convert_hash,
    },
    Builtin {
        name: "__hashFile",
        arity: 2,
        run: hash_file,
    },
    Builtin {
        name: "__hashString",
        arity: 2,
        run: hash_string,
    },
];

fn algorithm(ev: &Evaluator, name: &[u8], pos: Pos) -> Result<HashAlgo> {
    let name = String::from_utf8_lossy(name);
    let algo: HashAlgo = name.parse().map_err(|_| {
        let known = "'blake3', 'md5', 'sha1', 'sha256', or 'sha512'";
        EvalError::new(
            pos,
            format!("unknown hash algorithm '{name}', expect {known}"),
        )
    })?;
    if algo == HashAlgo::Blake3 && !ev.settings.has_feature("blake3-hashes") {
        let message = "experimental Nix feature 'blake3-hashes' is disabled; add '--extra-experimental-features blake3-hashes' to enable it";
        return Err(EvalError::new(Pos::NONE, message));
    }
    Ok(algo)
}

fn hash_string(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let algo = ev.force_string_no_context(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.hashString",
    )?;
    let algo = algorithm(ev, algo.bytes(), pos)?;
    // The context is lost: a hash does not depend on what the text depends on.
    let text = ev.force_string(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.hashString",
    )?;
    Ok(ev.string(Hash::of(algo, text.bytes()).to_base16().as_bytes()))
}

fn hash_file(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let algo = ev.force_string_no_context(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.hashFile",
    )?;
    let algo = algorithm(ev, algo.bytes(), pos)?;
    let contents = ev.read_path(args[1], pos)?.1;
    Ok(ev.string(Hash::of(algo, &contents).to_base16().as_bytes()))
}

fn convert_hash(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.convertHash",
    )?;
    let hash = ev.intern(b"hash");
    let hash = ev.required_attr(attrs, hash, pos, "while locating the attribute 'hash'")?;
    let hash =
        ev.force_string_no_context(hash.value, pos, "while evaluating the attribute 'hash'")?;
    let hash = String::from_utf8_lossy(hash.bytes());
    let algo = match attrs.get(ev.intern(b"hashAlgo")) {
        Some(algo) => {
            let algo = ev.force_string_no_context(
                algo.value,
                pos,
                "while evaluating the attribute 'hashAlgo'",
            )?;
            Some(algorithm(ev, algo.bytes(), pos)?)
        }
        None => None,
    };
    let format = ev.intern(b"toHashFormat");
    let format = ev.required_attr(
        attrs,
        format,
        pos,
        "while locating the attribute 'toHashFormat'",
    )?;
    let format = ev.force_string_no_context(
        format.value,
        pos,
        "while evaluating the attribute 'toHashFormat'",
    )?;
    let render: fn(&Hash) -> String = match format.bytes() {
        b"base16" => Hash::to_base16,
        b"nix32" => Hash::to_base32,
        b"base32" => {
            ev.host
                .message(b"warning: \"base32\" is a deprecated alias for hash format \"nix32\".");
            Hash::to_base32
        }
        b"base64" => Hash::to_base64,
        b"sri" => Hash::to_sri,
        other => {
            let other = String::from_utf8_lossy(other);
            let message = format!(
                "unknown hash format '{other}', expect 'base16', 'base32', 'base64', or 'sri'"
            );
            return Err(EvalError::new(Pos::NONE, message));
        }
    };
    let hash = Hash::parse_any(&hash, algo)
        .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?;
    Ok(ev.string(render(&hash).as_bytes()))
}
