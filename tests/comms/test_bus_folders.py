"""Files of the bus on a real disk: written whole, claimed once, and never through a link."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.comms.bus import guarded
from netsky_runtime.comms.bus.envelope import MAX_FILE_BYTES, BadEnvelope
from netsky_runtime.comms.bus.folders import (
    ATTEMPTS,
    CLAIMED,
    DELIVERED,
    INBOX,
    OUTBOX,
    PARTS,
    POISON,
    Channel,
    addresses,
    prepare_channel,
    prune,
)
from netsky_runtime.comms.bus.forwarding import forward
from netsky_runtime.comms.bus.names import Names
from netsky_runtime.comms.bus.taking import Claim, claims
from netsky_runtime.errors import Conflict, NotFound, Unhealthy
from netsky_runtime.paths import Home

if TYPE_CHECKING:
    from pathlib import Path

TS = "2026-04-15T21:00:00Z"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "channels"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def channel(root: Path) -> Channel:
    made = Channel(root, "agent3")
    made.prepare()
    return made


def names(*noise: str) -> Names:
    words = iter(noise)
    return Names(now_ns=lambda: 7, noise=(lambda: next(words)) if noise else lambda: "00000000")


def put(channel: Channel, name: str, part: str = INBOX, **changes: Any) -> Path:
    """Write a file as another program would."""
    content = {"from": "agentci", "text": "hello", "ts": TS, **changes}
    path = channel.root / channel.folder / part / name
    path.write_text(json.dumps(content))
    return path


def files(channel: Channel, part: str) -> list[str]:
    return sorted(path.name for path in (channel.root / channel.folder / part).iterdir())


class Told(list[tuple[str, str, bool]]):
    def __call__(self, name: str, reason: str, *, poisoned: bool) -> None:
        self.append((name, reason, poisoned))


def take(channel: Channel) -> tuple[list[Claim], Told]:
    told = Told()
    return list(claims(channel, passed_over=told)), told


def test_an_actors_folders_are_made_private_before_its_session(tmp_path: Path) -> None:
    home = Home(root=tmp_path, sockets=tmp_path)
    for _ in range(2):
        prepare_channel(home, "worker3")
    made = [home.channels, home.channels / "worker3"]
    made += [home.channels / "worker3" / part for part in PARTS]
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in made)
    assert addresses(home.channels) == ["worker3"]


def test_a_folder_that_another_program_made_open_to_all_is_closed(root: Path) -> None:
    (root / "agentci" / INBOX).mkdir(parents=True, mode=0o755)
    Channel(root, "agentci").pending()
    for folder in (root / "agentci", root / "agentci" / INBOX):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_written_file_is_whole_private_and_leaves_nothing_beside_it(channel: Channel) -> None:
    name = channel.write_new(b"{}", sender="agent0", names=names())
    path = channel.root / "worker3" / INBOX / name
    assert path.read_bytes() == b"{}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1
    assert files(channel, INBOX) == [name]


def test_what_a_writer_that_died_left_hidden_is_not_read_and_not_in_the_way(
    channel: Channel,
) -> None:
    name = names().new("agent0")
    left = channel.root / "worker3" / INBOX / f".{name}.0.tmp"
    left.write_text("half")
    assert channel.pending() == []
    assert channel.write_new(b"{}", sender="agent0", names=names()) == name
    assert channel.pending() == [name]
    at = left.stat().st_ctime
    channel.sweep(before=at)
    assert left.exists()  # its writer may still be at it
    channel.sweep(before=at + 1)
    assert files(channel, INBOX) == [name]


def test_of_what_is_finished_the_newest_is_kept_and_nothing_old(
    channel: Channel, root: Path, tmp_path: Path
) -> None:
    for part in PARTS:
        for number in range(4):
            put(channel, f"{number}.json", part)
    (root / "worker3" / POISON / "folder.json").mkdir()
    (root / "agentci").symlink_to(tmp_path)
    aged = {
        n: (root / "worker3" / DELIVERED / n).stat().st_ctime for n in files(channel, DELIVERED)
    }
    prune(root, before=0.0, most=3)
    kept = files(channel, DELIVERED)
    assert len(kept) == 3
    assert min(aged[name] for name in kept) >= max(aged[n] for n in aged.keys() - set(kept))
    prune(root, before=max(aged.values()) + 60, most=3)
    assert files(channel, DELIVERED) == []
    assert files(channel, POISON) == ["folder.json"]
    assert all(len(files(channel, part)) == 4 for part in (INBOX, CLAIMED, OUTBOX))


def test_of_two_that_write_the_same_file_at_once_neither_shows_the_others_half(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, once = os.fsync, iter([True])

    def interrupted(file: int) -> None:
        real(file)
        if next(once, False):  # the first has written and not linked when the second comes
            assert channel.write_once("a.json", b"{}")

    monkeypatch.setattr(guarded.os, "fsync", interrupted)
    assert not channel.write_once("a.json", b"{}")
    assert channel.read("a.json") == b"{}"
    assert files(channel, INBOX) == ["a.json"]


def test_a_name_that_is_taken_is_not_overwritten_and_another_is_tried(channel: Channel) -> None:
    first = names("aaaaaaaa").new("agent0")
    put(channel, first, text="mine")
    written = channel.write_new(b"{}", sender="agent0", names=names("aaaaaaaa", "bbbbbbbb"))
    assert written != first
    assert b"mine" in channel.read(first)


def test_after_eight_names_that_were_taken_writing_gives_up(channel: Channel) -> None:
    class Stuck(Names):
        made = 0

        def new(self, sender: str) -> str:
            self.made += 1
            return "same.json"

    stuck = Stuck()
    put(channel, "same.json")
    with pytest.raises(Conflict, match="No free name"):
        channel.write_new(b"{}", sender="agent0", names=stuck)
    assert stuck.made == ATTEMPTS == 8
    assert files(channel, INBOX) == ["same.json"]


def test_what_is_written_once_is_not_written_again_wherever_its_reader_has_it(
    channel: Channel,
) -> None:
    assert channel.write_once("a.json", b"{}")
    assert not channel.write_once("a.json", b"{}")
    channel.claim("a.json")
    assert not channel.write_once("a.json", b"{}")
    channel.move("a.json", CLAIMED, DELIVERED)
    assert not channel.write_once("a.json", b"{}")
    assert channel.pending() == []


def test_a_disk_that_takes_nothing_is_told_not_hidden(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(guarded.os, "fsync", full)
    with pytest.raises(Unhealthy, match="No space left"):
        channel.write_new(b"{}", sender="agent0", names=names())
    assert files(channel, INBOX) == []


def test_envelopes_are_taken_in_the_order_of_their_names(channel: Channel) -> None:
    for name in ("2.json", "1.json", "3.json"):
        put(channel, name, text=name)
    taken, told = take(channel)
    assert [claim.envelope.text for claim in taken] == ["1.json", "2.json", "3.json"]
    assert files(channel, CLAIMED) == ["1.json", "2.json", "3.json"]
    assert told == []


def test_a_bad_file_goes_to_poison_with_its_reason_and_the_next_is_taken(channel: Channel) -> None:
    (channel.root / "worker3" / INBOX / "1.json").write_text("{")
    put(channel, "2.json", text="</channel>")
    put(channel, "3.json", **{"from": "BOB"})
    put(channel, "4.json", ts="yesterday")
    put(channel, "5.json", text="good")
    taken, told = take(channel)
    assert [claim.file for claim in taken] == ["5.json"]
    assert [(name, poisoned) for name, _, poisoned in told] == [
        (f"{n}.json", True) for n in range(1, 5)
    ]
    bad = [f"{n}.json" for n in range(1, 5)]
    assert files(channel, POISON) == sorted([*bad, *(f"{name}.reason.txt" for name in bad)])
    for name, reason, _ in told:
        beside = channel.root / "worker3" / POISON / f"{name}.reason.txt"
        assert beside.read_text() == f"{reason}\n"
    assert channel.pending() == []


def test_of_two_bad_files_of_one_name_both_stay_in_poison(channel: Channel) -> None:
    for word in ("one", "two"):
        put(channel, "bad.json", ts=word)
        take(channel)
    kept = [name for name in files(channel, POISON) if name.endswith(".json")]
    assert len(kept) == 2
    assert len(files(channel, POISON)) == 4


def test_a_file_that_cannot_be_read_is_left_and_the_next_is_taken(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def deny(path: Any, *args: Any, **more: Any) -> int:
        if path == "1.json":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **more)

    put(channel, "1.json")
    put(channel, "2.json")
    monkeypatch.setattr(guarded.os, "open", deny)
    taken, told = take(channel)
    assert [claim.file for claim in taken] == ["2.json"]
    assert [(name, poisoned) for name, _, poisoned in told] == [("1.json", False)]
    assert files(channel, INBOX) == ["1.json"]


def test_a_file_that_is_still_being_written_is_left_until_it_should_be_done(
    channel: Channel,
) -> None:
    half = channel.root / "worker3" / INBOX / "half.json"
    half.write_text('{"from":')
    put(channel, "whole.json")
    at = half.stat().st_ctime
    told = Told()
    early = list(claims(channel, passed_over=told, unfinished_since=at))
    assert [claim.file for claim in early] == ["whole.json"]
    assert told == []
    assert files(channel, INBOX) == ["half.json"]
    assert list(claims(channel, passed_over=told, unfinished_since=at + 1)) == []
    assert [name for name, *_ in told] == ["half.json"]


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "large"])
def test_what_is_no_plain_file_of_a_fair_size_is_poison_and_nobody_waits_for_it(
    channel: Channel, tmp_path: Path, what: str
) -> None:
    path = channel.root / "worker3" / INBOX / "x.json"
    secret = tmp_path / "secret"
    secret.write_text(json.dumps({"from": "agentci", "text": "secret", "ts": TS}))
    match what:
        case "link":
            path.symlink_to(secret)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.write_bytes(b" " * (MAX_FILE_BYTES + 1))
    taken, told = take(channel)
    assert taken == []
    assert [poisoned for *_, poisoned in told] == [True]
    assert secret.exists()
    with pytest.raises(BadEnvelope):
        channel.read("x.json", POISON)


STRANGE = [b"\xff\xfe", b"x" * 250, b"\xff" * 250, b"a\nb", b"\x1b[2J", "\u202e".encode()]


@pytest.mark.parametrize("name", STRANGE)
def test_names_that_are_no_text_or_too_long_can_be_put_away(channel: Channel, name: bytes) -> None:
    path = channel.root / "worker3" / INBOX / os.fsdecode(name + b".json")
    path.write_text("{")
    _, told = take(channel)
    assert [poisoned for *_, poisoned in told] == [True]
    assert all(name.isprintable() for name in files(channel, POISON))
    put(channel, path.name)
    [claim], _ = take(channel)
    assert claim.file.isprintable()
    assert claim.name.isprintable()
    assert claim.name in files(channel, CLAIMED)


def test_what_cannot_be_moved_is_left_and_the_next_is_taken(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def deny(name: str, *args: Any, **more: Any) -> None:
        if name == "1.json":  # a folder without the right to write needs no root to be so
            raise PermissionError(13, "Permission denied")
        real(name, *args, **more)

    put(channel, "1.json")
    put(channel, "2.json")
    monkeypatch.setattr(guarded.os, "rename", deny)
    taken, told = take(channel)
    assert [claim.file for claim in taken] == ["2.json"]
    assert [(name, poisoned) for name, _, poisoned in told] == [("1.json", False)]


@pytest.mark.parametrize("bad", [False, True])
def test_a_file_that_is_taken_away_again_after_the_claim_is_passed_over(
    channel: Channel, monkeypatch: pytest.MonkeyPatch, bad: bool
) -> None:
    real = Channel.claim

    def snatched(self: Channel, name: str) -> str:
        taken = real(self, name)
        path = channel.root / "worker3" / CLAIMED / taken
        if name == "1.json":
            path.unlink()
        return taken

    put(channel, "1.json", ts="yesterday" if bad else TS)
    put(channel, "2.json")
    monkeypatch.setattr(Channel, "claim", snatched)
    taken, told = take(channel)
    assert [claim.file for claim in taken] == ["2.json"]
    assert told == []


def test_no_more_files_are_taken_at_once_than_were_asked_for_good_and_bad(
    channel: Channel,
) -> None:
    for name in ("1.json", "2.json", "3.json"):
        put(channel, name, ts="yesterday" if name == "1.json" else TS)
    taken = list(claims(channel, passed_over=Told(), most=2))
    assert [claim.file for claim in taken] == ["2.json"]
    assert files(channel, INBOX) == ["3.json"]


@pytest.mark.parametrize("fault", [28, 13, 30])
def test_a_disk_on_which_no_folder_can_be_made_is_told_as_that(
    root: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    def full(*_args: Any, **_more: Any) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(guarded.os, "mkdir", full)
    with pytest.raises(Unhealthy, match="cannot be used"):
        Channel(root, "agent3").prepare()


def test_a_disk_that_cannot_list_a_folder_is_told_as_that(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_folder: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(guarded.os, "scandir", broken)
    with pytest.raises(Unhealthy, match="Input/output error"):
        channel.pending()


def test_of_two_readers_only_one_gets_a_file(channel: Channel) -> None:
    put(channel, "1.json")
    assert channel.claim("1.json") == "1.json"
    with pytest.raises(NotFound):
        channel.claim("1.json")


def test_a_claim_does_not_run_over_one_of_the_same_name(channel: Channel) -> None:
    put(channel, "msg.json", text="one")
    put(channel, "msg.json", CLAIMED, text="zero")
    [claim], _ = take(channel)
    assert claim.file == "msg.json"
    assert claim.name != "msg.json"
    assert b"zero" in channel.read("msg.json", CLAIMED)
    assert b"one" in channel.read(claim.name, CLAIMED)


def test_claims_that_nobody_finished_go_back_to_the_inbox(channel: Channel) -> None:
    put(channel, "1.json")
    take(channel)
    at = channel.changed_at("1.json", CLAIMED)
    assert channel.return_claims(before=at) == []
    assert channel.return_claims(but={"1.json"}) == []
    assert channel.return_claims(before=at + 1) == ["1.json"]
    assert channel.pending() == ["1.json"]


@pytest.mark.parametrize("step", ["worker3", *(f"worker3/{part}" for part in PARTS)])
def test_no_folder_of_a_channel_is_entered_through_a_link(
    root: Path, tmp_path: Path, step: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for part in PARTS:
        (elsewhere / part).mkdir(parents=True, mode=0o755)
    put(Channel(tmp_path, "elsewhere"), "1.json")
    before = sorted(path.relative_to(elsewhere) for path in elsewhere.rglob("*"))
    channel = Channel(root, "agent3")
    link = root / step
    if step == "worker3":
        link.symlink_to(elsewhere)
    else:
        channel.prepare()
        link.rmdir()
        link.symlink_to(elsewhere / link.name)
    part = link.name if step != "worker3" else INBOX
    uses = [
        channel.prepare,
        lambda: channel.pending(part),
        lambda: channel.read("1.json", part),
        lambda: channel.move("1.json", part, DELIVERED if part != DELIVERED else INBOX),
        lambda: channel.write_new(b"{}", sender="agent0", names=names(), part=part),
        lambda: channel.has("1.json", part),
    ]
    for use in uses:
        with pytest.raises(Unhealthy, match="is a symbolic link"):
            use()
    after = sorted(path.relative_to(elsewhere) for path in elsewhere.rglob("*"))
    assert after == before
    assert stat.S_IMODE((elsewhere / INBOX).stat().st_mode) == 0o755


def test_claiming_archiving_and_poisoning_refuse_a_link_where_they_put_things(
    channel: Channel, tmp_path: Path
) -> None:
    for part in (CLAIMED, POISON):
        (channel.root / "worker3" / part).rmdir()
        (channel.root / "worker3" / part).symlink_to(tmp_path)
    put(channel, "1.json")
    with pytest.raises(Unhealthy, match="symbolic link"):
        take(channel)
    with pytest.raises(Unhealthy, match="symbolic link"):
        channel.quarantine("1.json", "bad")
    assert files(channel, INBOX) == ["1.json"]


def test_a_folder_that_is_swapped_for_a_link_while_it_is_open_leads_nowhere_else(
    channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, inbox = guarded.write, channel.root / "worker3" / INBOX
    (tmp_path / "elsewhere").mkdir()

    def swap(folder: int, *args: Any, **more: Any) -> None:
        inbox.rename(tmp_path / "moved")
        inbox.symlink_to(tmp_path / "elsewhere")
        real(folder, *args, **more)

    monkeypatch.setattr(guarded, "write", swap)
    name = channel.write_new(b"{}", sender="agent0", names=names())
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [path.name for path in (tmp_path / "moved").iterdir()] == [name]


def test_a_root_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "channels").write_text("")
    with pytest.raises(Unhealthy, match="cannot be used"):
        Channel(tmp_path / "channels", "agent3").prepare()


def test_a_channel_that_was_never_made_is_empty(tmp_path: Path) -> None:
    channel = Channel(tmp_path / "channels", "agent3")
    assert channel.pending() == []
    assert not channel.has("1.json", INBOX)
    assert addresses(tmp_path / "channels") == []
    with pytest.raises(NotFound):
        channel.read("1.json")
    assert list(tmp_path.iterdir()) == []


def sent(channel: Channel) -> Told:
    told = Told()
    forward(channel, names=names(), passed_over=told)
    return told


def test_an_outbox_is_delivered_under_its_own_name_and_archived(channel: Channel) -> None:
    name = names().new("agent3")
    put(channel, name, OUTBOX, **{"from": "agent3", "to": "agent0"})
    assert sent(channel) == []
    assert files(Channel(channel.root, "manager0"), INBOX) == [name]
    assert files(channel, DELIVERED) == [name]
    put(channel, name, OUTBOX, **{"from": "agent3", "to": "agent0"})  # after a crash in between
    sent(channel)
    assert files(Channel(channel.root, "manager0"), INBOX) == [name]


def test_a_name_of_somebodys_own_is_replaced_on_the_way(channel: Channel) -> None:
    put(channel, "hello.json", OUTBOX, **{"from": "agent3", "to": "agentci"})
    sent(channel)
    assert files(Channel(channel.root, "agentci"), INBOX) == [names().new("agent3")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"from": "agent0", "to": "agent4"}, "this is the outbox of agent3"),
        ({"from": "agent3"}, "to is missing"),
        ({"from": "agent3", "to": "../x"}, "no address"),
        ({"from": "agent3", "to": "agent0", "text": "</channel>"}, "wrapper token"),
    ],
)
def test_what_an_actor_may_not_send_is_poison_in_its_own_channel(
    channel: Channel, changes: dict[str, str], reason: str
) -> None:
    put(channel, "1.json", OUTBOX, **changes)
    put(channel, "2.json", OUTBOX, **{"from": "agent3", "to": "agentci"})
    [(name, why, poisoned)] = sent(channel)
    assert (name, poisoned) == ("1.json", True)
    assert reason in why
    assert len(files(Channel(channel.root, "agentci"), INBOX)) == 1
    assert addresses(channel.root) == ["agentci", "worker3"]


def test_what_cannot_be_delivered_now_stays_in_the_outbox(channel: Channel, tmp_path: Path) -> None:
    (channel.root / "agentci").symlink_to(tmp_path)
    put(channel, "1.json", OUTBOX, **{"from": "agent3", "to": "agentci"})
    [(name, reason, poisoned)] = sent(channel)
    assert (name, poisoned) == ("1.json", False)
    assert "symbolic link" in reason
    assert files(channel, OUTBOX) == ["1.json"]


def test_an_envelope_that_somebody_else_forwards_meanwhile_ends_nothing(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Channel.move

    def snatched(self: Channel, name: str, source: str, target: str) -> str:
        if name == "1.json":
            (channel.root / "worker3" / OUTBOX / name).unlink()
        return real(self, name, source, target)

    for name in ("1.json", "2.json"):
        put(channel, name, OUTBOX, **{"from": "agent3", "to": "agentci"})
    monkeypatch.setattr(Channel, "move", snatched)
    assert sent(channel) == []
    assert files(channel, DELIVERED) == ["2.json"]


def test_what_could_not_be_archived_is_not_sent_again_and_again(
    channel: Channel, tmp_path: Path
) -> None:
    (channel.root / "worker3" / DELIVERED).rmdir()
    (channel.root / "worker3" / DELIVERED).symlink_to(tmp_path)
    put(channel, "1.json", OUTBOX, **{"from": "agent3", "to": "agentci"})
    with pytest.raises(Unhealthy, match="symbolic link"):
        sent(channel)
    assert addresses(channel.root) == ["worker3"]
