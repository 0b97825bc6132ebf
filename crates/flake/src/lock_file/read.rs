//! Reading lock files.

use std::collections::BTreeMap;

use serde_json::Value;
use xbuild_flake_ref::{AttrValue, FINAL, FlakeRef, attrs_from_json, attrs_to_json};

use super::{Edge, InputPath, LockFile, LockedNode, NodeId};

/// How deep inputs may be nested.
const MAX_DEPTH: usize = 1000;

impl LockFile {
    /// Reads a lock file; `name` is its name in messages, `warn` gets what is worth a warning.
    ///
    /// # Errors
    /// If it is no lock file of a known version, or an input in it is not locked.
    pub fn parse(text: &[u8], name: &str, warn: &mut dyn FnMut(String)) -> Result<Self, String> {
        let json: Value = serde_json::from_slice(text)
            .map_err(|error| format!("Could not parse '{name}': {error}"))?;
        let version = json.get("version").and_then(Value::as_i64).unwrap_or(0);
        if !(5..=7).contains(&version) {
            return Err(format!(
                "lock file '{name}' has unsupported version {version}"
            ));
        }
        let malformed = |what: &str| format!("lock file '{name}' is malformed: {what}");
        let root = json
            .get("root")
            .and_then(Value::as_str)
            .ok_or_else(|| malformed("it has no 'root'"))?;
        let nodes = json
            .get("nodes")
            .and_then(Value::as_object)
            .ok_or_else(|| malformed("it has no 'nodes'"))?;
        let mut file = Self::default();
        let mut known = BTreeMap::from([(root.to_owned(), Self::ROOT)]);
        // Nodes whose inputs are to be read.
        let mut todo = vec![(Self::ROOT, root.to_owned())];
        while let Some((id, key)) = todo.pop() {
            let node = nodes
                .get(&key)
                .ok_or_else(|| format!("lock file references missing node '{key}'"))?;
            let Some(inputs) = node.get("inputs") else {
                continue;
            };
            let inputs = inputs
                .as_object()
                .ok_or_else(|| malformed("'inputs' is no object"))?;
            for (input, target) in inputs {
                let edge = match target {
                    Value::Array(path) => {
                        let path: Option<InputPath> = path
                            .iter()
                            .map(|element| element.as_str().map(str::to_owned))
                            .collect();
                        Edge::Follows(path.ok_or_else(|| {
                            malformed("a path of 'follows' has an element that is no string")
                        })?)
                    }
                    Value::String(target) => {
                        let child = match known.get(target) {
                            Some(&Self::ROOT) => {
                                return Err("lock file contains cycle to root node".to_owned());
                            }
                            Some(child) => *child,
                            None => {
                                let node = nodes.get(target).ok_or_else(|| {
                                    format!("lock file references missing node '{target}'")
                                })?;
                                let child = file.add(read_node(node, warn)?);
                                known.insert(target.clone(), child);
                                todo.push((child, target.clone()));
                                child
                            }
                        };
                        Edge::Node(child)
                    }
                    _ => return Err(malformed("an input is neither a string nor a list")),
                };
                file.set_input(id, input, edge);
            }
        }
        file.check_no_cycle(Self::ROOT, &mut Vec::new())
            .map_err(|path| malformed(&format!("the input '{path}' contains itself")))?;
        Ok(file)
    }

    /// Walking the graph must end. Nix writes no cycles but by 'follows'.
    fn check_no_cycle(&self, node: NodeId, above: &mut Vec<NodeId>) -> Result<(), String> {
        if above.len() > MAX_DEPTH {
            return Err("…".to_owned());
        }
        above.push(node);
        for (name, edge) in self.inputs(node) {
            if let Edge::Node(child) = edge {
                if above.contains(child) {
                    return Err(name.clone());
                }
                self.check_no_cycle(*child, above)?;
            }
        }
        above.pop();
        Ok(())
    }
}

fn read_node(json: &Value, warn: &mut dyn FnMut(String)) -> Result<LockedNode, String> {
    let attrs = |name: &str| {
        let attrs = json
            .get(name)
            .ok_or_else(|| format!("attribute '{name}' missing in lock file"))?;
        attrs_from_json(attrs).map_err(|error| error.to_string())
    };
    let mut locked = attrs("locked")?;
    // Of version 5.
    if json.get("info").is_some() {
        locked.extend(attrs("info")?);
    }
    let to_ref = |attrs| FlakeRef::from_attrs(attrs).map_err(|error| error.to_string());
    let mut locked = to_ref(locked)?;
    let original = to_ref(attrs("original")?)?;
    if !locked.input.is_locked() && locked.input.relative_path().is_none() {
        if locked.input.text("narHash").is_none() {
            return Err(format!(
                "Lock file contains unlocked input '{}'. Use '--allow-dirty-locks' to accept this lock file.",
                attrs_to_json(&locked.input.attrs)
            ));
        }
        warn(format!(
            "Lock file entry '{}' is unlocked (e.g. lacks a Git revision) but is checked by NAR hash. This is not reproducible and will break after garbage collection or when shared.",
            locked.show()
        ));
    }
    locked
        .input
        .attrs
        .insert(FINAL.to_owned(), AttrValue::Bool(true));
    let parent = match json.get("parent") {
        None | Some(Value::Null) => None,
        Some(path) => Some(
            path.as_array()
                .and_then(|path| {
                    path.iter()
                        .map(|element| element.as_str().map(str::to_owned))
                        .collect()
                })
                .ok_or_else(|| "'parent' in the lock file is no list of strings".to_owned())?,
        ),
    };
    Ok(LockedNode {
        locked,
        original,
        is_flake: json.get("flake") != Some(&Value::Bool(false)),
        parent,
    })
}
