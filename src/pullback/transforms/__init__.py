"""First version."""
from pullback.ir.node import *
from pullback.ir.node import Proj, Function, apply, param, project, topological, TupleType
from pullback.ops import build


class _T:
    def jvp(self, function, active):
        seeds = [param(p.tensor) for p, a in zip(function.params, active) if a]
        wrt = [p for p, a in zip(function.params, active) if a]
        ts = pushforward_nodes(list(function.results), wrt, seeds)
        act = tuple(t is not None for t in ts)
        return Function([*function.params, *seeds], [*function.results, *[t for t in ts if t is not None]]), act

    def transpose(self, function, linear):
        cts = [param(r.tensor) for r in function.results]
        wrt = [p for p, l in zip(function.params, linear) if l]
        gs = _transpose(list(function.results), cts, wrt)
        gs = [g if g is not None else build.zeros(w.shape, w.dtype) for g, w in zip(gs, wrt)]
        return Function([*[p for p, l in zip(function.params, linear) if not l], *cts], gs)


T = _T()


def _tangents(results, wrt, seeds):
    tangent = dict(zip(wrt, seeds))
    for node in topological(results, wrt):
        if node in tangent:
            continue
        if isinstance(node.op, Proj):
            t = tangent.get(node.inputs[0])
            if t is not None and t[node.op.index] is not None:
                tangent[node] = t[node.op.index]
            continue
        ts = tuple(tangent.get(x) for x in node.inputs)
        if all(t is None for t in ts):
            continue
        out = node.op.jvp(T, node.inputs, node, ts)
        if out is not None:
            tangent[node] = out
    return tangent


def pushforward_nodes(results, wrt, tangents):
    t = _tangents(results, wrt, tangents)
    return [t.get(r) for r in results]


def _transpose(results, cotangents, wrt):
    ct = {}
    def push(n, c):
        if c is None: return
        if n in ct and ct[n] is not None:
            ct[n] = build.add(ct[n], c)
        else:
            ct[n] = c
    for r, c in zip(results, cotangents): push(r, c)
    order = topological(results, wrt)
    linear = set(wrt)
    for n in order:
        if any(x in linear for x in n.inputs): linear.add(n)
    tuples = {}
    for n in reversed(order):
        if n in wrt or n not in linear: continue
        if isinstance(n.op, Proj):
            if n in ct:
                src = n.inputs[0]
                tuples.setdefault(src, [None]*len(src.type.items))[n.op.index] = ct[n]
            continue
        c = tuples.get(n) if isinstance(n.type, TupleType) else ct.get(n)
        if c is None: continue
        flags = tuple(x in linear for x in n.inputs)
        for x, g in zip(n.inputs, n.op.transpose(T, c, n.inputs, flags)):
            if x in linear: push(x, g)
    return [ct.get(w) for w in wrt]


def pullback_nodes(results, cotangents, wrt):
    keep = [k for k, w in enumerate(wrt) if w.dtype.is_inexact]
    seeds = [param(wrt[k].tensor) for k in keep]
    t = _tangents(results, [wrt[k] for k in keep], seeds)
    outs = [(t[r], c) for r, c in zip(results, cotangents) if t.get(r) is not None]
    gs = _transpose([o for o, _ in outs], [c for _, c in outs], seeds) if outs else [None]*len(seeds)
    found = [None]*len(wrt)
    for k, g in zip(keep, gs): found[k] = g
    return found
