"""Rules that reach out, never end, or eat memory: each a clear error, and the command lives on."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import ReplayError, UsageError
from forensics.lake.expressions import check
from forensics.lake.frames import RowFrame
from forensics.lake.sql import SqlError, connect
from forensics.replay.client import RuleWorker
from forensics.replay.engines import ask
from forensics.replay.logic import bind, read_logic
from forensics.testing import decision_record, write_lines

Run = Callable[..., Any]
CONNECTION = connect(threads=1)
NAMES = ("x", "score", "features.x", "name")
#: Stands in every rule for a file that is there and holds SECRET.
FILE = "/the/file"
SECRET = "top-secret-4711"
REACHING = [
    # Functions, under their names and others.
    "read_csv('/the/file')", "read_text('/the/file')", "read_blob('/the/file')", "glob('/*')",
    "READ_TEXT('/the/file') = ''", "\"read_text\"('/the/file') = ''", "read_csv_auto('/the/file')",
    "main.read_text('/the/file')", "system.main.read_text('/the/file')", "'/the/file'.read_text()",
    "x.read_text()", "'/the/file'.getenv()", "sniff_csv('/the/file')",
    "parquet_metadata('/the/file')", "parquet_scan('/the/file')", "read_json('/the/file')",
    "read_ndjson_objects('/the/file')", "getenv('HOME') = name", "getenv(name)",
    "x.getenv() = name", "current_setting('home_directory')", "set_config('a', 'b')",
    "getvariable('x')", "query('SELECT 1')", "query_table('x')", "which_secret('a', 'b')",
    "duckdb_secrets()", "duckdb_settings()", "pragma_version()", "pg_read_file('/the/file')",
    "load_extension('x')", "nextval('s')", "write_log(name)", "parse_duckdb_log_message('a', name)",
    "add_parquet_key('a', 'b')", "error(name)", "sleep_ms(100000)", "uuid() = name", "random() > x",
    "now() > name", "version() = name", "current_user = name", "current_database() = name",
    "json_serialize_sql(name)", "json_execute_serialized_sql('{}')",
    "repeat(name, 1000000000) = name", "lpad(name, 2000000000, 'x') = name",
    "range(1000000000) = x", "printf('%1000000000d', 1) = name",
    # Subqueries and other statements.
    "(FROM read_text('/the/file'))", "(SELECT content FROM read_text('/the/file')) = ''",
    "x IN (FROM '/the/file')", "x = ANY(FROM '/the/file')", "EXISTS(FROM glob('/*'))",
    "coalesce((FROM '/the/file'), 1) = 1", "CASE WHEN EXISTS(FROM '/the/file') THEN 1 END = 1",
    "x, (FROM '/the/file')", "x FROM '/the/file'", "x FROM read_csv('/the/file')", "(TABLE x) = 1",
    "x UNION ALL FROM '/the/file'", "x WHERE EXISTS(FROM '/the/file')", "(DESCRIBE x)",
    "(SUMMARIZE x)", "(PIVOT x ON y)", "(WITH t AS (FROM '/the/file') FROM t)",
    "ARRAY(FROM '/the/file') IS NULL", "1; COPY (SELECT 1) TO '/the/file'",
    "COPY (SELECT 1) TO '/the/file'", "ATTACH '/the/file' AS a",
    "1); COPY (SELECT 1) TO '/the/file' --", "INSTALL httpfs", "LOAD '/the/file'",
    "CALL pragma_version()", "IMPORT DATABASE '/the/file'", "EXPORT DATABASE '/the/file'",
    "CREATE MACRO m() AS 1", "SET threads = 1", "PREPARE p AS SELECT 1", "EXECUTE p",
    "RESET allowed_directories", ".read /the/file", "!ls",
    # What only looks like a name, a number, a text or a space.
    "ｒead_text('/the/file')", "rеad_text('/the/file')", "read_text\u200b('/the/file')",
    "read\u00adtext(1)", "scоre > 1", "score\u2028> 1 OR getenv('HOME') = name",
    "U&'\\0041' = name", "E'\\x41' = name", "$$/the/file$$ = name", "x\0 OR getenv('HOME') = name",
    "/* */ getenv('HOME') = name", "x > 1 -- getenv('HOME')", "x > :y", "x > $1", "x > ?", "#1 > 0",
    "x -> y", "x ->> '$.a' = name", "name COLLATE nocase = 'a'", "x::json IS NULL",
    "x::\"read_text\" = 1", "CAST(x AS regclass) = 1", "TRY(x)", "COLUMNS('x') > 1", "* > 1",
    "[x][1] > 1", "{'a': x}.a > 1", "list_transform([x], y -> y)[1] > 1", "[y for y in [x]][1] > 1",
    "x OVER () > 1", "sum(x) > 1", "abs(x) FILTER (WHERE true) > 1", "abs(DISTINCT x)",
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


@pytest.mark.parametrize("rule", REACHING)
def test_an_expression_that_reaches_out_is_refused(rule: str, file: Path) -> None:
    rule = rule.replace(FILE, str(file))
    with pytest.raises(UsageError) as caught:
        check(rule, NAMES, connection=CONNECTION)
    assert caught.value.why or caught.value.todo or "Nothing is called" in caught.value.what
    assert SECRET not in str(caught.value)
    assert file.read_text() == SECRET
    logic = {"type": "logic", "steps": [{"id": "policy", "kind": "expression", "sql": rule}]}
    with pytest.raises(UsageError):
        bind(read_logic(json.dumps(logic).encode()), ["x", "score", "name"], [], CONNECTION)


@pytest.mark.parametrize("rule", [rule for rule in REACHING if FILE in rule])
def test_behind_the_check_stands_a_connection_that_reaches_nothing(rule: str, file: Path) -> None:
    rule = rule.replace(FILE, str(file))
    query = f"SELECT ({rule}\n) FROM (SELECT 1 AS x, '' AS name)"
    try:
        found = str(CONNECTION.execute(query).fetchall())
    except (SqlError, RuntimeError) as error:
        found = str(error)
    assert SECRET not in found
    assert file.read_text() == SECRET
    assert CONNECTION.execute("SELECT 1").fetchall() == [(1,)]


def test_names_that_shadow_functions_and_words_are_names() -> None:
    values = {"lower": "a", "select": 2.0, "getenv": 3.0, "read_csv": 4.0}
    rule = "lower(lower) = 'a' AND \"select\" < getenv AND read_csv = 4"
    check(rule, list(values), connection=CONNECTION)
    frame = RowFrame(CONNECTION, values, {}, 1)
    frame.evaluate([("answer", rule)], ["answer"], list(values))
    assert list(frame.column("answer")) == [True]
    with pytest.raises(UsageError, match="getenv is not allowed"):
        check("getenv('HOME') = 'x'", ["getenv"], connection=CONNECTION)


@pytest.mark.parametrize("opened", ["(", "not (", "abs(", "- (", "case when (", "x in (", "(1, ("])
def test_ten_thousand_levels_are_refused_in_a_sentence(opened: str) -> None:
    for levels in (1_000, 10_000):
        with pytest.raises(UsageError, match=r"nested|longer|parse|yntax") as caught:
            check(opened * levels + "x", NAMES, connection=CONNECTION)
        assert len(str(caught.value)) < 1_000


RULE_FILES = [
    pytest.param(b"", "not JSON", id="nothing"),
    pytest.param(b"\x00" * 1_000, "not JSON", id="NULs"),
    pytest.param("{'type': 'rules'}".encode("utf-16"), "not JSON", id="UTF-16"),
    pytest.param(b"[" * 10_000, "not JSON", id="ten thousand open lists"),
    pytest.param(b'{"type":' * 10_000 + b"1" + b"}" * 10_000, "not JSON", id="ten thousand levels"),
    pytest.param(b'"' + b"x" * 10_000_000 + b'"', "type is None", id="10 MB of text"),
    pytest.param(b"[" + b"1," * 5_000_000 + b"1]", "type is None", id="10 MB of numbers"),
    pytest.param(b'{"type":' + b"9" * 5_000 + b"}", "not JSON", id="a number of 5,000 digits"),
    pytest.param(b'{"type":"rules"}', "missing", id="rules without rules"),
    pytest.param(b'{"type":"logic","steps":{}}', "1 to 200 steps", id="steps that are no list"),
    pytest.param(
        json.dumps(
            {"type": "rules", "rules": [{"id": "r", "when": "x > 1", "outcome": "A"}] * 100_000}
        ).encode(),
        "missing",
        id="a hundred thousand rules without a default",
    ),
    pytest.param(
        json.dumps({"type": "logic", "steps": [{"id": "а", "kind": "table"}]}).encode(),
        "letters",
        id="an id of Cyrillic letters",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "why"), RULE_FILES)
def test_a_rule_file_that_is_none_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(ReplayError, match=why):
        read_logic(data)


class Start:
    """Starts rule sets in their processes, which end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[RuleWorker] = []

    def __call__(self, rules: Any, engine: str = "zen", **limits: Any) -> RuleWorker:
        path = self.folder / f"rules-{len(self.running)}"
        if not isinstance(rules, bytes):
            rules = rules.encode() if isinstance(rules, str) else json.dumps(rules).encode()
        path.write_bytes(rules)
        self.running.append(RuleWorker(path, engine, **limits))
        return self.running[-1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started = Start(tmp_path)
    yield started
    for worker in started.running:
        worker.close()


def chain(node: Mapping[str, Any]) -> dict[str, Any]:
    """A ZEN graph of one node between request and response."""
    ends = [
        {"id": "in", "name": "request", "type": "inputNode"},
        {"id": "out", "name": "response", "type": "outputNode"},
    ]
    edges = [
        {"id": "1", "sourceId": "in", "targetId": "n"},
        {"id": "2", "sourceId": "n", "targetId": "out"},
    ]
    return {"nodes": [ends[0], {"id": "n", "name": "policy", **node}, ends[1]], "edges": edges}


def script(body: str, head: str = "") -> dict[str, Any]:
    source = f"{head}\nexport const handler = async (input) => {{ {body} }};"
    return chain({"type": "functionNode", "content": {"source": source}})


def expression(text: str) -> dict[str, Any]:
    content = {"expressions": [{"id": "1", "key": "answer", "value": text}]}
    return chain({"type": "expressionNode", "content": content})


@pytest.fixture
def knocks() -> Iterator[tuple[int, list[Any]]]:
    """A door on this machine, and who knocked."""
    found: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0.05)
        closing = threading.Event()

        def answer() -> None:
            while not closing.is_set():
                try:
                    caller, address = door.accept()
                except TimeoutError:
                    continue
                found.append(address)
                caller.close()

        waiter = threading.Thread(target=answer)
        waiter.start()
        yield door.getsockname()[1], found
        closing.set()
        waiter.join()


HTTP = [
    ("import http from 'http';", "await http.get(URL)"),
    ("import * as http from `http`;".replace("`", '"'), "await http.post(URL, {})"),
    ("", "const h = await import('http'); await h.default.get(URL)"),
    ("", "const h = await import('ht' + 'tp'); await h.default.get(URL)"),
    ("", "const h = await import /* so */ ('ht' + 'tp'); await h.default.get(URL)"),
    ("", "const h = await eval('imp' + 'ort(\"ht\" + \"tp\")'); await h.default.get(URL)"),
    ("", "await new Function('u', 'return imp' + 'ort(\"ht\" + \"tp\").then(h => h.get(u))')(URL)"),
]


@pytest.mark.parametrize(("head", "body"), HTTP)
def test_a_function_that_asks_a_service_reaches_none_and_is_told_apart(
    start: Start, knocks: tuple[int, list[Any]], head: str, body: str
) -> None:
    pytest.importorskip("zen")
    port, found = knocks
    url = json.dumps(f"http://127.0.0.1:{port}/limits")
    call = body.replace("URL", url)
    caught = script(f"try {{ {call} }} catch (e) {{ return {{e: String(e)}} }} return {{}}", head)
    (answer,) = ask(start(caught), [{}])
    assert not found
    disguised = "imp'" in body
    if disguised:  # nobody can tell, but the answer can only be that of a failure
        assert "e" in answer.value
    else:
        assert "may ask other services over HTTP" in (answer.error or "")


def test_a_function_finds_no_way_out(start: Start, file: Path) -> None:
    pytest.importorskip("zen")
    names = "require fetch process Deno Bun std os XMLHttpRequest WebSocket setTimeout load Worker"
    body = f"""
        const found = {{}};
        for (const name of {json.dumps(names.split())}) {{
            found[name] = typeof globalThis[name] + new Function('return typeof ' + name)();
        }}
        return found;"""
    (answer,) = ask(start(script(body)), [{}])
    assert set(answer.value.values()) == {"undefinedundefined"}
    modules = ["fs", "node:fs", "os", "std", "qjs:std", "child_process", "bjson", str(file)]
    modules += [f"file://{file}", f"../../../../../../../..{file}", "zen", "node:n"]
    reading = f"""
        const found = {{}};
        for (const name of {json.dumps(modules)}) {{
            try {{ found[name] = Object.keys(await eval('imp' + 'ort(name)')) }} catch (e) {{}}
        }}
        return found;"""
    (answer,) = ask(start(script(reading)), [{}])
    assert set(answer.value) <= {"zen", "node:n"}
    loader = "import zen from 'zen';"
    (answer,) = ask(start(script(f"return await zen.evaluate({str(file)!r}, {{}})", loader)), [{}])
    assert "Loader failed" in (answer.error or "")
    assert SECRET not in (answer.error or "")


ENDLESS = [
    pytest.param("zen", script("while (true) {}"), id="while"),
    pytest.param("zen", script("await new Promise(() => {})"), id="a promise never kept"),
    pytest.param("zen", script("for (;;) try { for (;;) {} } catch {}"), id="caught"),
    pytest.param("zen", script("", "for (;;) {}"), id="on import"),
    pytest.param("zen", script("return {r: /(a+)+$/.test('a'.repeat(60) + '!')}"), id="a pattern"),
    pytest.param(
        "zen",
        expression("all([1..10000], all([1..10000], all([1..10000], # > 0)))"),
        id="an expression",
    ),
]


@pytest.mark.parametrize(("engine", "rules"), ENDLESS)
def test_a_rule_that_never_ends_is_ended(start: Start, engine: str, rules: Any) -> None:
    pytest.importorskip("zen")
    with pytest.raises(ReplayError, match="the rule set gave no answer within 1 s"):
        ask(start(rules, engine, timeout_s=1), [{}])


def test_a_rule_that_works_for_ever_is_ended_by_its_processor_time(start: Start) -> None:
    pytest.importorskip("zen")
    with pytest.raises(ReplayError, match="more than the 1 processor seconds"):
        ask(start(script("while (true) {}"), cpu_s=1), [{}])


def test_in_cel_what_could_take_for_ever_is_refused(start: Start) -> None:
    pytest.importorskip("cel_expr_python")
    deep = "x.all(a, x.all(b, x.all(c, x.all(d, x.all(e, x.all(f, true))))))"
    (answer,) = ask(start(deep, "cel"), [{"x": list(range(50))}])
    assert answer.error == "Iteration budget exceeded"


GREEDY = [
    pytest.param("zen", script("const a = []; for (;;) a.push(Array(1e5).fill(1))"), id="array"),
    pytest.param("zen", script("const a = []; for (;;) a.push(new ArrayBuffer(1e8))"), id="buffer"),
    pytest.param("zen", script("let s = 'x'; for (;;) s += s"), id="text"),
    pytest.param("zen", script("const f = () => f() + 1; return {r: f()}"), id="recursion"),
    pytest.param("zen", script("for (;;) console.log('x'.repeat(1e6))"), id="log"),
    pytest.param("zen", script("return {r: 'x'.repeat(1e8)}"), id="answer"),
    pytest.param("zen", script("const o = {}; o.o = o; return o"), id="a circle"),
    pytest.param(
        "zen", script("let o = {}; for (let i = 0; i < 1e5; i++) o = {o}; return o"), id="levels"
    ),
    pytest.param("cel", "s" + " + s" * 30, id="concatenation"),
]


@pytest.mark.parametrize(("engine", "rules"), GREEDY)
def test_a_rule_that_eats_memory_ends_within_its_own(start: Start, engine: str, rules: Any) -> None:
    pytest.importorskip("zen" if engine == "zen" else "cel_expr_python")
    worker = start(rules, engine, memory_bytes=1 << 30, timeout_s=30)
    try:
        (answer,) = ask(worker, [{"s": "x" * 20_000_000 if engine == "cel" else ""}])
    except ReplayError as error:
        why = str(error)
    else:
        why = answer.error or ""
        assert answer.value is None
    # On a slow machine its 5 s are over first.
    reasons = ("memory", "MiB", "string length", "stack size", "SIGSEGV", "SIGABRT", "interrupted")
    assert any(reason in why for reason in reasons), why


BROKEN = [
    pytest.param("zen", b"not json", "not JSON", id="no JSON"),
    pytest.param("zen", b"[" * 10_000, "not JSON", id="open lists"),
    pytest.param("zen", b'{"nodes":' + b"[" * 10_000, "not JSON", id="open nodes"),
    pytest.param("zen", b'{"nodes":' + b"[" * 300 + b"]" * 300 + b"}", "no id", id="levels"),
    pytest.param("zen", b'{"nodes":[],"pad":"' + b"x" * 10_000_000, "not JSON", id="10 MB"),
    pytest.param("cel", "(" * 10_000 + "1" + ")" * 10_000, "recursion limit", id="parentheses"),
    pytest.param("cel", "!" * 200_000 + "true", "limit", id="200,000 nots"),
    pytest.param("cel", "x" * 10_000_000, "limit", id="10 MB of CEL"),
    pytest.param("cel", "ｘ > 1", "cannot be parsed", id="full-width letters"),
    pytest.param("cel", "x\u200b > 1", "cannot be parsed", id="a space of no width"),
    pytest.param("cel", b'{"type":"cel","expression":"1' + b"\x00" + b'"}', "not JSON", id="NUL"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "rules", "why"), BROKEN)
def test_a_foreign_rule_file_that_is_none_is_refused_with_the_reason(
    start: Start, engine: str, rules: Any, why: str
) -> None:
    pytest.importorskip("zen" if engine == "zen" else "cel_expr_python")
    with pytest.raises(ReplayError, match=why) as caught:
        start(rules, engine).describe()
    assert len(str(caught.value)) < 1_000


DEEP = {
    "parentheses": "(" * 200_000 + "1" + ")" * 200_000,
    "sum": "+".join("1" * 200_000),
    "lists": "[" * 200_000 + "]" * 200_000,
    "choices": "x ? 1 : " * 100_000 + "1",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_expressions_of_any_depth_cost_at_most_the_process(start: Start, text: str) -> None:
    pytest.importorskip("zen")
    try:
        (answer,) = ask(start(expression(text), timeout_s=30), [{"x": False}])
    except ReplayError as error:
        ended = str(error)
    else:
        ended = answer.error or json.dumps(answer.value)
    assert any(end in ended for end in ("SIGSEGV", "Failed to evaluate", '{"answer": 1}'))


def test_a_large_honest_table_is_run(start: Start) -> None:
    pytest.importorskip("zen")
    rules = [
        {"_id": f"r{at}", "_description": "why " * 120, "a": f"{at}", "o": f"'v{at}'"}
        for at in range(20_000)
    ]
    content = {
        "hitPolicy": "first",
        "inputs": [{"id": "a", "name": "A", "field": "x"}],
        "outputs": [{"id": "o", "name": "O", "field": "outcome"}],
        "rules": rules,
    }
    graph = json.dumps(chain({"type": "decisionTableNode", "content": content})).encode()
    assert len(graph) > 10_000_000
    (answer,) = ask(start(graph), [{"x": 19_999}], "outcome")
    assert (answer.value, answer.rules[0].id) == ("v19999", "r19999")


@pytest.mark.parametrize("engine", ["zen", "cel"])
def test_inputs_that_cannot_be_sent_are_an_error_of_their_own(start: Start, engine: str) -> None:
    pytest.importorskip("zen" if engine == "zen" else "cel_expr_python")
    deep: Any = 1
    for _ in range(5_000):
        deep = {"x": deep}
    worker = start(expression("x") if engine == "zen" else "has(x.x)", engine)
    with pytest.raises(ReplayError, match="nested too deeply"):
        ask(worker, [{"x": deep}])


def artifact(run: Run, lake: Path, folder: Path, data: Any) -> str:
    """The digest of an artifact that was taken into the lake."""
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    path = folder / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    ran = run("ingest", "--format", "artifact", path, "--lake", lake)
    assert ran.code == 0, ran.err
    return f"sha256:{path.name}"


SLOW = "|".join(f"a.{{{length}}}c" for length in range(850, 950))
COMMANDS = [
    pytest.param(
        {"kind": "expression", "sql": "read_text('/etc/passwd')"}, None, "not allowed", id="SQL"
    ),
    pytest.param(
        {"kind": "expression", "sql": "(" * 9_000}, None, "nested too deeply", id="SQL, deep"
    ),
    pytest.param(
        {"kind": "expression", "sql": f"regexp_matches(channel || channel, '{SLOW}')"},
        None,
        "20 s",
        id="SQL, slow",
    ),
    pytest.param(
        {"kind": "zen"}, script("const o = {}; o.o = o; return o"), "SIGSEGV", id="ZEN, a crash"
    ),
    pytest.param(
        {"kind": "zen"},
        script("while (true) {}"),
        "interrupted",
        id="ZEN, endless",
        marks=pytest.mark.torture,
    ),
    pytest.param({"kind": "zen"}, b"[" * 10_000, "not JSON", id="ZEN, deep"),
    pytest.param(
        {"kind": "cel", "expression": "amount > "}, None, "cannot be parsed", id="CEL, broken"
    ),
    pytest.param(
        {"kind": "cel", "expression": "(" * 10_000 + "1" + ")" * 10_000},
        None,
        "recursion limit",
        id="CEL, deep",
    ),
]


@pytest.mark.parametrize(("step", "file", "why"), COMMANDS)
def test_the_command_says_what_cannot_be_replayed_and_shows_the_decision(
    step: dict[str, Any], file: Any, why: str, run: Run, lake: Path, tmp_path: Path
) -> None:
    pytest.importorskip("zen")
    pytest.importorskip("cel_expr_python")
    step = {"id": "policy", **step}
    if file is not None:
        step["artifact"] = artifact(run, lake, tmp_path, file)
    logic = {"type": "logic", "name": "hostile", "steps": [step], "outcome": "policy"}
    digest = artifact(run, lake, tmp_path, logic)
    config = artifact(run, lake, tmp_path, {"threshold": 0.5})
    steps = [{"id": "policy", "kind": "rules", "digest": digest, "outputs": {"outcome": "APPROVE"}}]
    record = decision_record(
        config={"digest": config, "values": {"threshold": 0.5}}, steps=steps, score=None,
        features={"amount": 1000, "channel": "ab" * 5_000},
    )  # fmt: skip
    assert run("ingest", write_lines(tmp_path / "log", [record]), "--lake", lake).code == 0
    ran = run("trace", record["request_id"], "--lake", lake, "--json")
    assert ran.code == 4, ran.err
    found = ran.json
    assert found["decision"]["outcome"] == "APPROVE"
    assert found["replay"]["verdict"] == "not_replayable"
    assert why in " ".join(found["replay"]["missing"])
    assert len(found["features"]) == 2
