"""The errors that a person is told in one sentence; raised by what runs here on one machine, caught by the command line alone."""


class RefusedError(ValueError):
    """What was asked cannot be done as it is; the message says field, value, why and what to do."""


class BusyError(RefusedError):
    """Another process works in the same folder."""
