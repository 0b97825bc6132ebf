//! Functions.

use xbuild_syntax::ast::{ExprKind, Formals, Lambda};
use xbuild_syntax::symbol::Symbol;

use super::Compiler;
use super::demand::first_demanded;
use crate::code::{Body, Demanded, FormalCode, FormalsCode, LambdaCode};
use crate::position::Pos;

impl Compiler<'_> {
    /// A function, and in the same frame the functions that it directly returns.
    pub(super) fn lambda(
        &mut self,
        lambda: &Lambda<'_>,
        name: Option<Symbol>,
        pos: Pos,
    ) -> &'static LambdaCode {
        let owned = self.scope.enter_frame();
        self.functions += 1;
        let code = self.lambda_in_frame(lambda, name, pos, 0);
        self.functions -= 1;
        self.scope.leave_frame(owned);
        code
    }

    fn lambda_in_frame(
        &mut self,
        lambda: &Lambda<'_>,
        name: Option<Symbol>,
        pos: Pos,
        outer_params: u32,
    ) -> &'static LambdaCode {
        let arg = lambda.arg.map(|arg| self.symbol(arg));
        // Every function of a chain but the last has one plain parameter, in the slot of its number.
        if lambda.arg.is_some() || lambda.formals.is_none() {
            let place = self.scope.new_slot();
            if let Some(arg) = arg {
                self.scope.bind(arg, place);
            }
        }
        let formals = lambda.formals.as_ref().map(|formals| self.formals(formals));
        let body = match &lambda.body.kind {
            ExprKind::Lambda(inner) if formals.is_none() => {
                let pos = self.pos(lambda.body.span);
                Body::Lambda(self.lambda_in_frame(inner, name, pos, outer_params + 1))
            }
            _ => Body::Code(self.strict_ref(lambda.body)),
        };
        let bound = lambda.formals.iter().flat_map(|formals| formals.formals);
        for name in bound.map(|formal| formal.name).chain(lambda.arg) {
            self.scope.unbind(self.symbol(name));
        }
        let demanded = match body {
            Body::Lambda(inner) => inner.demanded,
            Body::Code(_) if formals.is_some() => None,
            Body::Code(body) => {
                let params = outer_params + 1;
                first_demanded(body)
                    .filter(|slot| *slot < params)
                    .map(|slot| Demanded { slot, params })
            }
        };
        self.ev.heap.alloc_code(LambdaCode {
            name,
            pos,
            frame_size: match body {
                Body::Code(_) => self.scope.frame_size(),
                Body::Lambda(_) => outer_params + 1,
            },
            outer_params,
            arg,
            demanded,
            formals,
            body,
        })
    }

    fn formals(&mut self, given: &Formals<'_>) -> FormalsCode {
        let formals = given.formals.iter();
        let mut sorted: Vec<_> = formals
            .map(|formal| (self.symbol(formal.name), formal))
            .collect();
        sorted.sort_by_key(|(name, _)| *name);
        let first_slot = self.scope.frame_size();
        for (name, _) in &sorted {
            let place = self.scope.new_slot();
            self.scope.bind(*name, place);
        }
        let codes = sorted
            .iter()
            .map(|(name, formal)| FormalCode {
                name: *name,
                pos: self.pos(formal.span),
                default: formal
                    .default
                    .map(|default| self.delayed(default, Some(*name))),
            })
            .collect();
        FormalsCode {
            formals: self.ev.heap.alloc_vec(codes),
            first_slot,
            ellipsis: given.ellipsis,
        }
    }
}
