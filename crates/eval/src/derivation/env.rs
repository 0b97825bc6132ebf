//! The attributes of a derivation, as its environment, arguments and outputs.

use std::collections::{BTreeMap, BTreeSet};

use xbuild_store_model::{ContentAddressMethod, HashAlgo};

use crate::Evaluator;
use crate::attrs::Attrs;
use crate::builtins::json_writer;
use crate::error::{EvalError, Result};
use crate::eval::Coercion;
use crate::json::JsonForm;
use crate::position::Pos;
use crate::string::ContextSet;
use crate::value::{Attr, Value, ValueKind};

/// What the attributes of a derivation say.
pub(super) struct Collected {
    pub(super) builder: Vec<u8>,
    pub(super) system: Vec<u8>,
    pub(super) args: Vec<Vec<u8>>,
    pub(super) env: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) outputs: BTreeSet<String>,
    pub(super) context: ContextSet,
    pub(super) hash: Option<String>,
    pub(super) hash_algo: Option<HashAlgo>,
    pub(super) method: Option<ContentAddressMethod>,
    pub(super) content_addressed: bool,
    pub(super) impure: bool,
    /// The members of `__json`, of a derivation with structured attributes.
    json: Option<Vec<u8>>,
}

impl Evaluator {
    pub(super) fn collect_attributes(
        &mut self,
        drv_name: &str,
        attrs: Attrs,
        pos: Pos,
    ) -> Result<Collected> {
        let flag = |ev: &mut Self, name, what: &str| match attrs.value(name) {
            Some(value) => ev.force_bool(value, pos, what),
            None => Ok(false),
        };
        let structured = flag(
            self,
            self.known.structured_attrs,
            "while evaluating the `__structuredAttrs` attribute passed to builtins.derivationStrict",
        )?;
        let ignore_nulls = flag(
            self,
            self.known.ignore_nulls,
            "while evaluating the `__ignoreNulls` attribute passed to builtins.derivationStrict",
        )?;
        let mut collected = Collected {
            builder: Vec::new(),
            system: Vec::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            outputs: BTreeSet::from(["out".to_owned()]),
            context: ContextSet::new(),
            hash: None,
            hash_algo: None,
            method: None,
            content_addressed: false,
            impure: false,
            json: structured.then(Vec::new),
        };
        for attr in self.sorted_by_name(attrs) {
            if attr.name == self.known.ignore_nulls {
                continue;
            }
            if let Err(error) =
                self.collect_attribute(drv_name, &mut collected, attr, ignore_nulls, pos)
            {
                let name = self.name(attr.name);
                return Err(error.context(
                    attr.pos,
                    format!("while evaluating attribute '{name}' of derivation '{drv_name}'"),
                ));
            }
        }
        if let Some(mut members) = collected.json.take() {
            members.insert(0, b'{');
            members.push(b'}');
            collected.env.insert(
                xbuild_derivation::STRUCTURED_ATTRS_VARIABLE.to_owned(),
                members,
            );
        }
        Ok(collected)
    }

    fn collect_attribute(
        &mut self,
        drv_name: &str,
        to: &mut Collected,
        attr: Attr,
        ignore_nulls: bool,
        pos: Pos,
    ) -> Result<()> {
        let known = self.known;
        if ignore_nulls && matches!(self.force(attr.value, Pos::NONE)?.kind(), ValueKind::Null) {
            return Ok(());
        }
        if attr.name == known.content_addressed {
            if self.force_bool(attr.value, pos, "")? {
                self.require_feature("ca-derivations")?;
                to.content_addressed = true;
            }
            return Ok(());
        }
        if attr.name == known.impure {
            if self.force_bool(attr.value, pos, "")? {
                self.require_feature("impure-derivations")?;
                to.impure = true;
            }
            return Ok(());
        }
        if attr.name == known.args {
            let list = self.force_list(attr.value, pos, "")?;
            for element in list.as_slice() {
                let arg = self.coerce_to_string(
                    *element,
                    pos,
                    &mut to.context,
                    Coercion::DERIVATION,
                    "while evaluating an element of the argument list",
                )?;
                to.args.push(arg.bytes().to_vec());
            }
            return Ok(());
        }
        if to.json.is_some() {
            return self.collect_structured(drv_name, to, attr, pos);
        }
        if self.symbols.name(attr.name) == xbuild_derivation::STRUCTURED_ATTRS_VARIABLE {
            return self.collect_json(drv_name, to, attr);
        }
        let text = self
            .coerce_to_string(
                attr.value,
                Pos::NONE,
                &mut to.context,
                Coercion::DERIVATION,
                "",
            )?
            .bytes()
            .to_vec();
        let words = |text: &[u8]| -> Vec<String> {
            text.split(|byte| b" \t\n\r".contains(byte))
                .filter(|word| !word.is_empty())
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect()
        };
        self.collect_special(drv_name, to, attr, &text, &|_: &mut Self| Ok(words(&text)))?;
        to.env.insert(self.symbols.name(attr.name).to_owned(), text);
        Ok(())
    }

    /// `__json`, the old way of having structured attributes: it is read, and written in one form.
    fn collect_json(&mut self, drv_name: &str, to: &mut Collected, attr: Attr) -> Result<()> {
        let how = Coercion::DERIVATION;
        let text = self.coerce_to_string(attr.value, Pos::NONE, &mut to.context, how, "")?;
        self.host.message(
            format!(
                "warning: In derivation '{drv_name}': setting structured attributes via '__json' is deprecated, and may be disallowed in future versions of Nix. Set '__structuredAttrs = true' instead."
            )
            .as_bytes(),
        );
        let members = self.read_json(text.bytes(), Pos::NONE).map_err(|error| {
            EvalError::new(
                Pos::NONE,
                format!("cannot process __json attribute: {error}"),
            )
        })?;
        let json = self.to_json(members, Pos::NONE, &mut ContextSet::new(), JsonForm::PLAIN)?;
        to.env.insert(
            xbuild_derivation::STRUCTURED_ATTRS_VARIABLE.to_owned(),
            json,
        );
        Ok(())
    }

    fn collect_structured(
        &mut self,
        drv_name: &str,
        to: &mut Collected,
        attr: Attr,
        pos: Pos,
    ) -> Result<()> {
        let known = self.known;
        if attr.name == known.structured_attrs {
            return Ok(());
        }
        let json = self.to_json(attr.value, pos, &mut to.context, JsonForm::BUILTIN)?;
        if let Some(members) = &mut to.json {
            if !members.is_empty() {
                members.push(b',');
            }
            json_writer::write_string(members, self.symbols.name(attr.name))
                .map_err(|error| EvalError::new(pos, error.to_string()))?;
            members.push(b':');
            members.extend_from_slice(&json);
        }
        if attr.name == known.outputs {
            let value = attr.value;
            return self.collect_special(drv_name, to, attr, b"", &|ev: &mut Self| {
                ev.output_names(value, pos)
            });
        }
        let special = [
            known.builder,
            known.system,
            known.output_hash,
            known.output_hash_algo,
            known.output_hash_mode,
        ];
        if special.contains(&attr.name) {
            let string = if attr.name == known.builder {
                let string = self.force_string(attr.value, pos, "")?;
                to.context.add(string.context());
                string
            } else {
                self.force_string_no_context(attr.value, pos, "")?
            };
            return self.collect_special(drv_name, to, attr, string.bytes(), &|_: &mut Self| {
                Ok(Vec::new())
            });
        }
        let limits: [&[u8]; 6] = [
            b"allowedReferences",
            b"allowedRequisites",
            b"disallowedReferences",
            b"disallowedRequisites",
            b"maxSize",
            b"maxClosureSize",
        ];
        let name = self.symbols.name(attr.name);
        if limits.contains(&name) {
            let name = String::from_utf8_lossy(name);
            self.host.message(
                format!(
                    "warning: In a derivation named '{drv_name}', 'structuredAttrs' disables the effect of the derivation attribute '{name}'; use 'outputChecks.<output>.{name}' instead"
                )
                .as_bytes(),
            );
        }
        Ok(())
    }

    fn output_names(&mut self, value: Value, pos: Pos) -> Result<Vec<String>> {
        let list = self.force_list(value, pos, "")?;
        let mut names = Vec::with_capacity(list.len());
        for element in list.as_slice() {
            let name = self.force_string_no_context(*element, pos, "")?;
            names.push(String::from_utf8_lossy(name.bytes()).into_owned());
        }
        Ok(names)
    }

    /// Attributes that mean something to the store besides being passed to the builder.
    fn collect_special(
        &mut self,
        drv_name: &str,
        to: &mut Collected,
        attr: Attr,
        text: &[u8],
        outputs: &dyn Fn(&mut Self) -> Result<Vec<String>>,
    ) -> Result<()> {
        let known = self.known;
        let name = attr.name;
        let shown = || String::from_utf8_lossy(text).into_owned();
        if name == known.builder {
            to.builder = text.to_vec();
        } else if name == known.system {
            to.system = text.to_vec();
        } else if name == known.output_hash {
            to.hash = Some(shown());
        } else if name == known.output_hash_algo {
            // An unknown algorithm only matters if the hash does not name its own.
            to.hash_algo = shown().parse().ok();
            if to.hash_algo == Some(HashAlgo::Blake3) {
                self.require_feature("blake3-hashes")?;
            }
        } else if name == known.output_hash_mode {
            to.method = Some(match text {
                b"recursive" | b"nar" => ContentAddressMethod::NIX_ARCHIVE,
                b"flat" => ContentAddressMethod::FLAT,
                b"text" => {
                    let reason =
                        format!("text-hashed derivation '{drv_name}', outputHashMode = \"text\"");
                    self.require_feature_for("dynamic-derivations", &reason)?;
                    ContentAddressMethod::Text
                }
                b"git" => {
                    self.require_feature("git-hashing")?;
                    return Err(EvalError::new(
                        Pos::NONE,
                        "outputHashMode = \"git\" is not supported; use \"recursive\"",
                    ));
                }
                _ => {
                    return Err(EvalError::new(
                        Pos::NONE,
                        format!("invalid value '{}' for 'outputHashMode' attribute", shown()),
                    ));
                }
            });
        } else if name == known.outputs {
            to.outputs.clear();
            for output in outputs(self)? {
                if output == "drvPath" {
                    return Err(EvalError::new(
                        Pos::NONE,
                        "invalid derivation output name 'drvPath'",
                    ));
                }
                if to.outputs.contains(&output) {
                    return Err(EvalError::new(
                        Pos::NONE,
                        format!("duplicate derivation output '{output}'"),
                    ));
                }
                to.outputs.insert(output);
            }
            if to.outputs.is_empty() {
                return Err(EvalError::new(
                    Pos::NONE,
                    "derivation cannot have an empty set of outputs",
                ));
            }
        }
        Ok(())
    }

    /// Fails unless an experimental feature is on.
    ///
    /// # Errors
    ///
    /// If it is off.
    pub fn require_feature(&self, feature: &str) -> Result<()> {
        self.require_feature_for(feature, "")
    }

    /// As [`Evaluator::require_feature`], saying what needs it.
    pub(crate) fn require_feature_for(&self, feature: &str, reason: &str) -> Result<()> {
        if self.settings.has_feature(feature) {
            return Ok(());
        }
        let reason = match reason {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        Err(EvalError::new(
            Pos::NONE,
            format!(
                "experimental Nix feature '{feature}' is disabled{reason}; add '--extra-experimental-features {feature}' to enable it"
            ),
        ))
    }
}
