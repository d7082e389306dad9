"""How small the idle service is and how soon it answers (P5)."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.load import TOKEN

IDLE_SECONDS = 3
START_SECONDS = 60
HELP_GOAL_SECONDS = 0.5

CONFIG = """
[firm]
name = "Баланс"
[server]
port = {port}
secret_key = "0123456789abcdef0123456789abcdef"
"""
WEB_CHAT = "[bots.webchat]\n"
TELEGRAM = '[bots.telegram]\ntoken = "{token}"\napi_base_url = "{api}"\n'


def service(name: str, bots: str, rss_goal_mb: int, health_goal_seconds: float) -> None:
    """Start `priem run`, wait for /health, let it idle, look at its memory."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = Path(folder) / "config.toml"
        config.write_text(CONFIG.format(port=port) + bots)
        # The second start counts: the first one also creates the database.
        for is_first in (True, False):
            began_at = time.monotonic()
            process = subprocess.Popen(
                [priem_command(), "run", "--config", str(config)], stderr=subprocess.DEVNULL, env=os.environ
            )
            try:
                wait_for_health(process, port)
                started_seconds = time.monotonic() - began_at
                if not is_first:
                    _get(port, "/panel/")
                    time.sleep(IDLE_SECONDS)
                    rss_mb = psutil.Process(process.pid).memory_info().rss / 1e6
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
    print(f"P5  {name}: RSS {rss_mb:.0f} MB (goal ≤ {rss_goal_mb}), ", end="")
    print(f"/health after {started_seconds:.2f} s (goal < {health_goal_seconds:g})")


def help_time() -> None:
    seconds = []
    for _ in range(5):
        began_at = time.monotonic()
        subprocess.run([priem_command(), "--help"], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.monotonic() - began_at)
    print(f"P5  priem --help: {min(seconds):.2f} s (goal < {HELP_GOAL_SECONDS})")


def priem_command() -> str:
    return str(Path(sys.executable).with_name("priem"))


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_for_health(process: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while _get(port, "/health") != http.HTTPStatus.OK:
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise SystemExit("the service did not start")
        time.sleep(0.02)


def _get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def main() -> None:
    help_time()
    service("web chat and panel", WEB_CHAT, 120, 2)
    load = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert load.stdout is not None
        api = f"http://127.0.0.1:{load.stdout.readline().strip()}"
        service("web chat, Telegram and panel", WEB_CHAT + TELEGRAM.format(token=TOKEN, api=api), 250, 5)
    finally:
        load.kill()
        load.communicate()


if __name__ == "__main__":
    main()
