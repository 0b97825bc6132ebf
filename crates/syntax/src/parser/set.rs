//! Sets under construction: attribute paths and nested sets are merged as Nix does it.
//!
//! `a.b = 1; a = { c = 2; };` is one set `a`. Whether a merged set is recursive is told by its first definition alone.

use rustc_hash::FxHashMap;

use super::{Parser, Result, with_stack};
use crate::ast::{AttrName, Attrs, Binding, BindingKind, DynamicBinding, Expr, ExprKind};
use crate::error::{SyntaxError, SyntaxErrorKind};
use crate::print;
use crate::span::Span;
use crate::symbol::Symbol;

/// Beyond this many bindings names are found by hash.
const LINEAR_SEARCH: usize = 12;

/// A set to which bindings can be added.
#[derive(Debug, Default)]
pub(super) struct SetBuilder<'a> {
    recursive: bool,
    bindings: Vec<Slot<'a>>,
    /// Where the first `indexed` bindings are; filled only for large sets.
    index: FxHashMap<Symbol, u32>,
    indexed: usize,
    inherit_sources: Vec<Expr<'a>>,
    dynamic: Vec<DynamicBinding<'a>>,
}

#[derive(Debug)]
struct Slot<'a> {
    name: Symbol,
    span: Span,
    value: Value<'a>,
}

#[derive(Debug)]
enum Value<'a> {
    Done(BindingKind<'a>),
    /// A set that came from an attribute path, or to which one was added.
    Open(Box<SetBuilder<'a>>, Span),
}

impl<'a> SetBuilder<'a> {
    pub(super) fn is_recursive(&self) -> bool {
        self.recursive
    }

    /// The place of the first binding whose name is computed.
    pub(super) fn first_dynamic(&self) -> Option<Span> {
        self.dynamic.first().map(|binding| binding.span)
    }

    /// Adds the source of `inherit (source) …` and returns its index.
    pub(super) fn add_source(&mut self, source: Expr<'a>) -> u32 {
        self.inherit_sources.push(source);
        // Each takes several bytes of a text below 4 GiB.
        u32::try_from(self.inherit_sources.len() - 1).unwrap_or(u32::MAX)
    }

    fn find(&mut self, name: Symbol) -> Option<usize> {
        if self.bindings.len() <= LINEAR_SEARCH {
            return self.bindings.iter().position(|slot| slot.name == name);
        }
        for (i, slot) in self.bindings.iter().enumerate().skip(self.indexed) {
            self.index
                .insert(slot.name, u32::try_from(i).unwrap_or(u32::MAX));
        }
        self.indexed = self.bindings.len();
        self.index.get(&name).map(|&i| i as usize)
    }

    fn push(&mut self, name: Symbol, span: Span, value: Value<'a>) {
        self.bindings.push(Slot { name, span, value });
    }

    fn clear(&mut self) {
        self.bindings.clear();
        self.index.clear();
        self.indexed = 0;
        self.inherit_sources.clear();
        self.dynamic.clear();
    }
}

/// One after the other: a path of names may be as long as the text.
impl Drop for SetBuilder<'_> {
    fn drop(&mut self) {
        let mut rest: Vec<Slot> = std::mem::take(&mut self.bindings);
        while let Some(slot) = rest.pop() {
            if let Value::Open(mut inner, _) = slot.value {
                rest.append(&mut inner.bindings);
            }
        }
    }
}

impl Value<'_> {
    fn is_set(&self) -> bool {
        matches!(
            self,
            Value::Open(..)
                | Value::Done(BindingKind::Plain(Expr {
                    kind: ExprKind::Attrs(_),
                    ..
                }))
        )
    }
}

impl<'a> Parser<'a, '_> {
    pub(super) fn new_set(&mut self, recursive: bool) -> Box<SetBuilder<'a>> {
        let mut set = self.free_sets.pop().unwrap_or_default();
        set.recursive = recursive;
        set
    }

    /// The finished set.
    pub(super) fn freeze(&mut self, mut set: Box<SetBuilder<'a>>, span: Span) -> &'a Attrs<'a> {
        let mark = self.frozen.len();
        for slot in set.bindings.drain(..) {
            let kind = match slot.value {
                Value::Done(kind) => kind,
                Value::Open(inner, span) => {
                    let attrs = with_stack(|| self.freeze(inner, span));
                    let kind = ExprKind::Attrs(attrs);
                    BindingKind::Plain(self.arena.alloc(Expr { span, kind }))
                }
            };
            self.frozen.push(Binding {
                name: slot.name,
                span: slot.span,
                kind,
            });
        }
        let attrs = self.arena.alloc(Attrs {
            recursive: set.recursive,
            bindings: self.arena.alloc_slice_copy(&self.frozen[mark..]),
            inherit_sources: self.arena.alloc_slice_copy(&set.inherit_sources),
            dynamic: self.arena.alloc_slice_copy(&set.dynamic),
            span,
        });
        self.frozen.truncate(mark);
        set.clear();
        self.free_sets.push(set);
        attrs
    }

    /// Opens a finished set again.
    fn thaw(&mut self, attrs: &Attrs<'a>) -> Box<SetBuilder<'a>> {
        let mut set = self.new_set(attrs.recursive);
        for binding in attrs.bindings {
            set.push(binding.name, binding.span, Value::Done(binding.kind));
        }
        set.inherit_sources.extend_from_slice(attrs.inherit_sources);
        set.dynamic.extend_from_slice(attrs.dynamic);
        set
    }

    /// Adds an inherited name.
    pub(super) fn add_inherited(
        &mut self,
        set: &mut SetBuilder<'a>,
        name: Symbol,
        span: Span,
        kind: BindingKind<'a>,
    ) -> Result<()> {
        if let Some(i) = set.find(name) {
            return Err(self.duplicate_attribute(
                &[AttrName::Static(name, span)],
                span,
                set.bindings[i].span,
            ));
        }
        set.push(name, span, Value::Done(kind));
        Ok(())
    }

    /// Adds `path = value;`. `span` is that of the whole path: Nix tells its begin for every set on the way.
    pub(super) fn add_binding(
        &mut self,
        set: &mut SetBuilder<'a>,
        path: &[AttrName<'a>],
        span: Span,
        value: Expr<'a>,
    ) -> Result<()> {
        let mut set = set;
        for (depth, component) in path.iter().enumerate() {
            let rest = &path[depth + 1..];
            let name = match *component {
                AttrName::Static(name, _) => name,
                AttrName::Dynamic(name) => {
                    // Computed names are never merged: what follows is a set of its own.
                    let value = self.wrap(rest, span, value)?;
                    set.dynamic.push(DynamicBinding {
                        name,
                        value: self.arena.alloc(value),
                        span,
                    });
                    return Ok(());
                }
            };
            let found = set.find(name);
            if rest.is_empty() {
                let value = BindingKind::Plain(self.arena.alloc(value));
                return match found {
                    None => {
                        set.push(name, span, Value::Done(value));
                        Ok(())
                    }
                    Some(i) => {
                        let mut path = path.to_vec();
                        self.merge(&mut set.bindings[i], value, span, &mut path)
                    }
                };
            }
            let i = match found {
                None => {
                    let inner = self.new_set(false);
                    set.push(name, span, Value::Open(inner, span));
                    set.bindings.len() - 1
                }
                Some(i) if set.bindings[i].value.is_set() => i,
                Some(i) => {
                    return Err(self.duplicate_attribute(
                        &path[..=depth],
                        span,
                        set.bindings[i].span,
                    ));
                }
            };
            set = self.open(&mut set.bindings[i]);
        }
        Ok(())
    }

    /// The set in `slot`, which must hold one, as a builder.
    fn open<'s>(&mut self, slot: &'s mut Slot<'a>) -> &'s mut SetBuilder<'a> {
        if let Value::Done(BindingKind::Plain(Expr {
            kind: ExprKind::Attrs(attrs),
            span,
        })) = slot.value
        {
            slot.value = Value::Open(self.thaw(attrs), *span);
        }
        match &mut slot.value {
            Value::Open(set, _) => set,
            Value::Done(_) => unreachable!("the caller saw a set"),
        }
    }

    /// `value` in the sets that `path` names.
    fn wrap(&mut self, path: &[AttrName<'a>], span: Span, value: Expr<'a>) -> Result<Expr<'a>> {
        if path.is_empty() {
            return Ok(value);
        }
        let mut set = self.new_set(false);
        // The path leads through one computed name at a time, so this does not recurse deeper than the path.
        with_stack(|| self.add_binding(&mut set, path, span, value))?;
        let attrs = self.freeze(set, span);
        Ok(Expr {
            span,
            kind: ExprKind::Attrs(attrs),
        })
    }

    /// Merges a second definition of `slot`; `path` leads to it, for messages.
    fn merge(
        &mut self,
        slot: &mut Slot<'a>,
        value: BindingKind<'a>,
        span: Span,
        path: &mut Vec<AttrName<'a>>,
    ) -> Result<()> {
        let BindingKind::Plain(Expr {
            kind: ExprKind::Attrs(attrs),
            ..
        }) = value
        else {
            return Err(self.duplicate_attribute(path, span, slot.span));
        };
        if !slot.value.is_set() {
            return Err(self.duplicate_attribute(path, span, slot.span));
        }
        let target = self.open(slot);
        let offset = u32::try_from(target.inherit_sources.len()).unwrap_or(u32::MAX);
        for binding in attrs.bindings {
            let kind = match binding.kind {
                BindingKind::InheritFrom(source) => BindingKind::InheritFrom(source + offset),
                kind => kind,
            };
            match target.find(binding.name) {
                None => target.push(binding.name, binding.span, Value::Done(kind)),
                Some(i) => {
                    path.push(AttrName::Static(binding.name, binding.span));
                    with_stack(|| self.merge(&mut target.bindings[i], kind, binding.span, path))?;
                    path.pop();
                }
            }
        }
        target
            .inherit_sources
            .extend_from_slice(attrs.inherit_sources);
        target.dynamic.extend_from_slice(attrs.dynamic);
        Ok(())
    }

    fn duplicate_attribute(&self, path: &[AttrName<'a>], span: Span, first: Span) -> SyntaxError {
        let name = String::from_utf8_lossy(&print::attr_path(path, self.symbols)).into_owned();
        SyntaxError::new(SyntaxErrorKind::DuplicateAttribute(name), span)
            .note(first, "the first definition is here")
    }
}
