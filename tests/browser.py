"""A headless browser, driven through its DevTools protocol: sizes, keys, what a reader hears."""

import contextlib
import itertools
import json
import os
import subprocess

from patience import PATIENCE_S


class Browser:
    """One page. Console messages and requests that it makes are kept."""

    def __init__(self, to_browser, from_browser):
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._session = {}
        self.said, self.asked = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self):
        read = bytearray()
        while not read.endswith(b"\0"):
            byte = self._from.read(1)
            assert byte, "the browser ended"
            read += byte
        message = json.loads(read[:-1])
        event, found = message.get("method"), message.get("params", {})
        if event in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.said.append(found)
        if event == "Network.requestWillBeSent":
            self.asked.append(found["request"]["url"])
        return message | ({"id": -1} if event else {})

    def open(self, address, width=1440, height=900):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Page.navigate", url=address)
        self.run(
            "new Promise((done) => document.readyState === 'complete' ? done() "
            ": addEventListener('load', done))"
        )

    def run(self, script):
        """The value of an expression, awaited."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, code):
        for event in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=event, key=key, code=key, windowsVirtualKeyCode=code
            )

    def heard(self):
        """What a screen reader is told: role and name of each element that is not ignored."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]


@contextlib.contextmanager
def browser(folder):
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    # Chromium reads its third and writes its fourth file descriptor.
    command = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", "chromium"]
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    process = subprocess.Popen(
        [*command, *flags, f"--user-data-dir={folder}", "--remote-debugging-pipe"],
        pass_fds=(theirs_in, theirs_out),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        with os.fdopen(ours_out, "wb") as to_browser, os.fdopen(ours_in, "rb") as from_browser:
            opened = Browser(to_browser, from_browser)
            yield opened
            # Asked to, it takes its files away.
            opened.call("Browser.close")
            process.wait(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
