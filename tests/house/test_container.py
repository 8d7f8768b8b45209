"""The Dockerfile beside the files that it builds from. No container is started here."""

import re
import tomllib

from tests.cases.command_case import ROOT

# An instruction and its arguments, with lines that go on joined. Comments are left out.
TEXT = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
STEPS = [tuple(line.split(maxsplit=1)) for line in TEXT.splitlines() if line.strip()]
ENVIRONMENT = (ROOT / "scripts/environment.sh").read_text()
INSTALLED = re.findall(r"^install \w+(.+)$", ENVIRONMENT, re.MULTILINE)
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def arguments(name):
    return [words for instruction, words in STEPS if instruction == name]


def test_files_that_it_copies_exist_and_may_enter_the_image():
    admitted = [line[1:] for line in IGNORED if line.startswith("!")]
    for sources in ([*words.split()[:-1]] for words in arguments("COPY")):
        for source in sources:
            assert (ROOT / source).exists(), f"{source} does not exist"
            top = source.split("/")[0]
            assert source == "." or any(path.name == top for name in admitted for path in ROOT.glob(name)), top


def test_everything_that_commands_need_may_enter_the_image_and_nothing_else():
    admitted = {path.name for line in IGNORED if line.startswith("!") for path in ROOT.glob(line[1:])}
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    files = {path.name for path in ROOT.glob("*.py")} | {path.name for path in ROOT.glob("requirements*.txt")}
    assert admitted == rooms | files | {"constraints.txt", "pyproject.toml", "zero2.json", "README.md", "LICENSE"}
    assert IGNORED[1] == "*", "whatever is not named must stay outside"


def test_python_is_that_of_the_project():
    image, version = re.fullmatch(r"(python):(\d+\.\d+\.\d+)-slim-\w+", arguments("FROM")[0]).groups()
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert image == "python" and required == f">={version.rpartition('.')[0]}"
    assert f"Python {version}" in (ROOT / "README.md").read_text(), "with which the pinned versions were tried"


def test_the_packages_before_the_code_are_those_of_the_installation():
    code = next(number for number, step in enumerate(STEPS) if step == ("COPY", ". ."))
    before = {name for instruction, words in STEPS[:code] if instruction == "COPY" for name in words.split()[:-1]}
    files = {path.name for path in ROOT.glob("requirements*.txt")} | {"constraints.txt"}
    assert files <= before, "environment.sh installs again when one of these is another"
    assert set(re.findall(r" -[rc] (\S+)", "\n".join(INSTALLED))) <= before
    for step in (code - 1, code + 1):
        assert "bash scripts/environment.sh" in STEPS[step][1]


def test_no_package_comes_in_another_version_than_the_pinned_one():
    commands = [
        *re.findall(r"pip install ([^&;]+)", TEXT),
        *re.findall(r"^install \w+ (.+)$", ENVIRONMENT, re.MULTILINE),
    ]
    assert len(commands) >= 4
    for command in commands:
        words = command.split()
        pinned = {"-c", "--constraint", "-r"} & set(words) or command.strip().endswith("--no-deps -e .")
        assert pinned, f"pip install {command} names no file of pinned versions"
    for file in [*ROOT.glob("requirements*.txt"), ROOT / "constraints.txt"]:
        for line in file.read_text().splitlines():
            requirement = line.partition("#")[0].strip()
            assert not requirement or re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", requirement), f"{file.name}: {line}"


def test_the_user_is_not_root_and_no_secret_is_kept():
    assert arguments("USER") == ["ski"] and "RUN" not in {step[0] for step in STEPS[STEPS.index(("USER", "ski")) :]}
    names = re.findall(r"(\w+)=", " ".join([*arguments("ENV"), *arguments("ARG")]))
    assert not [name for name in names if re.search(r"(?i)secret|password|api_?key|token$", name)]
    assert "/cache" in arguments("VOLUME")[0] and "runs" in arguments("VOLUME")[0]
