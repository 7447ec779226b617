"""Jittor's first version had scopes of parameters, and drew their random numbers in an order of its own: both, for
today's, which has modules only."""
import jittor as jt


class _Scopes:
    def __init__(self):
        self.path, self.counts, self.variables, self.drawn = [], {}, {}, False

    def enter(self, name, unique):
        parent = "/".join(self.path)
        if not unique:
            number = self.counts.get((parent, name), 0)
            self.counts[parent, name] = number + 1
            name = f"{name}_{number}"
        self.path.append(name)
        inner = "/".join(self.path)
        self.counts = {key: n for key, n in self.counts.items() if key[0] != inner}

    def scope(self, name="scope", unique=False):
        def wrap(function):
            def call(*args):
                self.enter(name, unique)
                try:
                    return function(*args)
                finally:
                    self.path.pop()
            return call
        return wrap

    def make(self, shape, dtype="float32", init=None):
        parent = "/".join(self.path)
        number = self.counts.get((parent, "var"), 0)
        self.counts[parent, "var"] = number + 1
        full = f"{parent}/var_{number}"
        if full not in self.variables:
            self.variables[full] = init(shape, dtype)
        return self.variables[full]

    def find(self, path):
        found = [v for name, v in self.variables.items() if name.startswith(path + "/")]
        if not self.drawn:
            for v in reversed(found):
                v.sync(0, 0)
            self.drawn = True
        return found


_scopes = _Scopes()
jt.var_scope, jt.make_var, jt.find_vars = _scopes.scope, _scopes.make, _scopes.find
