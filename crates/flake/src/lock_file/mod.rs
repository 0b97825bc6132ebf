//! `flake.lock`: a graph of inputs, each with what it was and what it is locked to (versions 5 to 7 are read, 7 is written).

mod diff;
mod read;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use xbuild_flake_ref::{FlakeRef, is_flake_id};

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

    /// What each input of the flake itself is locked to, also those that follow others.
    pub(crate) fn root_inputs(&self) -> Vec<(&str, &FlakeRef)> {
        let names = self.inputs(Self::ROOT).keys();
        names
            .filter_map(|name| {
                let node = self.find(std::slice::from_ref(name)).ok()??;
                Some((name.as_str(), &self.locked(node)?.locked))
            })
            .collect()
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
