"""Imports point one way, no file shadows a library, and every command explains itself at once from any folder."""

import ast
import sys
from pathlib import Path

import pytest
from command_case import run

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ski_lvlm"
LAYERS = [  # a module may import from its own layer's left and from layers above, never from below
    [
        "recipe",
        "cli",
        "files",
        "digest",
        "file_digests",
        "offline",
        "safe_pickle",
        "layouts",
        "git_lfs",
        "weight_files",
        "array_files",
        "text_files",
        "json_files",
        "clip_names",
        "launch",
        "partitioned",
        "zero_state",
        "epoch_sampler",
        "sampling",
        "shards",
        "pace",
        "thoughts",
        "page",
        "thoughts",
    ],
    ["gpu_shards", "progress"],
    ["skeleton_file", "cleaning", "packed", "skeleton"],
    ["matroska", "video_timeline", "video_folder", "video_packets", "video_picture", "video"],
    [
        "ntu",
        "ntu_folder",
        "pictures",
        "skeleton_import",
        "instruction_file",
        "answer_text",
        "chat_template",
        "conversation",
        "llm",
        "llm_limits",
        "chat_protocol",
        "secret_mask",
        "server_address",
        "proxies",
        "server_limits",
        "server_replies",
        "ollama_server",
        "openai_server",
        "chat_batches",
        "chat_client",
    ],
    [
        "hyper_attention",
        "hyperformer",
        "efficientnet",
        "vision",
        "clip",
        "frame_encoder",
        "frame_cache",
        "video_augment",
    ],
    [
        "losses",
        "skeleton_clip",
        "skeleton_views",
        "skeleton_data",
        "video_data",
        "video_clip",
        "froster",
        "cross_frame",
        "attention_maps",
        "zero_shot",
        "feature_files",
        "features",
        "projector",
        "splice",
        "instruct",
    ],
    [
        "lvlm",
        "prompting",
        "published",
        "published_clip",
        "published_projectors",
        "inference",
        "chat",
        "training",
        "checkpoint_damage",
        "checkpoints",
        "student_files",
        "distillation",
        "alignment",
        "vlm_training",
        "recognition",
    ],
    ["skeleton_stages", "skeleton_training", "video_stages", "distill_stages"],
    ["tiny"],
]
COMMANDS = [
    *sorted(p for folder in ("scripts", "data_curation", "eval") for p in (ROOT / folder).rglob("*.py")),
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def layer(module):
    return next((k for k, names in enumerate(LAYERS) if module in names), None)


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("[!_]*.py")), ids=lambda p: p.stem)
def test_imports_point_one_way(path):
    own = layer(path.stem)
    assert own is not None, f"{path.name} has no layer; put it into LAYERS where its imports allow"
    for module in imports(path):
        if module.startswith("ski_lvlm."):
            assert layer(module.split(".")[1]) <= own, f"{path.name} imports {module} from a later layer"
        assert module.split(".")[0] not in ("data_curation", "eval", "scripts", "tests"), f"{path.name}: {module}"


def test_recipe_imports_only_the_standard_library():
    assert {module.split(".")[0] for module in imports(PACKAGE / "recipe.py")} <= set(sys.stdlib_module_names)


def test_no_file_or_folder_shadows_a_library():
    """A command's own folder is the first place where Python looks."""
    files = [path for path in ROOT.rglob("*.py") if not {".venv", ".venv-cogvlm"} & {*path.parts}]
    names = {path.parent.name if path.stem == "__init__" else path.stem for path in files}
    assert not names & set(sys.stdlib_module_names)
    assert not {n for n in names if not n.startswith("test_")} & {"torch", "transformers", "decord", "openai", "ollama"}


def test_no_module_is_a_drawer():
    for path in PACKAGE.glob("*.py"):
        assert path.stem not in ("utils", "helpers", "common", "misc")


def runs_as_command(path):
    return 'if __name__ == "__main__":' in path.read_text()


@pytest.mark.parametrize("path", [p for p in COMMANDS if runs_as_command(p)], ids=lambda p: p.stem)
def test_help_is_instant_and_works_from_any_folder(path, tmp_path):
    done = run([sys.executable, "-X", "importtime", str(path), "--help"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "default:" in done.stdout or "required" in done.stdout or "usage" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "matplotlib"}, "it is loaded before the flags are read"


def test_torch_is_loaded_with_weights_only_and_pickle_is_not_used():
    for path in [*PACKAGE.glob("*.py"), *COMMANDS, *ROOT.glob("*.py")]:
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords} if isinstance(node, ast.Call) else {}
            if called == "torch.load":
                assert keywords.get("weights_only") == "True", path
            if called == "np.load":
                assert keywords.get("allow_pickle", "False") == "False", path
            assert called not in ("pickle.load", "pickle.loads"), path
