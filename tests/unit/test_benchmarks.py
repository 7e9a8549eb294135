"""The pure parts of the benchmarks.

Verdicts, the few words a viewer speaks, the conversation with a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import bloat, client_frames, emits, fanout, plots, report, servers, storm
from benchmarks.generator import Connection, Group, Load
from benchmarks.peers import nats, nchan
from benchmarks.processes import ROOT, BenchmarkError, Process
from benchmarks.report import Bound, Row
from benchmarks.servers import Server
from statecast.http.head import RequestHead, by_name
from statecast.realtime.protocol import handshake, websocket

# Verdicts


@pytest.mark.parametrize(
    ("bound", "value", "verdict"),
    [
        (Bound(0.7, 0.85), 0.85, "aim held"),
        (Bound(0.7, 0.85), 0.7, "floor held"),
        (Bound(0.7, 0.85), 0.69, "BELOW THE FLOOR"),
        (Bound(4, 2.5, less=True), 2.5, "aim held"),
        (Bound(4, 2.5, less=True), 4, "floor held"),
        (Bound(4, 2.5, less=True), 4.1, "BELOW THE FLOOR"),
        (Bound(aim=10_000), 10_000, "aim held"),
        (Bound(aim=10_000), 9_999, "AIM MISSED"),
        (Bound(), 1, ""),
    ],
)
def test_a_number_is_judged_by_its_floor_and_aim(bound: Bound, value: float, verdict: str) -> None:
    assert bound.verdict(value) == verdict


@pytest.mark.parametrize(
    ("value", "words"),
    [(123_456, "123 500 x"), (9_876, "9 876 x"), (45.67, "45.7 x"), (1.234, "1.23 x")],
)
def test_a_number_is_shown_with_the_digits_that_count(value: float, words: str) -> None:
    assert report.shown(value, "x") == words


def test_the_tables_show_every_row() -> None:
    rows = [
        Row("ingest", 12_345, "messages/s", Bound(aim=10_000), "80 µs each"),
        Row("latency", 20.5, "ms"),
    ]
    heads, first, second = report.table(rows).splitlines()
    assert first.split("  ")[0] == "ingest"
    assert heads.index("aim") == first.index("10 000 messages/s")
    assert second.endswith("20.5 ms")
    assert report.markdown(rows).splitlines()[2:] == [
        "| ingest | 12 300 messages/s (80 µs each) |  | 10 000 messages/s | aim held |",
        "| latency | 20.5 ms |  |  |  |",
    ]
    assert json.loads(json.dumps(rows[0].json()))["verdict"] == "aim held"


def test_a_row_of_several_turns_has_their_median_and_their_spread() -> None:
    row = Row.of("latency", [3.0, 1.0, 2.0], "ms", note="paced")
    assert (row.value, row.spread) == (2.0, (1.0, 3.0))
    assert row.cells()[1] == "2.00 ms (1.00 to 3.00; paced)"
    assert Row.of("latency", [3.0], "ms").spread is None


def test_a_run_writes_its_table_and_three_rows_for_the_readme(tmp_path: Path) -> None:
    # given the two documents, each with one block
    (tmp_path / "docs").mkdir()
    pages = [tmp_path / "docs" / "benchmarks.md", tmp_path / "README.md"]
    for page in pages:
        page.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    # when a run with the three rows is written
    rows = [Row(what, 1234.5, "x") for what in report.IN_README]
    report.write(tmp_path, [*rows, Row("more", 1, "x")], "on this machine")
    # then the table has all rows, README.md has three, and the rest of both stands
    table, readme = (page.read_text() for page in pages)
    assert "| more | 1.00 x |" in table and "on this machine\n<!-- /bench -->\nafter" in table
    assert readme.count(" x |") == 3 and readme.startswith("before\n") and "old" not in readme
    # and a run that lacks one of the three leaves README.md as it is
    with pytest.raises(ValueError, match="was not measured"):
        report.write(tmp_path, rows[1:], "on this machine")
    assert (tmp_path / "README.md").read_text() == readme


def test_the_readme_shows_rows_that_the_benchmarks_have() -> None:
    documents = [(ROOT / name).read_text() for name in ("README.md", "docs/benchmarks.md")]
    assert all(report.BLOCK.search(text) for text in documents)


def test_what_was_not_measured_says_why_and_has_no_number() -> None:
    row = report.unmeasured("fan-out: Node", "Node is not here")
    assert row.cells() == ("fan-out: Node", "not measured: Node is not here", "", "", "")


def test_medians_and_percentiles() -> None:
    assert report.median([3, 1, 2]) == 2
    assert report.median([4, 1, 2, 3]) == 2.5
    assert report.percentile(list(range(100)), 0.99) == 99
    assert report.percentile([7], 0.99) == 7


# What a viewer says and hears


def test_the_handshake_is_one_that_our_server_takes() -> None:
    # given the bytes that a viewer of the benchmarks sends
    first, *lines = client_frames.upgrade(8000).split(b"\r\n\r\n")[0].split(b"\r\n")
    method, target, _ = first.split(b" ")
    headers = [(name.lower(), value) for name, _, value in (one.partition(b": ") for one in lines)]
    head = RequestHead.of_target(method.decode(), target, by_name(headers), secure=False)
    # then they are a handshake
    assert handshake.accept(head, origins=()).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("text", ["40", "4" + "x" * 300])
def test_what_a_viewer_says_is_a_frame(text: str) -> None:
    parser = websocket.WebSocketParser(65_536)
    parser.feed(client_frames.text_frame(text))
    event = parser.next_event()
    assert event is not None
    assert (event.opcode, event.payload) == (websocket.TEXT, text)


def test_the_message_that_is_fanned_out_has_the_size_of_the_design() -> None:
    packet = client_frames.packet(client_frames.state_message())
    assert len(packet) == client_frames.PACKET_BYTES == 239
    assert len(websocket.frame(packet)) == servers.FRAME_BYTES
    assert packet.startswith(client_frames.WRITE)
    assert packet.count(client_frames.UPDATE) == 1


def test_the_times_of_sending_are_found_in_what_was_received() -> None:
    received = b'..{"sent":123,"at":"t"}...{"sent":45}..."sent":6'
    assert list(client_frames.times(received)) == [123, 45]  # the last one may be cut off


def test_a_viewer_says_each_thing_after_it_has_heard_the_one_before() -> None:
    # given a viewer that opens a session and then joins
    sent: list[bytes] = []

    class Paper:
        send = sent.append

    viewer = Connection(Group(), Paper(), [(b"hello", b"sid"), (b"40", b"40{")])  # type: ignore[arg-type]

    # when it hears the answers in pieces, then it goes on with each, and is through at the last
    assert sent == [b"hello"]
    assert not viewer.take(b"HTTP/1.1 101 ... s")
    assert not viewer.take(b"id")
    assert sent == [b"hello", b"40"]
    assert not viewer.take(b"4")
    assert viewer.take(b'0{"sid"')


# Processes and options

ECHO = (
    "import sys, json\nfor line in sys.stdin: print(json.dumps({'heard': "
    "json.loads(line)}), flush=True)"
)


def test_a_process_answers_a_line_with_a_line() -> None:
    with Process("echo", [sys.executable, "-c", ECHO]) as process:
        assert process.ask(do="emit", rounds=2) == {"heard": {"do": "emit", "rounds": 2}}
        assert process.memory() > 0
        assert process.cpu() >= 0


def test_a_process_that_ends_says_its_last_words() -> None:
    with (
        Process(
            "broken", [sys.executable, "-c", "raise SystemExit('the port is taken')"]
        ) as process,
        pytest.raises(BenchmarkError, match=r"ended with status 1\. the port is taken"),
    ):
        process.receive(30)


def test_an_error_of_a_process_is_told() -> None:
    said = 'print(\'{"error": "no viewers"}\')'
    with (
        Process("sorry", [sys.executable, "-c", said]) as process,
        pytest.raises(BenchmarkError, match="sorry: no viewers"),
    ):
        process.receive(30)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], list(benchmarks.BENCHMARKS)),
        (["storm"], ["storm"]),
        (["storm", "--quick", "own-device"], ["storm", "own-device"]),
        (["--quick", "--only", "ingest", "--only", "fanout"], ["ingest", "fanout"]),
        (["storm", "--only", "feed"], ["storm", "feed"]),
    ],
)
def test_the_arguments_name_the_parts(
    arguments: list[str], parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    for table in (benchmarks.BENCHMARKS, benchmarks.ON_DEMAND):
        for name in table:
            monkeypatch.setitem(table, name, lambda quick, name=name: ran.append(name) or [])
    assert benchmarks.main(arguments) == 0
    assert ran == parts


@pytest.mark.parametrize("arguments", [["everything"], ["storm", "Storm"], ["--only", "all"]])
def test_a_part_that_is_not_there_is_named_with_those_that_are(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        benchmarks.main(arguments)
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"there is no part {arguments[-1]!r}; the parts are {benchmarks.PARTS}.")


@pytest.mark.parametrize(
    ("arguments", "draws"),
    [([], True), (["storm"], False), (["--only", "storm"], False), (["--quick"], False)],
)
def test_only_a_whole_run_draws_the_plots(
    arguments: list[str], draws: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"storm": lambda quick: [Row("storm", 3, "s")]})
    drawn: list[str] = []
    monkeypatch.setattr(
        benchmarks.plots, "draw", lambda rows, folder, machine: drawn.append(machine)
    )
    assert benchmarks.main(arguments) == 0
    assert bool(drawn) == draws


def test_a_run_with_a_broken_part_leaves_the_plots_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(quick: bool) -> list[Row]:
        raise BenchmarkError("no disk")

    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"storm": broken})
    monkeypatch.setattr(benchmarks.plots, "draw", lambda *_: pytest.fail("it draws"))
    assert benchmarks.main([]) == 1


@pytest.mark.parametrize(
    ("descriptors", "viewers"), [(1_048_576, 20_000), (20_500, 20_000), (20_000, 19_500)]
)
def test_the_larger_storm_has_as_many_viewers_as_descriptors_allow(
    descriptors: int, viewers: int
) -> None:
    assert storm.as_many_as(descriptors) == viewers


def test_one_broken_benchmark_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(quick: bool) -> list[Row]:
        raise BenchmarkError("no disk")

    monkeypatch.setattr(
        benchmarks, "BENCHMARKS", {"bad": broken, "good": lambda quick: [Row("answer", 42, "")]}
    )
    monkeypatch.setattr(benchmarks, "raise_file_limit", lambda: None)
    assert benchmarks.main([]) == 1
    said = capsys.readouterr().out
    assert "answer  42.0" in said
    assert "bad could not be measured: no disk" in said


def test_a_peer_that_breaks_is_out_and_we_are_not_allowed_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a race of two
    race = fanout.Race(None, 1_000)  # type: ignore[arg-type]
    race.running = dict.fromkeys((servers.OURS, servers.NODE))  # type: ignore[assignment]
    race.rounds = dict.fromkeys(race.running, 1)

    # when the peer breaks, then it is out, with the reason, and we are measured
    def measure(generator: object, name: str, *_: object) -> tuple[float, float]:
        if name == servers.NODE:
            raise BenchmarkError("it fell asleep")
        return 100_000, 8.0

    monkeypatch.setattr(fanout, "measure", measure)
    monkeypatch.setattr(fanout, "measure_paced", lambda *_: 4.0)
    race.turn()
    race.turn()
    assert race.measured[servers.OURS].costs == [8.0, 8.0]
    assert [row.note for row in race.missing] == ["not measured: it fell asleep"]
    assert [row.unit for row in fanout.summary(race.measured, 1_000)] == [
        "deliveries/s",
        "µs of CPU per delivery",
    ]

    # when ours breaks, then that is no result
    with pytest.raises(BenchmarkError), race.without_who_breaks(servers.OURS):
        raise BenchmarkError("no port")


@pytest.mark.parametrize(
    ("server", "deliveries", "least", "most"),
    [
        (Server(None, 1), 10, 2_430, 2_430),  # type: ignore[arg-type]
        (Server(None, 1, packet_bytes=257), 10, 2_610, 2_610),  # type: ignore[arg-type]
        # one that puts several events into a frame may save all heads but one
        (Server(None, 1, packet_bytes=257, merges=True), 10, 2_570, 2_610),  # type: ignore[arg-type]
    ],
)
def test_a_server_is_held_to_the_bytes_of_its_own_frames(
    server: Server, deliveries: int, least: int, most: int
) -> None:
    assert fanout.expected(server, deliveries) == (least, most)


@pytest.mark.parametrize(
    ("peer", "words"),
    [(nchan, "apt-get install nginx-light libnginx-mod-nchan"), (nats, "install nats-server")],
)
def test_a_peer_that_is_not_installed_says_how(
    peer: ModuleType,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr(peer, "raise_file_limit", lambda: None)
    peer.main(tmp_path)
    assert words in json.loads(capsys.readouterr().out)["error"]


def test_the_loop_in_c_compiles_without_a_warning(c_compiler: str) -> None:
    source = servers.PEERS / "loop.c"
    subprocess.run(
        [c_compiler, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", source], check=True, timeout=60
    )


def test_emits_are_compared_in_the_turn_in_which_they_were_measured() -> None:
    # given two turns of ours and of one peer, of which the other broke
    ours, peer = servers.OURS_SOCKETIO, servers.FLASK_SOCKETIO
    costs = {("paced", ours): [2.0, 4.0], ("paced", peer): [10.0, 12.0]}

    # then the costs and the ratio are medians with their spread, and what is missing is left out
    rows = emits.summary(costs)
    assert [(row.value, row.spread, row.unit) for row in rows] == [
        (3.0, (2.0, 4.0), "µs of CPU per delivery"),
        (11.0, (10.0, 12.0), "µs of CPU per delivery"),
        (4.0, (3.0, 5.0), "x"),
    ]
    assert [peer in row.what for row in rows] == [False, True, True]


def test_the_cpu_time_of_a_process_is_its_own() -> None:
    with Process("busy", [sys.executable, "-c", BUSY]) as process:
        used = process.receive()["used"]
        assert process.cpu() >= used > 0


BUSY = """
import json, sys, time
while time.process_time() < 0.05: pass
print(json.dumps({"used": time.process_time()}), flush=True)
sys.stdin.read()
"""


def test_each_kind_of_rows_has_a_plot() -> None:
    kinds = {
        "rates": Row("ingest", 14_000, "messages/s", spread=(13_000, 15_000)),
        "cpu": Row("emits: Statecast", 9.0, "µs of CPU per delivery"),
        "memory": Row("memory per idle viewer: Statecast", 2.3, "KB"),
        "storm": Row("storm: until all are equal to the store", 3.1, "s"),
    }
    for name, row in kinds.items():
        assert [plot.name for plot in plots.PLOTS if plot.has(row)] == [name]
    ratio = Row("fan-out, of Socket.IO on Node, by CPU", 9.0, "x")
    assert not any(plot.has(ratio) for plot in plots.PLOTS)


def test_each_plot_names_the_command_the_machine_and_its_limits() -> None:
    for plot in plots.PLOTS:
        caption = plots.caption(plot, "Python 3.11, 2 cores.")
        assert caption == f"make bench. Python 3.11, 2 cores.\n{plot.limits}"
        assert plot.limits.endswith(".")


def test_the_growth_of_tables_is_reported() -> None:
    # given tables after a tenth and at the end; one of them is small, and writes no index
    first, last = (
        bloat.Mark(
            changes,
            {
                "history": bloat.Table(size * bloat.MB, 5 * bloat.MB, size, 0, 0, 0, 3),
                "counters": bloat.Table(8_192, 16_384, 1, 2, updates=200, in_page=150, vacuums=0),
                "sources": bloat.Table(8_192, 16_384, 1, 0, updates=0, in_page=0, vacuums=0),
            },
            {},
            log=changes * 1_500,
        )
        for changes, size in ((1_000, 20), (10_000, 30))
    )
    # then what is large has a row, what is small and written has its share, and a change its log
    rows = bloat.report_rows([first, last])
    assert [(row.what, round(row.value or 0, 1)) for row in rows] == [
        ("bloat: all tables and indexes after 10000 changes", 35.0),
        ("bloat: table history after 10000 changes", 35.0),
        ("bloat: updates of counters that write no index", 75.0),
        ("bloat: log (WAL) of one change", 1_500.0),
    ]
    assert rows[1].note == "25 MB after a tenth; 30 live and 0 dead rows, 3 vacuums"


# How busy the viewers are


def test_the_viewers_say_how_busy_their_busiest_half_second_was() -> None:
    load = Load()
    now = load._began
    # given half a second with 0.1 s of waiting, one with 0.4 s, and one in which they connect
    for waited, connects in ((0.1, False), (0.4, False), (0.0, True)):
        load.note(waited, now + 0.3, connects=connects)
        now += 0.5
        load.note(0.0, now, connects=False)
    # then the first one counts
    assert load.busiest == pytest.approx(0.8)


@pytest.mark.parametrize(("share", "note"), [(0.91, "they were the bottleneck"), (0.4, "")])
def test_busy_viewers_are_called_the_bottleneck(
    monkeypatch: pytest.MonkeyPatch, share: float, note: str
) -> None:
    monkeypatch.setattr(servers, "busiest", [0.2, share])
    (row,) = servers.generator_load("fanout")
    assert (row.value, row.note) == (share * 100, note)
    assert servers.generator_load("fanout") == []


def test_a_part_that_broke_leaves_no_load_to_the_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(quick: bool) -> list[Row]:
        servers.busiest.append(0.95)
        raise BenchmarkError("nginx is not here")

    parts = {"fanout": breaks, "small": lambda quick: []}
    monkeypatch.setattr(benchmarks, "BENCHMARKS", parts)
    assert benchmarks.main(["--quick"]) == 1
    assert "busiest" not in capsys.readouterr().out and servers.busiest == []
