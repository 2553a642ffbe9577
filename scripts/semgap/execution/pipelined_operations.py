"""An operator is one request, and the client waits where it needs a value."""

from semgap.execution import Executor, GenerationLimits
from semgap.execution.per_operation import PerOperation
from semgap.inference.client import InferenceClient
from semgap.protocol import Operate


def open_executor(client: InferenceClient, limits: GenerationLimits) -> Executor:
    return PipelinedOperations(client, limits)


class PipelinedOperations(PerOperation):
    def _operate(self, operation: Operate) -> None:
        self._client.post(operation)
