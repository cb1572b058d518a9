"""One JSON object a line on standard error: time, level, logger, message, and the run, round, stage and attempt it is about."""

import json
import logging
from datetime import UTC, datetime

FIELDS = ("namespace", "run", "round", "stage", "attempt", "reason")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {field: value for field in FIELDS if (value := getattr(record, field, None)) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Kopf tells about each event that it handled.
    logging.getLogger("kopf").setLevel(logging.WARNING)
