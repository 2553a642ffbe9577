"""Fingerprints of code: they change when what a job would do can change, and only then.

A fingerprint covers the syntax trees of a script and of every project module that it imports,
transitively. What changes no result is left out: comments, docstrings, descriptions of settings
and flags, what is logged, the texts of errors and the list of their kinds. Modules that a job
imports by name at run time (its transport, its kind of session) are given explicitly.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_PACKAGE = "semgap"
# A job depends on its own row of the policy table, which its rule passes by value; an error's kind
# decides which message is shown.
_LEFT_OUT = frozenset({f"{_PACKAGE}.modes", f"{_PACKAGE}.errors"})
# Keywords that only tell people something, by the function that takes them.
_TOLD = {"Meta": "description", "add_argument": "help", "add_parser": "help"}
_LOGGED = frozenset({"debug", "info", "warning", "error", "exception"})


def code_fingerprint(scripts: Path, entry: str, modules: Iterable[str] = ()) -> str:
    """Fingerprint of ``scripts/<entry>``, of the named modules, and of what they import.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    reached: dict[Path, str] = {}
    waiting = [scripts / entry, *(path for name in modules for path in _files(scripts, name))]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached[path], imported = _analysed(path, path.stat().st_mtime_ns)
        waiting.extend(path for module in imported for path in _files(scripts, module))
    digest = hashlib.sha256()
    for path, tree_digest in sorted(reached.items()):
        digest.update(f"{path.relative_to(scripts)}\n{tree_digest}\n".encode())
    return digest.hexdigest()[:16]


@functools.cache
def _analysed(path: Path, _mtime_ns: int) -> tuple[str, frozenset[str]]:
    """A digest of the file's syntax tree, and the project modules that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    imported = frozenset(name for name in _imported(tree) if name.partition(".")[0] == _PACKAGE)
    dump = ast.dump(_WithoutTexts().visit(tree))
    return hashlib.sha256(dump.encode()).hexdigest(), imported


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def _files(scripts: Path, module: str) -> tuple[Path, ...]:
    """The files behind a project module's name: its own and those of the packages around it."""
    if _LEFT_OUT & {module, module.rpartition(".")[0]}:
        return ()
    parts = module.split(".")
    bases = [scripts.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    candidates = (
        path for base in bases for path in (base / "__init__.py", base.with_suffix(".py"))
    )
    return tuple(path for path in candidates if path.is_file())


class _WithoutTexts(ast.NodeTransformer):
    """Removes docstrings and texts that only people read."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Take the texts out of a call that makes an error, logs, or describes something."""
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
        called = name if isinstance(name, str) else getattr(name, "id", "")
        if told := _TOLD.get(called):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != told]
        if called.endswith("Error") or called in _LOGGED:
            node.args = [_without_text(argument) for argument in node.args]
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Take the meaning out of a flag: ``Annotated[Path, "describes the model"]``."""
        self.generic_visit(node)
        annotated = isinstance(node.value, ast.Name) and node.value.id == "Annotated"
        if annotated and isinstance(node.slice, ast.Tuple):
            node.slice.elts = [_without_text(element) for element in node.slice.elts]
        return node

    def _strip(
        self, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    ) -> ast.AST:
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node

    visit_Module = _strip  # noqa: N815 - names that ast.NodeTransformer looks up
    visit_ClassDef = _strip  # noqa: N815
    visit_FunctionDef = _strip  # noqa: N815
    visit_AsyncFunctionDef = _strip  # noqa: N815


def _without_text(argument: ast.expr) -> ast.expr:
    """An empty text in place of a text or of a concatenation of texts."""
    if isinstance(argument, ast.JoinedStr) or (
        isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ):
        return ast.Constant("")
    if isinstance(argument, ast.BinOp):
        argument.left, argument.right = map(_without_text, (argument.left, argument.right))
    return argument
