//! Derivation to JSON, version 4: what `nix derivation show` of Nix 2.34
//! prints for one derivation.
//!
//! Format: Nix manual, "Derivation JSON Format". Store paths are base names
//! where they are structure, and whole paths where they are text (arguments,
//! environment); keys are in the order of their bytes.

use serde_json::{Map, Value, json};
use xbuild_store_model::{ContentAddressMethod, FileIngestionMethod, StorePath};

use crate::error::{Error, Result};
use crate::{Derivation, Output, STRUCTURED_ATTRS_VARIABLE};

/// The version of this format.
pub(crate) const VERSION: u32 = 4;

pub(crate) fn derivation(drv: &Derivation) -> Result<Value> {
    let text = |bytes: &[u8], what: &dyn Fn() -> String| utf8(drv, bytes, what);
    let mut env = Map::new();
    let mut structured_attrs = None;
    for (name, value) in &drv.env {
        if name == STRUCTURED_ATTRS_VARIABLE {
            structured_attrs = Some(structured(drv, value)?);
            continue;
        }
        let name = text(name, &|| "the name of an environment variable".to_owned())?;
        let value = text(value, &|| format!("the environment variable '{name}'"))?;
        env.insert(name, value.into());
    }
    let mut args = Vec::with_capacity(drv.args.len());
    for (i, arg) in drv.args.iter().enumerate() {
        args.push(text(arg, &|| format!("argument {i} of the builder"))?);
    }
    let drvs: Map<String, Value> = drv
        .input_drvs
        .iter()
        .map(|(path, outputs)| {
            (
                path.base_name().to_owned(),
                json!({ "dynamicOutputs": {}, "outputs": outputs }),
            )
        })
        .collect();
    let srcs: Vec<&str> = drv.input_srcs.iter().map(StorePath::base_name).collect();
    let outputs: Map<String, Value> = drv
        .outputs
        .iter()
        .map(|(name, output)| (name.clone(), show_output(output)))
        .collect();

    let mut object = Map::new();
    object.insert("args".to_owned(), args.into());
    object.insert(
        "builder".to_owned(),
        text(&drv.builder, &|| "the builder".to_owned())?.into(),
    );
    object.insert("env".to_owned(), env.into());
    object.insert("inputs".to_owned(), json!({ "drvs": drvs, "srcs": srcs }));
    object.insert("name".to_owned(), drv.name.clone().into());
    object.insert("outputs".to_owned(), outputs.into());
    if let Some(attrs) = structured_attrs {
        object.insert("structuredAttrs".to_owned(), attrs);
    }
    object.insert(
        "system".to_owned(),
        text(&drv.system, &|| "the system".to_owned())?.into(),
    );
    object.insert("version".to_owned(), VERSION.into());
    Ok(Value::Object(object))
}

fn show_output(output: &Output) -> Value {
    match output {
        Output::InputAddressed(path) => json!({ "path": path.base_name() }),
        Output::Fixed { method, hash, .. } => {
            json!({ "hash": hash.to_sri(), "method": method_name(*method) })
        }
        Output::Floating { method, algo } => {
            json!({ "hashAlgo": algo.name(), "method": method_name(*method) })
        }
        Output::Deferred => json!({}),
        Output::Impure { method, algo } => {
            json!({ "hashAlgo": algo.name(), "impure": true, "method": method_name(*method) })
        }
    }
}

fn method_name(method: ContentAddressMethod) -> &'static str {
    match method {
        ContentAddressMethod::Text => "text",
        ContentAddressMethod::Fixed(FileIngestionMethod::Flat) => "flat",
        ContentAddressMethod::Fixed(FileIngestionMethod::NixArchive) => "nar",
    }
}

/// The structured attributes, read from their variable.
fn structured(drv: &Derivation, json: &[u8]) -> Result<Value> {
    let error = |message| Error::StructuredAttrs {
        name: drv.name.clone(),
        message,
    };
    let mut value: Value =
        serde_json::from_slice(json).map_err(|cause| error(cause.to_string()))?;
    if !value.is_object() {
        return Err(error("it holds another JSON value".to_owned()));
    }
    value.sort_all_objects();
    Ok(value)
}

fn utf8(drv: &Derivation, bytes: &[u8], what: &dyn Fn() -> String) -> Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(Error::NotUtf8 {
            name: drv.name.clone(),
            what: what(),
            offset: error.valid_up_to(),
        }),
    }
}
