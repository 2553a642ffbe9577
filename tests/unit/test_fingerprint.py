"""Fingerprints change with what code does, and with nothing else."""

import pytest

from semgap.pipeline.fingerprint import code_fingerprint

SCRIPT = (
    '"""Doc."""\nfrom semgap import used\n\n\ndef main():\n    """Doc."""\n    return used.VALUE\n'
)


@pytest.fixture
def scripts(tmp_path):
    package = tmp_path / "semgap"
    package.mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    (package / "__init__.py").write_text("")
    (package / "used.py").write_text("from semgap.deeper import inner\nVALUE = inner()\n")
    (package / "deeper.py").write_text("def inner():\n    return 1\n")
    (package / "unused.py").write_text("OTHER = 1\n")
    (package / "named.py").write_text("NAMED = 1\n")
    (package / "modes.py").write_text("POLICIES = ()\n")
    return tmp_path


def after(scripts, file, text, modules=()):
    before = code_fingerprint(scripts, "script.py", modules)
    (scripts / file).write_text(text)
    return before != code_fingerprint(scripts, "script.py", modules)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("script.py", SCRIPT.replace("VALUE", "VALUE + 1")),
        ("semgap/used.py", "from semgap.deeper import inner\nVALUE = 2\n"),
        ("semgap/deeper.py", "def inner():\n    return 2\n"),
    ],
)
def test_changed_code_is_seen(scripts, file, text):
    assert after(scripts, file, text)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("script.py", SCRIPT.replace("Doc.", "Reworded.")),
        ("script.py", "# A comment.\n\n" + SCRIPT),
        ("semgap/deeper.py", "def inner():\n    # Why.\n\n    return 1\n"),
        ("semgap/deeper.py", 'def inner():\n    """What."""\n    return 1\n'),
        ("semgap/unused.py", "OTHER = 2\n"),
        ("semgap/named.py", "NAMED = 2\n"),
    ],
)
def test_what_does_not_matter_is_not_seen(scripts, file, text):
    assert not after(scripts, file, text)


ERROR = 'def main(x):\n    raise OwnError(f"{x} is wrong.", "Do it " + "right.")\n'


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (ERROR.replace("is wrong", "does not fit"), False),
        (ERROR.replace("right", "better"), False),
        (ERROR.replace("OwnError", "OtherError"), True),
        (ERROR.replace("OwnError", "log").replace("raise ", ""), True),
    ],
)
def test_only_the_text_of_an_error_does_not_matter(scripts, text, seen):
    (scripts / "script.py").write_text(ERROR)
    assert after(scripts, "script.py", text) == seen


SETTING = 'KEY = Annotated[int, Meta(ge=1, description="How many.")]\n'


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (SETTING.replace("How many", "What number"), False),
        (SETTING.replace("ge=1", "ge=2"), True),
        (SETTING.replace("Meta", "meant"), True),
    ],
)
def test_only_the_description_of_a_setting_does_not_matter(scripts, text, seen):
    (scripts / "script.py").write_text(SETTING)
    assert after(scripts, "script.py", text) == seen


FLAG = (
    'def main(x: Annotated[int, "how many"]):\n    log.info("%s begins", x)\n'
    '    parser.add_argument("--log", help="also write to this file")\n'
)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (FLAG.replace("how many", "what number"), False),
        (FLAG.replace("begins", "starts"), False),
        (FLAG.replace("also write", "write as well"), False),
        (FLAG.replace("--log", "--logs"), True),
        (FLAG.replace("int", "float"), True),
        (FLAG.replace("log.info", "run.begin").replace("begins", "starts"), True),
    ],
)
def test_what_flags_and_logs_tell_does_not_matter(scripts, text, seen):
    (scripts / "script.py").write_text(FLAG)
    assert after(scripts, "script.py", text) == seen


def test_a_kind_of_error_does_not_matter(scripts):
    (scripts / "semgap" / "errors.py").write_text("class A(Exception): ...\n")
    (scripts / "script.py").write_text("from semgap.errors import A\n")
    assert not after(scripts, "semgap/errors.py", "class B(Exception): ...\n")


def test_a_description_matters_where_it_is_no_settings(scripts):
    (scripts / "script.py").write_text(SETTING.replace("Meta", "run"))
    assert after(scripts, "script.py", SETTING.replace("Meta", "run").replace("many", "few"))


def test_modules_imported_by_name_are_given(scripts):
    assert after(scripts, "semgap/named.py", "NAMED = 2\n", ["semgap.named"])


def test_imports_inside_functions_count(scripts):
    (scripts / "script.py").write_text("def main():\n    from semgap import unused\n")
    assert after(scripts, "semgap/unused.py", "OTHER = 2\n")


def test_the_policy_table_counts_by_value_elsewhere(scripts):
    (scripts / "script.py").write_text("from semgap.modes import POLICIES\n")
    assert not after(scripts, "semgap/modes.py", "POLICIES = (1,)\n")
