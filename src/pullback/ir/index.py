"""Typed index expressions: sums of integer multiples of variables, quotients and remainders, with ranges.

An `Index` is always in canonical form, so equal expressions compare equal and simplification is construction:
`(i*12 + j) // 12` with 0 <= j < 12 is `i`. Every expression knows its least and greatest value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pullback.util.errors import ValueError_, message


class Var:
    """A loop variable with values 0 .. size-1; equal by name and size."""

    __slots__ = ("_hash", "name", "size")

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size, self._hash = name, size, hash((name, size))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Var) and self.name == other.name and self.size == other.size)

    def __repr__(self) -> str:
        return self.name

    low = 0

    @property
    def high(self) -> int:
        return max(self.size - 1, 0)


class Part:
    """`inner // divisor` (quotient) or `inner % divisor` (remainder) of an expression that cannot be simplified."""

    __slots__ = ("_hash", "divisor", "high", "inner", "low", "quotient")

    def __init__(self, inner: Index, divisor: int, quotient: bool) -> None:
        self.inner, self.divisor, self.quotient = inner, divisor, quotient
        if quotient:
            self.low, self.high = inner.low // divisor, inner.high // divisor
        else:
            self.low, self.high = 0, divisor - 1
        self._hash = hash((inner, divisor, quotient))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Part) and self.divisor == other.divisor
                                 and self.quotient == other.quotient and self.inner == other.inner)

    def __repr__(self) -> str:
        return f"(({self.inner!r}){'//' if self.quotient else '%'}{self.divisor})"


Atom = Var | Part


def _atom_key(atom: Atom) -> str:
    return repr(atom)


class Index:
    """constant + sum of coefficient * atom, canonical and immutable."""

    __slots__ = ("_hash", "const", "high", "low", "terms")

    def __init__(self, terms: tuple[tuple[Atom, int], ...], const: int) -> None:
        self.terms, self.const = terms, const
        low = high = const
        for atom, c in terms:
            low += c * (atom.low if c > 0 else atom.high)
            high += c * (atom.high if c > 0 else atom.low)
        self.low, self.high, self._hash = low, high, hash((terms, const))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Index) and self.const == other.const and self.terms == other.terms)

    def __repr__(self) -> str:
        text = ""
        for atom, c in self.terms:
            body = repr(atom) if abs(c) == 1 else f"{abs(c)}*{atom!r}"
            text += ("-" if c < 0 else "+" if text else "") + body
        if self.const or not text:
            text += f"{self.const:+d}" if text else str(self.const)
        return text

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.terms, self.const + other) if other else self
        return _sum(dict(self.terms), other, 1, self.const)

    __radd__ = __add__

    def __sub__(self, other: Index | int) -> Index:
        return self + (-other if isinstance(other, int) else other * -1)

    def __mul__(self, factor: int) -> Index:
        if factor == 1:
            return self
        if factor == 0:
            return ZERO
        return Index(tuple((a, c * factor) for a, c in self.terms), self.const * factor)

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Index:
        return _divide(self, divisor)[0]

    def __mod__(self, divisor: int) -> Index:
        return _divide(self, divisor)[1]

    @property
    def is_const(self) -> bool:
        return not self.terms

    def variables(self) -> set[Var]:
        """All variables, also those inside quotients and remainders."""
        found: set[Var] = set()
        for atom, _ in self.terms:
            found |= {atom} if isinstance(atom, Var) else atom.inner.variables()
        return found

    def coefficient(self, variable: Var) -> int | None:
        """The stride along a variable; None where the expression is not affine in it."""
        total = 0
        for atom, c in self.terms:
            if isinstance(atom, Part):
                if variable in atom.inner.variables():
                    return None
            elif atom == variable:
                total += c
        return total

    def substitute(self, values: Mapping[Var, Index]) -> Index:
        """Replace variables; the result is canonical again."""
        result = const(self.const)
        for atom, c in self.terms:
            if isinstance(atom, Var):
                replaced = values.get(atom) or Index(((atom, 1),), 0)
            else:
                inner = atom.inner.substitute(values)
                replaced = inner // atom.divisor if atom.quotient else inner % atom.divisor
            result = result + replaced * c
        return result

    def evaluate(self, values: Mapping[Var, Any]) -> Any:
        """The value for given numbers or integer arrays."""
        total: Any = self.const
        for atom, c in self.terms:
            if isinstance(atom, Var):
                value = values[atom]
            else:
                inner = atom.inner.evaluate(values)
                value = inner // atom.divisor if atom.quotient else inner % atom.divisor
            total = total + value * c
        return total


def _sum(into: dict[Atom, int], other: Index, factor: int, constant: int) -> Index:
    for atom, c in other.terms:
        into[atom] = into.get(atom, 0) + c * factor
    terms = tuple(sorted(((a, c) for a, c in into.items() if c), key=lambda t: _atom_key(t[0])))
    return Index(terms, constant + other.const * factor)


def _divide(x: Index, d: int) -> tuple[Index, Index]:
    if d < 1:
        raise ValueError_(message("index: divisor must be at least 1", [("divisor", str(d))]))
    if d == 1:
        return x, ZERO
    whole = Index(tuple((a, c // d) for a, c in x.terms if c % d == 0), x.const // d)
    rest = Index(tuple((a, c) for a, c in x.terms if c % d), x.const % d)
    if rest.low >= 0 and rest.high < d:
        return whole, rest
    if rest.low // d == rest.high // d:
        shift = rest.low // d
        return whole + shift, rest - shift * d
    if len(rest.terms) == 1 and rest.const == 0 and rest.terms[0][1] == 1:
        atom = rest.terms[0][0]
        if isinstance(atom, Part) and atom.quotient:  # (y // a) // d = y // (a*d)
            return whole + _atom(atom.inner, atom.divisor * d, True), _atom(rest, d, False)
        if isinstance(atom, Part) and atom.divisor % d == 0:  # (y % (k*d)) % d = y % d
            return whole + _atom(rest, d, True), atom.inner % d
    return whole + _atom(rest, d, True), _atom(rest, d, False)


def _atom(inner: Index, divisor: int, quotient: bool) -> Index:
    return Index(((Part(inner, divisor, quotient), 1),), 0)


ZERO = Index((), 0)


def const(value: int) -> Index:
    return Index((), value) if value else ZERO


def var(name: str, size: int) -> Index:
    """The index that is one variable; a variable of size 1 is 0."""
    return Index(((Var(name, size), 1),), 0) if size != 1 else ZERO


_VARS: dict[tuple[str, tuple[int, ...]], tuple[Index, ...]] = {}


def loop_vars(shape: tuple[int, ...], prefix: str = "i") -> tuple[Index, ...]:
    """One variable per dimension: i0, i1, ... (0 where the size is 1)."""
    key = (prefix, shape)
    if key not in _VARS:
        if len(_VARS) > 10000:
            _VARS.clear()
        _VARS[key] = tuple(var(f"{prefix}{k}", n) for k, n in enumerate(shape))
    return _VARS[key]


def bindings(shape: tuple[int, ...], indices: tuple[Index, ...] | list[Index], prefix: str = "i") -> dict[Var, Index]:
    """Map the loop variables of `shape` to indices, for `substitute`."""
    return {Var(f"{prefix}{k}", n): x for k, (n, x) in enumerate(zip(shape, indices, strict=True)) if n != 1}


def ravel(indices: tuple[Index, ...] | list[Index], shape: tuple[int, ...]) -> Index:
    """Row-major position in an array of `shape`."""
    total = ZERO
    for x, n in zip(indices, shape, strict=True):
        total = total * n + x
    return total


def unravel(position: Index, shape: tuple[int, ...]) -> tuple[Index, ...]:
    """Row-major coordinates of a position in an array of `shape`."""
    found: list[Index] = []
    for n in reversed(shape[1:]):
        found.append(position % n if n else ZERO)
        position = position // n if n else ZERO
    return tuple(reversed([*found, position])) if shape else ()


_TOKEN = re.compile(r"\s*(?:(\d+)|(i\d+)|(//|[-+*/%()]))")


def parse(text: str, variables: Mapping[str, Index]) -> Index:
    """Parse "i0*2+i3-1", with + - * / // % ( ), integers and the given variables (C's `/` is `//`)."""
    tokens: list[str] = []
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError_(message("reindex: cannot read an index expression", [("expression", repr(text))],
                                      "use i0, i1, ... with + - * / % ( ) and integers"))
        tokens.append(found.group().strip())
        position = found.end()
    parser = _Parser(tokens, variables, text)
    result = parser.sum()
    if parser.tokens:
        parser.fail()
    return result


class _Parser:
    def __init__(self, tokens: list[str], variables: Mapping[str, Index], text: str) -> None:
        self.tokens, self.variables, self.text = tokens, variables, text

    def fail(self) -> Any:
        raise ValueError_(message("reindex: cannot read an index expression", [("expression", repr(self.text))],
                                  f"known variables: {', '.join(self.variables)}; factors and divisors are constants"))

    def sum(self) -> Index:
        value = self.product()
        while self.tokens and self.tokens[0] in "+-":
            sign = 1 if self.tokens.pop(0) == "+" else -1
            value = value + self.product() * sign
        return value

    def product(self) -> Index:
        value = self.atom()
        while self.tokens and self.tokens[0] in ("*", "/", "//", "%"):
            operator, right = self.tokens.pop(0), self.atom()
            if operator == "*":
                if value.is_const:
                    value, right = right, value
                value = value * (right.const if right.is_const else self.fail())
            else:
                if not right.is_const or right.const < 1:
                    self.fail()
                value = value % right.const if operator == "%" else value // right.const
        return value

    def atom(self) -> Index:
        token = self.tokens.pop(0) if self.tokens else self.fail()
        if token == "(":
            value = self.sum()
            if not self.tokens or self.tokens.pop(0) != ")":
                self.fail()
            return value
        if token == "-":
            return self.atom() * -1
        if token.isdigit():
            return const(int(token))
        return self.variables[token] if token in self.variables else self.fail()
