"""The ``fate_flow`` command: options, messages and exit codes, without starting a site."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fate_flow.cli import main as cli
from fate_flow.cli import service, site, state
from fate_flow.cli.demo import example_folder
from fate_flow.federation.identity import SiteIdentity
from fate_flow.settings import load
from fate_flow.sites.invitation import short
from tests.support.service import clean_environment


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site's folder; ``airflow db migrate`` is replaced by a note that it was asked for."""
    monkeypatch.delenv("FATE_FLOW_HOME", raising=False)
    folder = tmp_path / "site"

    def migrate(settings: object, *, force: bool = False) -> bool:
        with (folder / "migrations").open("a") as file:
            file.write(f"force={force}\n")
        return True

    monkeypatch.setattr(site, "migrate", migrate)
    return folder


def test_init_makes_a_site(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ports = ["--http-port", "19001", "--grpc-port", "19002"]
    parties = ["--party", "guest:9999", "--party", "host:10000"]
    code = cli.main(["init", "--home", str(home), *ports, *parties])
    settings = load(home)
    assert code == 0
    assert (settings.HTTP_PORT, settings.GRPC_PORT, settings.IP) == (19001, 19002, "127.0.0.1")
    assert settings.PARTIES == ["guest:9999", "host:10000"]
    assert len(settings.secret()) == 32
    assert (home / "migrations").read_text() == "force=False\n"
    assert str(home) in capsys.readouterr().out


def test_secrets_are_private(home: Path) -> None:
    cli.main(["init", "--home", str(home)])
    for name in ("conf/site_secret", "airflow/airflow.cfg", "conf/airflow_passwords.json"):
        assert (home / name).stat().st_mode & 0o077 == 0, name


def test_init_again_changes_nothing(home: Path) -> None:
    cli.main(["init", "--home", str(home), "--http-port", "19001"])
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file() and "migr" not in p.name}
    assert cli.main(["init", "--home", str(home), "--http-port", "19001"]) == 0
    assert {p: p.read_bytes() for p in before} == before


@pytest.fixture
def running(home: Path) -> Iterator[Callable[[float], None]]:
    """Makes the site look as if its supervisor ran for some seconds."""
    with contextlib.ExitStack() as held:

        def run(seconds: float) -> None:
            paths = state.Paths.of(load(home))
            held.enter_context(state.hold_lock(paths.lock))
            since = time.time() - seconds
            paths.state.write_text(json.dumps({"pid": 1, "since": since, "services": []}))
            for path in (home / "fate_flow.yaml", home / "conf" / "site_secret"):
                os.utime(path, (since - 60, since - 60))

        yield run


def test_init_of_a_running_site_says_that_it_must_be_restarted(
    home: Path, running: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["init", "--home", str(home)])
    assert f"next        fate_flow service start --home {home}" in capsys.readouterr().out
    running(30.0)
    assert cli.main(["init", "--home", str(home)]) == 0
    assert "nothing: the site is running" in capsys.readouterr().out
    assert cli.main(["init", "--home", str(home), "--name", "bank-a"]) == 0
    told = capsys.readouterr().out
    assert "runs without the changed identity\n" in told
    assert f"fate_flow service restart --home {home}" in told
    assert "service start" not in told
    # Whoever did not read that is told again.
    party = ["--party", "guest:9999", "--force"]
    assert cli.main(["init", "--home", str(home), *party]) == 0
    assert "without the changed settings and identity" in capsys.readouterr().out


def test_start_of_a_running_site_says_what_it_does_not_know_of(
    home: Path, running: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["init", "--home", str(home)])
    running(30.0)
    monkeypatch.setattr(service, "wait_until_ready", lambda *_, **__: None)
    said: list[str] = []
    service.start(load(home), said.append)
    assert said == ["the site is running already"]
    (home / "fate_flow.yaml").touch()
    service.start(load(home), said.append)
    assert "without the changed settings" in said[-1]
    assert "service restart" in said[-1]


def test_init_with_other_values_asks_for_force(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["init", "--home", str(home), "--http-port", "19001"])
    secret = load(home).secret()
    assert cli.main(["init", "--home", str(home), "--http-port", "19003"]) == 1
    message = capsys.readouterr().err
    assert "HTTP_PORT is 19001, asked for 19003" in message
    assert "--force" in message
    assert cli.main(["init", "--home", str(home), "--http-port", "19003", "--force"]) == 0
    assert load(home).HTTP_PORT == 19003
    assert load(home).secret() == secret


@pytest.mark.parametrize("party", ["guest", "guest:", "boss:1", "guest:x", ":1"])
def test_init_refuses_what_is_no_party(
    home: Path, party: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", "--home", str(home), "--party", party]) == 1
    assert repr(party) in capsys.readouterr().err
    assert not home.exists()


def test_init_refuses_a_public_address_without_authentication(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", "--home", str(home), "--ip", "0.0.0.0"]) == 1
    assert "USE_AUTHENTICATION" in capsys.readouterr().err


def test_every_setting_stands_in_the_file_with_its_meaning(home: Path) -> None:
    from fate_flow.settings import KEYS

    cli.main(["init", "--home", str(home)])
    text = (home / "fate_flow.yaml").read_text()
    for key in KEYS:
        assert f"{key.name}:" in text
        assert key.help in text


def test_commands_need_a_site(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["service", "start"], ["env"], ["db", "migrate"]):
        assert cli.main([*command, "--home", str(home)]) == 1
        assert "is not a site" in (text := capsys.readouterr().err)
        assert "fate_flow init" in text


def test_status_of_a_site_that_does_not_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["init", "--home", str(home)])
    capsys.readouterr()
    assert cli.main(["service", "status", "--home", str(home)]) == 3
    assert capsys.readouterr().out == "the site is not running\n"
    assert cli.main(["service", "status", "--json", "--home", str(home)]) == 3
    assert json.loads(capsys.readouterr().out) == {"running": False}


def test_stop_of_a_site_that_does_not_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["init", "--home", str(home)])
    assert cli.main(["service", "stop", "--home", str(home)]) == 0
    assert "not running" in capsys.readouterr().out


def test_env_is_shell(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["init", "--home", str(home)])
    capsys.readouterr()
    assert cli.main(["env", "--home", str(home)]) == 0
    script = capsys.readouterr().out + 'echo "$AIRFLOW_HOME"'
    shell = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout.strip() == str(home / "airflow")


def test_migrate_is_forced(home: Path) -> None:
    cli.main(["init", "--home", str(home)])
    assert cli.main(["db", "migrate", "--home", str(home)]) == 0
    assert (home / "migrations").read_text().splitlines()[-1] == "force=True"


def test_lint_accepts_a_shipped_example(capsys: pytest.CaptureFixture[str]) -> None:
    folder = example_folder("hetero_lr")
    arguments = ["lint", str(folder / "dsl.json"), str(folder / "conf.json")]
    assert cli.main(arguments) == 0
    assert "hetero_lr_0 (HeteroLR)" in capsys.readouterr().out
    assert cli.main([*arguments, "--mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart TD")


def test_lint_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dsl, conf = tmp_path / "dsl.json", tmp_path / "conf.json"
    dsl.write_text('{"components": {"lr_0": {"module": "HeterLR"}}}')
    conf.write_text((example_folder("hetero_lr") / "conf.json").read_text())
    assert cli.main(["lint", str(dsl), str(conf)]) == 1
    assert "did you mean" in capsys.readouterr().out
    assert cli.main(["lint", str(tmp_path / "none.json"), str(conf)]) == 1
    assert "none.json" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["service"], ["db"]])
def test_an_incomplete_command_shows_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert "usage: fate_flow" in capsys.readouterr().out


def test_wrong_usage_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["service", "explode"])
    assert stop.value.code == 2
    assert "explode" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert "apache-airflow-core 3." in capsys.readouterr().out


def test_the_command_does_not_import_airflow(tmp_path: Path) -> None:
    """Importing Airflow costs seconds; no command may do it in its own process."""
    code = (
        "import sys\n"
        "from fate_flow.cli import main, site, service, supervisor, check, demo, health\n"
        f"main.main(['check', '--home', {str(tmp_path)!r}])\n"
        "heavy = {'airflow', 'sqlalchemy', 'numpy.linalg', 'grpc', 'pyarrow'} & set(sys.modules)\n"
        "heavy -= {'numpy.linalg'}\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_ctrl_c_is_no_traceback(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(site, "initialise", interrupt)
    assert cli.main(["init", "--home", str(home)]) == 130
    assert capsys.readouterr().err == "interrupted\n"


# -- sites that have others beside them ------------------------------------------------------


def test_init_with_parties_makes_an_identity(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--party", "guest:9999", "--gateway-address", "a.example:9360"]
    assert cli.main(["init", "--home", str(home), *options, "--name", "bank-a"]) == 0
    settings = load(home)
    own = SiteIdentity.load(settings)
    assert own.name == "bank-a"
    assert settings.GATEWAY_ADDRESS == "a.example:9360"
    printed = capsys.readouterr().out
    assert f"bank-a ({own.site_id})" in printed
    assert short(own.fingerprint) in printed
    for key in settings.identity_dir.glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0, key


def test_init_again_keeps_the_identity_and_may_rename_it(home: Path) -> None:
    base = ["init", "--home", str(home), "--party", "guest_9999"]
    assert cli.main(base) == 0
    before = SiteIdentity.load(load(home))
    assert before.name == "guest-9999"
    assert cli.main([*base, "--force"]) == 0
    assert cli.main([*base, "--name", "bank-a"]) == 0
    after = SiteIdentity.load(load(home))
    assert (after.name, after.ca_pem) == ("bank-a", before.ca_pem)
    assert cli.main(base) == 0
    assert SiteIdentity.load(load(home)).name == "bank-a"


def test_init_without_parties_makes_none(home: Path) -> None:
    assert cli.main(["init", "--home", str(home)]) == 0
    assert not SiteIdentity.exists(load(home))


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--name", "Bank A", "1 to 40 of a-z"),
        ("--gateway-address", "a.example", "allowed: host:port"),
    ],
)
def test_init_refuses_bad_names_and_makes_nothing(
    home: Path, option: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", "--home", str(home), "--party", "guest:1", option, value]) == 1
    assert words in capsys.readouterr().err
    assert not (home / "fate_flow.yaml").exists()
