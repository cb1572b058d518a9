"""Takes its time to import, as heavy modules do."""

import time

time.sleep(0.3)
