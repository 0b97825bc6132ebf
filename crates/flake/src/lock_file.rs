//! `flake.lock`: a graph of inputs, each with what it was and what it is locked to (versions 5 to 7 are read, 7 is written).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use xbuild_flake_ref::{
    AttrValue, FINAL, FlakeRef, attrs_from_json, attrs_to_json, civil_date, is_flake_id,
};

/// The names of inputs from the root on: `nixops`, `nixpkgs`.
pub type InputPath = Vec<String>;

/// Reads `nixops/nixpkgs`.
///
/// # Errors
/// If an element is no name of an input.
pub fn parse_input_path(text: &str) -> Result<InputPath, String> {
    text.split('/')
        .filter(|element| !element.is_empty())
        .map(|element| {
            if is_flake_id(element) {
                Ok(element.to_owned())
            } else {
                Err(format!(
                    "invalid flake input attribute path element '{element}'"
                ))
            }
        })
        .collect()
}

/// As it is written: `nixops/nixpkgs`.
#[must_use]
pub fn show_input_path(path: &[String]) -> String {
    path.join("/")
}

/// A node of a [`LockFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// What an input of a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edge {
    /// A node.
    Node(NodeId),
    /// The same as the input of this path from the root.
    Follows(InputPath),
}

/// A node, except the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedNode {
    /// What it is locked to.
    pub locked: FlakeRef,
    /// What `flake.nix` says.
    pub original: FlakeRef,
    /// Whether it is a flake, or just a tree.
    pub is_flake: bool,
    /// Of a relative path: the input whose tree it is relative to.
    pub parent: Option<InputPath>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    inputs: BTreeMap<String, Edge>,
    locked: Option<LockedNode>,
}

/// The lock file of a flake.
#[derive(Debug, Clone)]
pub struct LockFile {
    nodes: Vec<Node>,
}

impl Default for LockFile {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

/// How deep inputs may be nested.
const MAX_DEPTH: usize = 1000;

impl LockFile {
    /// The flake itself.
    pub const ROOT: NodeId = NodeId(0);

    /// The inputs of a node.
    #[must_use]
    pub fn inputs(&self, node: NodeId) -> &BTreeMap<String, Edge> {
        &self.nodes[node.0].inputs
    }

    /// What a node is locked to; the root is not.
    #[must_use]
    pub fn locked(&self, node: NodeId) -> Option<&LockedNode> {
        self.nodes[node.0].locked.as_ref()
    }

    pub(crate) fn set_input(&mut self, node: NodeId, name: &str, edge: Edge) {
        self.nodes[node.0].inputs.insert(name.to_owned(), edge);
    }

    pub(crate) fn add(&mut self, locked: LockedNode) -> NodeId {
        self.nodes.push(Node {
            inputs: BTreeMap::new(),
            locked: Some(locked),
        });
        NodeId(self.nodes.len() - 1)
    }

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

    /// As JSON, and the key of each node in it.
    #[must_use]
    pub fn to_json(&self) -> (Value, BTreeMap<NodeId, String>) {
        let mut nodes = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let root = self.dump(
            "root",
            Self::ROOT,
            &mut keys,
            &mut BTreeSet::new(),
            &mut nodes,
        );
        let nodes: Map<String, Value> = nodes.into_iter().collect();
        let mut json = Map::new();
        json.insert("nodes".to_owned(), Value::Object(nodes));
        json.insert("root".to_owned(), Value::from(root));
        json.insert("version".to_owned(), Value::from(7));
        (Value::Object(json), keys)
    }

    fn dump(
        &self,
        name: &str,
        id: NodeId,
        keys: &mut BTreeMap<NodeId, String>,
        taken: &mut BTreeSet<String>,
        nodes: &mut BTreeMap<String, Value>,
    ) -> String {
        if let Some(key) = keys.get(&id) {
            return key.clone();
        }
        let mut key = name.to_owned();
        let mut number = 2;
        while !taken.insert(key.clone()) {
            key = format!("{name}_{number}");
            number += 1;
        }
        keys.insert(id, key.clone());
        let node = &self.nodes[id.0];
        // In the order of their names.
        let mut json = Map::new();
        if let Some(locked) = &node.locked
            && !locked.is_flake
        {
            json.insert("flake".to_owned(), Value::from(false));
        }
        if !node.inputs.is_empty() {
            let mut inputs = Map::new();
            for (name, edge) in &node.inputs {
                let target = match edge {
                    Edge::Node(child) => Value::from(self.dump(name, *child, keys, taken, nodes)),
                    Edge::Follows(path) => Value::from(path.clone()),
                };
                inputs.insert(name.clone(), target);
            }
            json.insert("inputs".to_owned(), Value::Object(inputs));
        }
        if let Some(locked) = &node.locked {
            let mut attrs = locked.locked.to_attrs();
            attrs.remove(FINAL);
            json.insert("locked".to_owned(), attrs_to_json(&attrs));
            let original = attrs_to_json(&locked.original.to_attrs());
            json.insert("original".to_owned(), original);
            if let Some(parent) = &locked.parent {
                json.insert("parent".to_owned(), Value::from(parent.clone()));
            }
        }
        nodes.insert(key.clone(), Value::Object(json));
        key
    }

    /// The file's contents, without the line end at its end.
    #[must_use]
    pub fn to_text(&self) -> String {
        pretty(&self.to_json().0)
    }

    /// Whether both are written the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.to_json().0 == other.to_json().0
    }

    /// The node of an input, by its path from the root.
    ///
    /// # Errors
    /// If inputs follow each other in a circle.
    pub fn find(&self, path: &[String]) -> Result<Option<NodeId>, String> {
        self.find_unvisited(path, &mut Vec::new())
    }

    fn find_unvisited(
        &self,
        path: &[String],
        visited: &mut Vec<InputPath>,
    ) -> Result<Option<NodeId>, String> {
        if let Some(start) = visited.iter().position(|seen| seen == path) {
            let cycle: Vec<String> = visited[start..]
                .iter()
                .map(|seen| show_input_path(seen))
                .chain([show_input_path(path)])
                .collect();
            return Err(format!("follow cycle detected: [{}]", cycle.join(" -> ")));
        }
        visited.push(path.to_vec());
        let mut position = Self::ROOT;
        for element in path {
            position = match self.inputs(position).get(element) {
                Some(Edge::Node(node)) => *node,
                Some(Edge::Follows(target)) => match self.find_unvisited(target, visited)? {
                    Some(node) => node,
                    None => return Ok(None),
                },
                None => return Ok(None),
            };
        }
        Ok(Some(position))
    }

    /// All inputs, by their paths; each node once.
    #[must_use]
    pub fn all_inputs(&self) -> BTreeMap<InputPath, &Edge> {
        let mut all = BTreeMap::new();
        self.collect_inputs(&[], Self::ROOT, &mut BTreeSet::new(), &mut all);
        all
    }

    fn collect_inputs<'a>(
        &'a self,
        prefix: &[String],
        node: NodeId,
        done: &mut BTreeSet<NodeId>,
        all: &mut BTreeMap<InputPath, &'a Edge>,
    ) {
        if !done.insert(node) {
            return;
        }
        for (name, edge) in self.inputs(node) {
            let mut path = prefix.to_vec();
            path.push(name.clone());
            all.entry(path.clone()).or_insert(edge);
            if let Edge::Node(child) = edge {
                self.collect_inputs(&path, *child, done, all);
            }
        }
    }

    /// Checks that what is followed exists.
    ///
    /// # Errors
    /// If it does not, or inputs follow each other in a circle.
    pub fn check(&self) -> Result<(), String> {
        for (path, edge) in self.all_inputs() {
            if let Edge::Follows(target) = edge
                && !target.is_empty()
                && self.find(target)?.is_none()
            {
                return Err(format!(
                    "input '{}' follows a non-existent input '{}'",
                    show_input_path(&path),
                    show_input_path(target)
                ));
            }
        }
        Ok(())
    }

    /// An input that is not locked, if there is one. With `hash_suffices`, one that has only a NAR hash is.
    #[must_use]
    pub fn unlocked(&self, hash_suffices: bool) -> Option<&FlakeRef> {
        let reached: BTreeSet<NodeId> = self
            .all_inputs()
            .values()
            .filter_map(|edge| match edge {
                Edge::Node(node) => Some(*node),
                Edge::Follows(_) => None,
            })
            .collect();
        reached.into_iter().find_map(|node| {
            let locked = &self.locked(node)?.locked;
            let input = &locked.input;
            let considered =
                input.is_locked() || (hash_suffices && input.text("narHash").is_some());
            ((!considered || !input.is_final()) && input.relative_path().is_none())
                .then_some(locked)
        })
    }

    /// What has changed from `old` to `self`, for people.
    #[must_use]
    pub fn diff(&self, old: &Self) -> String {
        let (before, after) = (old.all_inputs(), self.all_inputs());
        let paths: BTreeSet<&InputPath> = before.keys().chain(after.keys()).collect();
        let mut text = String::new();
        for path in paths {
            let shown = show_input_path(path);
            match (before.get(path), after.get(path)) {
                (None, Some(new)) => {
                    text += &format!("• Added input '{shown}':\n    {}\n", self.describe(new));
                }
                (Some(_), None) => text += &format!("• Removed input '{shown}'\n"),
                (Some(old_edge), Some(new)) if !old.same_edge(old_edge, self, new) => {
                    text += &format!(
                        "• Updated input '{shown}':\n    {}\n  → {}\n",
                        old.describe(old_edge),
                        self.describe(new)
                    );
                }
                _ => {}
            }
        }
        text
    }

    fn same_edge(&self, ours: &Edge, other: &Self, theirs: &Edge) -> bool {
        match (ours, theirs) {
            (Edge::Node(ours), Edge::Node(theirs)) => {
                self.locked(*ours).map(|node| &node.locked)
                    == other.locked(*theirs).map(|node| &node.locked)
            }
            (Edge::Follows(ours), Edge::Follows(theirs)) => ours == theirs,
            _ => false,
        }
    }

    fn describe(&self, edge: &Edge) -> String {
        match edge {
            Edge::Follows(path) => format!("follows '{}'", show_input_path(path)),
            Edge::Node(node) => {
                let Some(node) = self.locked(*node) else {
                    return String::new();
                };
                let mut text = format!("'{}'", node.locked.show());
                if let Some(seconds) = node.locked.input.int("lastModified") {
                    let (year, month, day) = civil_date(seconds / 86_400);
                    text += &format!(" ({year:04}-{month:02}-{day:02})");
                }
                text
            }
        }
    }
}

/// JSON with an indentation of two blanks, as lock files have it.
#[must_use]
pub(crate) fn pretty(json: &Value) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "nodes": {
    "a": {
      "flake": false,
      "locked": {
        "lastModified": 86400,
        "narHash": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "owner": "o",
        "repo": "r",
        "rev": "0123456789012345678901234567890123456789",
        "type": "github"
      },
      "original": {
        "owner": "o",
        "repo": "r",
        "type": "github"
      }
    },
    "root": {
      "inputs": {
        "a": "a",
        "b": [
          "a"
        ]
      }
    }
  },
  "root": "root",
  "version": 7
}"#;

    #[test]
    fn written_as_read() {
        let file = LockFile::parse(TEXT.as_bytes(), "x", &mut |_| {}).unwrap();
        assert_eq!(file.to_text(), TEXT);
        assert_eq!(file.check(), Ok(()));
        assert!(file.unlocked(false).is_none());
        assert_eq!(
            file.diff(&LockFile::default()),
            "• Added input 'a':\n    'github:o/r/0123456789012345678901234567890123456789?narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D' (1970-01-02)\n\
             • Added input 'b':\n    follows 'a'\n"
        );
        assert_eq!(
            LockFile::default().to_text(),
            "{\n  \"nodes\": {\n    \"root\": {}\n  },\n  \"root\": \"root\",\n  \"version\": 7\n}"
        );
    }

    #[test]
    fn what_is_no_lock_file() {
        let error = |text: &str| LockFile::parse(text.as_bytes(), "x", &mut |_| {}).unwrap_err();
        assert!(error("{").starts_with("Could not parse 'x': "));
        assert_eq!(
            error(r#"{"version":4}"#),
            "lock file 'x' has unsupported version 4"
        );
        assert_eq!(
            error(r#"{"version":7,"root":"r","nodes":{"r":{"inputs":{"a":"b"}}}}"#),
            "lock file references missing node 'b'"
        );
        let cycle = TEXT.replace(r#""flake": false,"#, r#""inputs": {"a": "a"},"#);
        assert!(error(&cycle).contains("contains itself"));
        let unlocked = TEXT.replace("\"rev\": \"0123456789012345678901234567890123456789\",", "");
        let warned = LockFile::parse(unlocked.as_bytes(), "x", &mut |_| {});
        assert!(warned.is_ok(), "it has a hash");
    }

    #[test]
    fn circles_of_follows() {
        let text = TEXT.replace(
            r#""b": [
          "a"
        ]"#,
            r#""b": ["c"], "c": ["b"]"#,
        );
        let file = LockFile::parse(text.as_bytes(), "x", &mut |_| {}).unwrap();
        assert_eq!(
            file.check().unwrap_err(),
            "follow cycle detected: [c -> b -> c]"
        );
    }
}
