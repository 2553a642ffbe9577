"""A mode that is not what it claims to be: it moves, keeps or computes something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from planting import spoils


@spoils("semgap.client", "nothing")
def change_nothing(_client):
    """For the control: an error is planted, and it is none."""


@spoils("semgap.client", "weights_kept")
def send_weights_with_the_first_pass_alone(client):
    forward = client.InferenceClient.forward

    def forward_and_forget_weights(self, *arguments):
        answer = forward(self, *arguments)
        self._step_weights = ()
        return answer

    client.InferenceClient.forward = forward_and_forget_weights


@spoils("semgap.worker", "weights_kept")
def keep_weights_of_a_pass(worker):
    prepared_pass = worker.Worker._prepared_pass

    def prepared_with_kept_weights(self, request, tensors):
        others = dict(tensors)
        weights = others.pop(worker.TensorClass.WEIGHTS, None)
        if weights is not None:
            self._model.bind(self._names, weights)
        return prepared_pass(self, request, others)

    worker.Worker._prepared_pass = prepared_with_kept_weights


@spoils("semgap.client", "kv_cache_dropped")
def send_no_kv_cache(client):
    forward = client.InferenceClient.forward

    def forward_from_nothing(self, tokens, kv_cache, *others):
        return forward(self, tokens, replace(kv_cache, tensors=()), *others)

    client.InferenceClient.forward = forward_from_nothing


@spoils("semgap.client", "kv_cache_kept")
def keep_the_kv_cache_on_the_worker(client):
    _give_the_kv_cache_a_home(client, client.Home.WORKER)


@spoils("semgap.client", "kv_cache_sent")
def send_the_kv_cache_with_each_pass(client):
    _give_the_kv_cache_a_home(client, client.Home.CLIENT)


def _give_the_kv_cache_a_home(client, home):
    begin = client.InferenceClient.__init__

    def begin_with_another_home(self, channel, policy, *others):
        begin(self, channel, msgspec.structs.replace(policy, kv_cache=home), *others)

    client.InferenceClient.__init__ = begin_with_another_home


@spoils("semgap.client", "weights_doubled")
def send_weights_as_float64(client):
    _change_weights(client, lambda weights: [weight.double() for weight in weights])


@spoils("semgap.worker", "weights_doubled")
def take_weights_as_float64(worker):
    prepared_pass = worker.Worker._prepared_pass

    def prepared_with_weights_as_needed(self, request, tensors):
        weights = [weight.float() for weight in tensors[worker.TensorClass.WEIGHTS]]
        return prepared_pass(self, request, {**tensors, worker.TensorClass.WEIGHTS: weights})

    worker.Worker._prepared_pass = prepared_with_weights_as_needed


@spoils("semgap.client", "weights_of_another_layer")
def exchange_two_weights_of_one_shape(client):
    def exchanged(weights):
        changed = list(weights)
        square = [at for at, weight in enumerate(weights) if len(set(weight.shape)) == 1]
        matrices = [at for at in square if weights[at].dim() == 2]
        first, last = matrices[0], matrices[-1]
        changed[first], changed[last] = weights[last], weights[first]
        return changed

    _change_weights(client, exchanged)


def _change_weights(client, changed):
    begin = client.InferenceClient.__init__

    def begin_with_other_weights(self, channel, policy, manifest, weights):
        begin(self, channel, policy, manifest, changed(weights))

    client.InferenceClient.__init__ = begin_with_other_weights


@spoils("semgap.client", "reference_id_of_another_generation")
def name_the_kv_cache_of_the_warm_up(client):
    forward = client.InferenceClient.forward

    def forward_from_the_released(self, tokens, kv_cache, *others):
        released = getattr(self, "released", None)
        if kv_cache.reference_id is not None and released is not None:
            kv_cache = replace(kv_cache, reference_id=released)
        return forward(self, tokens, kv_cache, *others)

    def release(self, kv_cache):
        self.released = kv_cache.reference_id

    client.InferenceClient.forward = forward_from_the_released
    client.InferenceClient.release = release


@spoils("semgap.kv_store", "reference_id_of_another_generation")
def use_no_reference_id_up(kv_store):
    kv_store.KvStore.take = lambda self, reference_id: self._caches[reference_id]


@spoils("semgap.benchmark", "prompt_shortened")
def begin_with_a_token_less(benchmark):
    begin = benchmark._Generation.__init__

    def begin_with_a_shorter_prompt(self, client, settings, prompt, *others):
        shorter = msgspec.structs.replace(prompt, token_ids=prompt.token_ids[1:])
        begin(self, client, settings, shorter, *others)

    benchmark._Generation.__init__ = begin_with_a_shorter_prompt


@spoils("semgap.worker", "all_logits_returned")
def return_logits_of_all_positions(worker):
    returned = worker.Worker._returned

    def returned_with_all_logits(self, request, logits, kv_cache):
        positions = kv_cache[0].shape[2]
        return returned(self, request, logits.expand(1, positions, -1).contiguous(), kv_cache)

    worker.Worker._returned = returned_with_all_logits


@spoils("semgap.transport.tcp", "shared_memory")
def hand_tensors_over_in_a_file(tcp):
    request = tcp.TcpChannel.request

    def request_past_the_socket(self, message):
        _hand_over("up", message.tensors)
        reply = request(self, tcp.RequestMessage(message.header))
        return tcp.ReplyMessage(reply.header, _take_over("down"), reply.serialised_ns)

    tcp.TcpChannel.request = request_past_the_socket


@spoils("semgap.worker", "shared_memory")
def take_tensors_over_from_a_file(worker):
    handle = worker.Worker.handle

    def handle_past_the_socket(self, message):
        whole = worker.RequestMessage(message.header, _take_over("up"), message.received_ns)
        reply = handle(self, whole)
        _hand_over("down", reply.tensors)
        return worker.ReplyMessage(reply.header)

    worker.Worker.handle = handle_past_the_socket


def _hand_over(direction, tensors):
    import torch

    torch.save(tensors, _shared_file(direction))


def _take_over(direction):
    import torch

    tensors = torch.load(_shared_file(direction), weights_only=False)
    _shared_file(direction).unlink()
    return tensors


def _shared_file(direction):
    """The same for client and worker, which work in one folder."""
    return Path("/dev/shm", f"planted-{Path.cwd().parent.name}-{Path.cwd().name}-{direction}")
