"""No file shadows a library, and every command explains itself at once from any folder."""

import ast
import sys

import pytest

from tests.cases.command_case import ROOT, run

PACKAGE = ROOT / "ski_lvlm"
COMMANDS = [
    *sorted(p for folder in ("scripts", "data_curation", "eval") for p in (ROOT / folder).rglob("*.py")),
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_recipe_imports_only_the_standard_library():
    assert {module.split(".")[0] for module in imports(PACKAGE / "recipe.py")} <= set(sys.stdlib_module_names)


def test_no_file_or_folder_shadows_a_library():
    """A command's own folder is the first place where Python looks."""
    files = [path for path in ROOT.rglob("*.py") if not {".venv", ".venv-cogvlm"} & {*path.parts}]
    names = {path.parent.name if path.stem == "__init__" else path.stem for path in files}
    assert not names & set(sys.stdlib_module_names)
    assert not {n for n in names if not n.startswith("test_")} & {"torch", "transformers", "decord", "openai", "ollama"}


def test_no_module_is_a_drawer():
    for path in PACKAGE.rglob("*.py"):
        assert path.stem not in ("utils", "helpers", "common", "misc")


def runs_as_command(path):
    return 'if __name__ == "__main__":' in path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in COMMANDS if runs_as_command(p)], ids=lambda p: p.stem)
def test_help_is_instant_and_works_from_any_folder(path, tmp_path):
    done = run([sys.executable, "-X", "importtime", str(path), "--help"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "default:" in done.stdout or "required" in done.stdout or "usage" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "matplotlib"}, "it is loaded before the flags are read"


@pytest.mark.slow
def test_torch_is_loaded_with_weights_only_and_pickle_is_not_used():
    for path in [*PACKAGE.rglob("*.py"), *COMMANDS, *ROOT.glob("*.py")]:
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords} if isinstance(node, ast.Call) else {}
            if called == "torch.load":
                assert keywords.get("weights_only") == "True", path
            if called == "np.load":
                assert keywords.get("allow_pickle", "False") == "False", path
            assert called not in ("pickle.load", "pickle.loads"), path
