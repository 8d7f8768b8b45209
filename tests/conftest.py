"""Shape checks for every call in the tests: jaxtyping's annotations are enforced by beartype while pytest runs."""

from jaxtyping import install_import_hook

install_import_hook("ski_lvlm", "beartype.beartype")
