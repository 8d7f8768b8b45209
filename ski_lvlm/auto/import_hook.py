"""Registration of the model types that waits for transformers, so that `import ski_lvlm` imports nothing.

transformers takes classes, not names of classes, and has no entry points. So its table of types is waited for.
"""

import importlib
import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_TABLE = "transformers.models.auto.configuration_auto"


def register_when_imported() -> None:
    """Register the types at once if transformers' table of types has been imported, else as soon as it is."""
    if _TABLE in sys.modules:
        _register()
    elif not any(isinstance(finder, _TableFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TableFinder())


def _register() -> None:
    from ski_lvlm.auto.model_types import register

    register()


class _TableFinder(MetaPathFinder):
    """Finder that registers the types behind the import of transformers' table, and then leaves."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ANN401
        """Return the table's own specification, followed by the registration. Other modules are left to others."""
        if fullname != _TABLE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
