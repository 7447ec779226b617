"""The primitive catalogue: every rule of every primitive stands in one class or one row.

`build` and the operator modules read each other (rules build nodes, builders name operators): loading `build` first
settles the order, and the modules read its functions only when a rule runs.
"""

from pullback.ops import build as build
