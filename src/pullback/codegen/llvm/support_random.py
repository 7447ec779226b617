"""Words of the Mersenne Twister (Matsumoto and Nishimura, 1998), four at a time, and shuffles, as IR text.

The state is 626 words: 624 of the generator's, one that stands for the first of the next turn while a turn is made, and
the position of the next word. A turn replaces word k by a function of the words k, k + 1 and k + 397 (of the new words
from k - 227 on), so four neighbours are made at once; a word that is handed out is tempered on its way.
"""

from __future__ import annotations

from collections.abc import Callable

SIZE = 624
SHIFT = 397
POSITION = SIZE + 1  # where the state says which word is next
_TWISTED = (("u", "and", "mt", 0x80000000), ("v", "and", "after", 0x7FFFFFFF), ("w", "or", "u", "v"),
            ("half", "lshr", "w", 1), ("odd", "and", "after", 1), ("all", "sub", 0, "odd"),
            ("add", "and", "all", 0x9908B0DF), ("mixed", "xor", "half", "add"), ("new", "xor", "mixed", "far"))
_TEMPERED = (("a", "lshr", "x", 11), ("b", "xor", "x", "a"), ("c", "shl", "b", 7), ("d", "and", "c", 0x9D2C5680),
             ("e", "xor", "b", "d"), ("f", "shl", "e", 15), ("g", "and", "f", 0xEFC60000), ("h", "xor", "e", "g"),
             ("i", "lshr", "h", 18), ("new", "xor", "h", "i"))
_Steps = tuple[tuple[str, str, str | int, str | int], ...]


def random_ir() -> str:
    """All of it."""
    return "\n".join([
        _loop("mersenne_turn", "ptr %mt, i64 %first, i64 %last, i64 %shift", _turned),
        _loop("mersenne_out", "ptr %from, ptr %to, i64 %first, i64 %last", _handed_out), _WORDS, _SHUFFLE])


def _loop(name: str, parameters: str, body: Callable[[str, str], str]) -> str:
    """A function that does for k from %first to %last, four at a time and then one at a time, what `body` writes for a
    type and the name of k."""
    return f"""
define internal void @{name}({parameters}) nounwind {{
entry:
  br label %wide.head
wide.head:
  %k4 = phi i64 [ %first, %entry ], [ %k4.next, %wide ]
  %k4.next = add i64 %k4, 4
  %k4.more = icmp sle i64 %k4.next, %last
  br i1 %k4.more, label %wide, label %head
wide:
{body("<4 x i32>", "k4")}
  br label %wide.head
head:
  %k1 = phi i64 [ %k4, %wide.head ], [ %k1.next, %one ]
  %k1.more = icmp slt i64 %k1, %last
  br i1 %k1.more, label %one, label %out
one:
{body("i32", "k1")}
  %k1.next = add i64 %k1, 1
  br label %head
out:
  ret void
}}"""


def _turned(kind: str, k: str) -> str:
    return "\n".join([
        _place(k, "mt", "at"), _load(kind, k, "mt", "at"),
        f"  %{k}.one = add i64 %{k}, 1", _place(f"{k}.one", "mt", "next"), _load(kind, k, "after", "next", f"{k}.one"),
        f"  %{k}.other = add i64 %{k}, %shift", _place(f"{k}.other", "mt", "far"),
        _load(kind, k, "far", "far", f"{k}.other"), _steps(_TWISTED, kind, k),
        f"  store {kind} %{k}.new, ptr %{k}.at, align 4"])


def _handed_out(kind: str, k: str) -> str:
    return "\n".join([
        _place(k, "from", "at"), _load(kind, k, "x", "at"), _steps(_TEMPERED, kind, k), _place(k, "to", "to"),
        f"  store {kind} %{k}.new, ptr %{k}.to, align 4"])


def _place(index: str, base: str, name: str) -> str:
    return f"  %{index}.{name} = getelementptr i32, ptr %{base}, i64 %{index}"


def _load(kind: str, k: str, name: str, place: str, index: str = "") -> str:
    return f"  %{k}.v.{name} = load {kind}, ptr %{index or k}.{place}, align 4"


def _steps(steps: _Steps, kind: str, k: str) -> str:
    """Operations on what was loaded (`%K.v.NAME`) and on each other's results (`%K.NAME`)."""
    made: set[str] = set()
    rows: list[str] = []

    def operand(x: str | int) -> str:
        if isinstance(x, str):
            return f"%{k}.{x}" if x in made else f"%{k}.v.{x}"
        return str(x) if kind == "i32" else f"<{', '.join([f'i32 {x}'] * 4)}>"

    for name, op, a, b in steps:
        rows.append(f"  %{k}.{name} = {op} {kind} {operand(a)}, {operand(b)}")
        made.add(name)
    return "\n".join(rows)


_WORDS = f"""
; The next words: slots are the addresses of the state and of the words, and how many.
define dso_local void @pb_mersenne(ptr %slots) nounwind {{
entry:
  %state = load ptr, ptr %slots, align 8
  %out.slot = getelementptr i64, ptr %slots, i64 1
  %out = load ptr, ptr %out.slot, align 8
  %count.slot = getelementptr i64, ptr %slots, i64 2
  %count = load i64, ptr %count.slot, align 8
  %position.at = getelementptr i32, ptr %state, i64 {POSITION}
  %position.word = load i32, ptr %position.at, align 4
  %start = zext i32 %position.word to i64
  br label %head
head:
  %done = phi i64 [ 0, %entry ], [ %done.next, %part ]
  %position = phi i64 [ %start, %entry ], [ %end, %part ]
  %more = icmp slt i64 %done, %count
  br i1 %more, label %look, label %leave
look:
  %used = icmp sge i64 %position, {SIZE}
  br i1 %used, label %turn, label %part
turn:
  call void @mersenne_turn(ptr %state, i64 0, i64 {SIZE - SHIFT}, i64 {SHIFT})
  %first = load i32, ptr %state, align 4
  %again = getelementptr i32, ptr %state, i64 {SIZE}
  store i32 %first, ptr %again, align 4
  call void @mersenne_turn(ptr %state, i64 {SIZE - SHIFT}, i64 {SIZE}, i64 {SHIFT - SIZE})
  br label %part
part:
  %begin = phi i64 [ %position, %look ], [ 0, %turn ]
  %left = sub i64 %count, %done
  %all = add i64 %begin, %left
  %fits = icmp sle i64 %all, {SIZE}
  %end = select i1 %fits, i64 %all, i64 {SIZE}
  %length = sub i64 %end, %begin
  %source = getelementptr i32, ptr %state, i64 %begin
  %target = getelementptr i32, ptr %out, i64 %done
  call void @mersenne_out(ptr %source, ptr %target, i64 0, i64 %length)
  %done.next = add i64 %done, %length
  br label %head
leave:
  %word = trunc i64 %position to i32
  store i32 %word, ptr %position.at, align 4
  ret void
}}
"""

_SHUFFLE = """
; Fisher and Yates: slots are the addresses of the words and of the numbers to be shuffled (i64), and how many.
define dso_local void @pb_shuffle(ptr %slots) nounwind {
entry:
  %words = load ptr, ptr %slots, align 8
  %order.slot = getelementptr i64, ptr %slots, i64 1
  %order = load ptr, ptr %order.slot, align 8
  %count.slot = getelementptr i64, ptr %slots, i64 2
  %count = load i64, ptr %count.slot, align 8
  br label %head
head:
  %k = phi i64 [ 0, %entry ], [ %k.next, %turn ]
  %k.next = add i64 %k, 1
  %more = icmp slt i64 %k.next, %count
  br i1 %more, label %turn, label %leave
turn:
  %word.at = getelementptr i32, ptr %words, i64 %k
  %word = load i32, ptr %word.at, align 4
  %wide = zext i32 %word to i64
  %left = sub i64 %count, %k
  %step = urem i64 %wide, %left
  %other = add i64 %k, %step
  %here = getelementptr i64, ptr %order, i64 %k
  %there = getelementptr i64, ptr %order, i64 %other
  %a = load i64, ptr %here, align 8
  %b = load i64, ptr %there, align 8
  store i64 %b, ptr %here, align 8
  store i64 %a, ptr %there, align 8
  br label %head
leave:
  ret void
}
"""
