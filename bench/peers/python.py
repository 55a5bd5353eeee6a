# Times subprocess.Popen. Arguments: program, launches to warm up, launches to time.
import json
import subprocess
import sys
import time

program, warm_up, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
hold, total = [], []
for i in range(warm_up + count):
    start = time.perf_counter()
    child = subprocess.Popen(
        [program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    held = time.perf_counter() - start
    child.wait()
    if i >= warm_up:
        total.append((time.perf_counter() - start) * 1e6)
        hold.append(held * 1e6)
print(json.dumps({"hold": hold, "total": total}))
