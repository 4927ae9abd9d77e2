"""The model host: a process that owns a device and the models on it, and runs chunks for jobs.

``python -m epipar_depth.da3.host --socket PATH --device auto`` listens on a Unix socket in a folder
that only its user may enter, says so in one JSON line, and ends when its standard input does. Each
connection is a job; when it closes, what the job has waiting is dropped and what runs is broken
off before the next layer.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from epipar_depth.da3.registry import ModelSpec, find_model, load_registry
from epipar_depth.da3.residents import DeviceFullError, DeviceLostError, MemoryBounds, Residents
from epipar_depth.da3.scheduler import Cancelled, JobQueue, Scheduler
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.wire import ConnectionEndedError, Message, receive, send
from epipar_kit.errors import EpiparError, InternalError, error_to_dict, typed_error

log = logging.getLogger(__name__)

_DEVICE_LOST = 75  # exit status


class ModelHost:
    """Answers the connections of one listening socket.

    Args:
        listener: bound and listening.
        residents: the device and the models on it.
        registry: models by name.
        device_name: for the status.
    """

    def __init__(
        self,
        listener: socket.socket,
        residents: Residents,
        registry: Mapping[str, ModelSpec],
        device_name: str,
    ) -> None:
        self._listener = listener
        self._residents = residents
        self._registry = registry
        self._device_name = device_name
        self._scheduler = Scheduler()
        self._jobs: set[JobQueue] = set()

    def serve(self) -> None:
        """Answer until closed; chunks run on the calling thread."""
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        self._scheduler.run()

    def close(self) -> None:
        """End serve after the chunk that runs."""
        self._scheduler.close()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        job = JobQueue()
        sending = threading.Lock()

        def reply(message: Message) -> None:
            with sending:
                try:
                    send(connection, message)
                except ConnectionEndedError:
                    self._scheduler.cancel(job)

        self._jobs.add(job)
        try:
            while True:
                self._take(receive(connection), job, reply)
        except ConnectionEndedError:
            pass
        except (ValueError, KeyError, TypeError):  # it speaks something else
            log.exception("a message of a job cannot be understood")
        finally:
            self._jobs.discard(job)
            self._scheduler.cancel(job)
            connection.close()

    def _take(self, message: Message, job: JobQueue, reply: Callable[[Message], None]) -> None:
        operation = message.header["op"]
        if operation == "status":
            reply(Message(self._status()))
            return
        work = {"fits": self._fits, "load": self._load, "predict": self._predict}[operation]
        if operation == "fits":  # reads numbers only; need not wait for its turn
            _run(lambda: work(message, job), reply)
        else:
            self._scheduler.submit(job, lambda job: _run(lambda: work(message, job), reply))

    def _status(self) -> dict[str, Any]:
        return {
            "device": self._device_name,
            "models": self._residents.names,
            "jobs": len(self._jobs) - 1,  # the one that asks is none
            "waiting": self._scheduler.waiting,
            "busy": self._scheduler.is_busy,
            "free_mib": self._residents.available_mib(),
        }

    def _fits(self, message: Message, job: JobQueue) -> Message:
        spec = find_model(self._registry, message.header["model"])
        height, width = int(message.header["height"]), int(message.header["width"])
        return Message({"fits": self._residents.fitting_images(spec, height, width)})

    def _load(self, message: Message, job: JobQueue) -> Message:
        self._residents.load(find_model(self._registry, message.header["model"]))
        return Message({"loaded": message.header["model"]})

    def _predict(self, message: Message, job: JobQueue) -> Message:
        def check() -> None:
            if job.is_cancelled.is_set():
                raise Cancelled

        spec = find_model(self._registry, message.header["model"])
        count, height, width = message.arrays["images"].shape[:3]
        check()
        network = self._residents.admit(spec, count, height, width)
        try:
            arrays, is_metric = network.predict(
                dict(message.arrays),
                dtype=str(message.header["dtype"]),
                seed=int(message.header["seed"]),
                check=check,
            )
        except MemoryError:
            raise self._residents.recover(count) from None
        return Message({"is_metric": is_metric}, arrays)


def _run(work: Callable[[], Message], reply: Callable[[Message], None]) -> None:
    """Answer with what the work gives, or with why it does not."""
    try:
        answer = work()
    except Cancelled:
        return
    except DeviceFullError as error:
        answer = Message({"device_full": error.fits})
    except DeviceLostError as error:
        # Every later pass of this process would fail too: the service starts another host, and
        # jobs ask that one again.
        log.critical("device_lost: %s", error)
        os._exit(_DEVICE_LOST)
    except Exception as error:
        typed = typed_error(error)
        if isinstance(typed, InternalError) or not isinstance(error, EpiparError):
            log.error("model_host_failed", exc_info=error)
        answer = Message({"error": error_to_dict(typed)})
    reply(answer)


def main() -> int:
    """Run a model host; return the exit status."""
    parser = argparse.ArgumentParser(prog="epipar_depth.da3.host", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    threading.Thread(target=_die_at_eof, name="stdin", daemon=True).start()
    settings = Da3Settings.from_environment()

    from epipar_depth.da3.network import TorchDevice

    device = TorchDevice(arguments.device, settings)
    residents = Residents(device, MemoryBounds(settings.memory_mib, settings.max_models))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        arguments.socket.unlink(missing_ok=True)
        listener.bind(str(arguments.socket))
        listener.listen(64)
        host = ModelHost(listener, residents, load_registry(settings.models_file), device.name)
        sys.stdout.write(json.dumps({"event": "ready", "device": device.name}) + "\n")
        sys.stdout.flush()
        host.serve()
    return 0


def _die_at_eof() -> None:
    """Wait for the end of standard input: whoever started this process is gone, however it went."""
    while os.read(0, 4096):
        pass
    os._exit(0)  # at once, also out of native code


if __name__ == "__main__":
    sys.exit(main())
