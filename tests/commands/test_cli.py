import pytest

from ski_lvlm.cli import parser, run


@pytest.mark.parametrize("flag", ["--out_dir", "--out-dir"])
@pytest.mark.parametrize("joined", [True, False])
def test_hyphens_and_underscores_are_the_same_flag(flag, joined):
    p = parser("x")
    p.add_argument("--out_dir")
    args = [f"{flag}=a-b_c"] if joined else [flag, "a-b_c"]
    assert p.parse_args(args).out_dir == "a-b_c"


@pytest.mark.parametrize("error", [ValueError("bad file"), OSError(28, "No space left on device"), ImportError("x")])
def test_a_users_mistake_is_one_line_and_exit_code_2(error, capsys):
    def main(_):
        raise error

    with pytest.raises(SystemExit) as stopped:
        run(main)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {error}\n"


def test_our_own_mistake_keeps_its_traceback():
    def main(_):
        raise AssertionError("ours")

    with pytest.raises(AssertionError):
        run(main)


def test_help_shows_defaults_but_not_that_there_is_none():
    flags = parser("example")
    flags.add_argument("--number", type=int, default=3, help="how many")
    flags.add_argument("--folder", help="where")
    text = flags.format_help()
    assert "how many (default: 3)" in text
    assert "where\n" in text
