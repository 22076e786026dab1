"""Runs a command in a terminal of its own, answers its question for words, and prints its exit status.

terminal.py ANSWER COMMAND...: `right` types the words asked for, `three` all but the last, `eof` and `interrupt` the keys that say so, anything else
is typed as it is.
"""

import os
import pty
import re
import select
import signal
import sys

answer, command = sys.argv[1], sys.argv[2:]
# Nothing here waits for ever.
signal.alarm(60)
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
shown, answered = b"", False
while True:
    select.select([terminal], [], [])
    try:
        more = os.read(terminal, 65536)
    except OSError:
        break
    if not more:
        break
    shown += more
    asked = re.search(rb"type the words number ([0-9, ]+), as the second machine shows them: $", shown)
    if asked and not answered:
        answered = True
        words = {}
        for first, row in re.findall(rb"^  ( ?\d+)  ([a-z]+ [a-z]+ [a-z]+ [a-z]+)\r?$", shown, re.M | re.I):
            words.update(enumerate(row.split(), int(first)))
        places = [int(place) for place in asked.group(1).split(b",")]
        right = b" ".join(words[place] for place in places)
        typed = {"right": right + b"\n", "three": b" ".join(right.split()[:3]) + b"\n", "eof": b"\x04",
                 "interrupt": b"\x03"}
        os.write(terminal, typed.get(answer, answer.encode() + b"\n"))
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(shown)
print("\nanswered" if answered else "\nnot asked")
print("exit", os.waitstatus_to_exitcode(status))
