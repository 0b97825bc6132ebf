//! Attribute sets and `let`.

use std::cell::Cell;

use xbuild_syntax::ast::{Attrs, Binding, BindingKind, Expr};
use xbuild_syntax::symbol::Symbol;

use super::scope::Place;
use super::{Compiler, constant, known_attr};
use crate::code::{AttrCode, AttrsCode, Code, CodeRef, DynamicAttrCode};
use crate::position::Pos;
use crate::value::{Attr, Value};

/// Where the sources of `inherit (source) …` are found.
enum Source {
    /// Evaluated once, in this slot.
    Slot(Place),
    /// A variable or constant, which is as cheap to look at each time.
    Direct(CodeRef),
}

impl Compiler<'_> {
    /// `{ … }`, `rec { … }`
    pub(super) fn attrs(&mut self, attrs: &Attrs<'_>) -> Code {
        if attrs.recursive || !attrs.inherit_sources.is_empty() {
            return self.in_frame(|this| this.attrs_in_frame(attrs));
        }
        self.attrs_in_frame(attrs)
    }

    fn attrs_in_frame(&mut self, attrs: &Attrs<'_>) -> Code {
        let outer = self.inherited(attrs);
        let mut places = Vec::new();
        if attrs.recursive {
            places = attrs
                .bindings
                .iter()
                .map(|_| self.scope.new_slot())
                .collect();
            for (binding, place) in attrs.bindings.iter().zip(&places) {
                self.scope.bind(self.symbol(binding.name), *place);
            }
        }
        let (sources, slots) = self.sources(attrs);
        let mut codes: Vec<AttrCode> = Vec::with_capacity(attrs.bindings.len());
        for (index, binding) in attrs.bindings.iter().enumerate() {
            codes.push(AttrCode {
                name: self.symbol(binding.name),
                pos: self.pos(binding.span),
                slot: places.get(index).map(|place| place.slot),
                value: self.binding(binding, outer[index], &sources, true),
            });
        }
        let dynamic: Vec<DynamicAttrCode> = attrs
            .dynamic
            .iter()
            .map(|binding| {
                let name = self.strict(binding.name);
                DynamicAttrCode {
                    name: self.place_code(name),
                    pos: self.pos(binding.span),
                    value: self.delayed(binding.value, None),
                }
            })
            .collect();
        let overrides = attrs.recursive
            && attrs
                .bindings
                .iter()
                .any(|binding| self.symbol(binding.name) == self.ev.known.overrides);
        if attrs.recursive {
            for binding in attrs.bindings {
                self.scope.unbind(self.symbol(binding.name));
            }
        }
        codes.sort_by_key(|attr| attr.name);
        if !attrs.recursive
            && dynamic.is_empty()
            && (codes.is_empty() || self.functions == 0)
            && let Some(value) = self.constant_set(&codes)
        {
            return Code::Const(value);
        }
        let heap = self.ev.heap;
        Code::Attrs(heap.alloc_code(AttrsCode {
            attrs: heap.alloc_vec(codes),
            slots: heap.alloc_slice(&slots),
            dynamic: heap.alloc_vec(dynamic),
            overrides,
            pos: self.pos(attrs.span),
        }))
    }

    fn constant_set(&self, codes: &[AttrCode]) -> Option<Value> {
        let attrs: Option<Vec<Attr>> = codes
            .iter()
            .map(|code| {
                Some(Attr {
                    name: code.name,
                    pos: code.pos,
                    value: constant(code.value)?,
                })
            })
            .collect();
        Some(Value::from(self.ev.heap.attrs(&attrs?)))
    }

    /// `let … in body`, in a frame that the code owns.
    pub(super) fn let_in(&mut self, attrs: &Attrs<'_>, body: &Expr<'_>) -> Code {
        let outer = self.inherited(attrs);
        let places: Vec<Place> = attrs
            .bindings
            .iter()
            .map(|_| self.scope.new_slot())
            .collect();
        for (binding, place) in attrs.bindings.iter().zip(&places) {
            self.scope.bind(self.symbol(binding.name), *place);
        }
        let (sources, mut bindings) = self.sources(attrs);
        for (index, binding) in attrs.bindings.iter().enumerate() {
            bindings.push((
                places[index].slot,
                self.binding(binding, outer[index], &sources, false),
            ));
        }
        let body = self.strict_ref(body);
        for binding in attrs.bindings {
            self.scope.unbind(self.symbol(binding.name));
        }
        Code::Let {
            bindings: self.ev.heap.alloc_slice(&bindings),
            body,
        }
    }

    /// The code of `inherit name;` bindings, which look outside of the set: compiled before its names are bound.
    fn inherited(&mut self, attrs: &Attrs<'_>) -> Vec<Option<CodeRef>> {
        attrs
            .bindings
            .iter()
            .map(|binding| match binding.kind {
                BindingKind::Inherit(expr) => Some(self.delayed(expr, None)),
                _ => None,
            })
            .collect()
    }

    fn sources(&mut self, attrs: &Attrs<'_>) -> (Vec<Source>, Vec<(u32, CodeRef)>) {
        let mut slots = Vec::new();
        let sources = attrs
            .inherit_sources
            .iter()
            .map(|expr| {
                let code = self.delayed(expr, None);
                if matches!(
                    code,
                    Code::Const(_) | Code::Local { .. } | Code::Outer { .. }
                ) {
                    return Source::Direct(code);
                }
                let place = self.scope.new_slot();
                slots.push((place.slot, code));
                Source::Slot(place)
            })
            .collect();
        (sources, slots)
    }

    fn binding(
        &mut self,
        binding: &Binding<'_>,
        inherited: Option<CodeRef>,
        sources: &[Source],
        shown: bool,
    ) -> CodeRef {
        let name = self.symbol(binding.name);
        match (inherited, binding.kind) {
            (Some(code), _) => code,
            // Of a recursive set, `__overrides` is evaluated with the set.
            (None, BindingKind::Plain(expr)) if name != self.ev.known.overrides => {
                self.member(expr, Some(name))
            }
            (None, BindingKind::Plain(expr) | BindingKind::Inherit(expr)) => {
                self.delayed(expr, Some(name))
            }
            (None, BindingKind::InheritFrom(source)) => {
                let pos = self.pos(binding.span);
                self.inherit_from(&sources[source as usize], name, pos, shown)
            }
        }
    }

    /// `inherit (source) name;`: of a set that is shown, it shows that the attribute is not looked at yet.
    fn inherit_from(&mut self, source: &Source, name: Symbol, pos: Pos, shown: bool) -> CodeRef {
        let subject = match source {
            Source::Direct(code) => code,
            Source::Slot(place) => {
                let code = self.slot_code(*place, pos);
                self.place_code(code)
            }
        };
        if !shown && let Some(value) = known_attr(self.ev.heap, subject, name) {
            return self.place_code(Code::Const(value));
        }
        self.place_code(Code::Select {
            subject,
            name,
            pos,
            hint: Cell::new(0),
        })
    }
}
