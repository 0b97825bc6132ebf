# What makes the derivations of the whole package set: `derivation` itself; or, content-addressed, one that names outputs by their
# contents, so that what is built again to the same bytes rebuilds nothing above it. Downloads have a hash either way.
{ contentAddressed }:
if contentAddressed then
  attrs: derivation (attrs // { __contentAddressed = true; })
else
  derivation
