"""The node builders, loaded when the first operation is defined: `import pullback` stays fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pullback.ops import build as build
else:

    class _Build:
        """Stands for `pullback.ops.build`; the first use copies its names here."""

        def __getattr__(self, name: str) -> Any:
            from pullback.ops import build as loaded

            self.__dict__.update({k: v for k, v in vars(loaded).items() if not k.startswith("__")})
            if name not in self.__dict__:
                raise AttributeError(name)
            return self.__dict__[name]

    build = _Build()
