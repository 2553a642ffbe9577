"""The one kind of exception that a user is meant to read."""


class SemgapError(Exception):
    """A failure with a known cause and a remedy the user can apply.

    The command line shows ``str(error)`` as one paragraph; the traceback goes to the job's log.

    Attributes:
        cause: what went wrong, naming the thing that is wrong.
        remedy: what to do about it, as an instruction.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.cause = cause
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["SemgapError"], tuple[str, str]]:
        return type(self), (self.cause, self.remedy)


class ConfigError(SemgapError):
    """A configuration key is unknown, has the wrong type, or asks for the impossible."""


class ModelError(SemgapError):
    """Model files are missing, incomplete, corrupt, or do not fit the configuration."""


class CaptureError(SemgapError):
    """The packet capture is missing, incomplete, or cannot be read."""


class TransportError(SemgapError):
    """A message could not be carried between client and worker."""


class WorkerLostError(TransportError):
    """The worker process or the connection to it is gone."""


class RemoteError(SemgapError):
    """The worker refused or failed a request and said why."""


class ReferenceIdError(RemoteError):
    """A KV cache reference ID is unknown, stale, or belongs to another session."""


class ServerError(SemgapError):
    """The server could not be started, reached, or trusted."""


class ExternalSystemError(SemgapError):
    """Somebody else's system ended, hung, or answered something else than it should."""


class NoSpaceError(SemgapError):
    """There is no room left where something was to be written."""


class RunningError(SemgapError):
    """Another run is using the folder."""


class CorrectnessError(SemgapError):
    """A mode computed something else than ``local`` did."""


class ClaimError(SemgapError):
    """Data contradict what was expected of them."""


class MeasurementError(SemgapError):
    """A measurement is unusable: it must not be published."""


def not_a_number(dtype: str) -> ModelError:
    """The error for logits that are not numbers."""
    others = "float32" if dtype == "bfloat16" else "bfloat16 or float32"
    return ModelError(
        f"The model's logits are NaN in {dtype}: values inside it exceed what {dtype} can hold, or "
        "the weights hold NaN.",
        f"Set model.dtype to {others}." if dtype != "float32" else "Use other weights.",
    )
