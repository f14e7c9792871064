"""Mount an autofs trigger, let a command look at the mounts, and tell whether it was touched.

    python trigger.py DIRECTORY COMMAND...

Run it in a mount namespace of its own. It writes what the command wrote, and then a line: ``left
alone`` or ``touched``. Afterwards it touches the trigger itself, from another process, and writes
``control: touched`` if that was noticed.
"""

from __future__ import annotations

import ctypes
import os
import select
import subprocess
import sys


def touched(pipe: int, seconds: float) -> bool:
    return bool(select.select([pipe], [], [], seconds)[0])


def main(point: str, *command: str) -> None:
    pipe, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    # Processes of this group stand for the automounter: the kernel lets them through.
    options = f"fd={theirs},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct"
    if ctypes.CDLL(None, use_errno=True).mount(
        b"trigger", os.fsencode(point), b"autofs", 0, options.encode()
    ):
        raise OSError(ctypes.get_errno(), "mount autofs")
    os.close(theirs)
    subprocess.run(command, check=True, start_new_session=True, timeout=60)
    sys.stdout.write("\n" + ("touched" if touched(pipe, 0) else "left alone") + "\n")
    sys.stdout.flush()
    control = subprocess.Popen(["ls", f"{point}/"], start_new_session=True, stderr=-3)
    sys.stdout.write("control: " + ("touched" if touched(pipe, 60) else "left alone") + "\n")
    control.kill()
    os.close(pipe)  # Without a reader the kernel lets everybody go.
    control.wait(60)


if __name__ == "__main__":
    os.setpgrp()
    main(*sys.argv[1:])
