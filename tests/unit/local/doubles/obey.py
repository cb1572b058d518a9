"""A pod program that does what the variable ORDER says, so that tests can see how it is started, ended and reported."""

import os
import signal
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def main() -> None:
    order, _, argument = os.environ["ORDER"].partition(" ")
    print(f"ordered to {order}")  # noqa: T201
    if order == "say":
        Path(os.environ["EVOLUTION_TERMINATION_LOG"]).write_text(argument)
    elif order == "make-a-temporary-folder":
        Path(os.environ["EVOLUTION_TERMINATION_LOG"]).write_text(tempfile.mkdtemp())
    elif order == "exit":
        sys.exit(int(argument))
    elif order == "exit-if-index":
        sys.exit(int(os.environ["JOB_COMPLETION_INDEX"] == argument))
    elif order == "exit-if-node":
        if os.environ["PET_NODE_RANK"] == argument:
            sys.exit(1)
        time.sleep(60)
    elif order == "raise":
        raise RuntimeError(argument)
    elif order == "stay":
        time.sleep(60)
    elif order == "stay-deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf")  # noqa: T201
        time.sleep(60)
    elif order == "leave-a-child":
        child = os.fork()
        if child == 0:
            time.sleep(60)
        Path(argument).write_text(str(child))
    elif order == "tell":
        names = argument.split(",")
        Path(os.environ["EVOLUTION_TERMINATION_LOG"]).write_text(" ".join(os.environ.get(name, "-") for name in names))
        if os.environ.get("PET_NODE_RANK") == "0":
            time.sleep(0.5)  # the master's end ends its workers
    elif order == "serve":
        HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--http_port") + 1])), Ready).serve_forever()


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(7)
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    main()
