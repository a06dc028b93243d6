"""What a process is handed arrives whole, or it is said that nobody is there."""

import os
import struct
import subprocess
import sys

import pytest

RECEIVER = """
from pinas_mm.handing import received
try:
    print(received())
except EOFError:
    print("gone")
"""


# Nothing, and the beginning of a message of 100 bytes, as a killed process leaves them.
@pytest.mark.parametrize("sent", [b"", struct.pack("!i", 100) + b"abc"])
def test_a_sender_that_went_away(sent):
    reading, writing = os.pipe()
    receiver = subprocess.Popen(
        [sys.executable, "-c", RECEIVER], stdin=reading, stdout=subprocess.PIPE, text=True
    )
    os.close(reading)
    os.write(writing, sent)
    os.close(writing)
    assert receiver.communicate(timeout=100)[0] == "gone\n"
