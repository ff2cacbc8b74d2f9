"""Tests match names, values and numbers of a message, not its sentence: the wording may improve."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PLAIN = re.compile(r"\b[A-Za-z]+ [A-Za-z]+ [A-Za-z]+\b")  # three plain words in a row
QUOTED = re.compile(r"""(?<!\w)(?:'[^']*'|"[^"]*"|`[^`]*`)(?!\w)""")
ESCAPE = re.compile(r"\\[A-Za-z]")  # \w and \d are not words


def is_sentence(pattern: str) -> bool:
    """Whether three plain words follow each other outside quotes."""
    return PLAIN.search(ESCAPE.sub("0", QUOTED.sub("0", pattern))) is not None


def texts(node: ast.expr) -> Iterator[tuple[int, str]]:
    """Line and text of each constant and f-string (fields as "0") in an expression."""
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "0" for part in node.values)
        yield node.lineno, "".join(map(str, parts))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
    else:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from texts(child)


def bound(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    """What `name` becomes when `value` is assigned to `target`."""
    if isinstance(target, ast.Name):
        if target.id == name:
            yield value
    elif isinstance(target, ast.Tuple):
        if isinstance(value, ast.Call):  # pytest.param(...)
            value = ast.Tuple(value.args)
        for inner, part in zip(target.elts, getattr(value, "elts", ()), strict=False):
            yield from bound(inner, part, name)


def rows(node: ast.expr, tables: dict[str, ast.expr]) -> list[ast.expr]:
    """The rows that a loop over `node` visits."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # table.items()
        return rows(node.func.value, tables)
    if isinstance(node, ast.Name):
        return rows(tables[node.id], {}) if node.id in tables else []
    if isinstance(node, ast.Dict):
        return [
            ast.Tuple([key, value])
            for key, value in zip(node.keys, node.values, strict=True)
            if key
        ]
    if isinstance(node, ast.BinOp):
        return rows(node.left, tables) + rows(node.right, tables)
    return list(getattr(node, "elts", ()))


def values(
    name: str, scope: ast.AST, tables: dict[str, ast.expr], calls: list[ast.Call]
) -> Iterator[ast.expr]:
    """What a function gives to `name`: assigned, looped over, parametrized or passed to it."""
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=[target], value=ast.Subscript(value=table)):
                for row in rows(table, tables):  # given, words = TABLE[what]
                    yield from bound(ast.Tuple([ast.Name(""), target]), row, name)
            case ast.Assign(targets=[target], value=value):
                yield from bound(target, value, name)
            case ast.For(target=target, iter=table):
                for row in rows(table, tables):
                    yield from bound(target, row, name)
            case ast.Call(func=ast.Attribute(attr="parametrize"), args=[names, table, *_]):
                words = ast.literal_eval(names)
                words = words.split(",") if isinstance(words, str) else words
                targets: list[ast.expr] = [ast.Name(word.strip()) for word in words]
                target = targets[0] if len(targets) == 1 else ast.Tuple(targets)
                for row in rows(table, tables):
                    yield from bound(target, row, name)
            case ast.FunctionDef(name=helper, args=arguments):
                target = ast.Tuple([ast.Name(argument.arg) for argument in arguments.args])
                for call in calls:
                    if isinstance(call.func, ast.Name) and call.func.id == helper:
                        yield from bound(target, ast.Tuple(call.args), name)


def patterns(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of each match= of a file, constants and names that stand for them."""
    tables = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for scope in tree.body:
        for node in ast.walk(scope):
            if not (isinstance(node, ast.keyword) and node.arg == "match"):
                continue
            yield from texts(node.value)
            for name in {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}:
                for value in [*values(name, scope, tables, calls)] or [tables.get(name)]:
                    if value is not None:
                        yield from texts(value)


def frozen(path: Path) -> list[str]:
    """`file:line: pattern` of each match= that repeats a sentence of the message."""
    found = {
        entry for entry in patterns(ast.parse(path.read_text("utf-8"))) if is_sentence(entry[1])
    }
    place = path.relative_to(TESTS.parent)
    return [f"{place}:{line}: {text}" for line, text in sorted(found)]


def test_no_match_repeats_a_sentence() -> None:
    files = [path for path in sorted(TESTS.rglob("*.py")) if path.name != Path(__file__).name]
    sentences = [line for path in files for line in frozen(path)]
    assert not sentences, "match a name, a value or a number instead:\n" + "\n".join(sentences)


def test_what_is_a_sentence() -> None:
    source = """
TABLE = {"a": "one two three"}
CASES = {0: (0, "by a key")}
@pytest.mark.parametrize("k, words", [(0, "k must be an integer >= 1"), (1, "k .*>= 1")])
def test_it(k, words):
    with pytest.raises(ConfigError, match=words): ...
    with pytest.raises(ConfigError, match=f"1 of {k} .*category" + "are left out"): ...
    for name, message in TABLE.items():
        with pytest.raises(ConfigError, match=message): ...
    with pytest.raises(ConfigError, match="unknown mask 'is not a word'"): ...
    with pytest.raises(ConfigError, match=r"\\w of the min_per_user is"): ...
    given, other = CASES[k]
    with pytest.raises(ConfigError, match=other): ...
    def refused(message):
        with pytest.raises(ConfigError, match=message): ...
    refused("passed to it")
"""
    found = {text for _, text in patterns(ast.parse(source)) if is_sentence(text)}
    assert found == {
        "are left out",
        "by a key",
        "k must be an integer >= 1",
        "one two three",
        "passed to it",
    }
