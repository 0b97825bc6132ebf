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

/// The code of an `inherit name;`, and the variable if there is none of the name.
#[derive(Clone, Copy)]
struct Inherited {
    code: CodeRef,
    undefined: Option<(Symbol, Pos)>,
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
        for index in self.in_order(attrs) {
            let binding = &attrs.bindings[index];
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
                    value: self.member(binding.value, None),
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
        for index in self.in_order(attrs) {
            bindings.push((
                places[index].slot,
                self.binding(&attrs.bindings[index], outer[index], &sources, false),
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
    fn inherited(&mut self, attrs: &Attrs<'_>) -> Vec<Option<Inherited>> {
        attrs
            .bindings
            .iter()
            .map(|binding| match binding.kind {
                BindingKind::Inherit(expr) => {
                    let before = self.undefined.take();
                    let code = self.delayed(expr, None);
                    let undefined = std::mem::replace(&mut self.undefined, before);
                    Some(Inherited { code, undefined })
                }
                _ => None,
            })
            .collect()
    }

    /// The bindings in the order of their names' symbols: that in which undefined variables are looked for.
    fn in_order(&self, attrs: &Attrs<'_>) -> Vec<usize> {
        let mut order: Vec<usize> = (0..attrs.bindings.len()).collect();
        order.sort_by_key(|&index| self.symbol(attrs.bindings[index].name));
        order
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
        inherited: Option<Inherited>,
        sources: &[Source],
        shown: bool,
    ) -> CodeRef {
        let name = self.symbol(binding.name);
        match (inherited, binding.kind) {
            (Some(inherited), _) => {
                self.undefined = self.undefined.or(inherited.undefined);
                inherited.code
            }
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
