//! Evaluates attribute paths, one after the other.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Write};

use xbuild_derivation::Derivation;
use xbuild_eval::entry::FoundDerivation;
use xbuild_eval::json::JsonForm;
use xbuild_eval::string::ContextSet;
use xbuild_eval::{EvalError, Evaluator, Pos, Value};
use xbuild_store_model::StorePath;
use xbuild_syntax::symbol::Symbol;

use crate::line::{AttrPath, Job, Line, Outcome};
use crate::memory;
use crate::message::{Reply, Request};

/// What is wanted to know.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Look into every set, not only those with `recurseForDerivations`.
    pub force_recurse: bool,
    /// Tell `meta`.
    pub meta: bool,
    /// Tell whether the outputs are there.
    pub check_cache_status: bool,
    /// Do not write derivations.
    pub no_instantiate: bool,
    /// Errors with all frames.
    pub show_trace: bool,
    /// The memory after which a worker is replaced, in bytes.
    pub max_memory: u64,
}

/// How the value is had whose attributes are asked for.
pub type EvaluateRoot<'e> = dyn FnMut(&mut Evaluator) -> Result<Value, EvalError> + 'e;

/// The value whose attributes are asked for. It is evaluated when it is first needed.
pub struct Root<'e> {
    /// The value, if it is known.
    pub value: Option<Value>,
    /// How to have it.
    pub evaluate: Box<EvaluateRoot<'e>>,
}

/// A worker: an evaluator and the value whose attributes are asked for.
pub struct Worker<'e> {
    evaluator: &'e mut Evaluator,
    options: Options,
    /// The values of the paths that were looked into, functions among them called.
    known: HashMap<AttrPath, Value>,
    arguments: Vec<(Symbol, Value)>,
    apply: Option<Value>,
    root: Root<'e>,
}

/// An attribute, evaluated.
#[derive(Clone, Copy)]
enum Found {
    Derivation(Value),
    Set(Value),
    Other,
}

impl<'e> Worker<'e> {
    /// A worker on the attributes of `root`; functions on the way get `arguments`. `apply` is called with each derivation.
    pub fn new(
        evaluator: &'e mut Evaluator,
        root: Root<'e>,
        arguments: Vec<(Symbol, Value)>,
        apply: Option<Value>,
        options: Options,
    ) -> Self {
        Self {
            evaluator,
            options,
            known: HashMap::new(),
            arguments,
            apply,
            root,
        }
    }

    /// Answers requests until there are no more, or too much memory is in use.
    ///
    /// # Errors
    ///
    /// If reading or writing fails.
    pub fn serve(&mut self, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
        for line in input.lines() {
            let request: Request = serde_json::from_str(&line?)?;
            let mut replies = Vec::new();
            let mut full = false;
            for path in &request.paths {
                let reply = self.reply(path);
                replies.push((path, reply));
                if memory::resident() > self.options.max_memory {
                    full = true;
                    break;
                }
            }
            // What is told of is in the store by then.
            let flushed = match self.options.no_instantiate {
                true => Ok(()),
                false => self.evaluator.flush(),
            };
            for (path, mut reply) in replies {
                if let (Err(error), Reply::Line(line)) = (&flushed, &mut reply)
                    && matches!(line.result, Outcome::Job(_))
                {
                    **line = self.failed(path, error);
                }
                serde_json::to_writer(&mut output, &reply)?;
                output.write_all(b"\n")?;
            }
            if full {
                serde_json::to_writer(&mut output, &Reply::Full)?;
                output.write_all(b"\n")?;
                return output.flush();
            }
            output.flush()?;
        }
        Ok(())
    }

    /// What is to be said of a path.
    pub fn reply(&mut self, path: &[String]) -> Reply {
        let replied = self.find(path).and_then(|found| self.tell(path, found));
        replied.unwrap_or_else(|error| Reply::Line(Box::new(self.failed(path, &error))))
    }

    fn failed(&self, path: &[String], error: &EvalError) -> Line {
        let text = self.evaluator.render(error, self.options.show_trace);
        Line::failed(path, text.trim_end())
    }

    fn find(&mut self, path: &[String]) -> Result<Found, EvalError> {
        let value = self.value(path)?;
        let Some(attrs) = value.as_attrs() else {
            // An attribute may be anything, but of the whole something is expected.
            if path.is_empty() {
                return Err(EvalError::new(
                    Pos::NONE,
                    format!(
                        "expected a derivation or a set of derivations but found {}: {}",
                        value.kind().type_name(),
                        self.evaluator.show_for_error(value)
                    ),
                ));
            }
            return Ok(Found::Other);
        };
        if self.evaluator.is_derivation(attrs, Pos::NONE)? {
            return Ok(Found::Derivation(value));
        }
        // The whole need not ask for it, but may refuse.
        let says = attrs.get(self.evaluator.known.recurse_for_derivations);
        let is_wanted = self.options.force_recurse
            || (path.is_empty() && says.is_none())
            || self.evaluator.wants_recursion(attrs)?;
        Ok(if is_wanted {
            self.known.insert(path.to_vec(), value);
            Found::Set(value)
        } else {
            Found::Other
        })
    }

    fn value(&mut self, path: &[String]) -> Result<Value, EvalError> {
        if let Some(&value) = self.known.get(path) {
            return Ok(value);
        }
        let value = match path.split_last() {
            None => match self.root.value {
                Some(value) => value,
                None => {
                    let value = (self.root.evaluate)(self.evaluator)?;
                    self.root.value = Some(value);
                    value
                }
            },
            Some((name, parent)) => {
                let parent = self.value(parent)?;
                let symbol = self.evaluator.intern(name.as_bytes());
                let attr = parent.as_attrs().and_then(|attrs| attrs.get(symbol));
                match attr {
                    Some(attr) => self.evaluator.force(attr.value, attr.pos)?,
                    None => {
                        let message = format!("attribute '{name}' is not there any more");
                        return Err(EvalError::new(Pos::NONE, message));
                    }
                }
            }
        };
        self.evaluator.auto_call(value, &self.arguments)
    }

    fn tell(&mut self, path: &[String], found: Found) -> Result<Reply, EvalError> {
        let value = match found {
            Found::Derivation(value) => value,
            Found::Set(value) => {
                let attrs = value.as_attrs();
                let sorted = attrs.map(|attrs| self.evaluator.sorted_by_name(attrs));
                let names = sorted.into_iter().flatten();
                let names = names.map(|attr| self.evaluator.name(attr.name).into_owned());
                return Ok(Reply::Attrs(names.collect()));
            }
            Found::Other => return Ok(Reply::Nothing),
        };
        let found = self.evaluator.derivations(value, &self.arguments)?;
        let Some(found) = found.into_iter().next() else {
            return Ok(Reply::Nothing);
        };
        let job = self.job(value, &found)?;
        Ok(Reply::Line(Box::new(Line::new(
            path,
            Outcome::Job(Box::new(job)),
        ))))
    }

    fn job(&mut self, value: Value, found: &FoundDerivation) -> Result<Job, EvalError> {
        let failed =
            |error: xbuild_eval::host::HostError| EvalError::new(Pos::NONE, error.to_string());
        let derivation = self
            .evaluator
            .host
            .read_derivation(&found.drv_path)
            .map_err(failed)?;
        let outputs: BTreeMap<String, Option<String>> = derivation
            .outputs
            .iter()
            .map(|(name, output)| (name.clone(), output.path().map(ToString::to_string)))
            .collect();
        let is_cached = match self.options.check_cache_status {
            true => Some(self.is_cached(&derivation).map_err(failed)?),
            false => None,
        };
        let input_drvs = derivation.input_drvs.iter();
        Ok(Job {
            drv_path: found.drv_path.to_string(),
            extra_value: self.applied(value)?,
            input_drvs: input_drvs
                .map(|(drv, outputs)| (drv.to_string(), outputs.clone()))
                .collect(),
            is_cached,
            cache_status: is_cached.map(|is_cached| {
                let status = if is_cached { "local" } else { "notBuilt" };
                status.to_owned()
            }),
            meta: match self.options.meta {
                true => self.meta(value)?,
                false => None,
            },
            name: found.name.clone(),
            outputs,
            required_system_features: required_features(&derivation),
            system: String::from_utf8_lossy(&derivation.system).into_owned(),
        })
    }

    fn is_cached(&self, derivation: &Derivation) -> xbuild_eval::host::HostResult<bool> {
        let paths: Vec<&StorePath> = derivation
            .outputs
            .values()
            .filter_map(|output| output.path())
            .collect();
        for path in &paths {
            if !self.evaluator.host.is_valid(path)? {
                return Ok(false);
            }
        }
        Ok(paths.len() == derivation.outputs.len())
    }

    fn applied(&mut self, value: Value) -> Result<Option<serde_json::Value>, EvalError> {
        let Some(apply) = self.apply else {
            return Ok(None);
        };
        let result = self.evaluator.call(apply, &[value], Pos::NONE)?;
        self.json(result).map(Some)
    }

    /// `meta`, as far as it can be evaluated and JSON has it.
    fn meta(&mut self, value: Value) -> Result<Option<serde_json::Value>, EvalError> {
        let meta = self.evaluator.intern(b"meta");
        let Some(attr) = value.as_attrs().and_then(|attrs| attrs.get(meta)) else {
            return Ok(None);
        };
        let meta = self.evaluator.force(attr.value, attr.pos)?;
        let Some(attrs) = meta.as_attrs() else {
            return Ok(None);
        };
        let mut told = serde_json::Map::new();
        for attr in self.evaluator.sorted_by_name(attrs) {
            if let Ok(value) = self.json(attr.value) {
                told.insert(self.evaluator.name(attr.name).into_owned(), value);
            }
        }
        Ok(Some(told.into()))
    }

    fn json(&mut self, value: Value) -> Result<serde_json::Value, EvalError> {
        let mut context = ContextSet::new();
        let json = self
            .evaluator
            .to_json(value, Pos::NONE, &mut context, JsonForm::PLAIN)?;
        serde_json::from_slice(&json).map_err(|error| EvalError::new(Pos::NONE, error.to_string()))
    }
}

/// Answers requests where nothing can be evaluated: each path has this error.
///
/// # Errors
///
/// If reading or writing fails.
pub fn refuse(error: &str, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    for line in input.lines() {
        let request: Request = serde_json::from_str(&line?)?;
        for path in &request.paths {
            let reply = Reply::Line(Box::new(Line::failed(path, error)));
            serde_json::to_writer(&mut output, &reply)?;
            output.write_all(b"\n")?;
        }
        output.flush()?;
    }
    Ok(())
}

/// `requiredSystemFeatures`, which is a list of words in the environment or in the structured attributes.
fn required_features(derivation: &Derivation) -> Vec<String> {
    const NAME: &str = "requiredSystemFeatures";
    if let Some(json) = derivation
        .env
        .get(xbuild_derivation::STRUCTURED_ATTRS_VARIABLE)
    {
        let all: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
        let words = all.get(NAME).and_then(serde_json::Value::as_array);
        return words
            .into_iter()
            .flatten()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect();
    }
    let text = derivation.env.get(NAME.as_bytes());
    let text = String::from_utf8_lossy(text.map_or(b"".as_slice(), Vec::as_slice));
    text.split_whitespace().map(str::to_owned).collect()
}
