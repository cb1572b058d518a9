"""The errors of the local adapter that a person is told in one sentence; raised here, caught by the command line alone."""


class RefusedError(ValueError):
    """What was asked cannot be done on this machine as it is; the message says field, value, why and what to do."""


class BusyError(RefusedError):
    """Another process works in the same folder."""
